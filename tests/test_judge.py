"""Verdicts: one function of (printed, measured), and the papers' tables it is applied to."""

import csv
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from workbench import digits, environment, judge, models, papers, protocols, store
from workbench.papers import esc, names
from workbench.published import Column, Row, Table
from workbench.spec import UserError

MACS = Column("flops_g", "FLOPs", "G", "macs", 1e9, "low", "nothing")
PARAMS = Column("params_k", "Params", "K", "params", 1e3, "low", "nothing")
PSNR = Column("psnr", "PSNR", "dB", "no-such-probe", 1, "high", "a test set")


MEMORY = Column("memory_mb", "Memory", "MB", "no-such-probe", 2**20, "low", "a GPU", estimate="params")


def table(*rows, columns=(MACS,)):
    return Table("made", "A made table", "none", "A paper, Table 1", "esc", columns, rows)


def row(printed, variant="esc-x3", column="flops_g"):
    return Row("A method", int(variant[-1]) if variant else 3, variant, {column: printed} if printed else {})


@pytest.fixture
def judged(make_record):
    """The verdict on one printed figure, given what its protocol measured and what a search found."""

    def judged(printed, esc=None, searched=None, uncounted=None):
        records = [] if esc is None else [make_record("esc-x3", "macs", values=(esc,))]
        if searched:
            details = {"protocols": list(searched), "tried": 384, "uncounted_heavy": uncounted or {}}
            records.append(make_record("esc-x3", "macs-search", values=tuple(searched.values()), details=details))
        (cell,) = judge.judge(table(row(printed)), store.Contents(tuple(records), ()).newest())
        return cell

    return judged


# --- rounding


@pytest.mark.parametrize(
    ("value", "printed", "equal"),
    [
        ("267.612", "267.6", True),
        ("267.65", "267.6", True),  # a tie goes either way
        ("267.65", "267.7", True),
        ("267.75", "267.7", True),
        ("267.75", "267.8", True),
        ("267.6501", "267.6", False),
        ("267.5499", "267.6", False),
        ("267.55", "267.6", True),
        ("268", "268", True),
        ("267.5", "268", True),
        ("267.5", "267", True),
        ("0.93395", "0.9340", True),
        ("0.934", "0.9340", True),
        ("0.9341", "0.9340", False),
        ("0", "0.0", True),
    ],
)
def test_rounding_is_to_the_printed_digits(value, printed, equal):
    assert digits.rounds_to(Decimal(value), printed) is equal


@pytest.mark.parametrize(
    ("value", "printed", "equal"),
    [("267.69", "267.6", True), ("267.6", "267.6", True), ("267.7", "267.6", False), ("267.59", "267.6", False)],
)
def test_cutting_off_is_after_the_printed_digits(value, printed, equal):
    assert digits.cuts_to(Decimal(value), printed) is equal


# --- verdicts


def test_a_figure_that_rounds_to_the_printed_one_is_reproduced(judged):
    cell = judged("267.6", esc=267_612_860_160)
    assert (cell.verdict, cell.protocol, cell.unit) == ("reproduced", "esc", "G")
    assert (cell.reported, cell.measured) == (267.6, 267.61286016)
    assert cell.why == "267,612,860,160 rounds to the printed digits"
    assert cell.difference == pytest.approx(4.8e-5, rel=0.01)


def test_a_figure_that_was_cut_off_is_explained(judged):
    cell = judged("267.6", esc=267_690_000_000)
    assert (cell.verdict, cell.protocol) == ("explained", "esc")
    assert cell.why == "267,690,000,000 was cut off, not rounded"


