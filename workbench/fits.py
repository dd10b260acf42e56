"""What fits into a GPU: the largest input of a network, or the tiles that a given image has to be cut into.

The answers are planned (`probes/planned_memory.py`), so they hold for a card with nothing else on it. They go by what
is allocated; a fragmented pool reserves more, which the allocator gives back when it runs short, but not always enough:
a tight fit is not sure. A lean forward works in many small steps, so that a trace of a large input takes minutes.
Inputs of more than `PATIENCE` operator calls are therefore estimated from smaller ones, unless exactness is asked for;
an answer says which of the two it is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from workbench import counted, models
from workbench.spec import Protocol, UserError, Variant

if TYPE_CHECKING:
    from torch import Tensor, nn

PATIENCE = 80_000
"""Operator calls; a trace of as many takes some seconds."""

STEP = 192
"""Pixels: a side that all window sizes of the catalogue divide, so that no padding disturbs an estimate."""

SMALL = (2 * STEP, 2 * STEP)
"""An input of this size is always walked, and so is a smaller one."""

LARGEST = 16 * STEP
"""Pixels: no estimate starts from a larger square."""

MARGIN = 1.05
"""What an estimated peak is raised by: lines through small squares were up to 4.4 % low where they were checked."""

DOUBT = 1.1
"""Tiles whose quick estimate is more than this times the room are not looked at."""

MANY = 4096
"""More tiles than this are no answer."""

GRID = 64
"""Pixels: estimates are made for sides rounded up to this, because networks pad to whole windows."""

FORWARDS = ("esc+lean", "esc")
"""What is answered for when no protocol is named: what `create` gives, and the official order of work beside it."""

UNITS = {"": 1, "B": 1} | {
    f"{letter}{i}B": (1024 if i else 1000) ** power for power, letter in enumerate("KMGT", 1) for i in ("", "i")
}


def size(text: str, option: str) -> int:
    """Bytes of a size as people write it: 8GB, 8GiB, 500MB, or a number of bytes."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip(), re.IGNORECASE)
    units = {unit.lower(): factor for unit, factor in UNITS.items()}
    if not found or found[2].lower() not in units:
        raise UserError(f"{option} was given {text!r}; give a size such as 8GB, 8GiB, 500MB or a number of bytes.")
    return int(float(found[1]) * units[found[2].lower()])


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
class Look:
    """What an input of one size needs."""

    lr: tuple[int, int]
    """Height and width of the input."""
    peak: int
    """Planned peak, in bytes."""
    macs: int
    exact: bool
    """Whether this size was traced; else it was estimated from smaller ones."""


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


@dataclass(frozen=True)
class _Walked:
    """One traced size."""

    look: Look
    calls: int
    largest: list[dict[str, Any]]


