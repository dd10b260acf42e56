"""What fits into a GPU: the largest input of a network, or the tiles that a given image has to be cut into.

The answers are planned (`probes/planned_memory.py`), so they hold for a card with nothing else on it. They go by what
is allocated; a fragmented pool reserves more, which the allocator gives back when it runs short, but not always enough:
a tight fit is not sure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from workbench.planner import STEP, Look, Planner
from workbench.spec import UserError

OVERLAP = 16
"""Pixels of the input that tiles share where nobody says how many."""

WINDOW = 8
"""Pixels: most windows of the catalogue have a multiple of this as their side."""

DOUBT = 1.1
"""Tiles whose quick estimate is more than this times the room are not looked at."""

MANY = 4096
"""More tiles than this are no answer."""

FORWARDS = ("esc+lean", "esc")
"""What is answered for when no protocol is named: what `create` gives, and the official order of work beside it."""

UNITS = {"": 1, "B": 1} | {
    f"{letter}{i}B": (1024 if i else 1000) ** power for power, letter in enumerate("KMGT", 1) for i in ("", "i")
}

LEAST = 2**20
"""Bytes of any memory that somebody speaks of: fewer, without a unit, were meant in another one."""


def size(text: str, option: str) -> int:
    """Bytes of a size as people write it: 8GB, 8GiB, 500MB, or a number of bytes; a few are a forgotten unit."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip(), re.IGNORECASE)
    units = {unit.lower(): factor for unit, factor in UNITS.items()}
    if not found or found[2].lower() not in units:
        raise UserError(f"{option} was given {text!r}; give a size such as 8GB, 8GiB, 500MB or a number of bytes.")
    if not found[2] and 0 < float(found[1]) < LEAST:
        raise UserError(
            f"{option} was given {text!r}, which is {'1 byte' if float(found[1]) == 1 else f'{found[1]} bytes'}; write "
            f"its unit too: {found[1]}GB, {found[1]}MiB."
        )
    return int(float(found[1]) * units[found[2].lower()])


def sized(number: int) -> str:
    """Bytes in the largest unit that they fill: `12.00 MiB`, `0 B`."""
    for factor, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if number >= factor:
            return f"{number / factor:.2f} {unit}"
    return f"{number} B"


def pair(text: str, between: str, option: str, meaning: str) -> tuple[int, int]:
    """Two whole numbers above 0: a width and a height, or their ratio."""
    found = re.fullmatch(rf"(\d+){between}(\d+)", text.strip())
    if not found or not int(found[1]) or not int(found[2]):
        raise UserError(f"{option} was given {text!r}; give {meaning}.")
    return int(found[1]), int(found[2])


@dataclass(frozen=True)
class Room:
    """The memory that there is, in bytes."""

    gpu: int
    context: int
    """An estimate of what the driver and CUDA's libraries take before the first tensor."""

    @property
    def free(self) -> int:
        return self.gpu - self.context


@dataclass(frozen=True)
class Tiles:
    """A cut of an image into tiles of one size."""

    tile: Look
    rows: int
    columns: int
    overlap: int
    """Pixels of the input that neighbours share at least."""
    extra: float
    """Multiply-adds of all tiles over those of the whole image, minus one."""


@dataclass(frozen=True)
class Answer:
    """What fits under one protocol."""

    variant: str
    protocol: str
    room: Room
    whole: Look
    """The largest input, or the image that was asked about."""
    hr: tuple[int, int]
    fits: bool
    more: Look | None
    """One pixel more, which does not fit; None where an image was asked about."""
    tiles: Tiles | None
    """How to cut an image that does not fit whole."""
    traces: int


def largest(planner: Planner, room: Room, aspect: tuple[int, int] = (1, 1)) -> Answer:
    """The largest input of an aspect (width : height) that fits, while one pixel more on its longer side does not."""
    short, long = sorted(aspect)

    def sides(n: int) -> tuple[int, int]:
        both = max(1, round(n * short / long)), n
        return both if aspect[0] >= aspect[1] else (both[1], both[0])

    def fits(n: int) -> bool:
        return planner.look(*sides(n)).peak <= room.free

    def least(side: int) -> int:
        n = math.ceil(side * long / short)
        while min(sides(n)) < side:
            n += 1
        return n

    low, guess = least(STEP), round(math.sqrt(planner.pixels(room.free) * long / short))
    if guess < low or not fits(low):  # only then it matters how little the network takes, which costs some traces
        low = least(planner.least)
        if not fits(low):
            raise _nothing(planner, room, sides(low))
    low, high = _edge(fits, low, guess)
    whole, more = planner.look(*sides(low)), planner.look(*sides(high))
    return _answer(planner, room, whole, True, more=more)


