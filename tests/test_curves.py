"""curves, report/ablations and `workbench ablate`: what is asked for, what records say, and how it is shown."""

import csv
import io
import json

import pytest

from workbench import curves, models, store
from workbench.models.ablations import Ablation, Point
from workbench.report import ablations as report

WINDOW = Ablation(
    "esc", "side of the attention windows", "",
    (Point(16, "window16", {"window": 16}), Point(32, ""), Point(64, "window64", {"window": 64})), fused=True,
)  # fmt: skip
ASIDE = Ablation("asid", "channels laid aside", "its own", (Point(12, "unshared", {"sharing": False}),), fused=False)


@pytest.fixture
def known(make_record):
    """Records of ESC with windows of 16 and 32, but for what somebody has still to measure."""

    def record(variant, probe, value, protocol="esc", **more):
        return make_record(variant, probe, protocol, values=(value,), **more)

    records = (
        record("esc-window16-x4", "params", 900_000), record("esc-x4", "params", 1_000_000),
        record("esc-window16-x4", "macs", 119e9), record("esc-x4", "macs", 149e9),
        record("esc-window16-x4", "planned-memory", 600 * 2**20), record("esc-x4", "planned-memory", 2000 * 2**20),
        record("esc-x4", "planned-memory", 200 * 2**20, "esc+flex"),
        record("esc-x4", "latency", 0.5, "cpu", details={"state": {"why": ["busy"]}}),
        record("esc-window64-x4", "macs", 0, status="failed", reason="RuntimeError: no"),
    )  # fmt: skip
    return store.Contents(records, ()).newest()


def names(requests):
    return sorted(map(str, requests))


def test_what_is_asked_for_is_each_cost_once_and_flex_where_there_is_one():
    asked = names(curves.requests([WINDOW, WINDOW], [4], "esc", timed=False))
    wanted = [("params", "esc"), ("macs", "esc"), ("planned-memory", "esc"), ("planned-memory", "esc+flex")]
    networks = ("esc-window16-x4", "esc-x4", "esc-window64-x4")
    assert asked == sorted(f"{probe} of {n} under {protocol}" for n in networks for probe, protocol in wanted)
    assert len(names(curves.requests([ASIDE], [2, 4], "esc", timed=False))) == 2 * 3
    sdpa = names(curves.requests([WINDOW], [4], "esc+sdpa", timed=False))
    assert len(sdpa) == 9  # another attention is no alternative to the one that was named
    assert not any("flex" in name for name in sdpa)


@pytest.mark.parametrize(
    ("protocol", "timed"), [("esc", "cpu"), ("fvcore+ceil", "cpu"), ("steady", "steady"), ("cpu+tf32", "cpu+tf32")]
)
def test_latency_is_asked_for_where_any_machine_can_be_timed(protocol, timed):
    asked = names(curves.requests([ASIDE], [4], protocol, timed=True))
    assert [name for name in asked if name.startswith("latency")] == [f"latency of asid-unshared-x4 under {timed}"]


def test_a_curve_holds_costs_in_units_and_as_multiples_of_the_official_network(known):
    (curve,) = curves.read(known, "esc", [WINDOW], [4])
    small, official, large = curve.networks
    assert small.costs == {"params": 900.0, "macs": 119.0, "planned": 600.0}
    assert small.times == {"params": 0.9, "macs": 119 / 149, "planned": 0.3}
    assert (small.saved, official.saved, large.costs) == (None, 10.0, {})
    assert official.costs == {"params": 1000.0, "macs": 149.0, "planned": 2000.0, "planned_flex": 200.0, "latency": 500}
    assert set(official.times.values()) == {1.0}
    assert (curve.timed, official.disturbed, small.disturbed) == ("cpu", True, False)
    assert (official.interval, small.interval) == ((500.0, 500.0), None)
    assert curve.without == ("macs of esc-window64-x4: failed: RuntimeError: no",)


def test_a_curve_without_the_official_network_on_it_is_held_against_it_all_the_same(make_record):
    records = [make_record(n, "params", values=(v,)) for n, v in (("asid-unshared-x4", 330), ("asid-x4", 300))]
    (curve,) = curves.read(store.Contents(tuple(records), ()).newest(), "esc", [ASIDE], [4])
    assert curve.networks[0].times == {"params": 1.1}


