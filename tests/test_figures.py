"""The papers' figures: names that touch nothing, fronts by hand, what is drawn of cells and records, what is asked."""

from __future__ import annotations

import importlib.util
import itertools
import json
from dataclasses import replace

import pytest

from workbench import environment, judge, papers, protocols, reproduce, store
from workbench.papers import names
from workbench.report import asked, fronts, labels, looks, plots, resolutions
from workbench.report.seating import Spot, column, seat
from workbench.spec import UserError

ROOT = environment.SOURCE
FRAME = (0.0, 0.0, 200.0, 100.0)


@pytest.fixture(scope="module")
def printed():
    """The cells of every table, nothing measured."""
    return {name: judge.judge(table, {}) for name, table in papers.TABLES.items()}


@pytest.fixture(scope="module")
def drawn(printed):
    """Every figure from its table alone."""
    return {f.id: plots.draw(f, papers.TABLES[f.table], printed[f.table]) for f in papers.FIGURES.values()}


def texts(canvas):
    return " ".join(t.get_text() for t in canvas.findobj(lambda a: hasattr(a, "get_text")))


# --- where names stand


def boxes(spots, seats):
    return [(s.x, s.y, s.x + p.width, s.y + p.height) for p, s in zip(spots, seats, strict=True)]


def overlap(a, b):
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def test_a_name_alone_stands_at_the_right_of_its_point_with_no_line():
    spot = Spot(50, 50, 3, 30, 8)
    (found,) = seat([spot], [], [], FRAME)
    assert (found.x, found.y, found.leader) == (55, 46, None)


def test_a_name_at_the_right_edge_stands_at_the_left():
    (found,) = seat([Spot(190, 50, 3, 30, 8)], [], [], FRAME)
    assert (found.x, found.y) == (155, 46)


def test_names_in_a_crowd_all_find_a_place_off_each_other_and_off_the_points_and_those_far_off_have_a_line():
    spots = [Spot(80 + 6 * i, 45 + 5 * j, 3, 32, 8) for i, j in itertools.product(range(4), range(3))]
    seats = seat(spots, [], [], FRAME)
    assert None not in seats
    there = boxes(spots, seats)
    assert not any(overlap(a, b) for a, b in itertools.combinations(there, 2))
    for (x0, y0, x1, y1), spot in itertools.product(there, spots):
        far = (max(x0 - spot.x, 0, spot.x - x1) ** 2 + max(y0 - spot.y, 0, spot.y - y1) ** 2) ** 0.5
        assert far >= spot.radius
    led = [s for s in seats if s.leader]
    assert len(led) >= 4
    for spot, found, box in zip(spots, seats, there, strict=True):
        if found.leader:
            ax, ay, bx, by = found.leader
            assert ((ax - spot.x) ** 2 + (ay - spot.y) ** 2) ** 0.5 == pytest.approx(spot.radius)
            assert box[0] - 0.02 <= bx <= box[2] + 0.02
            assert box[1] - 0.02 <= by <= box[3] + 0.02
    assert seats == seat(spots, [], [], FRAME)


def test_what_is_taken_is_kept_off_and_a_line_where_there_is_room_beside_it():
    spot = Spot(50, 50, 3, 30, 8)
    (found,) = seat([spot], [(54, 0, 200, 100)], [], FRAME)
    assert found.x + 30 <= 54
    (found,) = seat([spot], [], [(55, 45, 90, 55)], FRAME)
    assert not overlap((found.x, found.y, found.x + 30, found.y + 8), (55, 45, 90, 55))


def test_a_name_that_the_frame_has_no_room_for_is_left_out_and_told():
    assert seat([Spot(50, 50, 3, 300, 8)], [], [], FRAME) == [None]
    from matplotlib.figure import Figure

    panel = Figure(figsize=(1, 1)).subplots()
    assert labels.place(panel, [(0.5, 0.5, "much longer than the panel is wide", 3.0)]) == [
        "much longer than the panel is wide"
    ]


