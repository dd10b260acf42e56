"""Circles of a third quantity: what a table prints, with what was measured or planned around it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from workbench.judge import Cell
from workbench.published import Column, Figure, Table

from . import looks
from .labels import place_all
from .looks import EDGE, LOOKS

if TYPE_CHECKING:
    import matplotlib.figure

RADIUS = 28.0
"""Of the largest circle, in points."""

DASHED = (0, (3, 2))


def draw(figure: Figure, table: Table, cells: Sequence[Cell]) -> matplotlib.figure.Figure:
    """One panel per scale: a circle for each method that has all three printed figures."""
    from matplotlib.figure import Figure as Canvas

    x, y, area = (next(c for c in table.columns if c.id == name) for name in figure.columns)
    scales = looks.scales(figure, table)
    canvas = Canvas(figsize=(7.2 * len(scales) + 1.8, 5.6), layout="constrained")
    *panels, key = canvas.subplots(1, len(scales) + 1, squeeze=False, width_ratios=[*[7.2] * len(scales), 1.5])[0]
    shown: dict[int, dict[str, dict[str, Cell]]] = {}
    left_out = []
    for scale in scales:
        for method, found in looks.by_method(figure, cells, scale).items():
            three = [found[c.id] for c in (x, y, area)]
            if not all(c.reported for c in three):
                continue
            if wrong := [c for c in three if looks.misprint(c)]:
                left_out += wrong
                continue
            shown.setdefault(scale, {})[method] = found
    every = [found[area.id] for methods in shown.values() for found in methods.values()]
    largest = max((v for c in every for v in (c.reported, c.estimate, c.measured) if v), default=1.0)
    to_place: list[tuple[Any, Any, Any]] = []
    for panel, scale in zip(panels, scales, strict=True):
        panel.set(xscale="log", xlabel=f"{x.title}, {x.unit}", ylabel=f"{y.title}, {y.unit}", title=f"×{scale}")
        panel.margins(x=0.13, y=0.16)
        points = _circles(panel, figure, shown.get(scale, {}), largest)
        to_place.append((panel, points, ()))
        looks.decades(panel.xaxis)
    kinds = {looks.kind(m, figure) for methods in shown.values() for m in methods}
    _key(key, area, largest, kinds, every)
    looks.headed(canvas, figure.title)
    said = [f"circles: printed in {table.source}"]
    if any(c.estimate is not None for c in every):
        planned = [c.estimate / c.reported - 1 for c in every if c.estimate and c.reported]
        there = f"{len(planned)} of {len(every)}, {looks.spread(planned)}"
        said.append(f"dashed: {area.title.lower()} planned here without the device ({there})")
    both = [c for m in shown.values() for f in m.values() for c in (f[x.id], f[y.id])]
    if off := [c.difference for c in both if c.measured is not None and c.difference is not None]:
        said.append(f"+: measured here ({len(off)} of {len(both)}, {looks.spread(off)})")
    looks.foot(canvas, [], [*said, *looks.told(left_out)])
    place_all(canvas, to_place, size=8.5)
    return canvas


def _radius(value: float, largest: float) -> float:
    return RADIUS * math.sqrt(value / largest)


def _circles(
    panel: Any, figure: Figure, shown: dict[str, dict[str, Cell]], largest: float
) -> list[tuple[float, float, str, float]]:
    """The large ones first, so that none hides another; what has to be named, with its radius in points."""
    x, y, area = figure.columns
    points = []
    for method, found in sorted(shown.items(), key=lambda item: -(item[1][area].reported or 0.0)):
        across, up, printed = (found[name].reported or 0.0 for name in (x, y, area))
        look, edge = LOOKS[looks.kind(method, figure)], _radius(printed, largest)
        panel.plot(
            across, up, "o", markersize=2 * edge, color=look.colour, alpha=0.6, markeredgewidth=0, zorder=2,
            clip_on=False,
        )  # fmt: skip
        for value, style in ((found[area].estimate, DASHED), (found[area].measured, "-")):
            if value is not None:
                _ring(panel, across, up, _radius(value, largest), style)
                edge = max(edge, _radius(value, largest))
        panel.plot(
            across, up, look.mark, markersize=4.5, color=look.colour, markeredgecolor=EDGE, markeredgewidth=0.7,
            zorder=3, clip_on=False,
        )  # fmt: skip
        mine = found[x].measured, found[y].measured
        if any(v is not None for v in mine):
            there = (across if mine[0] is None else mine[0], up if mine[1] is None else mine[1])
            panel.plot([across, there[0]], [up, there[1]], color=EDGE, linewidth=0.6, zorder=3, clip_on=False)
            panel.plot(*there, "+", markersize=8, color="black", zorder=3.2, clip_on=False)
        points.append((across, up, method, edge))
    return points


def _ring(panel: Any, x: float, y: float, radius: float, style: Any) -> None:
    """A circle of a size in points around a place in data."""
    panel.scatter(
        [x], [y], s=(2 * radius) ** 2, facecolors="none", edgecolors=EDGE, linewidths=0.9, linestyles=[style],
        zorder=2.5, clip_on=False,
    )  # fmt: skip


def _key(panel: Any, area: Column, largest: float, kinds: set[str], every: Sequence[Cell]) -> None:
    """What colours, sizes and rings mean, in a column of its own."""
    from matplotlib.lines import Line2D
    from matplotlib.offsetbox import AnchoredOffsetbox, DrawingArea, TextArea, VPacker
    from matplotlib.patches import Circle

    panel.set_axis_off()
    panel.legend(handles=looks.entries(kinds), loc="upper left", fontsize=8.5, borderaxespad=0, handletextpad=0.3)
    rows: list[Any] = [TextArea(f"{area.title}, {area.unit}", textprops={"size": 8.5})]
    step = 10 ** math.floor(math.log10(largest))
    sizes = [s for s in (step / 4, step / 2, step, 2 * step, 5 * step) if s <= 1.05 * largest][-3:]
    for size in sizes:
        radius = _radius(size, largest)
        drawing = DrawingArea(2 * RADIUS + 34, 2 * radius + 1)
        drawing.add_artist(Circle((RADIUS, radius), radius, facecolor="#cccccc", edgecolor=EDGE, linewidth=0.6))
        rows.append(_with_text(drawing, f"{size:g}", radius))
    rings: tuple[tuple[bool, str, Any], ...] = (
        (any(c.estimate is not None for c in every), "planned", DASHED),
        (any(c.measured is not None for c in every), "measured", "-"),
    )
    for there, label, style in rings:
        if there:
            drawing = DrawingArea(2 * RADIUS + 34, 18)
            drawing.add_artist(Line2D([RADIUS - 9, RADIUS + 9], [9, 9], color=EDGE, linewidth=0.9, linestyle=style))
            rows.append(_with_text(drawing, label, 9))
    panel.add_artist(AnchoredOffsetbox("lower left", child=VPacker(children=rows, pad=0, sep=5), frameon=False, pad=0))


def _with_text(drawing: Any, text: str, up: float) -> Any:
    from matplotlib.text import Text

    drawing.add_artist(Text(2 * RADIUS + 3, up, text, fontsize=8, va="center"))
    return drawing
