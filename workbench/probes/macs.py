"""Multiply-adds of one forward pass: one reading of the trace, under a stated convention.

fvcore's convention (what papers of this field mean by FLOPs): one multiply-add is one; convolutions, linear layers and
matrix products at their multiply-adds, layer, group and instance norms at 5 per input element (4 without affine
weights), batch norms at 2 in eval and 5 in train (1 and 4 without), adaptive average pooling at 1 per input element,
bilinear upsampling at 4 per output element. Nothing else has a price: not softmax, GELU, sums, fused attention.
An einsum costs what fvcore reads from a text of four digits: its counts are rounded, and printed tables carry that.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor, nn

from workbench.spec import Counting, Protocol
from workbench.trace import Call, traced

from . import Reading

FREE = frozenset(
    "alias arange as_strided broadcast_to cat chunk clone contiguous copy copy_ detach empty empty_like expand "
    "expand_as fill_ flatten flip full gather index index_put index_put_ index_select item lift_fresh meshgrid movedim "
    "narrow new_empty new_zeros numpy_T ones ones_like pad permute pixel_shuffle pixel_unshuffle repeat "
    "repeat_interleave reshape roll rot90 scatter scatter_ select slice split split_with_sizes squeeze stack t tile to "
    "transpose unbind unflatten unfold unsqueeze view zeros zeros_like _to_copy".split()
)
"""Operators that move or make numbers without arithmetic: not counting them is no omission."""

HEAVY = frozenset(
    "addbmm baddbmm bilinear convolution flex_attention gru lstm scaled_dot_product_attention selective_scan".split()
)
"""Operators that do much arithmetic in one call: leaving one unpriced changes what a total means."""


def measure(model: nn.Module, x: Tensor, protocol: Protocol) -> Reading:
    """Sum the prices of all operator calls; `details` says what was counted and what has no price."""
    counted: Counter[str] = Counter()
    uncounted: Counter[str] = Counter()
    for call in traced(model, x).calls:
        name = call.op.rpartition(".")[2]
        kind, price = price_of(call, name, protocol.counting)
        if kind:
            counted[kind] += price
        elif name not in FREE:
            uncounted[name] += 1
    details = {
        "by_operator": dict(counted.most_common()),
        "uncounted": dict(uncounted.most_common()),
        "uncounted_heavy": sorted(HEAVY & uncounted.keys()),
    }
    return Reading((counted.total(),), details)


def price_of(call: Call, name: str, counting: Counting) -> tuple[str | None, int]:
    """The kind under which fvcore lists a call, and its multiply-adds; (None, 0) if the convention has no price."""
    if name == "layer_norm" and not counting.layer_norm:
        return None, 0
    if name == "selective_scan":
        return ("selective_scan", _scan(call)) if counting.selective_scan else (None, 0)
    if name in _PRICES:
        kind, price = _PRICES[name]
        return kind, price(call)
    return None, 0


def _size(shape: Iterable[int]) -> int:
    return int(math.prod(shape))


def _argument(call: Call, position: int, keyword: str) -> Any:
    return call.arguments[position] if len(call.arguments) > position else call.keywords.get(keyword)


def _convolution(call: Call) -> int:
    x, weight = call.arguments[:2]
    out = call.outputs[0]
    batched = len(x) == len(weight)
    return int(x[0] if batched else 1) * _size(weight) * _size(out[2 if batched else 1 :])


def _transposed(call: Call) -> int:
    x, weight = call.arguments[:2]
    batched = len(x) == len(weight)
    return int(x[0] if batched else 1) * _size(weight) * _size(x[2 if batched else 1 :])


def _linear(call: Call) -> int:
    return _size(call.arguments[0]) * int(call.arguments[1][0])


def _matmul(call: Call) -> int:
    a, b = call.arguments[:2]
    return _size(a) * int(b[-1] if len(b) > 1 else 1)


def _addmm(call: Call) -> int:
    _, a, b = call.arguments[:3]
    return _size(a) * int(b[-1])


def _einsum(call: Call) -> int:
    """fvcore knows two equations; of others it halves numpy's operation count, read from a text of four digits."""
    equation, operands = call.arguments[:2]
    if len(operands) > 2 or "." in equation:
        raise NotImplementedError(f"no price for the einsum {equation!r} of {len(operands)} operands")
    inputs, _, output = equation.replace(" ", "").partition("->")
    sizes: dict[str, int] = {}
    for term, shape in zip(inputs.split(","), operands, strict=True):
        sizes.update(zip(term, shape, strict=True))
    product = _size(sizes.values())
    if _anonymous(equation) in ("abc,abd->acd", "abc,adc->adb"):
        return product
    summed = bool(set(sizes) - set(output))
    operations = product * (max(1, len(operands) - 1) + summed)
    return int(float(f"{operations:.3e}") // 2)


def _anonymous(equation: str) -> str:
    """The same equation with its indices named in the order they come."""
    equation = equation.replace(" ", "")
    names = dict.fromkeys(c for c in equation if c.isalpha())
    return equation.translate({ord(name): 97 + i for i, name in enumerate(names)})


def _norm(affine: int, keyword: str) -> Callable[[Call], int]:
    return lambda call: _size(call.arguments[0]) * (4 if _argument(call, affine, keyword) is None else 5)


def _batch_norm(call: Call) -> int:
    affine = call.arguments[1] is not None
    training = bool(_argument(call, 5, "training"))
    return _size(call.arguments[0]) * ((5 if affine else 4) if training else (2 if affine else 1))


def _scan(call: Call) -> int:
    """The MambaIR repository's handler: 9 B L D N + B D L for u (B, D, L) and a state of N."""
    b, d, length = call.arguments[0]
    n = call.arguments[2][1]
    return int(9 * b * length * d * n + b * d * length)


_PRICES: dict[str, tuple[str, Callable[[Call], int]]] = {
    "conv1d": ("conv", _convolution),
    "conv2d": ("conv", _convolution),
    "conv3d": ("conv", _convolution),
    "conv_transpose1d": ("conv", _transposed),
    "conv_transpose2d": ("conv", _transposed),
    "conv_transpose3d": ("conv", _transposed),
    "linear": ("linear", _linear),
    "matmul": ("matmul", _matmul),
    "mm": ("mm", _matmul),
    "bmm": ("bmm", _matmul),
    "addmm": ("addmm", _addmm),
    "einsum": ("einsum", _einsum),
    "layer_norm": ("layer_norm", _norm(2, "weight")),
    "group_norm": ("group_norm", _norm(2, "weight")),
    "instance_norm": ("instance_norm", _norm(1, "weight")),
    "batch_norm": ("batch_norm", _batch_norm),
    "adaptive_avg_pool2d": ("adaptive_avg_pool2d", lambda call: _size(call.arguments[0])),
    "upsample_bilinear2d": ("upsample_bilinear2d", lambda call: 4 * _size(call.outputs[0])),
    "upsample_nearest2d": ("upsample_nearest2d", lambda call: _size(call.outputs[0])),
    "grid_sampler": ("grid_sampler", lambda call: 4 * _size(call.outputs[0])),
}