def test_a_figure_of_another_protocol_is_explained_by_it(judged):
    found = {"fvcore": 267_612_860_160, "fvcore+ceil": 268_240_000_000, "torch": 5}
    cell = judged("268.2", esc=267_612_860_160, searched=found)
    assert (cell.verdict, cell.protocol, cell.measured) == ("explained", "fvcore+ceil", 268.24)
    assert cell.why == (
        "protocol fvcore+ceil (LR side ceil(side / scale): 427 in place of 426 at x3) gives 268,240,000,000, which "
        "rounds to the printed digits; 1 fits of 384 protocols tried, which give 3 distinct figures; "
        "esc gives 267,612,860,160"
    )
    assert (cell.fits, cell.distinct, cell.tried) == (("fvcore+ceil",), 3, 384)


def test_the_simplest_protocol_that_explains_is_named_and_all_are_counted(judged):
    found = {"fvcore": 1, "torch": 268_210_000_000, "hooks+ceil": 268_190_000_000, "fvcore+train": 268_290_000_000}
    cell = judged("268.2", esc=1, searched=found)
    assert (cell.protocol, cell.fits) == ("torch", ("torch", "hooks+ceil", "fvcore+train"))
    assert "; 3 fit of 384 protocols tried, which give 4 distinct figures; " in cell.why


def test_rounding_explains_before_cutting_off_does(judged):
    cell = judged("268.2", esc=1, searched={"fvcore": 268_290_000_000, "torch": 268_240_000_000})
    assert (cell.protocol, cell.fits) == ("torch", ("torch", "fvcore"))
    cell = judged("268.2", esc=1, searched={"fvcore": 268_290_000_000})
    assert (cell.verdict, cell.protocol) == ("explained", "fvcore")
    assert "which was cut off, not rounded" in cell.why


def test_a_figure_that_no_protocol_gives_differs_and_the_nearest_is_shown(judged):
    cell = judged("300.0", esc=267_612_860_160, searched={"fvcore": 267_612_860_160, "fvcore+twice": 290_000_000_000})
    assert (cell.verdict, cell.protocol, cell.measured) == ("differs", "fvcore+twice", 290.0)
    assert cell.why == (
        "unexplained: none of 384 protocols (2 distinct figures) gives it; the nearest, protocol fvcore+twice (a "
        "multiply-add counts as two operations) gives 290,000,000,000; esc gives 267,612,860,160"
    )
    cell = judged("268.0", esc=267_612_860_160, searched={"fvcore": 267_612_860_160, "torch": 5})
    assert (cell.protocol, cell.measured) == ("esc", 267.61286016)
    assert cell.why.endswith("gives it; esc gives 267,612,860,160, which is nearest")


def test_a_figure_that_differs_without_a_search_names_the_command_that_searches(judged):
    cell = judged("300.0", esc=267_612_860_160)
    assert cell.verdict == "differs"
    assert cell.why == (
        "esc gives 267,612,860,160; other protocols were not tried yet: "
        "workbench explain made --cell A method:x3:flops_g"
    )


def test_a_search_that_failed_found_nothing(make_record):
    records = [
        make_record("esc-x3", "macs", values=(1,)),
        make_record("esc-x3", "macs-search", status="failed", reason="ZeroDivisionError: by zero"),
    ]
    (cell,) = judge.judge(table(row("300.0")), store.Contents(tuple(records), ()).newest())
    assert cell.verdict == "differs"
    assert "not tried yet" in cell.why


def test_a_reproduced_figure_says_how_many_others_would_have_fit(judged):
    cell = judged("267.6", esc=267_612_860_160, searched={"fvcore": 267_612_860_160, "torch": 267_600_000_000})
    assert (cell.verdict, cell.fits, cell.distinct) == ("reproduced", ("fvcore", "torch"), 2)


def test_what_the_explaining_protocol_left_out_marks_the_cell(judged):
    searched = {"fvcore": 1, "hooks": 268_200_000_000}
    cell = judged("268.2", esc=1, searched=searched, uncounted={"hooks": ["matmul"]})
    assert cell.uncounted == ("matmul",)


