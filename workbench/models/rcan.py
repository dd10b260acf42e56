"""RCAN: residual groups of residual channel attention blocks (ECCV 2018)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .parts.edsr import CHANNELS, Frame

GROUPS = 10
BLOCKS = 20  # of a group
REDUCTION = 16


class ChannelAttention(nn.Module):
    """Scales every channel by a gate computed from the channels' means."""

    def __init__(self, lean: bool):
        super().__init__()
        self.lean = lean
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.conv_du = nn.Sequential(
            nn.Conv2d(CHANNELS, CHANNELS // REDUCTION, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(CHANNELS // REDUCTION, CHANNELS, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        gate = self.conv_du(self.avg_pool(x))
        if self.lean and not torch.is_grad_enabled():
            return x.mul_(gate)  # x is the fresh output of the convolution before
        return x * gate


class Block(nn.Module):
    """RCAB: convolution, ReLU, convolution, channel attention, residual."""

    def __init__(self, lean: bool):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
            ChannelAttention(lean),
        )

    def forward(self, x: Tensor) -> Tensor:
        out = self.body(x)
        out += x
        return out


class Group(nn.Module):
    """Blocks and a convolution, with a residual around them."""

    def __init__(self, lean: bool):
        super().__init__()
        blocks = (Block(lean) for _ in range(BLOCKS))
        self.body = nn.Sequential(*blocks, nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        out = self.body(x)
        out += x
        return out


class RCAN(Frame):
    """RCAN; images in 0..255.

    Its mean shifts count as trainable: the official code means to freeze them, but sets the flag on the module only.
    """

    ATTENTION_NOTE = "its attention is a gate, without queries and keys."

    def __init__(self, scale: int, attention: str = "naive", lean: bool = False):
        super().__init__(scale, (Group(lean) for _ in range(GROUPS)), lean, trainable_mean=True)


MODELS: dict[str, tuple[type[RCAN], dict[str, int]]] = {"rcan": (RCAN, {})}
