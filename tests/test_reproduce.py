"""From nothing to the report: what is measured for the tables, and what is said in the end."""

from dataclasses import replace
from pathlib import Path

import pytest
from papermill.exceptions import PapermillExecutionError

from workbench import execute, papers, probes, progress, reproduce, store
from workbench.spec import UserError

TABLE = papers.TABLES["esc-table2"]
SMALL = replace(TABLE, rows=tuple(r for r in TABLE.rows if r.variant in ("esc-fp-x3", "esc-fp-x4")))


@pytest.fixture
def quiet(monkeypatch):
    """One small table, and notebooks that are noted and not run: they have tests of their own."""
    executed = []
    monkeypatch.setattr(papers, "TABLES", {SMALL.id: SMALL})
    monkeypatch.setattr(reproduce, "execute_notebook", lambda name, output, parameters: executed.append(name))
    return executed


def test_what_a_table_needs_is_every_cell_under_its_own_protocol_and_estimates_of_both_forwards():
    needed = reproduce.needed(SMALL, quick=False)
    counted = {f"{probe} of esc-fp-x{scale} under esc" for scale in (3, 4) for probe in ("params", "macs")}
    planned = {
        f"{c.estimate} of esc-fp-x{scale} under esc+flex{lean}"
        for c in TABLE.columns
        if c.estimate in probes.PROBES
        for scale in (3, 4)
        for lean in ("", "+lean")
    }
    bounded = {f"roofline of esc-fp-x{scale} under esc+flex+a100" for scale in (3, 4)}
    assert {str(r) for r in needed} == counted | planned | bounded


def test_quick_means_x4_only():
    assert {r.variant.scale for r in reproduce.needed(TABLE, quick=True)} == {4}
    assert {r.variant.scale for r in reproduce.needed(TABLE, quick=False)} == {2, 3, 4}


def test_rows_that_are_not_ours_need_nothing():
    assert reproduce.needed(replace(SMALL, rows=(replace(SMALL.rows[0], variant=None),)), quick=False) == []


def test_it_measures_what_is_missing_runs_the_notebooks_and_sums_up(workbench, quiet, tmp_path):
    words = ("reproduce", "--records", tmp_path / "records", "--results", tmp_path / "results")
    first = workbench(*words)
    assert first.code == 0, first.err
    assert quiet == list(reproduce.NOTEBOOKS)
    assert "FLOPs: 2/2 reproduced; Params: 2/2 reproduced\n" in first.out
    assert f"written: {tmp_path / 'results' / 'tables'}, " in first.out
    measured = store.read(tmp_path / "records").records
    assert len(measured) == len(execute.missing(reproduce.needed(SMALL, quick=False), {}))
    again = workbench(*words)
    assert (again.code, again.out) == (0, first.out)
    assert "measure: 0 missing of " in again.err
    assert store.read(tmp_path / "records").records == measured


def test_a_measurement_that_failed_is_told_at_the_end_and_the_rest_is_done(workbench, quiet, tmp_path, monkeypatch):
    def measure(request):
        details = {"protocols": ["fvcore"], "tried": 1}
        record = execute._record(request, execute.Outcome("ok", None, (1,), details))
        broken = request.variant.name == "esc-fp-x3" and request.probe.name == "params"
        return replace(record, status="failed", values=(), reason="Error: so") if broken else record

    real = progress.measure
    monkeypatch.setattr(progress, "measure", lambda todo, folder, **given: real(todo, folder, measure, **given))
    ran = workbench("reproduce", "--records", tmp_path / "records", "--results", tmp_path)
    assert ran.code == 1
    assert quiet == list(reproduce.NOTEBOOKS)
    assert ran.err.endswith(
        "workbench: 1 measurement failed, which is a defect; the first: params of esc-fp-x3 under esc: Error: so\n"
    )


def test_results_that_cannot_be_written_are_told_before_anything_is_measured(workbench, quiet, tmp_path):
    file = tmp_path / "file"
    file.touch()
    for results in (file, file / "below", "/proc/foo"):
        ran = workbench("reproduce", "--records", tmp_path / "records", "--results", results)
        assert (ran.code, ran.out) == (2, "")
        assert ran.err.startswith(f"workbench: Cannot write {results}/tables: ")
        assert ran.err.endswith("Name a writable folder with --results, or another file.\n")
        assert ran.err.count("\n") == 1
    assert not (tmp_path / "records").exists()
    assert quiet == []


def test_what_a_user_can_mend_in_a_notebook_is_one_sentence(tmp_path, monkeypatch):
    def refuse(source, output, *_, **__):
        Path(output).write_text("{}")
        raise PapermillExecutionError(1, 1, "report.write()", "UserError", "Cannot write here.", [])

    monkeypatch.setattr("papermill.execute_notebook", refuse)
    with pytest.raises(UserError, match=r"^Cannot write here\.$"):
        reproduce.execute_notebook("complexity", tmp_path / "out.ipynb", {})
    assert (tmp_path / "out.ipynb").read_text() == "{}"


def test_bad_lines_are_told(workbench, quiet, tmp_path):
    folder = tmp_path / "records"
    folder.mkdir()
    (folder / "a.jsonl").write_text("torn\n")
    ran = workbench("reproduce", "--quick", "--records", folder, "--results", tmp_path)
    assert ran.code == 0, ran.err
    assert f"workbench: {folder}/a.jsonl:1: not a whole line of JSON" in ran.err


def test_what_a_protocol_does_not_reproduce_is_searched(workbench, monkeypatch, tmp_path):
    row = replace(next(r for r in TABLE.rows if r.variant == "omnisr-x4"), printed={"params_k": "792"})
    small = replace(TABLE, rows=(row,), columns=tuple(c for c in TABLE.columns if c.id == "params_k"))
    monkeypatch.setattr(papers, "TABLES", {small.id: small})
    monkeypatch.setattr(reproduce, "execute_notebook", lambda *_: None)
    ran = workbench("reproduce", "--records", tmp_path / "records", "--results", tmp_path / "results")
    assert ran.out.startswith("esc-table2: Params: 1/1 explained\n"), ran.err
    assert {r.probe for r in store.read(tmp_path / "records").records} == {"params", "params-search"}
