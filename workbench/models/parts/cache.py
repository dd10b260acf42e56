"""Tensors that follow from parameters and sizes alone, kept between calls of a lean forward."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import torch
from torch import Tensor


class Kept:
    """One kept tensor per key, made anew when a parameter it follows from changes. Never part of a state dict.

    Nothing is kept while gradients are recorded or a compiler traces, since both need to see the computation.
    """

    def __init__(self) -> None:
        self._kept: dict[Hashable, tuple[Hashable, Tensor]] = {}

    def get(self, key: Hashable, sources: tuple[Tensor, ...], make: Callable[[], Tensor]) -> Tensor:
        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            return make()
        state = tuple((s.data_ptr(), 0 if s.is_inference() else s._version, s.device, s.dtype) for s in sources)
        found = self._kept.get(key)
        if found is None or found[0] != state:
            found = self._kept[key] = (state, make())
        return found[1]
