"""This machine's times beside printed ones: which record stands for a cell, and the verdict on ratios."""

import re
from dataclasses import replace

import pytest

from workbench import environment, execute, judge, papers, protocols, report, store
from workbench.papers.printed import LATENCY
from workbench.published import Row, Table
from workbench.report import layout, speeds, times

ROWS = tuple(
    Row(method, 4, variant, {"latency_ms": printed} if printed else {}, {"latency_ms": own} if own else {})
    for method, variant, printed, own in (
        ("Slow", "rdn-x4", "60.0", None),
        ("Other", "rcan-x4", "40.0", None),
        ("Ours", "esc-x4", "20.0", "esc+flex"),
        ("Strange", None, "10.0", None),
        ("Silent", "imdn-x4", "", None),
    )
)
MADE = Table("made", "A title", "none", "A paper, Table 1", "esc", (LATENCY,), ROWS, reference="Ours")
CPU = {"rdn-x4": 0.9, "rcan-x4": 0.2, "esc-x4": 0.1, "imdn-x4": 0.05}
GPU = {"rdn-x4": 0.031, "rcan-x4": 0.030, "esc-x4": 0.010, "imdn-x4": 0.002}


@pytest.fixture
def known(make_record):
    """The newest records of times on this machine, eight equal runs of each network."""

    def timed(variant, protocol, seconds, **details):
        of = {"threads": 2, **details}
        name = environment.machine()
        return make_record(variant, "latency", protocol, values=(seconds,) * 8, details=of, machine=name)

    def known(cpu=None, gpu=None, **details):
        own = {v: "esc+flex" if v.startswith("esc") else "esc" for v in GPU}
        records = [timed(v, "cpu", s, **details) for v, s in (cpu or {}).items()]
        records += [timed(v, own[v], s, **details) for v, s in (gpu or {}).items()]
        return store.Contents(tuple(records), ()).newest()

    return known


def judged(known):
    return {c.method: c for c in judge.judge(MADE, known)}


# --- without a GPU


def test_a_stand_in_is_shown_beside_the_printed_figure_and_is_no_measurement_of_it(known):
    cell = judged(known(CPU))["Slow"]
    assert (cell.measured, cell.difference, cell.verdict, cell.protocol) == (None, None, "not measured", "esc")
    assert cell.why == "needs a CUDA GPU: workbench measure rdn-x4 --probe latency --protocol esc"
    assert (cell.here.value, cell.here.low, cell.here.high) == pytest.approx((900, 900, 900))
    assert (cell.here.protocol, cell.here.machine, cell.here.threads) == ("cpu", environment.machine(), 2)
    assert (cell.ratio.measured, cell.ratio.printed, cell.ratio.protocol) == (pytest.approx(9.0), 3.0, "cpu")


def test_a_stand_in_that_was_disturbed_says_so_and_the_printed_figure_stays_clean(known):
    cell = judged(known(CPU, state={"why": ["others kept 1.0 of 2 cores busy"]}))["Slow"]
    assert (cell.here.disturbed, cell.disturbed) == (("others kept 1.0 of 2 cores busy",), ())
    assert times.entries(LATENCY, cell, [cell]) == ["900.0‡", "3.00", "9.00‡"]
    assert layout.disturbances([cell]) == ["others kept 1.0 of 2 cores busy"]


def test_what_another_machine_measured_does_not_stand_here(known, monkeypatch):
    records = known(CPU)
    monkeypatch.setattr(environment, "machine", lambda: "another machine")
    assert {(c.here, c.ratio) for c in judged(records).values()} == {(None, None)}


def test_without_the_reference_there_is_no_ratio(known):
    cells = judged(known({v: s for v, s in CPU.items() if v != "esc-x4"}))
    assert cells["Slow"].here is not None
    assert {c.ratio for c in cells.values()} == {None}


def test_a_method_that_is_not_ours_or_not_printed_gets_no_ratio_to_judge(known):
    cells = judged(known(CPU))
    assert (cells["Strange"].here, cells["Strange"].ratio) == (None, None)
    assert (cells["Silent"].ratio.measured, cells["Silent"].ratio.printed) == (pytest.approx(0.5), None)
    assert cells["Silent"].verdict == "not printed"


