"""Notebooks: committed without what a run leaves in them, with parameters, and running from end to end."""

import ast
import asyncio
import json
import time
from functools import partial
from pathlib import Path

import nbformat
import papermill
import pytest
import skimage
from papermill.exceptions import PapermillExecutionError

from workbench import environment, kernels, papers, reproduce
from workbench.spec import UserError

ROOT = environment.SOURCE / "notebooks"
NOTEBOOKS = sorted(ROOT.rglob("*.ipynb"))


def made(folder, *cells):
    """A home whose notebook `made` has these cells, the first of them the parameters."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.cells[0].metadata["tags"] = ["parameters"]
    notebook.metadata["kernelspec"] = {"name": "python3", "language": "python", "display_name": "Python 3"}
    (folder / "notebooks").mkdir()
    nbformat.write(notebook, folder / "notebooks" / "made.ipynb")


def texts(path):
    """What the cells of an executed notebook printed."""
    outputs = [output for cell in json.loads(path.read_text())["cells"] for output in cell.get("outputs", [])]
    return ["".join(output["text"]) for output in outputs if output["output_type"] == "stream"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_is_committed_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)
        assert not cell.metadata.keys() - {"tags"}
    assert notebook.metadata.keys() <= {"kernelspec", "language_info"}
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.metadata.language_info.keys() == {"name"}  # and not of whose Python it was


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_has_one_cell_of_parameters_with_folders_among_them(path):
    tagged = [c for c in nbformat.read(path, as_version=4).cells if "parameters" in c.metadata.get("tags", [])]
    assert len(tagged) == 1
    assert papermill.inspect_notebook(str(path)).keys() >= {"records", "results"}


EXPECTED = {
    "complexity": (
        "esc-table4: Memory: 12/12 not measured; FLOPs: 1/12 reproduced, ",
        {"report/index.html", "figures/hitsr-bars.svg", "tables/esc-table4.tex"},
        1,
        2,
    ),
    "ablations": ("ablations.md", {"tables/ablations.csv", "figures/ablations-esc-x4.svg"}, 1, 0),
    "efficiency": ("energy.md", {"tables/energy.md"}, 0, len(papers.TABLES)),
    "claims": (f"{len(papers.CLAIMS)} claims: ", {"tables/claims.txt", "tables/claims.json"}, 0, 1),
}
"""What each prints, writes, and shows of pictures and tables, from three records."""

GIVEN = {"complexity": {"tables": ["esc-table4", "hitsr-efficiency"]}}
"""Parameters beside the folders: all tables, which are the default, have ten pictures in three formats."""


def test_the_notebook_of_attention_shows_the_default_choice_of_every_picture(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    folders = {"records": tmp_path / "records", "results": tmp_path / "results", "data": tmp_path / "data"}
    parameters = {name: str(folder) for name, folder in folders.items()}
    output = tmp_path / "executed" / "attention.ipynb"
    photograph = str(Path(skimage.__file__).parent / "data" / "astronaut.png")
    parameters |= {"models": ["asid-x4"], "measures": ["averaged"], "images": [photograph], "crop": 32}
    reproduce.execute_notebook("attention", output, parameters)
    assert "Traceback" not in output.read_text()
    cells = json.loads(output.read_text())["cells"]
    shown = {c["id"]: [o["data"] for o in c.get("outputs", []) if "data" in o] for c in cells}
    for name in ("matrix", "neighbours", "query", "sharing", "fields"):
        (data,) = shown[name]
        assert data.keys() == {"image/png", "text/plain"}  # and no widget, of which nobody could choose
    assert texts(output)[0].startswith("asid-x4 is untrained: no weights were named; ")
    assert (folders["results"] / "tables" / "attention-asid-x4-untrained.csv").is_file()


@pytest.mark.parametrize("path", [p for p in NOTEBOOKS if p.stem in EXPECTED], ids=lambda p: p.stem)
def test_a_notebook_runs_from_end_to_end(path, tmp_path, make_record, filled, monkeypatch):
    monkeypatch.chdir(tmp_path)
    records = filled(
        make_record("esc-x4", values=(967_500,)),
        make_record("esc-x4", "macs", values=(149_190_176_000,)),
        make_record("esc-window8-x4", values=(900_000,)),
    )
    results, output = tmp_path / "results", tmp_path / "executed" / path.name
    folders = {"records": str(records), "results": str(results)}
    reproduce.execute_notebook(path.stem, output, folders | GIVEN.get(path.stem, {}))
    assert "Traceback" not in output.read_text()
    outputs = [o for c in json.loads(output.read_text())["cells"] for o in c.get("outputs", [])]
    said, files = "".join(texts(output)), {str(p.relative_to(results)) for p in results.rglob("*") if p.is_file()}
    pictures, shown = (sum(kind in o.get("data", {}) for o in outputs) for kind in ("image/png", "text/html"))
    begins, wanted, drawn, tables = EXPECTED[path.stem]
    assert begins in said
    assert wanted <= files
    assert (pictures, shown) == (drawn, tables)
    assert {p.name for p in tmp_path.iterdir()} == {"records", "results", "executed"}  # it leaves nothing else


def test_the_notebook_of_your_model_goes_the_whole_path(tmp_path, make_record, filled):
    """Here and not in a kernel, whose start and import of torch would take most of the time."""
    records = filled(*(make_record("imdn-x4", probe) for probe in ("params", "macs", "planned-memory")))
    cells = {c.id: c for c in nbformat.read(ROOT / "your_model.ipynb", as_version=4).cells if c.cell_type == "code"}
    names, shown = {"__name__": "__main__"}, {}
    for name, cell in cells.items():
        *lines, last = ast.parse(cell.source).body
        if not isinstance(last, ast.Expr):
            lines, last = [*lines, last], ast.parse("None").body[0]
        exec(compile(ast.Module(lines, []), name, "exec"), names)
        shown[name] = eval(compile(ast.Expression(last.value), name, "eval"), names)
        if name == "parameters":
            names |= {"budget": 0.1, "records": str(records), "results": str(tmp_path / "results")}
    for name in ("counts", "trace", "latency", "compare", "table"):
        assert "<table" in shown[name]._repr_html_()
    assert list(shown["counts"].index) == ["yours", "imdn-x4"]
    assert shown["counts"].loc["imdn-x4", "params"] == make_record().value
    assert shown["picture"].data.startswith(b"\x89PNG")
    assert shown["compare"].sentences()[0].startswith("yours is ")
    assert "\nyours & " in (tmp_path / "results" / "tables" / "your_model.tex").read_text()
    assert {p.name for p in tmp_path.iterdir()} == {"records", "results"}


def test_parameters_reach_the_notebook(tmp_path, monkeypatch):
    made(tmp_path, "a = 1\nb = 2", "print(a, b)")
    monkeypatch.setattr(environment, "home", lambda: tmp_path)
    reproduce.execute_notebook("made", tmp_path / "out.ipynb", {"b": 5})
    assert texts(tmp_path / "out.ipynb") == ["1 5\n"]


def test_a_cell_that_fails_stops_the_notebook_and_is_shown(tmp_path, monkeypatch, capsys):
    made(tmp_path, "a = 1", "print('before')", "a / 0  # the culprit", "print('after')")
    monkeypatch.setattr(environment, "home", lambda: tmp_path)
    with pytest.raises(PapermillExecutionError, match="ZeroDivisionError"):
        reproduce.execute_notebook("made", tmp_path / "out.ipynb", {})
    assert "a / 0  # the culprit" in capsys.readouterr().err
    assert texts(tmp_path / "out.ipynb") == ["before\n"]


def test_an_interrupt_ends_the_kernels_of_all_that_run_side_by_side(tmp_path, monkeypatch):
    """What they had printed is kept, and the third one never begins."""
    made(tmp_path, "begun = ''", "print('so far')", "import pathlib, time; pathlib.Path(begun).touch(); time.sleep(60)")
    monkeypatch.setattr(environment, "home", lambda: tmp_path)
    begun = [tmp_path / name for name in "abc"]
    works = [partial(reproduce.execute_notebook, "made", b.with_suffix(".ipynb"), {"begun": str(b)}) for b in begun]

    def interrupted(doing):
        while not all(file.exists() for file in begun[:2]):
            time.sleep(kernels.PAUSE)
        raise KeyboardInterrupt

    monkeypatch.setattr(kernels, "as_completed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        kernels.abreast(works, 2)
    assert not any(asyncio.run(manager.is_alive()) for manager in kernels._STARTED)
    assert [texts(b.with_suffix(".ipynb")) for b in begun[:2]] == [["so far\n"]] * 2
    assert not begun[2].with_suffix(".ipynb").exists()


def test_where_one_fails_no_other_begins_and_those_at_work_are_done_to_their_end():
    ended = []

    def fail():
        raise UserError("so")

    def slow():
        time.sleep(0.1)
        ended.append("slow")

    with pytest.raises(UserError, match=r"^so$"):
        kernels.abreast([slow, fail, *[partial(time.sleep, 0.2)] * 3, partial(ended.append, "late")], 2)
    assert ended == ["slow"]


def test_an_unknown_parameter_is_an_error(tmp_path, monkeypatch):
    made(tmp_path, "a = 1\nb = 2")
    monkeypatch.setattr(environment, "home", lambda: tmp_path)
    with pytest.raises(UserError) as told:
        reproduce.execute_notebook("made", tmp_path / "out.ipynb", {"b": 1, "c": 1})
    assert str(told.value) == "Notebook made has no parameter 'c'; it has: a, b."
    assert not (tmp_path / "out.ipynb").exists()


def test_a_notebook_that_is_not_there_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "home", lambda: tmp_path)
    with pytest.raises(UserError, match=r"No notebook .*complexity\.ipynb; it comes with the repository"):
        reproduce.execute_notebook("complexity", tmp_path / "out.ipynb", {})


def test_the_default_parameters_are_those_of_the_checkout():
    inferred = papermill.inspect_notebook(str(environment.SOURCE / "notebooks" / "complexity.ipynb"))
    defaults = {name: json.loads(parameter["default"]) for name, parameter in inferred.items()}
    assert defaults == {"tables": [], "records": "../results/records", "results": "../results"}
