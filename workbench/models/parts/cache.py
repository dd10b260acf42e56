"""Tensors that follow from parameters and sizes alone, kept between calls of a lean forward."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import NamedTuple

import torch
from torch import Tensor


class _One(NamedTuple):
    """What was made, and of what."""

    state: Hashable
    seen: tuple[Tensor, ...]
    """The content of the parameters that lie on the CPU."""
    made: Tensor


class Kept:
    """One kept tensor per key, made anew when a parameter it follows from changes. Never part of a state dict.

    Nothing is kept while gradients are recorded or a compiler traces, since both need to see the computation. torch
    counts no version of what is written through `.data`, as averages of weights do, nor of tensors made in inference
    mode. On a CPU the parameters are therefore compared themselves; on a GPU, which would have to be waited for,
    inference tensors keep nothing, and after a change through `.data` alone a network has to be made or moved anew.
    """

    def __init__(self) -> None:
        self._kept: dict[Hashable, _One] = {}

    def get(self, key: Hashable, sources: tuple[Tensor, ...], make: Callable[[], Tensor]) -> Tensor:
        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            return make()
        if any(s.is_inference() and not (s.is_cpu or s.is_meta) for s in sources):
            return make()
        state = tuple((s.data_ptr(), 0 if s.is_inference() else s._version, s.device, s.dtype) for s in sources)
        here = [s for s in sources if s.is_cpu]
        found = self._kept.get(key)
        if found is None or found.state != state or not all(map(torch.equal, found.seen, here)):
            seen = tuple(s.detach().clone() for s in here)
            found = self._kept[key] = _One(state, seen, make())
        return found.made
