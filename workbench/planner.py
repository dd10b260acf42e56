"""What inputs of a network need: each size walked once, very large ones estimated from smaller ones.

A lean forward works in many small steps, so that a trace of a large input takes minutes. Inputs of more than
`PATIENCE` operator calls are therefore estimated, unless exactness is asked for; an answer says which of the two it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from workbench import counted, models
from workbench.passing import Say, unheard
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

HUGE = 2**32
"""Pixels: of a larger input torch cannot count the bytes of a feature map, so it is always estimated."""

MARGIN = 1.05
"""What an estimated peak is raised by: lines through small squares were up to 4.4 % low where they were checked."""

GRID = 64
"""Pixels: estimates are made for sides rounded up to this, because networks pad to whole windows."""


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
class _Walked:
    """One traced size."""

    look: Look
    calls: int
    largest: list[dict[str, Any]]


class Planner:
    """Peaks and multiply-adds of one network for any input size, each size walked once."""

    def __init__(self, variant: str | Variant, protocol: Protocol, exact: bool = False, say: Say = unheard) -> None:
        self.variant = models.find(variant)
        self.protocol = protocol
        self.exact = exact
        self.say = say
        self._walked: dict[tuple[int, int], _Walked] = {}

    @property
    def traces(self) -> int:
        return len(self._walked)

    def look(self, height: int, width: int) -> Look:
        """What an input of that size needs; a UserError where the network refuses it."""
        few = height * width <= math.prod(SMALL)
        patient = height * width <= HUGE and (self.exact or few or self._calls(height, width) <= PATIENCE)
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
            self.say(f"{self.variant.name} under {self.protocol.name}: planning for {width}x{height} pixels")
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
