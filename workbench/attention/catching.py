"""Calls that make attention maps, caught where torch dispatches them, whatever code they are in; each with its module.

Caught are softmax in all its spellings and scaled_dot_product_attention, also inside nn.MultiheadAttention and in
scripted code. A fused kernel of another package, and flex attention, makes no map that could be seen: it is named.
"""

from __future__ import annotations

import contextlib
import math
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten

SOFTMAXES = frozenset({aten.softmax, aten._softmax, aten._safe_softmax, aten.special_softmax})
FUSED = aten.scaled_dot_product_attention
OURS = frozenset({"aten", "prim", "prims", "profiler"})
"""Namespaces of torch's own operators; any other is a kernel that somebody brought along."""


@dataclass(frozen=True)
class Call:
    """One call that makes a map, known again in every pass by where it is and which of the calls there it is."""

    path: str
    """Of the innermost module that was running."""
    number: int
    """Among the calls of that module in one pass, from 1."""
    how: str
    """`nn.Softmax`, `softmax`, `nn.MultiheadAttention` or `sdpa`."""
    shape: tuple[int, ...]
    """Of the map."""
    last: bool
    """Whether its rows, by the last axis, are what was made to sum to 1."""
    heads: int | None
    """Where a module says so."""

    @property
    def key(self) -> tuple[str, int]:
        return self.path, self.number


Take = Callable[[Call, Tensor], Tensor]
"""What is done with a map: given the call and its map, the map that the network goes on with."""


class Catcher(TorchDispatchMode):
    """While it is active, every map passes `take`; a fused attention only where `open_fused` wants its map."""

    supports_higher_order_operators = True

    def __init__(self, net: nn.Module, take: Take, open_fused: Callable[[tuple[str, int]], bool]):
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it bare
        self.take = take
        self.open_fused = open_fused
        self.names: Mapping[nn.Module, str] = {module: name for name, module in net.named_modules()}
        self.running: list[tuple[str, nn.Module]] = [("", net)]
        self.calls: Counter[str] = Counter()
        self.foreign: dict[str, str] = {}
        """Kernels that hide their maps, each with the path of the first module that called it."""

    @contextlib.contextmanager
    def active(self) -> Iterator[Catcher]:
        """Catch what runs inside. What was compiled runs as written, and nn.MultiheadAttention without its shortcut."""

        def enter(module: nn.Module, args: Any) -> None:
            self.running.append((self.names.get(module, self.running[-1][0]), module))

        def leave(module: nn.Module, args: Any, output: Any) -> None:
            self.running.pop()

        with contextlib.ExitStack() as stack:
            stack.enter_context(plain())
            stack.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", "Using `torch.compile.*global hooks")  # it runs as written here
            stack.callback(register_module_forward_pre_hook(enter).remove)
            stack.callback(register_module_forward_hook(leave, always_call=True).remove)
            stack.enter_context(self)
            yield self

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        packet = getattr(func, "overloadpacket", None)
        if packet in SOFTMAXES and "out" not in kwargs:
            dim = args[1] if len(args) > 1 else kwargs.get("dim", -1)
            made = func(*args, **kwargs)
            return self.take(self._call(made, dim in (-1, made.dim() - 1)), made)
        if packet is FUSED:
            return self._fused(func, args, kwargs)
        if getattr(func, "namespace", "aten") not in OURS:
            self.foreign.setdefault(_named(func), self.running[-1][0])
        return func(*args, **kwargs)

    def _call(self, made: Tensor, last: bool = True, fused: bool = False) -> Call:
        path, module = self.running[-1]
        self.calls[path] += 1
        whole = isinstance(module, nn.MultiheadAttention)
        how = "sdpa" if fused else "nn.Softmax" if isinstance(module, nn.Softmax) else "softmax"
        heads = module.num_heads if isinstance(module, nn.MultiheadAttention) else None
        shape = tuple(made.shape)
        return Call(path, self.calls[path], "nn.MultiheadAttention" if whole else how, shape, last, heads)

    def _fused(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        path = self.running[-1][0]
        if not self.open_fused((path, self.calls[path] + 1)):
            self.calls[path] += 1
            return func(*args, **kwargs)
        made = fused_map(*args[:2], *args[3:], **{k: v for k, v in kwargs.items() if k != "value"})
        value = args[2] if len(args) > 2 else kwargs["value"]
        if value.dim() > 2 and value.shape[-3] != made.shape[-3]:
            value = value.repeat_interleave(made.shape[-3] // value.shape[-3], -3)
        return self.take(self._call(made, fused=True), made) @ value


@contextlib.contextmanager
def plain() -> Iterator[None]:
    """What was compiled runs as written, and nn.MultiheadAttention without the shortcut that makes no map."""
    shortcut = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else contextlib.nullcontext():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(shortcut)


def fused_map(
    query: Tensor,  # (..., N, d)
    key: Tensor,  # (..., M, d)
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,  # which a network in eval mode leaves at 0
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:  # (..., N, M)
    """The map that torch's scaled_dot_product_attention works with and never shows."""
    if enable_gqa:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
    logits = query @ key.mT * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    if is_causal:
        attn_mask = torch.ones(logits.shape[-2:], dtype=torch.bool, device=logits.device).tril()
    if attn_mask is not None:
        logits = logits.masked_fill(~attn_mask, -math.inf) if attn_mask.dtype == torch.bool else logits + attn_mask
    if logits.is_meta or attn_mask is None:
        return logits.softmax(-1)
    nothing = logits.isneginf().all(-1, keepdim=True)  # a query that is shown no key has no answer, not NaN
    return logits.softmax(-1).masked_fill(nothing, 0.0)


def _named(func: Any) -> str:
    """`flex_attention`, `flash_attn::fwd`: how an operator that is not torch's own is called."""
    name = str(getattr(func, "name", lambda: func)() if callable(getattr(func, "name", None)) else func)
    return name.removeprefix("higher_order.").removeprefix("higher_order::")
