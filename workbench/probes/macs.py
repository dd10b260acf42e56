"""Multiply-adds of one forward pass: one reading of the trace, under a convention of `prices`."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction

import torch
from torch import Tensor, nn

from workbench.spec import Protocol, UserError
from workbench.tracing import Call, Shape, Trace, traced

from . import Reading
from .prices import CONVOLUTIONS, FREE, HEAVY, price_of

PADS = frozenset("constant_pad_nd pad reflection_pad2d replication_pad2d".split())


def measure(model: nn.Module, x: Tensor, protocol: Protocol) -> Reading:
    """Sum the prices of all operator calls; `details` says what was counted and what has no price."""
    counted: Counter[str] = Counter()
    uncounted: Counter[str] = Counter()
    seen = traced(model, x)
    share = Fraction(1)
    size = tuple(x.shape[-2:])
    if not protocol.counting.padding and (whole := padded(seen, size)) != size:
        share = Fraction(math.prod(size), math.prod(whole))
        seen = _without_padding(model, x, whole)
    for call in seen.calls:
        kind, price = price_of(call, protocol.counting)
        if kind:
            counted[kind] += price * protocol.counting.each
        elif call.name not in FREE:
            uncounted[call.name] += 1
    details = {
        "by_operator": {kind: round(price * share) for kind, price in counted.most_common()},
        "uncounted": dict(uncounted.most_common()),
        "uncounted_heavy": sorted(HEAVY & uncounted.keys()),
    }
    return Reading((round(counted.total() * share),), details)


def padded(seen: Trace, size: tuple[int, ...]) -> tuple[int, ...]:
    """Height and width that an input of that size, or maps of its size, were padded to on the way."""
    sizes = [size]
    sizes += [c.outputs[0][-2:] for c in seen.calls if c.name in PADS and c.arguments[0][-2:] == size]
    first = next((c for c in seen.calls if c.name in CONVOLUTIONS), None)
    if first is not None and len(_image(first)) >= 2:
        sizes.append(_image(first)[-2:])  # images are also padded by joining flipped copies
    return tuple(map(max, *sizes)) if len(sizes) > 1 else size


def _image(call: Call) -> Shape:
    shape: Shape = call.arguments[0]
    return shape


def _without_padding(model: nn.Module, x: Tensor, whole: tuple[int, ...]) -> Trace:
    """The trace at the padded size, which needs no padding; its counts are then taken by the share of real pixels."""
    seen = traced(model, torch.empty(*x.shape[:-2], *whole, device=x.device, dtype=x.dtype))
    if padded(seen, whole) != whole:
        raise UserError(
            f"{type(model).__name__} pads an input of {x.shape[-2]}x{x.shape[-1]} to {whole[0]}x{whole[1]} and that "
            "size again, so its padding cannot be told from that of its convolutions; count it with padding."
        )
    return seen