def test_what_a_machine_without_a_gpu_refused_reads_as_never_asked(known, make_record):
    told = "A measurement on a CUDA device was asked for, and there is none here"
    record = make_record("rdn-x4", "latency", "esc", status="unsupported", reason=told)
    (cell,) = judge.judge(replace(MADE, rows=ROWS[:1]), store.Contents((record,), ()).newest())
    assert cell.why == "needs a CUDA GPU: workbench measure rdn-x4 --probe latency --protocol esc"


def test_the_command_that_is_named_is_one(known, workbench, monkeypatch, tmp_path):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(execute, "measure_apart", lambda asked, _: execute._record(asked, execute._outcome(asked)))
    command = judged(known())["Ours"].why.partition(": workbench ")[2]
    ran = workbench(*command.split(), "--records", tmp_path)
    assert (ran.code, ran.out.split()[:4]) == (0, ["esc-x4", "latency", "esc+flex", "unsupported:"]), ran.err


# --- with one


def test_on_a_gpu_the_ratio_to_the_reference_is_judged_and_not_the_milliseconds(known):
    cells = judged(known(CPU, GPU))
    slow, other, ours = cells["Slow"], cells["Other"], cells["Ours"]
    assert (slow.measured, slow.verdict) == (pytest.approx(31), "reproduced")  # 3.1, printed 3.0
    assert slow.difference == pytest.approx(0.1 / 3)
    assert (other.verdict, other.difference) == ("differs", pytest.approx(0.5))  # 3.0, printed 2.0
    assert other.why == (
        f"3 times Ours's [3, 3], printed 2, +50.0%; the tolerance is 10% on {environment.machine()}; "
        f"30 ms on {environment.machine()}"
    )
    assert (ours.verdict, ours.difference) == ("reference", 0)
    assert (cells["Silent"].verdict, cells["Silent"].measured) == ("not printed", pytest.approx(2))


def test_a_stand_in_never_judges_what_a_gpu_measured(known):
    """Both have times on the CPU whose ratio is the printed one; the reference was not measured on the GPU."""
    cell = judged(known({"rdn-x4": 0.3, "esc-x4": 0.1}, {"rdn-x4": 0.031}))["Slow"]
    assert (cell.ratio.protocol, cell.ratio.agrees(0.1)) == ("cpu", True)
    assert cell.verdict == "not measured"
    assert cell.why.endswith(
        "; for its ratio Ours is missing: workbench measure esc-x4 --probe latency --protocol esc+flex"
    )


def test_a_reference_without_a_printed_figure_divides_nothing(known):
    rows = (ROWS[0], replace(ROWS[2], printed={}))
    cell, _ = judge.judge(replace(MADE, rows=rows), known(gpu=GPU))
    assert (cell.verdict, cell.difference) == ("not measured", None)
    assert cell.why.endswith("; no figure of Ours is printed that this one could be divided by")


def test_a_table_without_a_reference_compares_nothing(known):
    cell, *_ = judge.judge(replace(MADE, reference=None), known(gpu=GPU))
    assert (cell.verdict, cell.ratio) == ("differs", None)
    assert "the table names no reference" in cell.why


def test_the_summary_counts_times_once_there_are_any(known):
    assert judge.summary(MADE, judged(known(CPU)).values()) == (
        "made: no column that this version can check; shown as reported: Strange"
    )
    assert judge.summary(MADE, judged(known(gpu=GPU)).values()) == (
        "made: Latency: 1/3 reproduced, 1/3 differs, 1/3 reference, and 1 not printed; shown as reported: Strange"
    )


def test_a_reference_that_was_disturbed_marks_every_ratio_to_it(known, make_record):
    records = known(CPU)
    (key,) = [k for k, r in records.items() if r.variant == "esc-x4"]
    records[key] = replace(records[key], details={"state": {"why": ["others kept 1.0 of 2 cores busy"]}})
    cells = judged(records)
    assert (cells["Slow"].ratio.disturbed, cells["Slow"].here.disturbed) == (True, ())
    assert times.said(MADE, list(cells.values()))[-1].startswith(
        "Latency at x4: rank correlation of measured with printed 1.00 over 3 rows, 3 of them ‡, on this machine's"
    )


# --- what is shown