def test_a_search_takes_the_unit_of_the_print(make_record):
    details = {"protocols": ["fvcore", "hooks"], "tried": 3}
    record = make_record("esc-x3", "params-search", values=(603_600, 500), details=details)
    looked = digits.search(record, "603", 1e3)
    assert (looked.rounded, looked.cut, looked.nearest, looked.tried) == ((), ("fvcore",), "fvcore", 3)


# --- estimates


def estimated(make_record, printed, value, lean=None):
    records = [make_record("esc-x3", "params", values=(value,))]
    made = table(row(printed, column="memory_mb"), columns=(MEMORY,))
    (cell,) = judge.judge(made, store.Contents(tuple(records), ()).newest())
    return cell


def test_an_estimate_near_enough_is_planned_and_never_measured(make_record):
    cell = estimated(make_record, "100", 101.5 * 2**20)
    assert (cell.verdict, cell.measured, cell.estimate) == ("planned", None, 101.5)
    assert cell.why == "estimated 101.5 MB without the device, +1.5%; to measure it needs a GPU"
    assert cell.difference == pytest.approx(0.015)


def test_an_estimate_too_far_off_differs(make_record):
    assert estimated(make_record, "100", 97.9 * 2**20).verdict == "differs"
    assert estimated(make_record, "100", 102.1 * 2**20).verdict == "differs"
    assert estimated(make_record, "", 97.9 * 2**20).verdict == "not printed"


def test_a_missing_estimate_names_its_command(make_record):
    made = table(row("100", column="memory_mb"), columns=(MEMORY,))
    (cell,) = judge.judge(made, {})
    assert (cell.verdict, cell.estimate) == ("not measured", None)
    assert cell.why.endswith("no record yet of an estimate: workbench measure esc-x3 --probe params --protocol esc")


def test_a_row_may_have_a_protocol_of_its_own(make_record):
    known = store.Contents((make_record("esc-x3", "macs", "esc+scan", values=(268_200_000_000,)),), ()).newest()
    mine = replace(row("268.2"), protocols={"flops_g": "esc+scan"})
    (cell,) = judge.judge(table(mine), known)
    assert (cell.verdict, cell.protocol) == ("reproduced", "esc+scan")


# --- what is missing


def test_a_cell_without_a_record_names_the_command_that_would_measure_it(judged):
    cell = judged("267.6")
    assert (cell.verdict, cell.measured, cell.difference) == ("not measured", None, None)
    assert cell.why == "no record yet: workbench measure esc-x3 --probe macs --protocol esc"


def test_another_protocol_does_not_answer_in_place_of_the_table_s_own(make_record):
    known = store.Contents((make_record("esc-x3", "macs", "esc+ceil", values=(268_240_000_000,)),), ()).newest()
    (cell,) = judge.judge(table(row("268.2")), known)
    assert cell.verdict == "not measured"


@pytest.mark.parametrize("status", ["failed", "out-of-memory", "timeout", "unsupported"])
def test_a_measurement_that_failed_is_shown_with_its_reason(make_record, status):
    record = make_record("esc-x3", "macs", status=status, reason="for a reason")
    (cell,) = judge.judge(table(row("267.6")), store.Contents((record,), ()).newest())
    assert (cell.verdict, cell.measured, cell.why) == ("not measured", None, f"{status}: for a reason")


def test_a_method_that_is_not_ours_is_shown_as_reported():
    (cell,) = judge.judge(table(row("267.6", None)), {})
    assert (cell.verdict, cell.reported, cell.variant) == ("not measured", 267.6, None)
    assert cell.why == "this method is not in the catalogue; it is shown as reported"


def test_a_cell_that_is_not_printed_has_no_verdict_on_it(make_record):
    record = make_record("esc-x3", "macs", values=(267_612_860_160,))
    (cell,) = judge.judge(table(row("")), store.Contents((record,), ()).newest())
    assert (cell.verdict, cell.reported, cell.measured) == ("not printed", None, 267.61286016)


