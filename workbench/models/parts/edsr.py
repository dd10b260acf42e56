"""EDSR's frame, which RCAN kept: shift the mean away, head, body with a long skip, upscaling tail, shift it back."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from .layers import DIV2K_MEAN
from .upscale import in_strips, ladder

CHANNELS = 64


class MeanShift(nn.Conv2d):
    """Adds `sign` times DIV2K's mean in the given range: an identity 1x1 convolution whose bias is the shift."""

    def __init__(self, sign: int, value_range: float, trainable: bool = False):
        super().__init__(3, 3, 1)
        assert self.bias is not None
        with torch.no_grad():
            self.weight.copy_(torch.eye(3).view(3, 3, 1, 1))
            self.bias.copy_(sign * value_range * torch.tensor(DIV2K_MEAN))
        self.requires_grad_(trainable)


class Frame(nn.Module):
    """Everything of the network that is not in its blocks; a family inherits it and passes the blocks.

    Made for images in 0..255, from which it subtracts the mean; it takes what it is given.
    """

    ATTENTION = ("naive",)
    ATTENTION_NOTE = "it has no attention."

    def __init__(self, scale: int, blocks: Iterable[nn.Module], lean: bool, trainable_mean: bool = False):
        super().__init__()
        self.scale = scale
        self.lean = lean
        self.sub_mean = MeanShift(-1, 255, trainable_mean)
        self.add_mean = MeanShift(1, 255, trainable_mean)
        self.head = nn.Sequential(nn.Conv2d(3, CHANNELS, 3, padding=1))
        self.body = nn.Sequential(*blocks, nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1))
        self.tail = nn.Sequential(nn.Sequential(*ladder(CHANNELS, scale)), nn.Conv2d(CHANNELS, 3, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.head(self.sub_mean(x))
        deep = self.body(x)
        deep += x
        up = in_strips(self.tail, deep, self.scale) if self.lean else self.tail(deep)
        return self.add_mean(up)
