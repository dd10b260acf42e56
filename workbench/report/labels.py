"""Names beside the dots of a picture, none upon another; a line leads to a name that had to move away."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

from .seating import Box, Seat, Spot, column, seat

LEADER = "leader"
"""The gid of the lines that lead to names."""

PAPER = {"boxstyle": "square,pad=0.05", "facecolor": (1, 1, 1, 0.75), "edgecolor": "none"}
"""What a name stands on that found no place off the lines."""


Point = tuple[float, float, str, float]
"""Where a point is in a panel's data, its name, and its radius in points."""

Line = Sequence[tuple[float, float]]
"""The corners of a line in a panel's data."""


def settle(canvas: Any) -> None:
    """Lay a drawing out, once: what is written into it later moves nothing, and every format has the same layout."""
    canvas.draw_without_rendering()
    if canvas.get_layout_engine() is not None:
        canvas.set_layout_engine("none")


def settled(canvas: Any) -> bool:
    """Whether it was laid out, and nothing will move what stands where it stands."""
    from matplotlib.layout_engine import PlaceHolderLayoutEngine

    return isinstance(canvas.get_layout_engine(), PlaceHolderLayoutEngine)


def place(
    panel: Any,
    points: Sequence[Point],
    lines: Sequence[Line] = (),
    size: float = 8,
) -> list[str]:
    """Write names beside points where they touch nothing, and say which found no place.

    It keeps off the points and all text that is there, and off the lines if it can. A name with no free place beside
    its point is moved away and a line leads to it.
    """
    return place_all(panel.figure, [(panel, points, lines)], size)


def place_all(canvas: Any, panels: Sequence[tuple[Any, Sequence[Point], Sequence[Line]]], size: float = 8) -> list[str]:
    """The same in several panels of one drawing, which is laid out once: that decides where points are."""
    settle(canvas)
    return [name for panel, points, lines in panels for name in _place(panel, points, lines, size)]


def _place(panel: Any, points: Sequence[Point], lines: Sequence[Line], size: float) -> list[str]:
    unit = panel.figure.dpi / 72
    spots = _spots(panel, points, size)
    taken = [_box(text, unit) for text in panel.texts]
    if legend := panel.get_legend():
        taken.append(_box(legend, unit))
    crossed = [box for line in lines for box in _dots(panel.transData.transform(line) / unit)]
    seats = seat(spots, taken, crossed, _box(panel, unit))
    for point, spot, found in zip(points, spots, seats, strict=True):
        if found is not None:
            _write(panel, point, spot, found, size, crossed)
    return [point[2] for point, found in zip(points, seats, strict=True) if found is None]


def place_column(canvas: Any, panels: Sequence[tuple[Any, Sequence[Point]]], size: float = 8) -> None:
    """Write the names of the right ends of lines in a column beside them, in their order, in each of some panels."""
    settle(canvas)
    for panel, points in panels:
        spots, frame = _spots(panel, points, size), _box(panel, canvas.dpi / 72)
        left = max((s.x + s.radius for s in spots), default=0.0)
        away = 3.0 if _apart(spots) else 14.0
        for point, spot, found in zip(points, spots, column(spots, left + away, *frame[1::2]), strict=True):
            _write(panel, point, spot, found, size, ())


def _apart(spots: Sequence[Spot]) -> bool:
    """Whether every name has room at its own height."""
    ordered = sorted(spots, key=lambda s: s.y)
    return all(b.y - a.y >= b.height for a, b in itertools.pairwise(ordered))


def _spots(panel: Any, points: Sequence[Point], size: float) -> list[Spot]:
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    spots, font, unit = [], FontProperties(size=size), panel.figure.dpi / 72
    for x, y, name, radius in points:
        at = panel.transData.transform((x, y)) / unit
        width = 1.03 * text_to_path.get_text_width_height_descent(name, font, False)[0] + 1  # pixels round it up
        spots.append(Spot(float(at[0]), float(at[1]), radius, float(width), 1.05 * size))
    return spots


def _write(panel: Any, point: Point, spot: Spot, found: Seat, size: float, crossed: Sequence[Box]) -> None:
    """A name in its seat, and the line that leads to it."""
    from matplotlib.lines import Line2D

    unit = panel.figure.dpi / 72
    if found.leader is not None:
        ends = [(found.leader[0] * unit, found.leader[1] * unit), (found.leader[2] * unit, found.leader[3] * unit)]
        across, up = panel.transData.inverted().transform(ends).T
        panel.add_artist(Line2D(across, up, color="#777777", linewidth=0.6, zorder=3.5, gid=LEADER, clip_on=False))
    box = (found.x, found.y, found.x + spot.width, found.y + spot.height)
    panel.annotate(
        point[2], point[:2], (found.x - spot.x + 0.5, found.y - spot.y + 0.15 * size), textcoords="offset points",
        fontsize=size, zorder=4, bbox=PAPER if any(_touch(box, other) for other in crossed) else None,
    )  # fmt: skip


def _box(artist: Any, unit: float) -> Box:
    x0, y0, x1, y1 = (float(e) / unit for e in artist.get_window_extent().extents)
    return x0, y0, x1, y1


def halo() -> list[Any]:
    """A white rim, so that a name can be read across a line; it makes shapes of its letters."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=2, foreground="white")]


def _dots(corners: Any) -> Iterator[Box]:
    """A line on the page as a row of small boxes, which a slanting one does not fill with one."""
    for (ax, ay), (bx, by) in itertools.pairwise(corners):
        steps = max(1, int(math.hypot(bx - ax, by - ay) / 3))
        for k in range(steps + 1):
            x, y = ax + (bx - ax) * k / steps, ay + (by - ay) * k / steps
            yield x - 1, y - 1, x + 1, y + 1


def _touch(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
