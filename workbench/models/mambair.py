"""MambaIR-light: selective scans of the image in four directions, with channel attention after each (ECCV 2024)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .parts.layers import to_tokens
from .parts.mamba import Scans
from .parts.scan import selective_scan
from .parts.swin import Blocks, DropPath, Frame, Group, depth_rates, init_linear

CHANNELS = 60
GROUPS = 4
BLOCKS = 6
INNER = 72  # channels that are scanned: 1.2 times the others
STATES = 10
RANK = 4  # CHANNELS / 16, rounded up
DIRECTIONS = 4


class SS2D(Scans):
    """A gated scan of the map along rows and along columns, forward and backward."""

    def __init__(self, lean: bool):
        super().__init__(DIRECTIONS, INNER, STATES, RANK)
        self.lean = lean
        self.in_proj = nn.Linear(CHANNELS, 2 * INNER, bias=False)
        self.conv2d = nn.Conv2d(INNER, INNER, 3, padding=1, groups=INNER)
        self.out_norm = nn.LayerNorm(INNER)
        self.out_proj = nn.Linear(INNER, CHANNELS, bias=False)

    def forward(self, x: Tensor) -> Tensor:  # (B, H, W, 60)
        if self.lean:
            weight_x, weight_z = self.in_proj.weight.chunk(2)
            y = self.directions(self.mixed(F.linear(x, weight_x)))
            y = self.out_norm(y) * F.silu(F.linear(x, weight_z))  # the gate is made when it is wanted
        else:
            scanned, z = self.in_proj(x).chunk(2, dim=-1)
            y = self.directions_at_once(self.mixed(scanned))
            y = self.out_norm(y) * F.silu(z)
        return self.out_proj(y)

    def mixed(self, x: Tensor) -> Tensor:  # (B, H, W, 72) -> (B, 72, H, W)
        x = x.permute(0, 3, 1, 2)
        return F.silu(self.conv2d(x if self.lean else x.contiguous()))

    def directions(self, x: Tensor) -> Tensor:  # (B, 72, H, W) -> (B, H, W, 72)
        """One direction after the other, each read where it lies, in place of four copies of the map."""
        b, c, height, width = x.shape
        x = to_tokens(x).contiguous()
        y = self.along(x, 0)
        y += self.along(x, 2, reverse=True)
        x = x.view(b, height, width, c).transpose(1, 2).reshape(x.shape)
        y = y.view(b, height, width, c)
        y += self.along(x, 1).view(b, width, height, c).transpose(1, 2)
        y += self.along(x, 3, reverse=True).view(b, width, height, c).transpose(1, 2)
        return y

    def directions_at_once(self, x: Tensor) -> Tensor:
        """Official order of work: rows, columns and both backward as one stack, and one scan over it."""
        b, c, height, width = x.shape
        y0, y2, y1, y3 = self.scanned(x)
        y = y0 + y2 + y1 + y3
        return y.transpose(1, 2).contiguous().view(b, height, width, c)

    def scanned(self, x: Tensor) -> tuple[Tensor, ...]:  # four of (B, 72, H * W)
        b, c, height, width = x.shape
        both = torch.stack((x.flatten(2), x.transpose(2, 3).contiguous().flatten(2)), dim=1)
        xs = torch.cat((both, both.flip(-1)), dim=1)
        sequences = self.sequences(xs)  # held to the end, as in the official code
        out = selective_scan(*sequences).view(b, DIRECTIONS, c, -1)
        back = out[:, 2:].flip(-1)
        by_column = out[:, 1].view(b, c, width, height).transpose(2, 3).contiguous().flatten(2)
        by_column_back = back[:, 1].view(b, c, width, height).transpose(2, 3).contiguous().flatten(2)
        return out[:, 0], back[:, 0], by_column, by_column_back


class ChannelAttention(nn.Module):
    """A gate per channel from its mean over the map."""

    def __init__(self, channels: int, squeezed: int):
        super().__init__()
        self.attention = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, squeezed, 1),
            nn.ReLU(),
            nn.Conv2d(squeezed, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.attention(x)


class CAB(nn.Module):
    """Two pairs of pointwise and depthwise convolution, the last dilated, then channel attention."""

    def __init__(self) -> None:
        super().__init__()
        half = CHANNELS // 2
        self.cab = nn.Sequential(
            nn.Conv2d(CHANNELS, half, 1),
            nn.Conv2d(half, half, 3, padding=1, groups=half),
            nn.GELU(),
            nn.Conv2d(half, CHANNELS, 1),
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=2, dilation=2, groups=CHANNELS),
            ChannelAttention(CHANNELS, CHANNELS // 30),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.cab(x)


class Block(nn.Module):
    """The scans, then the convolutions; the residual is scaled by a learned factor per channel."""

    def __init__(self, rate: float, lean: bool):
        super().__init__()
        self.lean = lean
        self.ln_1 = nn.LayerNorm(CHANNELS)
        self.self_attention = SS2D(lean)
        self.drop = DropPath(rate)
        self.skip_scale = nn.Parameter(torch.ones(CHANNELS))
        self.conv_blk = CAB()
        self.ln_2 = nn.LayerNorm(CHANNELS)
        self.skip_scale2 = nn.Parameter(torch.ones(CHANNELS))

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:  # (B, H * W, 60)
        shape = x.shape
        x = x.view(x.shape[0], height, width, CHANNELS)
        normed = self.ln_1(x)
        x = x * self.skip_scale + self.drop(self.self_attention(normed))
        mixed = self.ln_2(x).permute(0, 3, 1, 2)
        mixed = self.conv_blk(mixed if self.lean else mixed.contiguous())
        x = x * self.skip_scale2 + self.drop(mixed.permute(0, 2, 3, 1).contiguous())
        return x.view(shape)


class MambaIR(Frame):
    """Attention-free: what takes its place is linear in the number of pixels."""

    ATTENTION = ("naive",)
    ATTENTION_NOTE = "it has no attention; its selective scan is one operator under every name."

    def __init__(self, scale: int, attention: str = "naive", lean: bool = False):
        rates = depth_rates(GROUPS * BLOCKS)
        groups = (
            Group(CHANNELS, Blocks(Block(rates[g * BLOCKS + k], lean) for k in range(BLOCKS))) for g in range(GROUPS)
        )
        super().__init__(scale, CHANNELS, groups, lean=lean)
        self.apply(init_linear)


MODELS: dict[str, tuple[type[MambaIR], dict[str, object]]] = {"mambair-light": (MambaIR, {})}
