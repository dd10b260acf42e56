"""Where names can stand beside their points so that none is upon another: geometry on a page, in points."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Box = tuple[float, float, float, float]

AWAY = (7.0, 12.0, 18.0, 26.0, 36.0, 48.0, 64.0, 84.0)
"""How far from its point's rim a name may be moved; from there a line leads back."""

DIRECTIONS = 24
UPON, ACROSS, CROSSING, THROUGH, ASTRAY, NEAR, LINE = 1e5, 300.0, 120.0, 60.0, 150.0, 4.0, 9.0
"""Costs: a name upon a name, a leader across a name, two leaders crossing, a leader through a point, a name without a
leader nearer to another's point than to its own, a name close to another's point, a name on a line of the picture. One
is a point of distance."""

SWEEPS = 20


@dataclass(frozen=True)
class Spot:
    """A point of a picture and the size of its name."""

    x: float
    y: float
    radius: float
    width: float
    height: float


@dataclass(frozen=True)
class Seat:
    """The lower left corner of a name, and the line that leads to it where it is far from its point."""

    x: float
    y: float
    leader: Box | None = None
    """From the rim of the point (x, y) to the name (x, y)."""


def seat(spots: Sequence[Spot], taken: Sequence[Box], crossed: Sequence[Box], frame: Box) -> list[Seat | None]:
    """A place for every name inside a frame, off the points, what is taken and each other; None where there is none.

    Each name takes its cheapest place, then all are moved in turns until none gains by it; what is still upon another
    makes it move too. The same spots give the same seats.
    """
    choices = [_Choices(spots, i, taken, crossed, frame) for i in range(len(spots))]
    there = sorted((i for i, c in enumerate(choices) if len(c.seats)), key=lambda i: (len(choices[i].seats), i))
    now: dict[int, int] = {}
    for i in there:
        now[i] = choices[i].best(choices, now, i)
    for _ in range(SWEEPS):
        before = dict(now)
        for i in there:
            now[i] = choices[i].best(choices, now, i)
        if now == before and not _pushed(choices, now):
            break
    while clashes := _clashes(choices, now):
        worst = max(clashes, key=lambda i: (clashes[i], i))
        del now[worst]
    return [choices[i].seats[now[i]] if i in now else None for i in range(len(spots))]


def column(spots: Sequence[Spot], left: float, low: float, high: float) -> list[Seat]:
    """Names in one column at the right of their points, in the points' order, as little off their height as can be.

    A line leads to each that is off. More names than there is room for reach below the lowest.
    """
    order = sorted(range(len(spots)), key=lambda i: (spots[i].y, i))
    blocks: list[tuple[list[int], float]] = []  # names that touch, and the middle of the lowest
    for i in order:
        members, at = [i], spots[i].y
        while blocks and blocks[-1][1] + spots[blocks[-1][0][0]].height * len(blocks[-1][0]) > at:
            members = blocks.pop()[0] + members
            at = sum(spots[m].y - k * spots[m].height for k, m in enumerate(members)) / len(members)
            at = max(low, min(at, high - spots[i].height * (len(members) - 1)))
        blocks.append((members, at))
    seats: dict[int, Seat] = {}
    for members, at in blocks:
        for k, i in enumerate(members):
            spot, middle = spots[i], at + k * spots[i].height
            straight = abs(middle - spot.y) < 1.5 and left - spot.x - spot.radius < 8
            leader = None if straight else (spot.x + spot.radius, spot.y, left - 1, middle)
            seats[i] = Seat(left, middle - spot.height / 2, leader)
    return [seats[i] for i in range(len(spots))]


