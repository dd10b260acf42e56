"""Transformer blocks in windows of a raster that is rolled by half a window in every other block."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .attention import MapPoint
from .cache import Kept
from .slabs import slabs
from .swin import MLP, ConvFFN, DropPath
from .windows import merge, partition, region_labels

STORED = 64  # side of the image that the stored masks are made for


class Block(nn.Module):
    """Attention in windows and a feed-forward layer, each of them normed before and added to its input.

    `attn` maps (windows, N, C) and a mask (windows, N, M) to (windows, N, C) and holds a MapPoint `map`; `mlp` maps
    tokens and the size of their map to tokens. The mask of a shifted block is a stored buffer, made for 64x64 pixels.
    """

    attn_mask: Tensor | None

    def __init__(
        self,
        channels: int,
        heads: int,
        window: int,
        shift: int,
        attn: nn.Module,
        mlp: MLP | ConvFFN,
        mask: Tensor | None,
        rate: float,
        cell: int = 1,
        lean: bool = False,
    ):
        """`cell`: side in pixels of the square that one key stands for."""
        super().__init__()
        self.window = window
        self.shift = shift
        self.cell = cell
        self.heads = heads
        self.lean = lean
        self.norm1 = nn.LayerNorm(channels)
        self.attn = attn
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = mlp
        self.drop = DropPath(rate)
        self.register_buffer("attn_mask", mask)
        self.kept = Kept()
        if lean:
            self.register_state_dict_post_hook(_own_constants)  # type: ignore[no-untyped-call]  # torch leaves it bare

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:  # (B, H * W, C), sides in whole windows
        if self.lean and not (self.training or torch.is_grad_enabled()):
            return self.in_slabs(x, height, width)
        shortcut = x
        x = self.norm1(x)
        rolled = self.roll(x.view(-1, height, width, x.shape[-1]), -self.shift)
        windows = partition(rolled, self.window)
        mask = self.stored_mask(1, height, width, slice(None)) if self.lean else self.official_mask(x, height, width)
        rolled = merge(self.attn(windows, mask), self.window, height, width)
        x = shortcut + self.drop(self.roll(rolled, self.shift).view(shortcut.shape))
        return x + self.drop(self.mlp(self.norm2(x), height, width))

    def in_slabs(self, x: Tensor, height: int, width: int) -> Tensor:
        """Lean inference: the residual itself is cut into windows, and added to in place, a slab at a time."""
        b, _, c = x.shape
        out = partition(self.roll(x.view(b, height, width, c), -self.shift), self.window)
        if width == self.window and not self.shift:
            out = out.clone()  # a raster of one window across is cut without a copy
        count, tokens = out.shape[:2]
        for slab in slabs(x, count, self.heads * tokens * tokens // self.cell**2, whole=self.whole):
            self.add_to(out[slab], self.stored_mask(b, height, width, slab))
        out = merge(out, self.window, height, width)
        out = self.roll(out, self.shift)
        if isinstance(self.mlp, ConvFFN):
            self.mlp.add_in_slabs(out, self.norm2)
        return out.view(x.shape)

    def add_to(self, windows: Tensor, mask: Tensor | None) -> None:
        windows += self.attn(self.norm1(windows), mask)
        if isinstance(self.mlp, MLP):
            windows += self.mlp(self.norm2(windows))

    @property
    def whole(self) -> bool:
        point = self.attn.map
        assert isinstance(point, MapPoint)
        return point.whole

    def roll(self, x: Tensor, by: int) -> Tensor:  # (B, H, W, C)
        return x.roll((by, by), (1, 2)) if by else x

    def official_mask(self, x: Tensor, height: int, width: int) -> Tensor | None:
        """The stored mask where it fits, else one made anew on the CPU, of zeros in the blocks without shift."""
        if height == width == STORED:
            return self.attn_mask
        return shift_mask(height, width, self.window, self.shift, self.cell, "cpu").to(x)

    def stored_mask(self, batch: int, height: int, width: int, slab: slice) -> Tensor | None:
        """The same values without making any: an image of every size has the masks of the stored one."""
        mask = self.attn_mask
        if mask is None:
            return None
        rows, columns, stored = (side // self.window for side in (height, width, STORED))

        def numbers() -> Tensor:
            return like_stored(rows, columns, stored, mask.device).repeat(batch)

        at = self.kept.get((batch, height, width, mask.device), (), numbers)  # whatever the mask holds
        return mask[at[slab]]


def shift_mask(
    height: int, width: int, window: int, shift: int, cell: int = 1, device: torch.device | str | None = None
) -> Tensor:
    """(windows, N, M): 0 where the pixels of query and key were neighbours before the roll, -100 elsewhere."""

    def labels(pixels: int) -> Tensor:  # one label for each square of so many pixels a side
        regions = region_labels(height // pixels, width // pixels, window // pixels, shift // pixels, device)
        return partition(regions, window // pixels).squeeze(-1)

    queries = labels(1)
    keys = queries if cell == 1 else labels(cell)
    apart = queries[:, :, None] - keys[:, None, :]
    return apart.masked_fill(apart != 0, -100.0).masked_fill(apart == 0, 0.0)


def like_stored(rows: int, columns: int, stored: int, device: torch.device) -> Tensor:
    """For every window of a raster, the window of a `stored` x `stored` raster with the same mask.

    Masks differ only between the inside, the right edge, the bottom edge and the corner.
    """
    bottom = (torch.arange(rows, device=device) == rows - 1) * (stored - 1)
    right = (torch.arange(columns, device=device) == columns - 1) * (stored - 1)
    return (bottom[:, None] * stored + right).flatten()


def _own_constants(module: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    """Lean blocks share their constants, which a saved state dict must not."""
    for name, buffer in module.named_buffers():
        state[prefix + name] = buffer.clone()