def test_a_column_keeps_the_order_and_moves_names_apart_as_little_as_can_be():
    spots = [Spot(10, y, 2, 20, 8) for y in (50, 52, 90, 10)]
    found = column(spots, 15, 0, 100)
    middles = [s.y + 4 for s in found]
    assert middles == [47, 55, 90, 10]  # 50 and 52 share a block of two around 51
    assert [s.leader for s in found] == [(12, 50, 14, 47), (12, 52, 14, 55), None, None]
    assert [s.y + 4 for s in column([Spot(10, 99, 2, 20, 8)] * 3, 15, 0, 100)] == [84, 92, 100]
    assert column([], 15, 0, 100) == []


# --- fronts


def test_a_front_is_what_no_other_beats_or_equals():
    points = [(3, 5), (1, 2), (2, 2), (1, 1), (4, 5), (2.5, 4), (1, 2)]
    assert fronts.front(points) == [(1, 2), (2.5, 4), (3, 5)]
    assert fronts.front([]) == []


def test_the_front_of_a_table_is_that_of_its_printed_figures(drawn, printed):
    params = drawn["esc-front"].axes[0]
    stepped = next(line for line in params.lines if len(line.get_xdata()) > 2)
    pairs = looks.by_method(papers.FIGURES["esc-front"], printed["esc-table2"], 4)
    points = {m: (c["params_k"].reported, c["urban100_psnr"].reported) for m, c in pairs.items()}
    best = {
        m for m, (x, y) in points.items() if not any(a <= x and b >= y and (a, b) != (x, y) for a, b in points.values())
    }
    corners = set(zip(stepped.get_xdata(), stepped.get_ydata(), strict=True))
    assert best == {"ESC", "ATD-lt", "ESC-FP"}
    assert {m for m, point in points.items() if point in corners} == best


def test_what_looks_like_a_misprint_is_left_out_and_named(drawn):
    canvas = drawn["hitsr-front"]
    assert "left out: GASSL-B ×4, printed 36.16 dB" in texts(canvas).replace("\n", " ")
    assert "GASSL-B" not in [t.get_text() for panel in canvas.axes for t in panel.texts]
    assert max(panel.get_ylim()[1] for panel in canvas.axes) < 27


def test_a_cost_that_was_found_to_be_another_is_crossed(printed):
    table = papers.TABLES["hitsr-table2"]
    figure = replace(papers.FIGURES["hitsr-front"], columns=("flops_g", "urban100_psnr"))

    def crosses(factor):
        cells = [
            replace(c, measured=factor * c.reported) if (c.method, c.column) == ("HiT-SRF", "flops_g") else c
            for c in printed[table.id]
        ]
        canvas = plots.draw(figure, table, cells)
        return [x for p in canvas.axes for x in p.lines if x.get_marker() == "x"], texts(canvas)

    (cross,), said = crosses(1.1)
    assert cross.get_xdata() == [pytest.approx(63.8)]
    assert "of 16 costs 1 was found here too" in said
    assert "+10.0 %" in said
    assert crosses(1.004)[0] == []
    (cross,), _ = crosses(1e-9)
    assert cross.axes.get_xlim()[0] > 10  # one that is far off does not make the others a heap


# --- what a method is


def test_every_method_of_the_papers_has_its_architecture():
    listed = [key for keys in names.ARCHITECTURES.values() for key in keys]
    assert sorted(listed) == sorted([*names.BUILT, *names.REPORTED])
    assert names.architecture("Omni-SR") == "Transformer"
    assert names.architecture("a stranger") is None
    assert looks.kind("a stranger", papers.FIGURES["esc-bubble"]) == "not known"


def test_kinds_are_told_apart_in_grey():
    def grey(colour):
        return sum(w * int(colour[i : i + 2], 16) for w, i in ((0.299, 1), (0.587, 3), (0.114, 5)))

    shades = sorted(grey(look.colour) for look in looks.LOOKS.values())
    assert all(b - a > 25 for a, b in itertools.pairwise(shades))
    assert len({look.mark for look in looks.LOOKS.values()}) == len(looks.LOOKS)