def _edge(fits: Callable[[int], bool], least: int, guess: int) -> tuple[int, int]:
    """The largest side that fits, and the next, which does not; `least` is known to fit.

    What a network needs grows a little with each pixel and much where new windows begin, most often right after a
    multiple of 8: so that is where is looked first.
    """
    low, high = _bracket(fits, least, guess)
    while high - low > 1:
        middle = (low + high) // 2
        whole = middle - middle % WINDOW
        side = low + 1 if low % WINDOW == 0 else whole if whole > low else middle
        low, high = (side, high) if fits(side) else (low, side)
    return low, high


def _bracket(fits: Callable[[int], bool], least: int, guess: int) -> tuple[int, int]:
    """Two sides, one that fits and one that does not: from a guess in steps that double, in whole windows."""
    side, step = max(guess - guess % (2 * WINDOW), least), 2 * WINDOW
    if fits(side):
        while fits(side + step):
            side, step = side + step, 2 * step
        return side, side + step
    while side - step > least and not fits(side - step):
        side, step = side - step, 2 * step
    return max(side - step, least), side


def image(planner: Planner, room: Room, height: int, width: int, overlap: int) -> Answer:
    """Whether an input fits whole; if not, the fewest tiles of one size that do, sharing `overlap` pixels."""
    if overlap < 0:
        raise UserError(f"--overlap was given {overlap}; give the pixels that neighbouring tiles share, 0 or more.")
    whole = planner.look(height, width)
    if whole.peak <= room.free:
        return _answer(planner, room, whole, True)
    for rows, columns in _grids(height, width):
        tile = _side(height, rows, overlap), _side(width, columns, overlap)
        if any(
            side < planner.least or side <= overlap < full for side, full in zip(tile, (height, width), strict=True)
        ):
            continue
        if planner.guess(*tile) > DOUBT * room.free:
            continue
        look = planner.look(*tile)
        if look.peak <= room.free:
            extra = look.macs * rows * columns / whole.macs - 1
            return _answer(planner, room, whole, False, tiles=Tiles(look, rows, columns, overlap, extra))
    least = min(max(planner.least, overlap + 1), height), min(max(planner.least, overlap + 1), width)
    if planner.look(*least).peak <= room.free:
        raise UserError(
            f"{width}x{height} pixels would take more than {MANY:,} tiles for {planner.variant.name} in "
            f"{room.free / 1e6:,.0f} MB under {planner.protocol.name}. Give more with --gpu, or less with --overlap."
        )
    raise _nothing(planner, room, least, f" with {overlap} pixels of overlap")


def _side(full: int, count: int, overlap: int) -> int:
    """The side of each of `count` equal tiles that cover a side of an image."""
    return -(-(full + (count - 1) * overlap) // count)


def _grids(height: int, width: int) -> Iterator[tuple[int, int]]:
    """Rows and columns of tiles: the fewest tiles first, among equals the squarest tiles."""
    for count in range(2, min(height * width, MANY) + 1):
        cuts = [(n, count // n) for n in range(1, count + 1) if not count % n and n <= height and count // n <= width]
        yield from sorted(cuts, key=lambda cut: abs(math.log(height / cut[0] / (width / cut[1]))))


def _answer(
    planner: Planner, room: Room, whole: Look, fits: bool, more: Look | None = None, tiles: Tiles | None = None
) -> Answer:
    scale = planner.variant.scale
    hr = whole.lr[0] * scale, whole.lr[1] * scale
    return Answer(planner.variant.name, planner.protocol.name, room, whole, hr, fits, more, tiles, planner.traces)


def _nothing(planner: Planner, room: Room, least: tuple[int, int], how: str = "") -> UserError:
    need = planner.look(*least).peak
    return UserError(
        f"{planner.variant.name} does not fit into {room.free / 1e6:,.0f} MB under {planner.protocol.name}: "
        f"the smallest input{how}, {least[1]}x{least[0]} pixels, is planned to need {need / 1e6:,.0f} MB. "
        "Give more with --gpu."
    )


def room(gpu: str, context: str) -> Room:
    """The memory of a card as typed, less what is kept for CUDA's context."""
    found = Room(size(gpu, "--gpu"), size(context, "--context"))
    if found.free <= 0:
        raise UserError(
            f"--gpu {gpu} leaves nothing beside the {found.context / 1e6:,.0f} MB that are kept for CUDA's context, "
            "which are an estimate. Give more with --gpu, or less with --context."
        )
    return found
