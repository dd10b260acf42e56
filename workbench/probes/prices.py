"""What an operator call costs in multiply-adds, under three conventions. "FLOPs" means nothing until one is named.

`fvcore` (what papers of this field mean by FLOPs): convolutions, linear layers and matrix products at their
multiply-adds; layer, group and instance norms at 5 per input element (4 without affine weights), batch norms at 2 in
eval and 5 in train (1 and 4 without); adaptive average pooling at 1 per input element, bilinear upsampling at 4 per
output element. Not softmax, GELU, sums, fused attention. An einsum costs what fvcore reads from a text of four digits:
its counts are rounded, and printed tables carry that.

`torch` (FlopCounterMode, halved): convolutions, matrix products and fused attention, exactly. No norm, no pooling.

`hooks` (thop): a call is seen if it is made in a module of torch's own for which there is a rule, and by its exact
class. Linear and convolution at their multiply-adds (a transposed one as if it were not), norms at 4 per element (2
without affine weights), softmax at 3 n - 1 for n entries, pooling, upsampling. What a forward does by itself is unseen:
attention's products above all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from workbench.spec import Counting
from workbench.tracing import Call

FREE = frozenset(
    "alias arange as_strided broadcast_to cat chunk clone contiguous copy copy_ detach empty empty_like expand "
    "expand_as fill_ flatten flip full gather index index_put index_put_ index_select item lift_fresh meshgrid movedim "
    "narrow new_empty new_zeros numpy_T ones ones_like pad permute pixel_shuffle pixel_unshuffle repeat "
    "repeat_interleave reshape roll rot90 scatter scatter_ select slice split split_with_sizes squeeze stack t tile to "
    "transpose unbind unflatten unfold unsqueeze view zeros zeros_like _to_copy".split()
)
"""Operators that move or make numbers without arithmetic: not counting them is no omission."""

CONVOLUTIONS = frozenset("conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d".split())
PRODUCTS = frozenset("linear matmul mm bmm addmm baddbmm einsum".split())
ATTENTION = frozenset(("flex_attention", "scaled_dot_product_attention"))

HEAVY = frozenset("addbmm bilinear convolution gru lstm selective_scan".split()) | CONVOLUTIONS | PRODUCTS | ATTENTION
"""Operators that do much arithmetic in one call: leaving one unpriced changes what a total means."""

LAYER_NORM = "layer_norm"
SCAN = "selective_scan"


def price_of(call: Call, counting: Counting) -> tuple[str | None, int]:
    """The kind under which a counter lists a call, and its multiply-adds; (None, 0) if it has no price."""
    name = call.name
    if name == LAYER_NORM and not counting.layer_norm:
        return None, 0
    if name == SCAN:
        return (SCAN, _scan(call)) if counting.selective_scan else (None, 0)
    prices = CONVENTIONS[counting.convention]
    if name not in prices or (counting.convention == "hooks" and name not in HOOKED.get(call.kind, ())):
        return None, 0
    kind, price = prices[name]
    return kind, price(call)


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


def _added(call: Call) -> int:
    _, a, b = call.arguments[:3]
    return _size(a) * int(b[-1])


def _broadcast(call: Call) -> int:
    """A product of stacks of matrices of which one may be repeated; a matrix times a vector is no product to torch."""
    a, b = call.arguments[:2]
    if len(b) == 1 or (len(a) == 1 and len(b) != 2):
        return 0
    return _size(call.outputs[0]) * int(a[-1])


def _read_einsum(call: Call) -> int:
    """fvcore knows two equations; of others it halves numpy's operation count, read from a text of four digits."""
    equation, operands = call.arguments[:2]
    if len(operands) > 2 or "." in equation:
        raise NotImplementedError(f"no price for the einsum {equation!r} of {len(operands)} operands")
    terms, output, sizes = _terms(equation, operands)
    product = _size(sizes.values())
    if _anonymous(equation) in ("abc,abd->acd", "abc,adc->adb"):
        return product
    summed = bool(set(sizes) - set(output))
    operations = product * (max(1, len(terms) - 1) + summed)
    return int(float(f"{operations:.3e}") // 2)


def _exact_einsum(call: Call) -> int:
    """The products of matrices that torch makes of an einsum: one operand after the other."""
    equation, operands = call.arguments[:2]
    if "." in equation:
        raise NotImplementedError(f"no price for the einsum {equation!r}, which names not all its sides")
    terms, output, sizes = _terms(equation, operands)
    total, left = 0, set(terms[0])
    for i, term in enumerate(terms[1:], start=1):
        later = set(output).union(*terms[i + 1 :])
        right = set(term)
        met = {c for c in left | right if c in later or (c in left and c in right)}
        if met - later:  # else it is no product of matrices but one of numbers
            total += _size(sizes[c] for c in met)
        left = met & later
    return total


def _terms(equation: str, operands: Any) -> tuple[list[str], str, dict[str, int]]:
    inputs, arrow, output = equation.replace(" ", "").partition("->")
    terms = inputs.split(",")
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, operands, strict=True):
        sizes.update(zip(term, shape, strict=True))
    if not arrow:
        output = "".join(sorted(c for c in sizes if inputs.count(c) == 1))
    return terms, output, sizes


