"""Steps that overflow or lose too much in half precision, kept in float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def full_precision(x: Tensor) -> Iterator[Tensor]:
    """Suspend autocast, if it is on, and give `x` in float32; without autocast x as it is, of whatever type."""
    if x.is_meta or not torch.is_autocast_enabled(x.device.type):
        yield x
        return
    with torch.autocast(x.device.type, enabled=False):
        yield x.float()


def wide(x: Tensor) -> Tensor:
    """float32 in place of the half precisions, for squares and small divisors."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
