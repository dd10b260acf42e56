"""What a quality costs: methods as dots, the front of those that none beats, the area that they dominate shaded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from workbench.judge import Cell
from workbench.published import Column, Figure, Table

from . import looks
from .labels import place_all
from .looks import EDGE, LOOKS

if TYPE_CHECKING:
    import matplotlib.figure

SHADE = "#eeeeee"

SEEN = 0.01
"""A measured cost that is off by less than this from the printed one would lie under its dot."""

FAR = 2.0
"""By this factor at most a cost that was found here may widen the axis; what lies beyond is cut off by its edge."""


def front(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points (cost, quality) that no other equals or beats in both, by rising cost."""
    best: list[tuple[float, float]] = []
    for cost, quality in sorted(set(points), key=lambda p: (p[0], -p[1])):
        if not best or quality > best[-1][1]:
            best.append((cost, quality))
    return best


def draw(figure: Figure, table: Table, cells: Sequence[Cell]) -> matplotlib.figure.Figure:
    """A panel for each scale and cost; dots are printed figures, and × what a cost was measured as where it differs."""
    from matplotlib.figure import Figure as Canvas

    by_id = {c.id: c for c in table.columns}
    *costs, quality = (by_id[name] for name in figure.columns)
    wanted = [(scale, cost) for scale in looks.scales(figure, table) for cost in costs]
    columns = len(costs) if len(costs) > 1 else min(3, len(wanted))
    rows = -(-len(wanted) // columns)
    canvas = Canvas(figsize=(max(4.2 * columns, 6.0), 4.3 * rows + 0.9), layout="constrained")
    panels = canvas.subplots(rows, columns, squeeze=False).flat
    to_place, left_out, kinds = [], dict[tuple[str, int, str], Cell](), set[str]()
    prices: list[Cell] = []
    for panel, (scale, cost) in zip(panels, wanted, strict=False):
        shown = {}
        for method, found in looks.by_method(figure, cells, scale).items():
            two = found[cost.id], found[quality.id]
            if two[0].reported is None or two[1].reported is None:
                continue
            wrong = [c for c in two if looks.misprint(c)]
            left_out |= {(c.method, c.scale, c.column): c for c in wrong}
            if not wrong:
                shown[method] = two
        kinds |= {looks.kind(m, figure) for m in shown}
        prices += [price for price, _ in shown.values()]
        panel.set_title(f"×{scale}")
        to_place.append((panel, *_panel(panel, figure, shown, cost, quality)))
    for panel in list(panels):
        panel.set_axis_off()
    looks.headed(canvas, figure.title)
    said = [f"dots: printed in {table.source}", *looks.agreement(prices), *looks.told(list(left_out.values()))]
    looks.foot(canvas, _entries(kinds, any(map(_off, prices))), said)
    place_all(canvas, to_place, size=7.5)
    return canvas


def _off(cost: Cell) -> bool:
    """Whether a cost was measured or planned and is another than printed."""
    return cost.difference is not None and abs(cost.difference) > SEEN


def _panel(
    panel: Any, figure: Figure, shown: dict[str, tuple[Cell, Cell]], cost: Column, quality: Column
) -> tuple[list[tuple[float, float, str, float]], list[list[tuple[float, float]]]]:
    """Draws the dots, the front and its shade; gives what has to be named, and the lines that names keep off."""
    panel.set(xscale="log", xlabel=f"{cost.title}, {cost.unit}", ylabel=f"{quality.title}, {quality.unit}".rstrip(", "))
    looks.decades(panel.xaxis)
    points, ends = [], list[float]()
    for method, (price, gain) in shown.items():
        x, y, look = price.reported or 0.0, gain.reported or 0.0, LOOKS[looks.kind(method, figure)]
        panel.plot(
            x, y, look.mark, color=look.colour, markersize=6.5, markeredgecolor=EDGE, markeredgewidth=0.7, zorder=3,
            clip_on=False,
        )  # fmt: skip
        if _off(price):
            other = price.estimate if price.measured is None else price.measured
            panel.plot([x, other], [y, y], color=EDGE, linewidth=0.7, zorder=2.8)
            panel.plot(other, y, "x", color=EDGE, markersize=4.5, markeredgewidth=1, zorder=2.9)
            ends.append(min(max(other or x, x / FAR), x * FAR))
        points.append((x, y, method, 4.6))
    best = front((p[0], p[1]) for p in points)
    if not best:
        return [], []
    low, high = min([*ends, *(p[0] for p in points)]), max([*ends, *(p[0] for p in points)])
    bottom, top = min(p[1] for p in points), max(p[1] for p in points)
    room, rise = (high / low) ** 0.09 if high > low else 1.3, 0.09 * (top - bottom) or 0.1
    low, high, bottom, top = low / room**1.5, high * room**1.5, bottom - rise, top + rise
    panel.set(xlim=(low, high), ylim=(bottom, top))
    xs, ys = [*(x for x, _ in best), high], [*(y for _, y in best), best[-1][1]]
    panel.fill_between(xs, bottom, ys, step="post", color=SHADE, linewidth=0, zorder=0.5)
    line = [(xs[0], bottom), (xs[0], ys[0])]
    for (_, before), (x, y) in zip(best, [*best[1:], (high, best[-1][1])], strict=True):
        line += [(x, before), (x, y)]
    panel.plot(*zip(*line, strict=True), color="#888888", linewidth=1, zorder=1)
    return points, [line]


def _entries(kinds: set[str], off: bool) -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    shade = Patch(facecolor=SHADE, edgecolor="#888888", label="no better than the front")
    there: dict[str, Any] = {"marker": "x", "markersize": 4.5, "color": EDGE, "linewidth": 0.7}
    return [*looks.entries(kinds), shade, *([Line2D([], [], label="cost as found here", **there)] if off else [])]