def _anonymous(equation: str) -> str:
    """The same equation with its indices named in the order they come."""
    equation = equation.replace(" ", "")
    names = dict.fromkeys(c for c in equation if c.isalpha())
    return equation.translate({ord(name): 97 + i for i, name in enumerate(names)})


def _attention(call: Call) -> int:
    """Both products of attention, q k^T and that times v, over (..., N, d), (..., M, d), (..., M, e)."""
    q, k, v = call.arguments[:3]
    return _size(q[:-1]) * int(k[-2]) * (int(q[-1]) + int(v[-1]))


def _norm(affine: int, keyword: str, with_weights: int, without: int) -> Callable[[Call], int]:
    return lambda call: (
        _size(call.arguments[0]) * (without if _argument(call, affine, keyword) is None else with_weights)
    )


def _batch_norm(call: Call) -> int:
    affine = call.arguments[1] is not None
    training = bool(_argument(call, 5, "training"))
    return _size(call.arguments[0]) * ((5 if affine else 4) if training else (2 if affine else 1))


def _scan(call: Call) -> int:
    """The MambaIR repository's handler: 9 B L D N + B D L for u (B, D, L) and a state of N."""
    b, d, length = call.arguments[0]
    n = call.arguments[2][1]
    return int(9 * b * length * d * n + b * d * length)


def _seen_transposed(call: Call) -> int:
    x, weight = call.arguments[:2]
    out = call.outputs[0]
    channels = 0 if len(x) == len(weight) - 1 else 1
    groups = int(out[channels]) // int(weight[1])
    return _size(out) * (int(x[channels]) // groups) * _size(weight[2:])


def _softmax(call: Call) -> int:
    x, dim = call.arguments[:2]
    return _size(x) // int(x[dim]) * (3 * int(x[dim]) - 1)


def _adaptive(call: Call) -> int:
    x, out = call.arguments[0], call.outputs[0]
    return int((_size(x[2:]) / _size(out[2:]) + 1) * _size(out))


def _per(count: int, which: str) -> Callable[[Call], int]:
    return lambda call: count * _size(call.outputs[0] if which == "output" else call.arguments[0])


Prices = dict[str, tuple[str, Callable[[Call], int]]]

_CONVOLVED: Prices = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), ("conv", _convolution)),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), ("conv", _transposed)),
}