@pytest.mark.parametrize(
    "figure", [f for f in papers.FIGURES.values() if f.kind in ("bubble", "front")], ids=lambda f: f.id
)
def test_every_method_is_named_in_every_panel_and_no_name_is_upon_another(drawn, figure):
    canvas = drawn[figure.id]
    table = papers.TABLES[figure.table]
    panels = [p for p in canvas.axes if p.get_xlabel()]
    for panel in panels:
        written = [t for t in panel.texts if t.get_text()]
        scale = int(panel.get_title(loc="left")[1:])
        wanted = {r.method for r in table.rows if r.scale == scale} - {"GASSL-B"}
        assert {t.get_text() for t in written} == wanted
        there = [t.get_window_extent().extents for t in written]
        assert not any(overlap(a, b) for a, b in itertools.combinations(there, 2))
        frame = panel.get_window_extent().extents
        assert all(b[0] >= frame[0] - 1 and b[2] <= frame[2] + 1 for b in there)


# --- bubbles, bars, lines


def test_areas_are_memory_and_the_planned_one_is_a_ring(printed):
    figure, table = papers.FIGURES["esc-bubble"], papers.TABLES["esc-table2"]
    cells = [
        replace(c, estimate=4 * c.reported, verdict="differs") if (c.method, c.column) == ("ESC", "memory_mb") else c
        for c in printed[table.id]
    ]
    canvas = plots.draw(figure, table, cells)
    panel = canvas.axes[0]
    circles = [line for line in panel.lines if line.get_marker() == "o" and line.get_alpha()]
    area = {float(line.get_xdata()[0]): line.get_markersize() ** 2 for line in circles}
    assert len(area) == 14
    assert area[82.1] / area[21.9] == pytest.approx(1331 / 215)  # HiT-SRF and ESC, as printed
    (ring,) = panel.collections
    assert ring.get_sizes()[0] / area[21.9] == pytest.approx(4)
    assert tuple(ring.get_offsets()[0]) == (21.9, 27.07)
    assert "planned here without the device (1 of 14, +300.0 %)" in texts(canvas)


def test_a_measured_time_is_a_cross_beside_its_circle(printed):
    cells = [
        replace(c, measured=30.0) if (c.method, c.column) == ("ESC", "latency_ms") else c for c in printed["esc-table2"]
    ]
    panel, *_ = plots.draw(papers.FIGURES["esc-bubble"], papers.TABLES["esc-table2"], cells).axes
    (cross,) = [line for line in panel.lines if line.get_marker() == "+"]
    assert (cross.get_xdata()[0], cross.get_ydata()[0]) == (30.0, 27.07)


def test_bars_are_printed_figures_and_what_was_found_beside_them(printed):
    cells = [
        replace(c, measured=910.152) if (c.method, c.column) == ("SwinIR-L", "params_k") else c
        for c in printed["hitsr-efficiency"]
    ]
    canvas = plots.draw(papers.FIGURES["hitsr-bars"], papers.TABLES["hitsr-efficiency"], cells)
    params, flops, _ = canvas.axes
    assert "of 18 costs 1 was found here too, by their verdicts' protocols: +0.0 % of printed" in texts(canvas)
    assert sorted(round(bar.get_width(), 3) for bar in params.patches) == [772, 847, 853, 910, 910.152, 1013, 1181]
    assert len(flops.patches) == 6
    assert {"910", "910.2"} <= {t.get_text() for t in params.texts}


def test_agreement_has_no_panel_for_a_scale_of_which_nothing_is_known(printed):
    figure, table = papers.FIGURES["esc-table2-agreement"], papers.TABLES["esc-table2"]
    cells = [
        replace(c, measured=1.01 * c.reported, verdict="contradicted")
        if (c.method, c.scale, c.column) == ("ESC", 3, "flops_g") else c
        for c in printed[table.id]
    ]  # fmt: skip
    canvas = plots.draw(figure, table, cells)
    assert [panel.get_title(loc="left") for panel in canvas.axes] == ["×3"]
    assert "of 126 costs 1 was found here too, by their verdicts' protocols: +1.0 % of printed; nothing" in texts(
        canvas
    )
    assert "was found at ×2, ×4" in texts(canvas)
    assert "differs, contradicted or suspect" in texts(canvas)
    whole = plots.draw(figure, table, printed[table.id])
    assert len(whole.axes) == 3
    assert "nothing of it was found here yet" in texts(whole)


