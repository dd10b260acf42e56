"""SwinIR-light: self-attention in 8x8 windows, shifted by half in every other block (ICCVW 2021)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .parts.attention import IMPLEMENTATIONS, MapPoint, attend
from .parts.cache import Kept
from .parts.shift import STORED, Block, shift_mask
from .parts.swin import MLP, Blocks, Frame, Group, depth_rates, init_linear
from .parts.windows import look_up, relative_index

CHANNELS = 60
GROUPS = 4
BLOCKS = 6  # of a group; every second one is shifted
HEADS = 6
HEAD = CHANNELS // HEADS
WINDOW = 8


class WindowAttention(nn.Module):
    """Self-attention of a window's tokens, with a position bias indexed by query minus key."""

    relative_position_index: Tensor

    def __init__(self, shift: int, index: Tensor, attention: str, lean: bool):
        super().__init__()
        self.attention = attention
        self.lean = lean
        self.relative_position_bias_table = nn.Parameter(torch.empty((2 * WINDOW - 1) ** 2, HEADS))
        self.register_buffer("relative_position_index", index)
        self.qkv = nn.Linear(CHANNELS, 3 * CHANNELS)
        self.proj = nn.Linear(CHANNELS, CHANNELS)
        self.map = MapPoint("window", WINDOW, shift, heads=HEADS)
        self.kept = Kept()
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def bias(self) -> Tensor:  # (heads, N, N)
        return look_up(self.relative_position_bias_table, self.relative_position_index)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:  # (windows, N, 60), (windows, N, N)
        n, tokens = x.shape[:2]
        q, k, v = self.qkv(x).view(n, tokens, 3, HEADS, HEAD).permute(2, 0, 3, 1, 4)  # (windows, heads, N, 10)
        sources = (self.relative_position_bias_table,)
        x = attend(
            q,
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


class SwinIR(Frame):
    """SwinIR-light."""

    ATTENTION = IMPLEMENTATIONS

    def __init__(self, scale: int, attention: str = "naive", lean: bool = False):
        rates = depth_rates(GROUPS * BLOCKS)
        mask = shift_mask(STORED, STORED, WINDOW, WINDOW // 2)
        index = relative_index(WINDOW)

        def block(k: int) -> Block:
            shifted = k % 2 == 1
            shift = WINDOW // 2 if shifted else 0
            own_mask = None if not shifted else mask if lean else mask.clone()
            attn = WindowAttention(shift, index if lean else index.clone(), attention, lean)
            mlp = MLP(CHANNELS, 2 * CHANNELS)
            return Block(CHANNELS, HEADS, WINDOW, shift, attn, mlp, own_mask, rates[k], lean=lean)

        groups = [Group(CHANNELS, Blocks(block(BLOCKS * g + b) for b in range(BLOCKS))) for g in range(GROUPS)]
        super().__init__(scale, CHANNELS, groups, multiple=WINDOW, lean=lean)
        self.apply(init_linear)


MODELS: dict[str, tuple[type[SwinIR], dict[str, object]]] = {"swinir-light": (SwinIR, {})}
