"""Concatenations along channels that a lean forward need not make, or makes only once."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def fuse(conv: nn.Module, parts: Iterable[Tensor]) -> Tensor:
    """The pointwise convolution of the concatenation of `parts`, as a sum of shares: a part may go once it is used.

    Adding in place is safe for autograd here, since a convolution's backward does not need its output.
    """
    assert isinstance(conv, nn.Conv2d)
    total, at = None, 0
    for part in parts:
        weight = conv.weight[:, at : at + part.shape[1]]
        total = F.conv2d(part, weight, conv.bias) if total is None else total.add_(F.conv2d(part, weight))
        at += part.shape[1]
        del part  # or it would live while the next one is made
    assert total is not None
    assert at == conv.in_channels
    return total


class Growing:
    """A map (B, up to `channels`, H, W) that starts as `first` and grows by channels.

    Without gradients it is allocated once and written piece by piece; autograd needs every stage of it unharmed.
    """

    def __init__(self, first: Tensor, channels: int):
        self.map = first
        if not torch.is_grad_enabled():
            self._whole = first.new_empty(first.shape[0], channels, *first.shape[2:])
            self._whole[:, : first.shape[1]] = first

    def add(self, part: Tensor) -> Tensor:
        """Append a part and return all there is so far."""
        if torch.is_grad_enabled():
            self.map = torch.cat((self.map, part), dim=1)
        else:
            end = self.map.shape[1] + part.shape[1]
            self._whole[:, self.map.shape[1] : end] = part
            self.map = self._whole[:, :end]
        return self.map
