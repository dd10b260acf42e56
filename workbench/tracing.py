"""One pass of a network over meta tensors: every operator call with its shapes, the module it ran in, and what lived.

The walk is made under inference_mode at the level of composite operators (`linear`, `matmul`, `einsum`, `layer_norm`
arrive whole), which is where counting conventions are defined. Temporaries inside a composite operator are not seen.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

from workbench.spec import UserError
from workbench.standins import Host, fused_flex
from workbench.walked import BLOCK as BLOCK
from workbench.walked import Call as Call
from workbench.walked import Shape as Shape
from workbench.walked import Storage as Storage
from workbench.walked import Trace as Trace

EMPTY = frozenset("empty empty_like empty_permuted empty_strided new_empty new_empty_strided".split())
"""Operators that take memory and write nothing into it."""


def trace(model: nn.Module, x: Tensor) -> Trace:
    """Walk `model(x)` once. Model and input are on the meta device, so nothing is computed and any size is free.

    A network that asks for a value on the way (`.item()`, a branch on content) is refused with a UserError. What a
    network of the catalogue makes on the host has no content either; somebody else's may look into it, or ask where it
    lies.
    """
    ours = type(model).__module__.startswith("workbench.models.")
    return _walked(model, x, Host(x.device, empty=x.is_meta and ours))


def _walked(model: nn.Module, x: Tensor, host: Host) -> Trace:
    walk = _Walk(x.device, host)
    walk.there(model, x)
    try:
        with torch.inference_mode(), _module_paths(model, walk), fused_flex(walk.record), walk:
            walk.result = model(x)  # the caller's, and alive to the end
    except (RuntimeError, NotImplementedError) as error:
        if x.is_meta and "meta" in str(error).lower():
            raise _asks_for_values(model, walk, error) from error
        raise
    walk.end()
    return walk.trace


@cache
def ready() -> None:
    """Have torch import what it imports at the first walk of a process: over a second, which no measurement takes."""
    trace(nn.ReLU(), torch.empty(1, device="meta"))


_TRACED: weakref.WeakKeyDictionary[nn.Module, dict[tuple[Any, ...], Trace]] = weakref.WeakKeyDictionary()


def traced(model: nn.Module, x: Tensor) -> Trace:
    """The trace of `model(x)`, walked once per model and input: static probes are readings of one trace."""
    known = _TRACED.setdefault(model, {})
    key = (tuple(x.shape), x.dtype, x.device, model.training)
    if key not in known:
        known[key] = trace(model, x)
    return known[key]


def _asks_for_values(model: nn.Module, walk: _Walk, error: Exception) -> UserError:
    where = walk.died_in or "its own forward"
    told = str(error).split("\n")[0].split(". ")[0]
    after = walk.trace.calls[-1].op if walk.trace.calls else "its first operator"
    return UserError(
        f"{type(model).__name__} cannot be walked without computing: in {where}, after {after}, it asks for the values "
        f"of a tensor, which meta tensors do not have ({told}). Known to cause it: .item(), .tolist(), .cpu(), "
        "nonzero, a branch on a tensor. Decide by shapes there, or measure the network on a real device."
    )


class _Walk(TorchDispatchMode):
    def __init__(self, device: torch.device, host: Host) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it bare
        self.device = device
        self.host = host
        self.trace = Trace()
        self.path: list[tuple[str, str]] = []
        self.died_in = ""
        self.result: Any = None
        self._indices: dict[int, tuple[weakref.ref[Any], int]] = {}
        self._live = 0

    def end(self) -> None:
        """Look no longer at what dies."""
        self._indices.clear()

    def there(self, model: nn.Module, x: Tensor) -> None:
        """Take note of what is alive before the first call."""
        for name, parameter in model.named_parameters():
            self.hold(parameter, "", name.rpartition(".")[0], "parameter")
        for name, buffer in model.named_buffers():
            self.hold(buffer, "", name.rpartition(".")[0], "buffer")
        self.hold(x, "", "", "input")

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = self.host.call(func, args, kwargs)
        self.record(str(func.overloadpacket), args, kwargs, result)
        return result

    def record(self, op: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> None:
        module, kind = self.path[-1] if self.path else ("", "")
        outputs, inputs = list[Tensor](), list[tuple[Tensor, Shape]]()
        _each(result, outputs.append)
        new = [self.hold(t, op, module) for t in outputs]

        def seen(tensor: Tensor) -> Shape:
            inputs.append((tensor, self.shape(tensor)))
            return inputs[-1][1]

        given = _each((args, dict(kwargs)), seen)
        operands, made = [shape for _, shape in inputs], tuple(map(self.shape, outputs))
        there = {t.untyped_storage()._cdata for t, _ in inputs}
        fresh = [n and t.untyped_storage()._cdata not in there for n, t in zip(new, outputs, strict=True)]
        read, written = _moved(op, operands, made, fresh)
        host = self.device.type != "cpu" and any(s.storage < 0 and s.bytes for s in (*operands, *made))
        call = Call(op, module, kind, given[0], given[1], made, read, written, host, self._live)
        self.trace.calls.append(call)
        self.trace.events.append(("called", len(self.trace.calls) - 1))
        if self._live > self.trace.peak:
            self.trace.peak = self._live
            self.trace.peak_call = len(self.trace.calls) - 1

    def shape(self, tensor: Tensor) -> Shape:
        shape = Shape(tensor.shape)
        shape.dtype = _name(tensor.dtype)
        shape.contiguous = tensor.is_contiguous()
        distinct = tensor.numel()
        if not shape.contiguous:
            distinct = math.prod(n for n, stride in zip(shape, tensor.stride(), strict=True) if stride or n == 0)
        shape.bytes = distinct * tensor.element_size()
        if not self.host.has(tensor):
            shape.storage = self._indices.get(tensor.untyped_storage()._cdata, (None, -1))[1]
        return shape

    def hold(
        self,
        tensor: Tensor,
        op: str,
        module: str,
        role: Literal["parameter", "buffer", "input", "made"] = "made",
    ) -> bool:
        """Take note of a tensor's storage, once, until it dies. Whether it may be new; the host's are not kept."""
        if self.host.has(tensor):
            return True
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._indices:
            return False
        index = len(self.trace.storages)
        held = Storage(storage.nbytes(), Shape(tensor.shape), role, op, module, -1 if not op else len(self.trace.calls))

        def died(_: Any) -> None:
            del self._indices[key]
            self._live -= held.rounded
            held.died = len(self.trace.calls)
            self.trace.events.append(("died", index))

        self._indices[key] = (weakref.ref(storage, died), index)
        self.trace.storages.append(held)
        self.trace.events.append(("made", index))
        self._live += held.rounded
        held.shape = self.shape(tensor)
        return True


def _each(value: Any, change: Callable[[Tensor], Any]) -> Any:
    """What an operator takes or gives, every tensor in it changed. torch's own `tree_map` took half of a walk."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, (list, tuple)):
        return type(value)([_each(one, change) for one in value])
    return {k: _each(one, change) for k, one in value.items()} if isinstance(value, dict) else value


