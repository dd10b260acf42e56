"""RDN: residual dense blocks, whose outputs are all fused at the end (CVPR 2018)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from .parts.concat import Growing, fuse
from .parts.upscale import in_strips, ladder

CHANNELS = 64
BLOCKS = 16
LAYERS = 8  # of a block
GROWTH = 64


class DenseLayer(nn.Module):
    """Convolution and ReLU of all that the block made before; the official key of the convolution is `conv.0`."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(channels, GROWTH, 3, padding=1), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class DenseBlock(nn.Module):
    """Layers that each see the input and all outputs before theirs, a pointwise fusion, a residual."""

    def __init__(self, lean: bool):
        super().__init__()
        self.lean = lean
        self.convs = nn.Sequential(*(DenseLayer(CHANNELS + GROWTH * i) for i in range(LAYERS)))
        self.LFF = nn.Conv2d(CHANNELS + GROWTH * LAYERS, CHANNELS, 1)

    def forward(self, x: Tensor) -> Tensor:
        if self.lean:
            grown = Growing(x, self.LFF.in_channels)
            for layer in self.convs:
                grown.add(layer(grown.map))
            return self.LFF(grown.map).add_(x)
        dense = x
        for layer in self.convs:
            dense = torch.cat((dense, layer(dense)), dim=1)
        return self.LFF(dense) + x


class RDN(nn.Module):
    """RDN in its configuration B; images in 0..255 as its best-known port trains it, no mean is subtracted."""

    ATTENTION = ("naive",)
    ATTENTION_NOTE = "it has no attention."

    def __init__(self, scale: int, attention: str = "naive", lean: bool = False):
        super().__init__()
        self.scale = scale
        self.lean = lean
        self.SFENet1 = nn.Conv2d(3, CHANNELS, 3, padding=1)
        self.SFENet2 = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.RDBs = nn.ModuleList(DenseBlock(lean) for _ in range(BLOCKS))
        self.GFF = nn.Sequential(nn.Conv2d(BLOCKS * CHANNELS, CHANNELS, 1), nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1))
        self.UPNet = nn.Sequential(*ladder(CHANNELS, scale), nn.Conv2d(CHANNELS, 3, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        shallow = self.SFENet1(x)
        blocks = self.blocks(self.SFENet2(shallow))
        if self.lean:
            x = self.GFF[1](fuse(self.GFF[0], blocks))
            x += shallow
            return in_strips(self.UPNet, x, self.scale)
        outputs = list(blocks)  # held to the end, as the official code does
        x = self.GFF(torch.cat(outputs, dim=1))
        x += shallow
        return self.UPNet(x)

    def blocks(self, x: Tensor) -> Iterator[Tensor]:
        """Every block's output, one after the other."""
        for block in self.RDBs:
            x = block(x)
            yield x


MODELS: dict[str, tuple[type[RDN], dict[str, int]]] = {"rdn": (RDN, {})}