class _Choices:
    """The places of one name: their boxes, leaders and costs, whatever the others do."""

    def __init__(self, spots: Sequence[Spot], own: int, taken: Sequence[Box], crossed: Sequence[Box], frame: Box):
        import numpy as np

        spot = spots[own]
        rows = [(round(spot.x + dx, 2), round(spot.y + dy, 2), moved, cost) for dx, dy, moved, cost in _around(spot)]
        corners = np.array([row[:2] for row in rows])
        boxes = np.hstack([corners, corners + np.array([spot.width, spot.height])])
        inside = (
            (boxes[:, 0] > frame[0]) & (boxes[:, 1] > frame[1]) & (boxes[:, 2] < frame[2]) & (boxes[:, 3] < frame[3])
        )
        cost = np.array([row[3] for row in rows])
        leaders = _leaders(spot, boxes, np.array([row[2] for row in rows]))
        for other in taken:
            inside &= ~_touch(boxes, other)
        for j, s in enumerate(spots):
            if j == own:
                continue
            gap = _gap(boxes, s)
            inside &= gap > 0
            nearer = gap < _gap(boxes, spot)
            cost += NEAR * ((gap < 3) & nearer) + ASTRAY * (nearer & np.isnan(leaders[:, 0]))
            cost += THROUGH * (_reach(leaders, s) < s.radius + 1)
        on = np.zeros(len(rows))
        for other in crossed:
            on += _touch(boxes, other)
        cost += LINE * np.minimum(on, 3)
        keep = np.flatnonzero(inside)
        self.seats = [
            Seat(*rows[k][:2], tuple(map(float, leaders[k])) if rows[k][2] else None)  # type: ignore[arg-type]  # of four
            for k in keep
        ]
        self.boxes, self.leaders, self.cost = boxes[keep], leaders[keep], cost[keep]

    def against(self, box: Any, leader: Any) -> Any:
        """What each place costs beside a name that stands in a box, with a leader or with nan."""
        import numpy as np

        total = UPON * _touch(self.boxes, box)
        total = total + ACROSS * _across(self.leaders, box[None, :])[:, 0]
        if not np.isnan(leader[0]):
            total = total + ACROSS * _across(leader[None, :], self.boxes)[0] + CROSSING * _meet(self.leaders, leader)
        return total

    def best(self, choices: Sequence[_Choices], now: dict[int, int], own: int) -> int:
        """The cheapest place while all others stay; the first of equals."""
        total = self.cost.copy()
        for j, k in now.items():
            if j != own:
                total += self.against(choices[j].boxes[k], choices[j].leaders[k])
        return int(total.round(6).argmin())


def _pushed(choices: Sequence[_Choices], now: dict[int, int]) -> bool:
    """Move the names that one stands upon, wherever it could stand, if all together are better off; whether so."""
    for i in sorted(_clashes(choices, now)):
        price = _price(choices, now)
        for k in choices[i].cost.argsort(kind="stable")[:60]:
            tried = {**now, i: int(k)}
            for j in now:
                if j != i and choices[j].against(choices[i].boxes[k], choices[i].leaders[k])[now[j]] >= UPON:
                    tried[j] = choices[j].best(choices, tried, j)
            if _price(choices, tried) < price - 1:
                now.update(tried)
                return True
    return False


def _price(choices: Sequence[_Choices], now: dict[int, int]) -> float:
    names = sorted(now)
    total = sum(float(choices[i].cost[now[i]]) for i in names)
    for n, i in enumerate(names):
        mine = choices[i].boxes[now[i]], choices[i].leaders[now[i]]
        total += sum(float(choices[j].against(*mine)[now[j]]) for j in names[n + 1 :])
    return total


def _clashes(choices: Sequence[_Choices], now: dict[int, int]) -> dict[int, int]:
    """The names that stand upon others, and upon how many."""
    found: dict[int, int] = {}
    for i in now:
        upon = [j for j in now if j != i and bool(_touch(choices[j].boxes[[now[j]]], choices[i].boxes[now[i]])[0])]
        if upon:
            found[i] = len(upon)
    return found


