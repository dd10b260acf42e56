"""What stands in for the real thing in a walk over meta tensors: the host's tensors, and flex attention."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.nn.attention import flex_attention as flex_module
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map_only

MOVES = ("to", "_to_copy")
"""Operators that may bring a tensor from the host to the device."""


class Host:
    """Which tensors of a walk lie on the host, and calls made with tensors without content in place of those.

    SwinIR makes a mask on the CPU in every block; with content, those of one large input take a minute and gigabytes.
    """

    def __init__(self, device: torch.device, empty: bool):
        """`empty`: whether what a network makes on the host has no content; else it is made as the network says."""
        self.device = device
        self.empty = empty
        self._there: dict[int, weakref.ref[Any]] = {}

    def has(self, tensor: Tensor) -> bool:
        """Whether a tensor is the host's: one that lies there, or one that stands for it."""
        return tensor.device != self.device or tensor.untyped_storage()._cdata in self._there

    def call(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """What an operator returns, without computing on the host."""
        if not self.empty:
            return func(*args, **kwargs)
        operands = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        if not operands and torch.device(kwargs.get("device") or "cpu").type == "cpu":
            return self._kept(func(*args, **{**kwargs, "device": self.device}))
        if not any(t.is_meta and self.has(t) for t in operands):
            return func(*args, **kwargs)
        if func.__name__.partition(".")[0] in MOVES and self._to_the_device(*args[1:], kwargs.get("device")):
            return torch.empty_like(func(*args, **kwargs))  # which hands a stand-in through, and makes no copy of it
        given = tree_map_only(Tensor, lambda t: t.to(self.device) if t.is_cpu else t, (args, dict(kwargs)))
        result = func(*given[0], **given[1])
        return self._kept(result) if all(self.has(t) for t in operands) else result

    def _to_the_device(self, *named: Any) -> bool:
        """Whether any of what is named, a device or a tensor on one, leads away from the host."""
        return any(
            not self.has(to) if isinstance(to, Tensor) else torch.device(to) == self.device
            for to in named
            if isinstance(to, Tensor | torch.device | str)
        )

    def _kept(self, result: Any) -> Any:
        """Take note that results stand for tensors of the host, until they die."""
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and tensor.is_meta:
                storage = tensor.untyped_storage()
                self._note(storage._cdata, storage)
        return result

    def _note(self, key: int, storage: Any) -> None:
        if key not in self._there:
            self._there[key] = weakref.ref(storage, lambda _: self._there.pop(key, None))


@contextmanager
def fused_flex(record: Callable[[str, tuple[Any, ...], Mapping[str, Any], Any], None]) -> Iterator[None]:
    """Stand in for flex attention: one fused operator that allocates its output only, and is recorded as one call.

    Uncompiled, torch would run its unfused reference and show a map that the compiled kernel never makes.
    """

    def fused(q: Tensor, k: Tensor, v: Tensor, **options: Any) -> Tensor:
        with _disable_current_modes():  # the output is the operator's own
            out = q.new_empty(*q.shape[:-1], v.shape[-1])
        record("flex_attention", (q, k, v), {}, out)
        return out

    with mock.patch.object(flex_module, "flex_attention", fused):
        yield
