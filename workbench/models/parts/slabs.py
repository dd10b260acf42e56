"""How much of a large temporary a lean forward makes at once."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

SLAB = 16 * 2**20  # bytes
CPU_SLAB = 2 * 2**20  # bytes, so that two temporaries in a row stay in cache


def slabs(like: Tensor, count: int, each: int, whole: bool = False) -> Iterator[slice]:
    """Cut a count of things of `each` numbers into slices; into one where `whole` is wanted or a compiler traces."""
    bound = CPU_SLAB if like.is_cpu else SLAB
    step = max(1, bound // (each * like.element_size()))
    if whole or torch.compiler.is_compiling():
        step = count
    return (slice(first, min(first + step, count)) for first in range(0, count, step))