def test_the_lines_below_a_table_without_a_gpu(known):
    caption, ranks = times.said(MADE, list(judged(known(CPU)).values()))
    assert caption == (
        f"Latency here: {environment.machine()}, 2 threads; protocol cpu: HR 96x96 (LR 24x24 at x4), float32, "
        "batch 1, naive attention, lean forward, on the CPU. Another machine and another input than those of the "
        "printed figures: neither the time nor its ratio is a verdict on them."
    )
    assert ranks == (
        "Latency at x4: rank correlation of measured with printed 1.00 over 3 rows, on this machine's stand-in, so no "
        "verdict; ratios are off by a factor of 2.00 in the median and 3.00 at most (Slow)"
    )


def test_the_lines_below_a_table_with_a_gpu(known):
    (line,) = times.said(MADE, list(judged(known(gpu=GPU)).values()))
    assert line == (
        "Latency at x4: rank correlation of measured with printed 1.00 over 3 rows; 1 of 2 ratios to Ours's agree with "
        "the printed ones (within their interval or 10%); ratios are off by a factor of 1.27 in the median and 1.50 at "
        "most (Other)"
    )


def test_an_empty_store_adds_no_column_and_no_line(known):
    cells = list(judged(known()).values())
    assert times.beside(LATENCY, cells) == times.said(MADE, cells) == []
    assert times.entries(LATENCY, cells[0], cells) == []
    assert "here" not in report.render(MADE, cells, "tex")


def test_markdown_shows_both_times_under_names_of_their_own(known):
    text = report.render(MADE, list(judged(known(CPU)).values()), "md").splitlines()
    head = next(line for line in text if line.startswith("| Method"))
    assert head == "| Method | Scale | Latency (ms) | Latency here (ms) | printed ÷ Ours | here ÷ Ours |"
    assert [line for line in text if line.startswith(("| Slow", "| Silent", "| Strange"))] == [
        "| Slow | x4 | 60.0 | 900.0 | 3.00 | 9.00 |",
        "| Strange | x4 | **10.0** | – | – | – |",
        "| Silent | x4 | – | 50.0 | – | 0.50 |",
    ]
    assert len([line for line in text if line.startswith("Latency at x4: ")]) == 1
    assert any("Latency here has no marks: those are of the printed times." in line for line in text)


def test_of_a_gpu_the_measured_figure_stands_beside_the_printed_one(known):
    text = report.render(MADE, list(judged(known(gpu=GPU)).values()), "md").splitlines()
    assert "| Method | Scale | Latency (ms) | measured | Δ | verdict | printed ÷ Ours | measured ÷ Ours |" in text
    assert "| Other | x4 | 40.0 | 30.00 | +50.00 % | differs | 2.00 | 3.00 |" in text
    assert not any("has no marks" in line for line in text)
    some = list(judged(known(CPU, {v: GPU[v] for v in ("rdn-x4", "esc-x4")})).values())
    text = report.render(MADE, some, "md")  # whose rows on the CPU have a ratio too, under another head
    assert "| Other | x4 | 40.0 | – | – | not measured | 200.0 | – | – |" in text


def test_csv_and_json_have_the_fields_html_and_latex_the_columns(known):
    cells = list(judged(known(CPU)).values())
    shown = report.as_object(cells[0])
    assert (shown["here"], shown["here_protocol"], shown["ratio_to"]) == (pytest.approx(900), "cpu", "Ours")
    assert (shown["ratio"], shown["ratio_printed"], shown["ratio_protocol"]) == (pytest.approx(9), 3.0, "cpu")
    assert {
        k for k, v in report.as_object(cells[3]).items() if v is not None and k.startswith(("here", "ratio"))
    } == set()
    page = report.render(MADE, cells, "html")
    assert "<th>Latency here (ms)</th><th>printed ÷ Ours</th><th>here ÷ Ours</th>" in page
    hover = "9 times Ours&#x27;s [9, 9], printed 3, +200.0%; the tolerance is 10%"
    unlinked = re.sub(r"</?a\b[^>]*>", "", page)
    assert "".join(f'<td title="{hover}">{e}</td>' for e in ("900.0", "3.00", "9.00")) in unlinked
    assert "<li>Latency at x4: rank correlation" in page
    tex = report.render(MADE, cells, "tex")
    assert "Latency (ms) & Latency here (ms) \\\\" in tex
    assert "& 900.0 \\\\" in tex
    assert "% Latency here: " in tex
    aligned = tex.partition("\\begin{tabular}{")[2].partition("}")[0]
    body = [line for line in tex.splitlines() if line.endswith("\\\\") and "multicolumn" not in line]
    assert {line.count("&") + 1 for line in body} == {len(aligned)}


