"""How much arithmetic a call is, exactly and whatever a paper's convention says: what a roofline divides by a rate."""

from __future__ import annotations

import math
from collections.abc import Iterable

from workbench.tracing import Call, Shape

from .prices import CONVENTIONS

COPIES = frozenset(
    "_to_copy arange as_strided cat chunk clone contiguous copy_ embedding expand_as fill_ flatten flip full gather "
    "index index_put index_put_ index_select meshgrid narrow new_full new_ones new_zeros numpy_T ones ones_like pad "
    "permute pixel_shuffle pixel_unshuffle repeat repeat_interleave reshape roll rot90 scatter scatter_ slice stack to "
    "transpose unfold zero_ zeros zeros_like".split()
)
"""Operators that only move or make numbers. Where one gives a view it moves no bytes either."""


def products(call: Call) -> int:
    """The multiply-adds of a convolution, a matrix product or fused attention, exactly; 0 of all else.

    Torch's counter is as exact, but does not see a matrix times a vector. An einsum that names not all its sides has
    none.
    """
    prices = CONVENTIONS["torch"]
    if call.name in ("matmul", "mv", "dot"):
        return _size(call.outputs[0]) * int(call.arguments[0][-1])
    try:
        return prices[call.name][1](call) if call.name in prices else 0
    except NotImplementedError:
        return 0


def operations(call: Call) -> int:
    """Floating operations: two for a multiply-add, none for copies and views, else one for each number of the largest
    operand or result.

    That is too little for a softmax or a norm; memory bounds those long before arithmetic does. A selective scan costs
    9 B L D N + B D L, as the MambaIR repository prices it: its states are in none of its operands.
    """
    if call.name == "selective_scan":
        batch, channels, length = call.arguments[0]
        return int(batch * channels * length * (9 * call.arguments[2][1] + 1))
    if exact := products(call):
        return 2 * exact
    if call.name in COPIES or not call.written:
        return 0
    given = [leaf for leaf in call.arguments if isinstance(leaf, Shape)]
    return max(map(_size, (*call.outputs, *given)), default=0)


def _size(shape: Iterable[int]) -> int:
    return int(math.prod(shape))