class Planner:
    """Peaks and multiply-adds of one network for any input size, each size walked once."""

    def __init__(self, variant: str | Variant, protocol: Protocol, exact: bool = False) -> None:
        self.variant = models.find(variant)
        self.protocol = protocol
        self.exact = exact
        self._walked: dict[tuple[int, int], _Walked] = {}

    @property
    def traces(self) -> int:
        return len(self._walked)

    def look(self, height: int, width: int) -> Look:
        """What an input of that size needs; a UserError where the network refuses it."""
        patient = self.exact or height * width <= math.prod(SMALL) or self._calls(height, width) <= PATIENCE
        return self._walk(height, width).look if patient else self._estimate(height, width)

    @cached_property
    def least(self) -> int:
        """The shortest side that the network takes."""
        low, high = 0, STEP
        while high - low > 1:
            middle = (low + high) // 2
            try:
                self._walk(middle, middle)
                high = middle
            except UserError:
                low = middle
        return high

    def guess(self, height: float, width: float) -> float:
        """A quick estimate of a peak, by the line."""
        start, each = self._line(*self._squares())
        return start + each * height * width

    def pixels(self, room: int) -> float:
        """The inverse of a guess."""
        start, each = self._line(*self._squares())
        return max(1.0, (room - start) / each)

    def held(self, look: Look) -> tuple[Look, list[dict[str, Any]]]:
        """The largest tensors at the peak and the size they are of: the largest walked one in place of an estimate."""
        walked = self._walk(*look.lr) if look.exact else self._squares()[1]
        return walked.look, walked.largest

    def _estimate(self, height: int, width: int) -> Look:
        squares = self._squares()
        start, each = self._line(*squares)
        padded = math.prod(-(-side // GRID) * GRID for side in (height, width))
        macs = squares[1].look.macs * padded // math.prod(squares[1].look.lr)
        return Look((height, width), math.ceil(MARGIN * (start + each * padded)), macs, exact=False)

    def _squares(self) -> tuple[_Walked, _Walked]:
        """Two walked squares that a line is drawn through: the largest that patience allows, and half of it."""
        side = 2 * STEP
        while side < LARGEST and self._calls(2 * side, 2 * side) <= PATIENCE:
            side *= 2
        return self._walk(side // 2, side // 2), self._walk(side, side)

    @staticmethod
    def _line(small: _Walked, large: _Walked) -> tuple[float, float]:
        """Bytes at no pixel, and bytes for each."""
        few, many = (math.prod(w.look.lr) for w in (small, large))
        each = (large.look.peak - small.look.peak) / (many - few)
        return small.look.peak - each * few, each

    def _calls(self, height: int, width: int) -> float:
        """About how many operator calls an input of that size takes."""
        few, many = self._walk(STEP, STEP), self._walk(*SMALL)
        return many.calls + (many.calls - few.calls) * (height * width - math.prod(SMALL)) / (
            math.prod(SMALL) - STEP**2
        )

    def _walk(self, height: int, width: int) -> _Walked:
        """Trace one size. The network is made anew for each: a lean one keeps tensors that follow from sizes."""
        import torch

        from workbench import probes
        from workbench.tracing import traced

        if (height, width) not in self._walked:
            build, given = self.protocol.build, self.protocol.input

            def walk(network: nn.Module, x: Tensor) -> _Walked:
                planned, macs = (probes.find(p).measure(network, x, self.protocol) for p in ("planned-memory", "macs"))
                look = Look((height, width), int(planned.values[0]), int(macs.values[0]), exact=True)
                return _Walked(look, len(traced(network, x).calls), planned.details["largest"])

            if self.variant.source:
                self._walked[height, width] = counted.walk(self.variant, self.protocol, height, width, walk)
            else:
                network = models.create(self.variant, "meta", build.attention, build.forward)
                x = torch.empty(given.batch, 3, height, width, device="meta", dtype=getattr(torch, given.dtype))
                self._walked[height, width] = walk(network, x)
        return self._walked[height, width]


def largest(planner: Planner, room: Room, aspect: tuple[int, int] = (1, 1)) -> Answer:
    """The largest input of an aspect (width : height) that fits, while one pixel more on its longer side does not."""
    short, long = sorted(aspect)

    def sides(n: int) -> tuple[int, int]:
        both = max(1, round(n * short / long)), n
        return both if aspect[0] >= aspect[1] else (both[1], both[0])

    def fits(n: int) -> bool:
        return planner.look(*sides(n)).peak <= room.free

    low = math.ceil(planner.least * long / short)
    while min(sides(low)) < planner.least:
        low += 1
    if not fits(low):
        raise _nothing(planner, room, sides(low))
    low, high = _bracket(fits, low, round(math.sqrt(planner.pixels(room.free) * long / short)))
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    whole, more = planner.look(*sides(low)), planner.look(*sides(high))
    return _answer(planner, room, whole, True, more=more)


def _bracket(fits: Callable[[int], bool], least: int, guess: int) -> tuple[int, int]:
    """Two sides, one that fits and one that does not: from a guess in steps that double."""
    side, step = max(guess, least), 1
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