def test_a_column_without_a_probe_says_what_it_needs():
    made = table(row("38.14", column="psnr"), row("", column="psnr"), columns=(PSNR,))
    assert [(c.verdict, c.why) for c in judge.judge(made, {})] == [
        ("not measured", "needs a test set"),
        ("not printed", "needs a test set"),
    ]


def test_a_record_of_an_older_probe_answers_nothing(make_record):
    record = make_record("esc-x3", "macs", values=(267_612_860_160,), probe_version=0)
    (cell,) = judge.judge(table(row("267.6")), store.Contents((record,), ()).newest())
    assert cell.verdict == "not measured"


def test_operators_of_weight_that_were_not_counted_mark_the_cell(make_record):
    left = {"uncounted_heavy": ["selective_scan"]}
    record = make_record("esc-x3", "macs", values=(267_612_860_160,), details=left)
    (cell,) = judge.judge(table(row("267.6")), store.Contents((record,), ()).newest())
    assert cell.uncounted == ("selective_scan",)


def test_what_disturbed_the_machine_marks_the_cell(make_record):
    state = {"contended": True, "throttled": False, "why": ["others kept 1.0 of 2 cores busy"]}
    record = make_record("esc-x3", "macs", values=(267_612_860_160,), details={"state": state})
    (cell,) = judge.judge(table(row("267.6")), store.Contents((record,), ()).newest())
    assert cell.disturbed == ("others kept 1.0 of 2 cores busy",)


def test_a_timed_figure_is_that_of_this_machine(make_record, monkeypatch):
    made = table(row("12", column="memory_mb"), columns=(replace(MEMORY, probe="memory", estimate=None),))
    known = store.Contents((make_record("esc-x3", "memory", values=(12 * 2**20,)),), ()).newest()
    (cell,) = judge.judge(made, known)
    assert (cell.verdict, cell.measured) == ("reproduced", 12.0)
    monkeypatch.setattr(environment, "machine", lambda: "another machine")
    (cell,) = judge.judge(made, known)
    assert (cell.verdict, cell.measured) == ("not measured", None)


@pytest.mark.parametrize("status", [None, "unsupported"])
def test_what_this_machine_cannot_measure_is_estimated(make_record, status):
    made = table(row("100", column="memory_mb"), columns=(replace(MEMORY, probe="memory"),))
    records = [make_record("esc-x3", "params", values=(100 * 2**20,))]
    if status:
        records.append(make_record("esc-x3", "memory", status=status, reason="no CUDA device"))
    (cell,) = judge.judge(made, store.Contents(tuple(records), ()).newest())
    assert (cell.verdict, cell.measured, cell.estimate) == ("planned", None, 100.0)
    assert cell.why.endswith("; to measure it needs a GPU")


def test_cells_come_row_by_row_and_column_by_column():
    made = table(row("1", "esc-x2"), row("2", "esc-x3"), columns=(MACS, PARAMS))
    assert [(c.scale, c.column) for c in judge.judge(made, {})] == [
        (2, "flops_g"), (2, "params_k"), (3, "flops_g"), (3, "params_k"),
    ]  # fmt: skip


def test_the_summary_counts_printed_cells_of_measurable_columns(make_record):
    rows = (row("267.6"), row("1.0"), row("700.0", "esc-x2"), row(""), row("5", None))
    made = table(*rows, columns=(MACS, PSNR))
    record = make_record("esc-x3", "macs", values=(267_612_860_160,))
    cells = judge.judge(made, store.Contents((record,), ()).newest())
    assert judge.summary(made, cells) == (
        "made: FLOPs: 1/3 reproduced, 1/3 differs, 1/3 not measured, and 1 not printed; shown as reported: A method"
    )


def test_every_verdict_can_be_explained_to_a_reader(judged):
    assert {judged("267.6", esc=v).verdict for v in (267_612_860_160, 267_690_000_000, 1)} < judge.VERDICTS.keys()
    assert all(judge.VERDICTS.values())