def _around(spot: Spot) -> Iterator[tuple[float, float, bool, float]]:
    """Where a name can stand around its point, as an offset, whether that needs a leader, and its cost."""
    width, height = spot.width, spot.height
    for g in (spot.radius + 2, 1.35 * (spot.radius + 2)):
        slant = 0.75 * g
        sides = (
            (g, -height / 2), (-g - width, -height / 2), (-width / 2, g), (-width / 2, -g - height), (slant, slant),
            (-slant - width, slant), (slant, -slant - height), (-slant - width, -slant - height),
        )  # fmt: skip
        for rank, (dx, dy) in enumerate(sides):
            yield dx, dy, False, 0.25 * rank + (g - spot.radius - 2)
    for away in AWAY:
        for k in range(DIRECTIONS):
            angle = 2 * math.pi * k / DIRECTIONS
            across, up = math.cos(angle), math.sin(angle)
            reach = spot.radius + away
            # the box touches the ray's end with the edge or corner that looks back at the point
            yield (reach + width / 2) * across - width / 2, reach * up + (up - 1) * height / 2, True, 6 + 0.9 * away


def _leaders(spot: Spot, boxes: Any, moved: Any) -> Any:
    """Lines from the rim of a point to the near edge of a box, at its sides to the middle; nan where none is needed."""
    import numpy as np

    beside = (spot.x < boxes[:, 0]) | (spot.x > boxes[:, 2])
    x = np.clip(spot.x, boxes[:, 0], boxes[:, 2])
    y = np.where(beside, (boxes[:, 1] + boxes[:, 3]) / 2, np.clip(spot.y, boxes[:, 1], boxes[:, 3]))
    far = np.maximum(np.hypot(x - spot.x, y - spot.y), 1e-9)
    start = [spot.x + (x - spot.x) * spot.radius / far, spot.y + (y - spot.y) * spot.radius / far]
    return np.where(moved[:, None], np.stack([*start, x, y], axis=1), np.nan)


def _touch(boxes: Any, other: Any) -> Any:
    return (boxes[:, 0] < other[2]) & (other[0] < boxes[:, 2]) & (boxes[:, 1] < other[3]) & (other[1] < boxes[:, 3])


def _gap(boxes: Any, spot: Spot) -> Any:
    """How far boxes are from the rim of a point; below zero where they cover it."""
    import numpy as np

    x, y = np.clip(spot.x, boxes[:, 0], boxes[:, 2]), np.clip(spot.y, boxes[:, 1], boxes[:, 3])
    return np.hypot(x - spot.x, y - spot.y) - spot.radius


def _reach(lines: Any, spot: Spot) -> Any:
    """How close lines come to the middle of a point; nan, which is less than nothing, for none."""
    import numpy as np

    ax, ay, bx, by = lines.T
    length = np.maximum((bx - ax) ** 2 + (by - ay) ** 2, 1e-9)
    t = np.clip(((spot.x - ax) * (bx - ax) + (spot.y - ay) * (by - ay)) / length, 0, 1)
    return np.hypot(ax + t * (bx - ax) - spot.x, ay + t * (by - ay) - spot.y)


def _across(lines: Any, boxes: Any) -> Any:
    """Whether each line runs through each box, by looking at 13 places of it."""
    import numpy as np

    t = np.linspace(0, 1, 13)
    x = lines[:, None, 0] + t * (lines[:, None, 2] - lines[:, None, 0])
    y = lines[:, None, 1] + t * (lines[:, None, 3] - lines[:, None, 1])
    low, high = boxes[None, :, None, :2], boxes[None, :, None, 2:]
    at = np.stack([x, y], axis=-1)[:, None]
    return ((at > low) & (at < high)).all(axis=-1).any(axis=-1)


def _meet(lines: Any, other: Any) -> Any:
    """Whether lines cross another one."""
    ax, ay, bx, by = lines.T
    cx, cy, dx, dy = other

    def side(px: Any, py: Any, qx: Any, qy: Any, rx: Any, ry: Any) -> Any:
        return (qx - px) * (ry - py) - (qy - py) * (rx - px)

    return (side(ax, ay, bx, by, cx, cy) * side(ax, ay, bx, by, dx, dy) < 0) & (
        side(cx, cy, dx, dy, ax, ay) * side(cx, cy, dx, dy, bx, by) < 0
    )
