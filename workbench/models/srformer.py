"""SRFormer-light: 16x16 windows with an 8x8 raster of keys, each put together from four pixels (ICCV 2023)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .parts.attention import IMPLEMENTATIONS, MapPoint, attend
from .parts.cache import Kept
from .parts.shift import STORED, Block, shift_mask
from .parts.swin import Blocks, ConvFFN, Frame, Group, depth_rates, init_linear
from .parts.windows import look_up, relative_index

CHANNELS = 60
GROUPS = 4
BLOCKS = 6  # of a group; every second one is shifted
HEADS = 6
HEAD = CHANNELS // HEADS
WINDOW = 16
CELL = 2  # side in pixels of the square that makes one key
CELLS = WINDOW // CELL  # keys along a side of the window
PART = CHANNELS // CELL**2  # channels that a pixel adds to its key, and to its value


class PermutedAttention(nn.Module):
    """Every pixel asks, but a key and a value are put together from the few channels of four neighbouring pixels."""

    aligned_relative_position_index: Tensor

    def __init__(self, shift: int, index: Tensor, attention: str, lean: bool):
        super().__init__()
        self.attention = attention
        self.lean = lean
        self.relative_position_bias_table = nn.Parameter(torch.empty((2 * CELLS - 1) ** 2, HEADS))
        self.register_buffer("aligned_relative_position_index", index)
        self.kv = nn.Linear(CHANNELS, 2 * PART)
        self.q = nn.Linear(CHANNELS, CHANNELS)
        self.proj = nn.Linear(CHANNELS, CHANNELS)
        self.map = MapPoint("permuted", WINDOW, shift, heads=HEADS, columns=CELLS**2)
        self.kept = Kept()
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def bias(self) -> Tensor:  # (heads, 256, 64)
        return look_up(self.relative_position_bias_table, self.aligned_relative_position_index)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:  # (windows, 256, 60), (windows, 256, 64)
        n, tokens = x.shape[:2]
        kv = self.kv(x).view(n, CELLS, CELL, CELLS, CELL, 2, PART).permute(0, 1, 3, 5, 2, 4, 6)
        kv = kv.reshape(n, CELLS**2, 2, HEADS, HEAD).permute(2, 0, 3, 1, 4)
        k, v = kv  # (windows, heads, 64, 10)
        sources = (self.relative_position_bias_table,)
        x = attend(
            self.q(x).view(n, tokens, HEADS, HEAD).transpose(1, 2),
            k,
            v,
            scale=HEAD**-0.5,
            attention=self.attention,
            point=self.map,
            bias=self.kept.get("bias", sources, self.bias) if self.lean else self.bias(),
            mask=mask,
            lean=self.lean,
        )
        return self.proj(x.transpose(1, 2).reshape(n, tokens, CHANNELS))


def aligned_index() -> Tensor:
    """(256, 64) int64: the relative index of an 8x8 window, where four pixels ask from the place of their cell."""
    by_cell = relative_index(CELLS).view(CELLS, CELLS, CELLS**2)
    return by_cell.repeat_interleave(CELL, dim=0).repeat_interleave(CELL, dim=1).flatten(0, 1)


class SRFormer(Frame):
    """SRFormer-light."""

    ATTENTION = IMPLEMENTATIONS

    def __init__(self, scale: int, attention: str = "naive", lean: bool = False):
        rates = depth_rates(GROUPS * BLOCKS)
        mask = shift_mask(STORED, STORED, WINDOW, WINDOW // 2, CELL)
        index = aligned_index()

        def block(k: int) -> Block:
            shifted = k % 2 == 1
            shift = WINDOW // 2 if shifted else 0
            own_mask = None if not shifted else mask if lean else mask.clone()
            attn = PermutedAttention(shift, index if lean else index.clone(), attention, lean)
            mlp = ConvFFN(CHANNELS, 2 * CHANNELS)
            return Block(CHANNELS, HEADS, WINDOW, shift, attn, mlp, own_mask, rates[k], CELL, lean)

        groups = [Group(CHANNELS, Blocks(block(BLOCKS * g + b) for b in range(BLOCKS))) for g in range(GROUPS)]
        super().__init__(scale, CHANNELS, groups, multiple=WINDOW, lean=lean)
        self.apply(init_linear)


MODELS: dict[str, tuple[type[SRFormer], dict[str, object]]] = {"srformer-light": (SRFormer, {})}
