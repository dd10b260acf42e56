"""How much arithmetic a call is, exactly and whatever a paper's convention says: what a roofline divides by a rate."""

from __future__ import annotations

import math
from collections.abc import Iterable

from workbench.trace import Call, Shape

COPIES = frozenset(
    "_to_copy arange as_strided cat chunk clone contiguous copy_ embedding expand_as fill_ flatten flip full gather "
    "index index_put index_put_ index_select meshgrid narrow new_full new_ones new_zeros numpy_T ones ones_like pad "
    "permute pixel_shuffle pixel_unshuffle repeat repeat_interleave reshape roll rot90 scatter scatter_ slice stack to "
    "transpose unfold zero_ zeros zeros_like".split()
)
"""Operators that only move or make numbers. Where one gives a view it moves no bytes either."""

CONVOLUTIONS = frozenset("conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d".split())


def products(call: Call) -> int:
    """The multiply-adds of a convolution, a matrix product or fused attention, exactly; 0 of all else.

    An einsum of more than two operands depends on the order it is evaluated in, and has none.
    """
    name, given = call.name, call.arguments
    made = _size(call.outputs[0]) if call.outputs else 0
    if name.startswith("conv_transpose"):
        return _size(given[0]) * _size(given[1][1:])
    if name in CONVOLUTIONS:
        return made * _size(given[1][1:])
    if name in ("linear", "matmul", "mm", "bmm", "mv", "dot"):
        return made * int(given[1 if name == "linear" else 0][-1])
    if name in ("addmm", "baddbmm"):
        return made * int(given[1][-1])
    if name == "einsum" and len(given[1]) == 2 and "." not in given[0]:
        terms = given[0].replace(" ", "").partition("->")[0].split(",")
        sizes: dict[str, int] = {}
        for term, shape in zip(terms, given[1], strict=True):
            sizes.update(zip(term, shape, strict=True))
        return _size(sizes.values())
    if name in ("scaled_dot_product_attention", "flex_attention"):
        q, k, v = given[:3]
        return _size(q[:-1]) * int(k[-2]) * int(q[-1] + v[-1])
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