def test_curves_that_no_record_speaks_of_are_left_out(known):
    assert [(c.ablation, c.scale) for c in curves.read(known, "esc", [WINDOW, ASIDE])] == [(WINDOW, 4)]
    assert [c.scale for c in curves.read(known, "hitsr", [WINDOW])] == [4]  # counted alike, but for the name
    assert curves.read(known, "esc+ceil", [ASIDE]) == []
    assert curves.read({}, "esc") == []


def test_an_official_network_known_from_a_table_makes_no_curve(make_record):
    alone = store.Contents((make_record("esc-x4", "macs", values=(149e9,)),), ()).newest()
    assert curves.read(alone, "esc", [WINDOW]) == []


@pytest.mark.parametrize(
    ("scale", "protocol", "rest"),
    [(4, "esc", "workbench ablate esc"), (2, "esc+ceil", "workbench ablate esc --scale 2 --protocol esc+ceil")],
)
def test_what_an_interrupted_run_did_not_come_to_is_said(make_record, scale, protocol, rest):
    records = [make_record(f"esc-window16-x{scale}", p, protocol, values=(2,)) for p in ("params", "macs")]
    shown = curves.read(store.Contents(tuple(records), ()).newest(), protocol, [WINDOW], [scale])
    told = f"not measured yet, or not all: esc-x{scale}, esc-window64-x{scale}; the rest: {rest}"
    assert f"  {told}\n" in report.text(shown)
    assert f"- {told}\n" in report.markdown(shown)


def test_text_shows_what_is_known_and_marks_what_was_disturbed(known):
    shown = report.text(curves.read(known, "esc", [WINDOW], [4])).splitlines()
    assert shown[0] == "esc x4: side of the attention windows, protocol esc"
    cells = [[entry for entry in line.split("  ") if entry] for line in shown[1:5]]
    assert [[c.strip() for c in line] for line in cells] == [
        ["at", "network", "Params, K", "MACs, G", "planned memory, MiB", "planned with flex, MiB", "latency, ms",
         "plain / flex"],
        ["16", "esc-window16-x4", "900.0 (0.90×)", "119.0 (0.80×)", "600.0 (0.30×)", "–", "–", "–"],
        ["32", "esc-x4 (official)", "1,000.0", "149.0", "2,000.0", "200.0", "500.0‡", "10.0"],
        ["64", "esc-window64-x4", "–", "–", "–", "–", "–", "–"],
    ]  # fmt: skip
    assert shown[5] == "  macs of esc-window64-x4: failed: RuntimeError: no"
    rest = "workbench ablate esc --latency"
    assert shown[6] == f"  not measured yet, or not all: esc-window16-x4, esc-window64-x4; the rest: {rest}"
    assert shown[-2] == report.NOTE
    assert shown[-1].startswith("Latency of this machine, protocol cpu: HR 96x96 (LR 24x24 at x4), float32, batch 1")
    assert shown[-1].endswith("windows wider than it are mostly edge. ‡: the machine was disturbed.")


def test_of_many_reasons_the_first_are_told(make_record):
    records = [make_record(n, p, status="unsupported", reason=f"no {p}") for n in ("esc-x4", "esc-window16-x4")
               for p in ("params", "macs", "planned-memory")]  # fmt: skip
    shown = report.text(curves.read(store.Contents(tuple(records), ()).newest(), "esc", [WINDOW], [4]))
    assert "  macs of esc-x4: unsupported: no macs\n" in shown
    assert shown.count("unsupported") == 3
    assert "  and 3 more without a value\n" in shown


