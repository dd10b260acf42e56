"""What a network need not compute once layers work with other layers' maps: a reading of its trace, by what is needed.

The trace is gone through from its end. What the output needs is needed; a map that comes from elsewhere is not, and so
neither is what only that map needed: queries, keys, their product, bias, mask and softmax. What another layer, or the
values, need of the same projection is still computed, so that of a common projection of q, k and v a third remains.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from workbench import devices, models, protocols
from workbench.models.parts.attention import MapPoint
from workbench.probes import roofline
from workbench.probes.prices import CONVOLUTIONS, price_of
from workbench.spec import Protocol, Variant
from workbench.tracing import Call, Shape, Trace, trace

from .tapping import Tapped

COPIES = frozenset("clone contiguous reshape roll _to_copy to batch_norm copy _reshape_copy".split())
"""Operators of which every result needs as much of the operand as is wanted of the result."""

PROJECTIONS = frozenset({"linear"}) | CONVOLUTIONS
"""Operators whose results are made one by one of all the operand: of an unwanted part nothing is computed."""


@dataclass(frozen=True)
class Saved:
    """What is no longer computed; of the whole network under one protocol."""

    multiply_adds: float
    seconds: float
    """Of the lower bound on the protocol's device; an estimate."""


class Ledger:
    """A network's trace with its maps marked, from which savings are read.

    The forward is the faithful one: the lean one of HiT-SR makes no map that could be shared.
    """

    def __init__(self, variant: Variant, protocol: str = "esc", tapped: Tapped | None = None):
        """`tapped`: taps that a network of somebody's own is to have."""
        self.protocol = protocols.find(protocol)
        if tapped is None:
            model = models.create(variant, device="meta", forward="faithful")
        else:
            model = tapped.around(models.create(variant)).to("meta")
        x = torch.empty(1, 3, *self.protocol.input.lr(variant.scale), device="meta")
        self.seen, self.points = marked(model, x)
        self.multiply_adds, self.seconds = _costs(self.seen, self.points, self.protocol)
        self.needs = needed(self.seen, self.points, ())

    @property
    def total(self) -> Saved:
        """The whole network, for a share of it to be told."""
        return Saved(sum(self.multiply_adds), sum(self.seconds))

    def saved(self, paths: Collection[str]) -> Saved:
        """What is not computed if the maps at these points come from elsewhere."""
        left = needed(self.seen, self.points, paths)
        share = [1 - now / before if before else 0.0 for now, before in zip(left, self.needs, strict=True)]
        return Saved(
            sum(m * s for m, s in zip(self.multiply_adds, share, strict=True)),
            sum(t * s for t, s in zip(self.seconds, share, strict=True)),
        )


class Closed:
    """The ledger of a network whose trace cannot be read."""

    total = Saved(math.nan, math.nan)

    def saved(self, paths: Collection[str]) -> Saved:
        """Nobody knows."""
        return self.total


def marked(model: nn.Module, x: Tensor) -> tuple[Trace, frozenset[str]]:
    """The trace of a network in which every map is copied where it passes its point, and the points' paths."""
    points = {path: module for path, module in model.named_modules() if isinstance(module, MapPoint)}
    try:
        for point in points.values():
            point.forward = Tensor.clone  # type: ignore[assignment]  # not a hook, which would ask for maps
        return trace(model, x), frozenset(points)
    finally:
        for point in points.values():
            del point.forward


def needed(seen: Trace, points: Collection[str], cut: Collection[str]) -> list[float]:
    """Of every call, what part of its results the output needs if the maps at the points `cut` come from elsewhere."""
    wanted: dict[int, float] = {s.storage: 1.0 for s in seen.calls[-1].outputs}
    parts = [0.0] * len(seen.calls)
    for k in range(len(seen.calls) - 1, -1, -1):
        call = seen.calls[k]
        if not call.written or (call.module in points and call.module in cut):
            continue
        made = {s.storage for s in call.outputs if s.storage >= 0}
        part = max((wanted.get(s, 0.0) for s in made), default=0.0)
        if not part:
            continue
        parts[k] = part if _in_parts(call) else 1.0
        passed_on = part if call.name in COPIES or _by_channel(call) else 1.0
        for operand in _operands(call):
            size = seen.storages[operand.storage].bytes
            if operand.storage not in made and size:
                more = min(1.0, operand.bytes / size) * passed_on
                wanted[operand.storage] = min(1.0, wanted.get(operand.storage, 0.0) + more)
    return parts


def _operands(call: Call) -> list[Shape]:
    """What a call reads on the device, each view once."""
    leaves = tree_leaves((call.arguments, dict(call.keywords)), is_leaf=lambda leaf: isinstance(leaf, Shape))
    return [s for s in leaves if isinstance(s, Shape) and s.storage >= 0]


def _in_parts(call: Call) -> bool:
    return call.name in COPIES or call.name in PROJECTIONS


def _by_channel(call: Call) -> bool:
    """Whether a convolution makes each channel of one channel."""
    return call.name in CONVOLUTIONS and call.arguments[1][1] == 1


def _costs(seen: Trace, points: Collection[str], protocol: Protocol) -> tuple[list[float], list[float]]:
    """Multiply-adds and seconds of every call, those of the marks left out."""
    device = devices.profile(protocol.bound.device)
    bound = {id(c.call): c.seconds for c in roofline.costs(seen, device, protocol.bound)}

    def of(call: Call, value: Any) -> float:
        return 0.0 if call.module in points else float(value)

    return (
        [of(c, price_of(c, protocol.counting)[1] if price_of(c, protocol.counting)[0] else 0) for c in seen.calls],
        [of(c, bound.get(id(c), 0.0)) for c in seen.calls],
    )


def sums(saved: Sequence[Saved]) -> Saved:
    """Several savings together."""
    return Saved(sum(s.multiply_adds for s in saved), sum(s.seconds for s in saved))
