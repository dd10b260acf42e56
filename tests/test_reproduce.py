"""From nothing to the report: what is measured for the tables, and what is said in the end."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from papermill.exceptions import PapermillExecutionError

from workbench import execute, made, models, papers, probes, progress, reproduce, store
from workbench.spec import UserError

TABLE = papers.TABLES["esc-table2"]
SMALL = replace(TABLE, rows=tuple(r for r in TABLE.rows if r.variant in ("esc-fp-x3", "esc-fp-x4")))


@pytest.fixture(autouse=True)
def _few(monkeypatch):
    """What ablations and other sizes cost takes half a minute; what is asked of them has tests of its own."""
    monkeypatch.setattr(reproduce, "ablated", lambda: [])
    monkeypatch.setattr(reproduce, "drawn", lambda tables: [])


ABLATED, DRAWN = reproduce.ablated, reproduce.drawn


def test_the_costs_of_every_ablation_are_asked_for_at_x4():
    asked = ABLATED()
    assert {r.variant.scale for r in asked} == {4}
    assert {"esc-x4", "esc-window16-x4", "asid-unshared-x4"} <= {r.variant.name for r in asked}
    assert not any(r.probe.real for r in asked)


def test_what_figures_show_beyond_their_tables_is_other_sizes():
    asked = DRAWN([TABLE])
    assert len({tuple(r.conditions["input"]["hr"]) for r in asked}) > 2
    assert not any(r.probe.real for r in asked)


def all_of_them(executed):
    """Whether that is every notebook, each once: those that measure first, the one that shows what all drew last."""
    measuring = list(reproduce.MEASURING)
    ordered = (executed[: len(measuring)], executed[-1:]) == (measuring, [reproduce.LAST])
    return sorted(executed) == sorted(reproduce.NOTEBOOKS) and ordered


@pytest.fixture
def quiet(monkeypatch):
    """One small table, nothing timed, and notebooks that are noted and not run: they have tests of their own."""
    executed = []
    monkeypatch.setattr(papers, "TABLES", {SMALL.id: SMALL})
    monkeypatch.setattr(papers, "CLAIMS", {})
    monkeypatch.setattr(reproduce, "execute_notebook", lambda name, output, parameters: executed.append(name))
    monkeypatch.setattr(reproduce, "timed", lambda *_: [])
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


def test_without_a_gpu_every_network_is_timed_under_the_stand_in():
    asked = reproduce.timed(papers.TABLES.values(), quick=False, cuda=False)
    assert {r.variant.name for r in asked} == set(models.VARIANTS)
    assert len(asked) == len(models.VARIANTS) == 66
    assert {(r.probe.name, r.protocol.name) for r in asked} == {("latency", "cpu")}
    assert reproduce.timed(papers.TABLES.values(), quick=True, cuda=False) == []


def test_with_a_gpu_every_cell_that_one_can_fill_is_measured_under_its_row_s_own_protocol():
    asked = reproduce.timed([TABLE], quick=False, cuda=True)
    assert len(asked) == 3 * 42
    own = {r.variant.name: r.protocol.name for r in asked}
    assert {name for name, protocol in own.items() if protocol == "esc+flex"} == {
        f"{model}-x{scale}" for model in ("esc", "esc-fp", "esc-light") for scale in (2, 3, 4)
    }
    assert set(own.values()) == {"esc", "esc+flex"}
    assert {r.probe.name for r in asked} == {"latency", "memory", "energy"}
    assert {r.protocol.execution.device for r in asked} == {"cuda"}
    bars = reproduce.timed([papers.TABLES["hitsr-efficiency"]], quick=False, cuda=True)
    assert {(r.variant.scale, r.protocol.name) for r in bars} == {(2, "hitsr")}
    assert {r.variant.scale for r in reproduce.timed([TABLE], quick=True, cuda=True)} == {4}


@pytest.mark.parametrize("cuda", [False, True])
def test_a_table_that_prints_no_time_asks_for_none(cuda):
    assert reproduce.timed([papers.TABLES["hitsr-table2"]], quick=False, cuda=cuda) == []


@pytest.mark.parametrize(
    ("gpus", "usable", "cuda"), [([], True, False), (["a GPU"], True, True), (["a GPU"], False, False)]
)
def test_a_gpu_counts_when_torch_can_use_it(monkeypatch, gpus, usable, cuda):
    monkeypatch.setattr(reproduce.environment, "capture", lambda: {"gpus": gpus})
    monkeypatch.setattr("torch.cuda.is_available", lambda: usable)
    assert reproduce.cuda() is cuda


def test_on_a_gpu_times_are_judged_by_their_ratios_and_memory_by_its_bytes(workbench, monkeypatch, tmp_path):
    """A machine that takes half the printed time of every network, but one; its memory is 1 % over the printed."""
    names = ("esc-x4", "rcan-x4", "rdn-x4")
    small = replace(TABLE, rows=tuple(r for r in TABLE.rows if r.variant in names))
    printed = {r.variant: r.printed for r in small.rows}

    def measure(asked):
        of, values = printed[asked.variant.name], (1.0,)
        if asked.probe.name == "latency":
            values = (float(of["latency_ms"]) / (1e3 if asked.variant.name == "rdn-x4" else 2e3),) * 100
        if asked.probe.name == "memory":
            values = (float(of["memory_mb"]) * 1.01 * 2**20,)
        details = {"protocols": ["fvcore"], "tried": 1, "threads": 16}
        return execute._record(asked, execute.Outcome("ok", None, values, details))

    real = progress.run
    monkeypatch.setattr(papers, "TABLES", {small.id: small})
    monkeypatch.setattr(papers, "CLAIMS", {})
    monkeypatch.setattr(reproduce, "execute_notebook", lambda *_: None)
    monkeypatch.setattr(reproduce, "cuda", lambda: True)
    monkeypatch.setattr(reproduce, "needed", lambda *_: [])
    monkeypatch.setattr(progress, "run", lambda todo, folder, **given: real(todo, folder, measure, **given))
    words = ("reproduce", "--records", tmp_path / "records", "--results", tmp_path / "results")
    ran = workbench(*words)
    assert ran.code == 0, ran.err
    told = "esc-table2: Latency: 1/3 reproduced, 1/3 differs, 1/3 reference; Memory: 3/3 reproduced; "
    assert ran.out.startswith(told)
    assert "time, which others at work on this machine disturb: 9 missing of 9\n" in ran.err
    assert "disturb: 0 missing of 9\n" in workbench(*words).err


def test_quick_means_x4_only():
    assert {r.variant.scale for r in reproduce.needed(TABLE, quick=True)} == {4}
    assert {r.variant.scale for r in reproduce.needed(TABLE, quick=False)} == {2, 3, 4}


def test_rows_that_are_not_ours_need_nothing():
    assert reproduce.needed(replace(SMALL, rows=(replace(SMALL.rows[0], variant=None),)), quick=False) == []


def test_it_measures_what_is_missing_runs_the_notebooks_and_sums_up(workbench, quiet, tmp_path):
    words = ("reproduce", "--records", tmp_path / "records", "--results", tmp_path / "results")
    first = workbench(*words)
    assert first.code == 0, first.err
    assert all_of_them(quiet)
    assert "FLOPs: 2/2 reproduced; Params: 2/2 reproduced\n" in first.out
    assert f"written: {tmp_path / 'results' / 'tables'}, " in first.out
    measured = store.read(tmp_path / "records").records
    assert len(measured) == len(execute.missing(reproduce.needed(SMALL, quick=False), {}))
    again = workbench(*words)
    assert (again.code, again.out) == (0, first.out)
    assert "measure: 0 missing of " in again.err
    told = json.loads(workbench(*words, "--json").out)
    (verdicts,) = told["tables"].values()
    assert verdicts["params_k"] == {"reproduced": 2}
    assert told["written"][-1] == str(tmp_path / "results" / "report" / "index.html")
    assert store.read(tmp_path / "records").records == measured


def test_a_measurement_that_failed_is_told_at_the_end_and_the_rest_is_done(workbench, quiet, tmp_path, monkeypatch):
    def measure(request):
        details = {"protocols": ["fvcore"], "tried": 1}
        record = execute._record(request, execute.Outcome("ok", None, (1,), details))
        broken = request.variant.name == "esc-fp-x3" and request.probe.name == "params"
        return replace(record, status="failed", values=(), reason="Error: so") if broken else record

    real = progress.run
    monkeypatch.setattr(progress, "run", lambda todo, folder, **given: real(todo, folder, measure, **given))
    ran = workbench("reproduce", "--records", tmp_path / "records", "--results", tmp_path)
    assert ran.code == 1
    assert all_of_them(quiet)
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
    monkeypatch.setattr(papers, "CLAIMS", {})
    monkeypatch.setattr(reproduce, "execute_notebook", lambda *_: None)
    ran = workbench("reproduce", "--records", tmp_path / "records", "--results", tmp_path / "results")
    assert ran.out.startswith("esc-table2: Params: 1/1 explained\n"), ran.err
    assert {r.probe for r in store.read(tmp_path / "records").records} == {"params", "params-search"}


def test_claims_are_measured_as_well_and_times_only_where_a_gpu_is():
    asked = papers.CLAIMS.values()
    counted = {str(r) for r in reproduce.claimed(asked, quick=False)}
    assert {f"params of asid-x{scale} under esc" for scale in (2, 3, 4)} < counted
    assert {"planned-memory of esc-x2 under esc", "planned-memory of esc-x2 under esc+flex"} < counted
    assert not any(r.probe.timed for r in reproduce.claimed(asked, quick=False))
    assert {r.variant.scale for r in reproduce.claimed(asked, quick=True)} == {4}
    timed = {str(r) for r in reproduce.claimed(asked, quick=False, timed=True)}
    assert {"latency of esc-x2 under esc", "latency of esc-x2 under esc+flex"} < timed
    assert all(word.startswith(("latency", "memory")) for word in timed)


def test_notebooks_are_executed_again_when_anything_they_read_or_wrote_has_changed(tmp_path, monkeypatch):
    records, results, executed = tmp_path / "records", tmp_path / "results", []

    def execute(name, output, parameters):
        executed.append(name)
        store.replace(output, name)

    def again():
        executed.clear()
        reproduce._notebooks(reproduce.NOTEBOOKS, records, results)
        return bool(executed) and all_of_them(executed)

    monkeypatch.setattr(reproduce, "execute_notebook", execute)
    assert again()
    assert not again()
    store.replace(records / "a.jsonl", "torn\n")  # whatever it is: they might tell of it
    assert again()
    assert not again()
    for probe, spared in (
        ("sharing", {"your_model", "claims", "ablations", "efficiency"}),
        ("latency", {"attention", "your_model"}),
        ("macs", {"attention"}),
    ):
        with (records / "a.jsonl").open("a") as file:
            file.write(f'{{"variant": "esc-x4", "probe": "{probe}"}}\n')
        again()
        assert set(executed) == set(reproduce.NOTEBOOKS) - spared
        assert executed[-1] == reproduce.LAST
        assert not again()
    (records / "arrays").mkdir()
    (records / "arrays" / "0.npy.gz").write_bytes(b"")
    again()
    assert executed == ["attention", reproduce.LAST]
    (results / "report" / "claims.ipynb").unlink()
    assert again()
    (results / "figures").mkdir()
    (results / "figures" / "new.png").write_bytes(b"of another command; the site shows it")
    assert again()
    (results / "report" / "claims.ipynb").write_text("edited")
    assert again()
    monkeypatch.setattr(reproduce.environment, "capture", lambda: {"versions": {"torch": "3"}})
    assert again()
    (results / "report" / made.NOTE).write_text("torn")
    assert again()
    assert not again()
    monkeypatch.setattr(made, "inputs", lambda records, reads, parameters: dict.fromkeys(reads, "other code"))
    assert again()


def test_what_a_notebook_measures_itself_makes_no_other_one_stale(tmp_path, monkeypatch):
    executed = []

    def execute(name, output, parameters):
        executed.append(name)
        if name == "attention":
            store.replace(tmp_path / "records" / "a.jsonl", '{"variant": "esc-x4", "probe": "attention"}\n')

    monkeypatch.setattr(reproduce, "execute_notebook", execute)
    for _ in range(2):
        reproduce._notebooks(reproduce.NOTEBOOKS, tmp_path / "records", tmp_path)
        assert all_of_them(executed)


def test_a_quick_run_leaves_what_is_known_of_the_others(tmp_path, monkeypatch):
    executed = []
    monkeypatch.setattr(reproduce, "execute_notebook", lambda name, *_: executed.append(name))
    reproduce._notebooks(reproduce.NOTEBOOKS, tmp_path / "records", tmp_path)
    store.replace(tmp_path / "records" / "a.jsonl", '{"variant": "esc-x4", "probe": "latency"}\n')
    executed.clear()
    reproduce._notebooks(["claims", reproduce.LAST], tmp_path / "records", tmp_path)
    assert executed == ["claims", reproduce.LAST]
    executed.clear()
    reproduce._notebooks(reproduce.NOTEBOOKS, tmp_path / "records", tmp_path)
    assert set(executed) == {"ablations", "efficiency", reproduce.LAST}


def test_notebooks_that_were_not_all_executed_are_not_noted(tmp_path, monkeypatch):
    def fail(name, output, parameters):
        raise UserError(name)

    monkeypatch.setattr(reproduce, "execute_notebook", fail)
    with pytest.raises(UserError):
        reproduce._notebooks(reproduce.NOTEBOOKS, tmp_path / "records", tmp_path)
    assert not (tmp_path / "report" / made.NOTE).exists()


def test_the_digest_of_what_results_depend_on_sees_code(tmp_path, monkeypatch):
    def digest(name="complexity", **parameters):
        return made.inputs(tmp_path, {name: bool}, parameters)[name]

    one = digest()
    assert one == digest()
    assert one != digest(records="elsewhere")
    assert one != digest("claims")
    monkeypatch.setattr(made, "__file__", str(tmp_path / "made.py"))
    assert one != digest()