@cache
def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _moved(op: str, operands: Iterable[Shape], made: Iterable[Shape], fresh: Iterable[bool]) -> tuple[int, int]:
    """Bytes that a call reads and writes: nothing if it gives views only, or memory that nobody filled."""
    name = op.rpartition(".")[2]
    in_place = name.endswith("_") and not name.endswith("__")
    written = 0 if name in EMPTY else sum(s.bytes for s, new in zip(made, fresh, strict=True) if new or in_place)
    if not written:
        return 0, 0
    once = {(s.storage, s): s.bytes for s in operands}
    overwritten = name in ("copy_", "fill_", "zero_")
    return sum(once.values()) - (written if overwritten else 0), written


@contextmanager
def _module_paths(model: nn.Module, walk: _Walk) -> Iterator[None]:
    """Keep path and class of the running module on top of the walk's path.

    The hooks are global ones: a hook of the module's own would tell a map point that someone waits for its map.
    """
    names = {module: name for name, module in model.named_modules()}

    def enter(module: nn.Module, args: Any) -> None:
        kind = type(module)
        walk.path.append((names.get(module, kind.__name__), f"{kind.__module__}.{kind.__qualname__}"))
        walk.trace.modules.setdefault(*walk.path[-1])
        walk.died_in = walk.path[-1][0]

    def leave(module: nn.Module, args: Any, output: Any) -> None:
        walk.path.pop()
        walk.died_in = walk.path[-1][0] if walk.path else ""

    handles = (register_module_forward_pre_hook(enter), register_module_forward_hook(leave))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
