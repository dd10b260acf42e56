"""Omni-SR: attention among pixels and among channels, in local windows and on a grid over the image (CVPR 2023)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .parts.attention import IMPLEMENTATIONS, attend
from .parts.omni import (
    ESA,
    ChannelAttention,
    Frame,
    GatedFFN,
    MBConv,
    PixelAttention,
    PixelNorm,
    cut,
    plus,
    portion,
    sew_plus,
)

CHANNELS = 64
GROUPS = 5
HEADS = 4


class WindowAttention(PixelAttention):
    """Attention in windows or grid groups; the lean forward takes a portion of them at a time."""

    def __init__(self, grid: bool, attention: str, lean: bool):
        super().__init__(CHANNELS, HEADS, grid, lean)
        self.attention = attention

    def attend(self, x: Tensor) -> Tensor:
        q, k, v = self.split(x)
        how, bias = self.attention, self.bias()
        out = attend(q, k, v, scale=self.scale, attention=how, point=self.map, bias=bias, lean=self.lean)
        return self.to_out(out.transpose(1, 2).reshape(x.shape))

    def forward(self, x: Tensor) -> Tensor:  # (B, Y, X, 8, 8, 64)
        if not self.lean and self.attention == "naive":
            return self.mapped(x)[0]
        windows, at_once = x.flatten(0, 2), portion(x.device)
        if not self.lean or self.map.watched or windows.shape[0] <= at_once:
            return self.attend(x)
        return torch.cat([self.attend(some) for some in torch.split(windows, at_once)]).view(x.shape)


class PreNorm(nn.Module):
    """A layer behind a norm, with a residual; keys `norm` and `fn`."""

    def __init__(self, norm: nn.Module, fn: nn.Module, lean: bool):
        super().__init__()
        self.lean = lean
        self.norm = norm
        self.fn = fn

    def forward(self, x: Tensor) -> Tensor:
        return plus(self.fn(self.norm(x)), x, self.lean)


class Spatial(PreNorm):
    """Attention among pixels; the norm sees the six axes of the windows."""

    def __init__(self, grid: bool, attention: str, lean: bool):
        super().__init__(nn.LayerNorm(CHANNELS), WindowAttention(grid, attention, lean), lean)
        self.grid = grid

    def forward(self, x: Tensor) -> Tensor:
        return sew_plus(self.fn(self.norm(cut(x, self.grid))), x, self.grid, self.lean)


class OSABlock(nn.Module):
    """Local convolution, then attention among pixels and among channels, in windows and then on the grid.

    The odd slots rearrange in the official code; here they are empty, for the checkpoints' numbering.
    """

    def __init__(self, attention: str, lean: bool):
        super().__init__()

        def pixelwise(fn: nn.Module) -> PreNorm:
            return PreNorm(PixelNorm(CHANNELS, lean), fn, lean)

        def half(grid: bool) -> tuple[nn.Module, ...]:
            return (
                nn.Identity(),
                Spatial(grid, attention, lean),
                nn.Identity(),
                pixelwise(GatedFFN(CHANNELS, lean)),
                pixelwise(ChannelAttention(CHANNELS, HEADS, grid, lean)),
                pixelwise(GatedFFN(CHANNELS, lean)),
            )

        self.layer = nn.Sequential(MBConv(CHANNELS, lean), *half(grid=False), *half(grid=True))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class Group(nn.Module):
    """One block, a pointwise convolution, a residual, a spatial gate."""

    def __init__(self, attention: str, lean: bool):
        super().__init__()
        self.lean = lean
        self.residual_layer = nn.Sequential(OSABlock(attention, lean), nn.Conv2d(CHANNELS, CHANNELS, 1))
        self.esa = ESA(CHANNELS, lean)

    def forward(self, x: Tensor) -> Tensor:
        return self.esa(plus(self.residual_layer(x), x, self.lean))


class OmniSR(Frame):
    """The network of the published x2, x3 and x4 configurations."""

    ATTENTION = IMPLEMENTATIONS

    def __init__(self, scale: int, attention: str = "naive", lean: bool = False):
        super().__init__(CHANNELS, scale, lean)
        self.residual_layer = nn.Sequential(*(Group(attention, lean) for _ in range(GROUPS)))

    def body(self, x: Tensor) -> Tensor:
        return self.residual_layer(x)


MODELS: dict[str, tuple[type[OmniSR], dict[str, int]]] = {"omnisr": (OmniSR, {})}
