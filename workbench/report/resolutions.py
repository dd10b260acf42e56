"""Cost over the size of the output: counted and planned here, from records, for networks of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench import here, probes, protocols
from workbench.judge import Cell
from workbench.published import Column, Figure, Row, Table
from workbench.spec import Record

from . import looks
from .labels import place_column
from .looks import EDGE, LOOKS

if TYPE_CHECKING:
    import matplotlib.figure

CARDS = (8, 24, 80)
"""Memory of graphics cards, in GiB, as lines to hold a plan against."""

ROOM = 4.0
"""How much wider than its largest size the axis is, for names."""


def asked(figure: Figure, table: Table) -> list[tuple[str, str, str]]:
    """What the figure needs, as variant, probe and protocol."""
    return [
        (str(row.variant), probe(column), protocol(table, row, column, modifier))
        for row in _rows(figure, table)
        for column in _columns(figure, table)
        for modifier in figure.modifiers
    ]


def probe(column: Column) -> str:
    """What fills a column on any machine."""
    return column.estimate or column.probe


def protocol(table: Table, row: Row, column: Column, modifier: str) -> str:
    """A cell's own protocol at another size of the output."""
    return "+".join(filter(None, (here.own(table, row, column), modifier)))


def read(figure: Figure, table: Table, known: Mapping[str, Record]) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """By column and method, the pixels of each output and the cost in the printed unit, where a record has it."""
    found: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for column in _columns(figure, table):
        for row in _rows(figure, table):
            for modifier in figure.modifiers:
                name = protocol(table, row, column, modifier)
                record = here.answer(str(row.variant), row.scale, probe(column), name, known)
                if record is not None and record.status == "ok":
                    height, width = protocols.find(name).input.hr
                    line = found.setdefault(column.id, {}).setdefault(row.method, [])
                    line.append((height * width, record.value / column.factor))
    return found


def _answered(wanted: tuple[str, str, str], known: Mapping[str, Record]) -> bool:
    name, named, way = wanted
    record = here.answer(name, int(name.rpartition("-x")[2]), named, way, known)
    return record is not None and record.status == "ok"


def draw(figure: Figure, table: Table, cells: Sequence[Cell], known: Mapping[str, Record]) -> matplotlib.figure.Figure:
    """A panel for each cost, a line for each method: operations for every pixel made, memory for all of them."""
    from matplotlib.figure import Figure as Canvas

    columns, lines = _columns(figure, table), read(figure, table, known)
    sizes = sorted({protocols.find("+".join(filter(None, (table.protocol, m)))).input.hr for m in figure.modifiers})
    canvas = Canvas(figsize=(5.4 * len(columns), 5.4), layout="constrained")
    panels = canvas.subplots(1, len(columns), squeeze=False)[0]
    to_place = []
    for panel, column in zip(panels, columns, strict=True):
        panel.set(xscale="log", yscale="log", xlabel="output, pixels")
        panel.set_xticks([h * w for h, w in sizes], [f"{w}×{h}" for h, w in sizes], fontsize=8)
        left, right = sizes[0][0] * sizes[0][1] / 1.25, sizes[-1][0] * sizes[-1][1] * ROOM
        panel.set_xlim(left, right)
        to_place.append((panel, _lines(panel, figure, _shown(column, lines.get(column.id, {})))))
        panel.set_title(_title(column))
        if column.estimate == "planned-memory":
            _cards(panel, column, left)
        _ticks(panel)
    kinds = {looks.kind(m, figure) for line in lines.values() for m in line}
    looks.headed(canvas, figure.title)
    scales = ", ".join(f"×{s}" for s in looks.scales(figure, table))
    said = [f"{scales}, protocol {table.protocol} at other sizes", "counted and planned here, nothing was run"]
    if gaps := [a for a in asked(figure, table) if not _answered(a, known)]:
        told = "workbench measure {} --probe {} --protocol {}".format(*gaps[0])
        said.append(f"{len(gaps)} figures are missing, the first one by: {told}")
    looks.foot(canvas, looks.entries(kinds), said)
    place_column(canvas, to_place)
    return canvas


def _shown(column: Column, lines: Mapping[str, Sequence[tuple[int, float]]]) -> dict[str, list[tuple[float, float]]]:
    """What is drawn, by rising size: of a count the thousands for each pixel, of memory the whole."""
    per = {m: [(float(at), y * column.factor / at / 1e3) for at, y in line] for m, line in lines.items()}
    whole = {m: [(float(at), y) for at, y in line] for m, line in lines.items()}
    return {m: sorted(line) for m, line in (per if _counted(column) else whole).items()}


def _counted(column: Column) -> bool:
    return column.probe == "macs"


def _lines(
    panel: Any, figure: Figure, lines: Mapping[str, Sequence[tuple[float, float]]]
) -> list[tuple[float, float, str, float]]:
    """Draws them, and gives the right ends, which bear the names."""
    ends = []
    for method, line in lines.items():
        look = LOOKS[looks.kind(method, figure)]
        at, cost = zip(*line, strict=True)
        panel.plot(at, cost, color=EDGE, linewidth=1.9, zorder=2, clip_on=False)
        panel.plot(
            at, cost, marker=look.mark, color=look.colour, linewidth=1.2, markersize=5.5, markeredgecolor=EDGE,
            markeredgewidth=0.7, zorder=2.5, clip_on=False,
        )  # fmt: skip
        ends.append((at[-1], cost[-1], method, 3.6))
    return ends


def _cards(panel: Any, column: Column, left: float) -> None:
    """How much memory cards have, where that is within what is shown."""
    low, high = panel.get_ylim()
    for size in CARDS:
        line = size * 2**30 / column.factor
        if low < line < high:
            panel.axhline(line, color="#999999", linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
            panel.annotate(
                f"{size} GB", (left, line), (3, 2), textcoords="offset points", fontsize=7.5, color="#555555"
            )


def _title(column: Column) -> str:
    if _counted(column):
        return f"{column.title} for each pixel of the output, K"
    return f"{column.title}{', planned' if probe(column) != column.probe else ''}, {column.unit}"


def _ticks(panel: Any) -> None:
    """Round figures up a logarithmic axis; no marks between the sizes."""
    from matplotlib.ticker import NullLocator

    panel.xaxis.set_minor_locator(NullLocator())
    looks.decades(panel.yaxis)


def _rows(figure: Figure, table: Table) -> list[Row]:
    """The rows it shows, in its own order."""
    scales = looks.scales(figure, table)
    there = {row.method: row for row in table.rows if row.variant and row.scale in scales}
    return [there[m] for m in figure.methods or there if m in there]


def _columns(figure: Figure, table: Table) -> list[Column]:
    chosen = [c for c in table.columns if c.id in figure.columns and probe(c) in probes.PROBES]
    return sorted(chosen, key=lambda c: figure.columns.index(c.id))