def test_reading_a_table_needs_its_id_and_a_folder(make_record, filled):
    folder = filled(make_record("esc-x4", values=(967500,)))
    chosen, cells = judge.read("esc-table2", folder)
    assert chosen is papers.TABLES["esc-table2"]
    assert [c.variant for c in cells if c.measured is not None] == ["esc-x4"]
    with pytest.raises(UserError, match=r"^No table 'table2'\..*Known: "):
        judge.read("table2", folder)


# --- the papers


@pytest.mark.parametrize("published", papers.TABLES.values(), ids=lambda t: t.id)
def test_a_paper_names_only_what_there_is(published):
    assert published.protocol in protocols.PROTOCOLS
    assert all(protocols.find(p) for r in published.rows for p in r.protocols.values())
    assert all(r.protocols.keys() <= {c.id for c in published.columns} for r in published.rows)
    assert {r.variant for r in published.rows} - {None} <= models.VARIANTS.keys()
    for line in published.rows:
        assert line.printed.keys() <= {c.id for c in published.columns}
        if line.variant:
            assert models.VARIANTS[line.variant].scale == line.scale
    assert len({(r.method, r.scale) for r in published.rows}) == len(published.rows)


@pytest.mark.parametrize("published", papers.TABLES.values(), ids=lambda t: t.id)
def test_every_printed_figure_is_a_number(published):
    for line in published.rows:
        for text in line.printed.values():
            assert Decimal(text).is_finite()
            assert text == text.strip()


@pytest.mark.parametrize("figure", papers.FIGURES.values(), ids=lambda f: f.id)
def test_a_figure_shows_columns_of_its_table(figure):
    assert set(figure.columns) <= {c.id for c in papers.TABLES[figure.table].columns}


def test_esc_s_table_2_has_42_rows_all_of_them_ours():
    rows = papers.TABLES["esc-table2"].rows
    assert len(rows) == 42
    assert [sum(r.scale == s for r in rows) for s in (2, 3, 4)] == [14, 14, 14]
    assert {names.key(r.method) for r in rows} < names.BUILT.keys()
    assert all(r.variant for r in rows)


def test_printed_text_is_kept_digit_for_digit():
    published = papers.TABLES["esc-table2"]
    by_name = {(r.method, r.scale): r.printed for r in published.rows}
    assert by_name["SwinIR-lt", 2] == {
        "latency_ms": "1409.8", "memory_mb": "1287", "flops_g": "244.2", "params_k": "910",
        "set5_psnr": "38.14", "set5_ssim": "0.9611", "set14_psnr": "33.86", "set14_ssim": "0.9206",
        "b100_psnr": "32.31", "b100_ssim": "0.9012", "urban100_psnr": "32.76", "urban100_ssim": "0.9340",
        "manga109_psnr": "39.12", "manga109_ssim": "0.9783",
    }  # fmt: skip
    assert by_name["ATD-lt", 2]["flops_g"] == "380.0"
    assert "manga109_psnr" not in by_name["ASID-D8", 2]  # "-" in print
    lines = csv.DictReader((Path(esc.__file__).parent / "esc_table2.csv").read_text().splitlines())
    for line, kept in zip(lines, published.rows, strict=True):
        texts = {k: v for k, v in line.items() if v and k not in ("method", "scale")}
        assert texts == kept.printed


def test_a_table_s_cells_are_judged_in_any_order_of_records(make_record):
    one, other = make_record("esc-x4", values=(967500,)), make_record("esc-x2", values=(946728,))
    published = papers.TABLES["esc-table2"]
    ahead, behind = (store.Contents(r, ()).newest() for r in ((one, other), (other, one)))
    assert judge.judge(published, ahead) == judge.judge(published, behind)
    small = replace(published, rows=[r for r in published.rows if r.variant == "esc-x4"])
    assert {c.verdict for c in judge.judge(small, ahead) if c.column == "params_k"} == {"reproduced"}
