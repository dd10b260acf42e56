"""One pass of a network over meta tensors: every operator call with its shapes, the module it ran in, and what lived.

The walk is made under inference_mode at the level of composite operators (`linear`, `matmul`, `einsum`, `layer_norm`
arrive whole), which is where counting conventions are defined. Temporaries inside a composite operator are not seen.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn.attention import flex_attention as flex_module
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

BLOCK = 512
"""CUDA's caching allocator rounds every allocation up to this many bytes."""


@dataclass(frozen=True)
class Call:
    """One operator call."""

    op: str
    """Name without overload: `aten.conv2d`; `flex_attention` for the fused operator of that name."""
    module: str
    """Path of the innermost module that was running."""
    arguments: tuple[Any, ...]
    """The positional arguments, each tensor replaced by its `Shape`; keywords of the call are in `keywords`."""
    keywords: Mapping[str, Any]
    outputs: tuple[Shape, ...]
    live: int
    """Bytes alive after the call, parameters and input included."""


class Shape(tuple[int, ...]):
    """The shape that a tensor had."""


@dataclass
class Trace:
    """What one pass showed."""

    calls: list[Call] = field(default_factory=list)
    peak: int = 0
    """Largest number of bytes alive at once, each storage rounded up to `BLOCK`."""
    peak_call: int = -1
    """Index of the call after which that was reached; -1 before the first."""
    at_peak: list[tuple[int, str, str]] = field(default_factory=list)
    """What was alive then: bytes, the operator and the module that made it; largest first."""


def trace(model: nn.Module, x: Tensor) -> Trace:
    """Walk `model(x)` once. Model and input are on the meta device, so nothing is computed and any size is free."""
    walk = _Walk(x.device)
    for tensor in (*model.parameters(), *model.buffers(), x):
        walk.hold(tensor, "parameter" if isinstance(tensor, nn.Parameter) else "input", "")
    with torch.inference_mode(), _module_paths(model, walk.path), _fused_flex(walk), walk:
        model(x)
    return walk.trace


_TRACED: weakref.WeakKeyDictionary[nn.Module, dict[tuple[Any, ...], Trace]] = weakref.WeakKeyDictionary()


def traced(model: nn.Module, x: Tensor) -> Trace:
    """The trace of `model(x)`, walked once per model and input: static probes are readings of one trace."""
    known = _TRACED.setdefault(model, {})
    key = (tuple(x.shape), x.dtype, x.device, model.training)
    if key not in known:
        known[key] = trace(model, x)
    return known[key]


class _Walk(TorchDispatchMode):
    def __init__(self, device: torch.device) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it bare
        self.device = device
        self.trace = Trace()
        self.path: list[str] = []
        self._storages: dict[int, tuple[weakref.ref[Any], int, str, str]] = {}
        self._live = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        self.record(str(func.overloadpacket), args, kwargs, result)
        return result

    def record(self, op: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> None:
        module = self.path[-1] if self.path else ""
        outputs = [t for t in torch.utils._pytree.tree_leaves(result) if isinstance(t, Tensor)]
        for tensor in outputs:
            self.hold(tensor, op, module)
        shapes = torch.utils._pytree.tree_map_only(Tensor, lambda t: Shape(t.shape), (args, dict(kwargs)))
        call = Call(op, module, shapes[0], shapes[1], tuple(Shape(t.shape) for t in outputs), self._live)
        self.trace.calls.append(call)
        if self._live > self.trace.peak:
            self.trace.peak = self._live
            self.trace.peak_call = len(self.trace.calls) - 1
            self.trace.at_peak = [held[1:] for held in self._storages.values()]
            self.trace.at_peak.sort(key=lambda held: -held[0])

    def hold(self, tensor: Tensor, op: str, module: str) -> None:
        """Count a tensor's storage, once, until it dies."""
        if tensor.device != self.device:
            return
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._storages:
            return
        size = -(-storage.nbytes() // BLOCK) * BLOCK

        def died(_: Any) -> None:
            del self._storages[key]
            self._live -= size

        self._storages[key] = (weakref.ref(storage, died), size, op, module)
        self._live += size


@contextmanager
def _module_paths(model: nn.Module, path: list[str]) -> Iterator[None]:
    """Keep the path of the running module on top of `path`.

    The hooks are global ones: a hook of the module's own would tell a map point that someone waits for its map.
    """
    names = {module: name for name, module in model.named_modules()}

    def enter(module: nn.Module, args: Any) -> None:
        path.append(names.get(module, type(module).__name__))

    def leave(module: nn.Module, args: Any, output: Any) -> None:
        path.pop()

    handles = (register_module_forward_pre_hook(enter), register_module_forward_hook(leave))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _fused_flex(walk: _Walk) -> Iterator[None]:
    """Stand in for flex attention: one fused operator that allocates its output only.

    Uncompiled, torch would run its unfused reference and show a map that the compiled kernel never makes.
    """

    def fused(q: Tensor, k: Tensor, v: Tensor, **options: Any) -> Tensor:
        out = q.new_empty(*q.shape[:-1], v.shape[-1])
        walk.record("flex_attention", (q, k, v), {}, out)
        return out

    with mock.patch.object(flex_module, "flex_attention", fused):
        yield