def test_a_title_ends_within_its_figure():
    from matplotlib.figure import Figure as Canvas

    for wide in (4.0, 7.2):
        canvas = Canvas(figsize=(wide, 2), layout="constrained")
        looks.headed(
            canvas, "HiT-SR (ECCV 2024), efficiency bars: printed latency over a bound on NVIDIA A100 SXM 80 GB"
        )
        assert canvas._suptitle.get_window_extent().x1 < wide * canvas.dpi


def test_cost_over_resolution_is_read_of_records_and_says_what_is_missing(make_record):
    figure, table = papers.FIGURES["esc-resolution"], papers.TABLES["esc-table2"]
    records = [
        make_record("esc-x4", "macs", "esc+hr360p", values=(2.304e9,)),
        make_record("esc-x4", "macs", "esc", values=(9.216e9,)),
        make_record("esc-x4", "planned-memory", "esc+flex+hr2160p", values=(30 * 2**30,)),
        make_record("hit-srf-x4", "macs", "esc", status="failed", reason="Error: so"),
    ]
    known = store.Contents(tuple(records), ()).newest()
    read = resolutions.read(figure, table, known)
    assert read == {
        "flops_g": {"ESC": [(640 * 360, 2.304), (1280 * 720, 9.216)]},
        "memory_mb": {"ESC": [(3840 * 2160, 30 * 1024)]},
    }
    canvas = plots.draw(figure, table, [], known)
    line = next(line for line in canvas.axes[0].lines if line.get_marker() != "None")
    assert list(line.get_ydata()) == [pytest.approx(10.0)] * 2  # thousands for each pixel
    told = "61 figures are missing, the first one by: workbench measure esc-x4 --probe macs --protocol esc+hr1080p"
    assert told in texts(canvas).replace("\n", " ")
    assert [t.get_text() for t in canvas.axes[0].texts] == ["ESC"]


def test_the_sizes_that_are_missing_are_measured_with_everything_else():
    tables = papers.TABLES.values()
    figure = papers.FIGURES["esc-resolution"]
    wanted = reproduce.drawn(tables)
    assert len(wanted) == 2 * len(figure.methods) * len(figure.modifiers)
    own = [r for table in tables for r in reproduce.needed(table, quick=False)]
    beyond = {r.identity for r in wanted} - {r.identity for r in own}
    assert len(beyond) == 2 * len(figure.methods) * 3  # 1280x720 is asked for by the table


def test_a_modifier_names_an_output_size():
    assert protocols.find("esc+hr1080p").input.lr(4) == (270, 480)
    assert protocols.find("esc+hr2160p+flex").input.hr == (2160, 3840)
    with pytest.raises(UserError, match=r"\+hr360p and \+hr1080p both set 'hr'"):
        protocols.find("esc+hr360p+hr1080p")


# --- a figure as somebody asks for it


def ask(name, scales=(), costs=(), test_set=None):
    figure = papers.find_figure(name)
    return asked.chosen(figure, papers.TABLES[figure.table], scales, costs, test_set)