def test_disturbances_that_differ_in_their_numbers_are_one(known):
    cell = judged(known())["Slow"]
    busy = "others kept {} of 2 cores busy, of which this was to have 2"
    cells = [replace(cell, disturbed=(busy.format(n),)) for n in ("0.3", "11.0", "1.7")]
    cells.append(replace(cell, disturbed=("the quota of its control group held it back 3 times",)))
    assert layout.disturbances(cells) == [
        "others kept 0.3 to 11.0 of 2 cores busy, of which this was to have 2",
        "the quota of its control group held it back 3 times",
    ]


def test_cells_that_each_need_a_command_are_one_line(known):
    cells = list(judged(known()).values())
    (named, why), *_ = layout.gaps(cells)
    assert named == "Slow x4, Other x4, Ours x4: latency_ms"
    assert why == "needs a CUDA GPU; workbench reproduce, without --quick, measures what tables need"
    assert layout.gaps(cells[:1])[0][1].endswith(": workbench measure rdn-x4 --probe latency --protocol esc")


# --- every network


def test_every_network_that_was_timed_is_listed_the_fastest_first(known):
    lines = speeds.markdown(known(CPU, threads=2)).splitlines()
    assert lines[0] == "# Latency of every network on this machine"
    assert lines[2].startswith(f"{environment.machine()}, threads: 2; protocol cpu: HR 96x96 (LR 24x24 at x4), float32")
    assert lines[-6:] == [
        "| Network | x4 (ms) |",
        "| --- | ---: |",
        "| imdn | 50.0 [50.0, 50.0] |",
        "| esc | 100.0 [100.0, 100.0] |",
        "| rcan | 200.0 [200.0, 200.0] |",
        "| rdn | 900.0 [900.0, 900.0] |",
    ]


def test_a_network_that_was_disturbed_or_not_timed_at_a_scale_says_so(known, make_record):
    state = {"state": {"why": ["others kept 1.0 of 2 cores busy"]}}
    records = known({"rdn-x4": 0.9}, **state) | known({"esc-x2": 0.1, "esc-x4": 0.01})
    failed = make_record("esc-x3", "latency", "cpu", status="timeout", reason="no result after 5 s")
    text = speeds.markdown(records | store.Contents((failed,), ()).newest())
    assert "| Network | x2 (ms) | x4 (ms) |" in text
    assert "| esc | 100.0 [100.0, 100.0] | 10.0 [10.0, 10.0] |\n| rdn | – | 900.0‡ [900.0, 900.0] |" in text
    assert "‡ taken on a machine that was busy with something else or held its clocks down: others kept 1.0" in text
    page = speeds.html(records)
    assert "<tr><td>rdn</td><td>–</td><td>900.0‡ [900.0, 900.0]</td></tr>" in page


def test_the_list_is_written_beside_the_tables_where_there_is_one(known, tmp_path):
    cells = judge.judge(MADE, known(CPU))
    for records, there in ((known(), False), (known(CPU), True)):
        written = report.write([(MADE, cells)], records, tmp_path)
        assert (tmp_path / "tables" / "latency-here.md" in written) is there
        assert (tmp_path / "report" / "latency.html" in written) is there
        assert ('<a href="latency.html">' in (tmp_path / "report" / "index.html").read_text()) is there


# --- the papers


@pytest.mark.parametrize("table", papers.TABLES.values(), ids=lambda t: t.id)
def test_a_table_that_is_judged_by_ratios_names_a_reference_of_ours_at_every_scale(table):
    columns = [c for c in table.columns if c.ratio]
    assert (table.reference is not None) == bool(columns)
    for column in columns:
        assert protocols.find(column.here).execution.device == "cpu"
        for scale in {r.scale for r in table.rows}:
            (base,) = [r for r in table.rows if (r.method, r.scale) == (table.reference, scale)]
            assert base.variant
            assert column.id in base.printed
