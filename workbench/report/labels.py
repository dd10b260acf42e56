"""Names beside the dots of a picture, none upon another."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any


def place(
    panel: Any,
    points: Sequence[tuple[float, float, str, float]],
    lines: Sequence[Sequence[tuple[float, float]]] = (),
    size: float = 8,
) -> None:
    """Write names beside points (x, y, name, radius in points), each on the first side where it touches nothing.

    It keeps off the points and all text that is there, and off the lines (each a sequence of corners) if it can. A name
    that finds no free side is left out.
    """
    from matplotlib.textpath import TextPath

    panel.figure.canvas.draw()  # the layout decides where points are
    frame, unit = panel.get_window_extent(), panel.figure.dpi / 72
    spots = [(*panel.transData.transform((x, y)), name, r * unit) for x, y, name, r in points]
    taken = [(x - r, y - r, x + r, y + r) for x, y, _, r in spots]
    taken += [tuple(t.get_window_extent().extents) for t in panel.texts]
    if legend := panel.get_legend():
        taken.append(tuple(legend.get_window_extent().extents))
    crossed = [box for line in lines for box in _dots(panel.transData.transform(line), unit)]
    for i, (x, y, name, r) in enumerate(spots):
        width, height = TextPath((0, 0), name, size=size).get_extents().width * unit, 1.05 * size * unit
        for avoided, (dx, dy) in itertools.product((crossed, ()), _sides(width, height, r + 2 * unit)):
            box = (x + dx, y + dy, x + dx + width, y + dy + height)
            inside = box[0] > frame.x0 and box[2] < frame.x1 and box[1] > frame.y0 and box[3] < frame.y1
            others = (*taken[:i], *taken[i + 1 :], *avoided)
            if inside and not any(_touch(box, other) for other in others):
                taken.append(box)
                panel.annotate(
                    name, points[i][:2], (dx / unit, dy / unit + 0.15 * size), textcoords="offset points",
                    fontsize=size, zorder=4, path_effects=halo(),
                )  # fmt: skip
                break


def _sides(width: float, height: float, gap: float) -> Iterator[tuple[float, float]]:
    """Where a name can stand around its point, the best first, and a little further off."""
    for g in (gap, 1.35 * gap):
        slant = 0.75 * g
        yield from ((g, -height / 2), (-g - width, -height / 2), (-width / 2, g), (-width / 2, -g - height))
        yield from (
            (slant, slant),
            (-slant - width, slant),
            (slant, -slant - height),
            (-slant - width, -slant - height),
        )


def halo() -> list[Any]:
    """A white rim, so that a name can be read across a line."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=2, foreground="white")]


def _dots(corners: Any, unit: float) -> Iterator[tuple[float, float, float, float]]:
    """A line on the page as a row of small boxes, which a slanting one does not fill with one."""
    for (ax, ay), (bx, by) in itertools.pairwise(corners):
        steps = max(1, int(math.hypot(bx - ax, by - ay) / (3 * unit)))
        for k in range(steps + 1):
            x, y = ax + (bx - ax) * k / steps, ay + (by - ay) * k / steps
            yield x - unit, y - unit, x + unit, y + unit


def _touch(a: Sequence[float], b: Sequence[float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
