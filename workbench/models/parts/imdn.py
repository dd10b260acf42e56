"""IMDN's frame, which RFDN kept: blocks in a row whose outputs are all fused, a long skip, one pixel shuffle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from .concat import fuse
from .layers import Upsampler

SLOPE = 0.05
"""Of every leaky ReLU."""


class Frame(nn.Module):
    """Everything of the network that is not in its blocks; a family inherits it and passes the blocks by key.

    Made for images in 0..1; no mean is subtracted.
    """

    ATTENTION = ("naive",)
    ATTENTION_NOTE = "its attention is a gate, without queries and keys."

    def __init__(self, scale: int, channels: int, blocks: Mapping[str, nn.Module], lean: bool):
        super().__init__()
        self.lean = lean
        self.keys = tuple(blocks)
        self.fea_conv = nn.Conv2d(3, channels, 3, padding=1)
        for key, block in blocks.items():
            self.add_module(key, block)
        self.c = nn.Sequential(nn.Conv2d(len(blocks) * channels, channels, 1), nn.LeakyReLU(SLOPE, inplace=True))
        self.LR_conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.upsampler = Upsampler(channels, scale)

    def forward(self, x: Tensor) -> Tensor:
        shallow = self.fea_conv(x)
        blocks = self.blocks(shallow)
        if self.lean:
            deep = self.LR_conv(self.c[1](fuse(self.c[0], blocks))).add_(shallow)
        else:
            outputs = list(blocks)  # held to the end, as the official code does
            deep = self.LR_conv(self.c(torch.cat(outputs, dim=1))) + shallow
        return self.upsampler(deep)

    def blocks(self, x: Tensor) -> Iterator[Tensor]:
        """Every block's output, one after the other."""
        for key in self.keys:
            x = self.get_submodule(key)(x)
            yield x