def test_files_are_the_same_bytes_each_time_and_hold_the_same_figures(known, tmp_path):
    every = curves.read(known, "esc", [WINDOW])
    paths = report.write(every, every, tmp_path)
    assert [str(p.relative_to(tmp_path)) for p in paths] == [
        "tables/ablations.md", "tables/ablations.csv",
        "figures/ablations-esc-x4.pdf", "figures/ablations-esc-x4.png", "figures/ablations-esc-x4.svg",
    ]  # fmt: skip
    before = [p.read_bytes() for p in paths]
    assert [p.read_bytes() for p in report.write(every, every, tmp_path)] == before
    assert before[3].startswith(b"\x89PNG")
    assert "| 16 | esc-window16-x4 | 900.0 (0.90×) | 119.0 (0.80×) | 600.0 (0.30×) | – | – | – |" in before[0].decode()
    lines = list(csv.DictReader(io.StringIO(before[1].decode())))
    assert [line["variant"] for line in lines] == ["esc-window16-x4", "esc-x4", "esc-window64-x4"]
    assert (lines[1]["plain_over_flex"], lines[1]["latency_ms"], lines[0]["planned_flex_MiB"]) == ("10.0", "500.0", "")
    (other, *_) = report.write(curves.read(known, "hitsr", [WINDOW]), (), tmp_path)
    assert other.name == "ablations-hitsr.md"


def test_a_picture_has_a_panel_for_each_axis_and_cost_and_fills_the_official_point(known):
    from matplotlib.colors import same_color

    drawn = report.draw(curves.read(known, "esc", [WINDOW], [4]))
    panels = [axes for part in drawn.subfigs for axes in part.axes]
    assert [p.get_title(loc="left") for p in panels] == [
        "Params, K", "MACs, G", "planned memory, MiB", "latency, ms (cpu)"
    ]  # fmt: skip
    line, filled = panels[0].get_lines()
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([16, 32], [900, 1000])
    assert same_color(line.get_markerfacecolor(), "white")
    assert (list(filled.get_xdata()), list(filled.get_ydata())) == ([32], [1000])
    assert not same_color(filled.get_markerfacecolor(), "white")
    assert panels[0].get_xscale() == "log"
    assert panels[2].get_yscale() == "log"
    assert panels[0].get_ylim()[0] == 0
    assert [t.get_text() for t in panels[3].texts] == ["‡"]
    assert [t.get_text() for t in panels[2].get_legend().get_texts()] == ["plain attention", "flex attention"]


# --- the command


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("swinir",), "No ablations of 'swinir'. Known: esc, asid."),
        (("ecs",), "No ablations of 'ecs'. Did you mean 'esc'"),
        (("esc", "--scale", "5"), "--scale was given 5; the networks have 2, 3, 4."),
        (("esc", "--protocol", "ecs"), "No protocol 'ecs'."),
        (("asid", "--protocol", "esc+flex"), "No ablations of asid under esc+flex: it has no attention 'flex'. Known"),
        ((), "Missing argument 'FAMILY'."),
    ],
)
def test_mistakes_are_told_in_one_line(workbench, tmp_path, words, told):
    ran = workbench("ablate", *words, "--records", tmp_path / "records")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"workbench: {told}")
    assert not (tmp_path / "records").exists()


def test_results_that_cannot_be_written_are_told_before_anything_is_measured(workbench, tmp_path):
    (tmp_path / "file").write_text("")
    ran = workbench("ablate", "esc", "--records", tmp_path / "records", "--results", tmp_path / "file")
    assert ran.code == 2
    assert "Cannot write" in ran.err
    assert not (tmp_path / "records").exists()


def test_the_command_measures_what_is_missing_once(workbench, monkeypatch, tmp_path):
    monkeypatch.setattr(curves, "ABLATIONS", (WINDOW, ASIDE))
    records = tmp_path / "records"
    ran = workbench("ablate", "esc", "--scale", "4", "--scale", "4", "--records", records)
    assert ran.code == 0, ran.err
    assert "ablate: 12 missing of 12" in ran.err
    assert "  32  esc-x4 (official)  967.5            149.2" in ran.out
    assert ran.out.splitlines()[-1].startswith(f"written: {tmp_path / 'tables' / 'ablations.md'}, ")
    again = workbench("ablate", "esc", "--records", records, "--json")
    assert "measure" not in again.err
    assert [row["params_K"] for row in json.loads(again.out)] == [907.34, 967.5, 1210.7]
    listed = json.loads(workbench("variants", "--ablations", "--json").out)
    assert [row["name"] for row in listed] == list(models.ABLATED)