CONVENTIONS: dict[str, Prices] = {
    "fvcore": {
        **_CONVOLVED,
        "linear": ("linear", _linear),
        "matmul": ("matmul", _matmul),
        "mm": ("mm", _matmul),
        "bmm": ("bmm", _matmul),
        "addmm": ("addmm", _added),
        "einsum": ("einsum", _read_einsum),
        "layer_norm": ("layer_norm", _norm(2, "weight", 5, 4)),
        "group_norm": ("group_norm", _norm(2, "weight", 5, 4)),
        "instance_norm": ("instance_norm", _norm(1, "weight", 5, 4)),
        "batch_norm": ("batch_norm", _batch_norm),
        "adaptive_avg_pool2d": ("adaptive_avg_pool2d", _per(1, "input")),
        "upsample_bilinear2d": ("upsample_bilinear2d", _per(4, "output")),
        "upsample_nearest2d": ("upsample_nearest2d", _per(1, "output")),
        "grid_sampler": ("grid_sampler", _per(4, "output")),
    },
    "torch": {
        **_CONVOLVED,
        "linear": ("linear", _linear),
        "matmul": ("matmul", _broadcast),
        "mm": ("mm", _matmul),
        "bmm": ("bmm", _matmul),
        "addmm": ("addmm", _added),
        "baddbmm": ("baddbmm", _added),
        "einsum": ("einsum", _exact_einsum),
        **{name: (name, _attention) for name in ATTENTION},
    },
    "hooks": {
        **dict.fromkeys(("conv1d", "conv2d", "conv3d"), ("conv", _convolution)),
        **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), ("conv", _seen_transposed)),
        "linear": ("linear", _linear),
        "batch_norm": ("batch_norm", _norm(1, "weight", 4, 2)),
        "layer_norm": ("layer_norm", _norm(2, "weight", 4, 2)),
        "instance_norm": ("instance_norm", _norm(1, "weight", 4, 2)),
        "softmax": ("softmax", _softmax),
        **{f"avg_pool{n}d": (f"avg_pool{n}d", _per(1, "output")) for n in (1, 2, 3)},
        **{f"adaptive_avg_pool{n}d": (f"adaptive_avg_pool{n}d", _adaptive) for n in (1, 2, 3)},
        "prelu": ("prelu", _per(1, "input")),
        **{f"upsample_nearest{n}d": (f"upsample_nearest{n}d", _per(1, "output")) for n in (1, 2)},
        "upsample_linear1d": ("upsample_linear1d", _per(5, "output")),
        "upsample_bilinear2d": ("upsample_bilinear2d", _per(11, "output")),
        "upsample_bicubic2d": ("upsample_bicubic2d", _per(259, "output")),
    },
}
"""Per convention: operator to the kind it is listed under, and its price."""

_NORMS = ("batch_norm", "layer_norm", "instance_norm")
_SAMPLED = (
    "upsample_nearest1d",
    "upsample_nearest2d",
    "upsample_linear1d",
    "upsample_bilinear2d",
    "upsample_bicubic2d",
)
_RULES: dict[str, dict[str, tuple[str, ...]]] = {
    "conv": {
        **{f"Conv{n}d": (f"conv{n}d",) for n in (1, 2, 3)},
        **{f"ConvTranspose{n}d": (f"conv_transpose{n}d",) for n in (1, 2, 3)},
    },
    "linear": {"Linear": ("linear",)},
    "batchnorm": {**{f"BatchNorm{n}d": _NORMS for n in (1, 2, 3)}, "SyncBatchNorm": _NORMS},
    "normalization": {"LayerNorm": _NORMS},
    "instancenorm": {f"InstanceNorm{n}d": _NORMS for n in (1, 2, 3)},
    "activation": {"Softmax": ("softmax",), "PReLU": ("prelu",), "ReLU": (), "ReLU6": (), "LeakyReLU": ()},
    "pooling": {
        **{f"AvgPool{n}d": (f"avg_pool{n}d",) for n in (1, 2, 3)},
        **{f"AdaptiveAvgPool{n}d": (f"adaptive_avg_pool{n}d",) for n in (1, 2, 3)},
        **{f"{adaptive}MaxPool{n}d": () for n in (1, 2, 3) for adaptive in ("", "Adaptive")},
    },
    "upsampling": {"Upsample": _SAMPLED, "UpsamplingBilinear2d": _SAMPLED, "UpsamplingNearest2d": _SAMPLED},
    "pixelshuffle": {"PixelShuffle": ()},
    "padding": {"ZeroPad2d": ()},
    "dropout": {"Dropout": ()},
}
HOOKED: dict[str, tuple[str, ...]] = {
    f"torch.nn.modules.{file}.{name}": priced for file, rules in _RULES.items() for name, priced in rules.items()
}
"""The classes for which hook counters have a rule, as a call's `kind` names them, and the operators that it prices."""