def test_a_figure_is_drawn_for_other_scales_costs_and_sets_under_a_name_that_says_so():
    assert ask("esc-front") is not None
    assert ask("esc-front") == papers.FIGURES["esc-front"]
    other = ask("esc-front", (3, 2), ("FLOPs", "latency_ms"), "Set5")
    assert other.columns == ("flops_g", "latency_ms", "set5_psnr")
    assert (other.scales, other.id) == ((2, 3), "esc-front-x2-x3-flops-latency-set5")
    assert ask("esc-bubble", costs=("flops",)).columns == ("flops_g", "urban100_psnr", "memory_mb")
    assert ask("hitsr-bars", costs=("runtime",)).columns == ("runtime_ms",)
    assert ask("esc-resolution", costs=("memory",)).columns == ("memory_mb",)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("esc-bubbel",), "No figure 'esc-bubbel'. Did you mean 'esc-bubble'"),
        (("hitsr-bars", "--scale", "4"), "hitsr-bars has no scale x4; hitsr-efficiency, which it shows, has x2."),
        (("esc-front", "--cost", "urban100_psnr"), "No cost 'urban100_psnr'. Known: latency, memory, flops, params."),
        (("esc-resolution", "--cost", "latency"), "No cost 'latency'. Known: memory, flops."),
        (("esc-resolution", "--scale", "2", "--scale", "4"), "shows one scale; --scale was given 2 of them."),
        (("esc-bubble", "--cost", "flops", "--cost", "params"), "has one axis for a cost; --cost was given 2 of them."),
        (("esc-front", "--set", "urban"), "No test set of esc-table2 'urban'. Did you mean 'urban100'?"),
        (("hitsr-bars", "--set", "set5"), "shows no image quality, so --set set5 says nothing; leave it out."),
        (("esc-front", "-o", "a.jpg"), "-o was given a.jpg; give a name that ends in .pdf or .png or .svg."),
        (("esc-front", "-o", "/dev/null/a.svg"), "Cannot write /dev/null/a.svg: Not a directory. Name a writable"),
        (("esc-front", "-o", "a.svg", "--results", "b"), "-o a.svg and --results b name two places; give one of them."),
    ],
)
def test_what_cannot_be_drawn_is_told_in_one_line(workbench, tmp_path, words, sentence):
    ran = workbench("figure", *words, "--records", tmp_path)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert sentence in ran.err


def test_the_command_draws_into_one_file_the_same_each_time_or_into_all_formats(workbench, tmp_path, drawn):
    for name in ("a.svg", "b.svg"):
        ran = workbench("figure", "esc-bubble", "--set", "set5", "-o", tmp_path / name, "--records", tmp_path)
        assert (ran.code, ran.out) == (0, f"{tmp_path / name}\n")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert "Set5 PSNR" in (tmp_path / "a.svg").read_text()
    ran = workbench("figure", "hitsr-bars", "--results", tmp_path, "--records", tmp_path, "--json")
    written = json.loads(ran.out)["written"]
    assert written == [str(tmp_path / "figures" / f"hitsr-bars.{f}") for f in ("pdf", "png", "svg")]
    made = (tmp_path / "figures" / "hitsr-bars.pdf").read_bytes()
    assert made.startswith(b"%PDF")
    assert plots.saved(drawn["hitsr-bars"], "pdf") == made


def test_figures_are_listed(workbench):
    assert [f["id"] for f in json.loads(workbench("figures", "--json").out)] == list(papers.FIGURES)


# --- README's


@pytest.fixture(scope="module")
def readme():
    spec = importlib.util.spec_from_file_location("readme", ROOT / ".ci" / "readme.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_the_figures_of_the_readme_are_what_is_kept_of_their_cells_gives(readme):
    shown = ROOT / "results" / "readme"
    made = dict(readme.drawn(json.loads((shown / "cells.json").read_text())))
    assert {p.name for p in shown.iterdir()} == {"cells.json", *made}
    text = (ROOT / "README.md").read_text()
    for name, content in made.items():
        assert f"](results/readme/{name})" in text
        assert len(content) < 200_000
        assert (shown / name).read_bytes() == content, f"{name} is not what its cells give: make readme"


def test_what_is_kept_of_the_cells_has_the_verdicts_that_are_kept(readme):
    verdicts = json.loads((ROOT / "tests" / "verdicts.json").read_text())
    kept = json.loads((ROOT / "results" / "readme" / "cells.json").read_text())
    assert list(kept) == ["esc-table2"]
    for table, columns in kept.items():
        given = {c: {cell: found["verdict"] for cell, found in cells.items()} for c, cells in columns.items()}
        assert {c: given[c] for c in verdicts[table]} == verdicts[table]
        assert {c.rpartition("_")[2] for c in given.keys() - verdicts[table].keys()} <= {"psnr", "ssim"}
