"""Self-attention in shifted 16x16 windows over queries, keys and values made outside, as ATD and MambaIRv2 share it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from .attention import MapPoint, attend
from .cache import Kept
from .shift import like_stored, shift_mask
from .slabs import slabs
from .swin import Frame, init_linear
from .windows import look_up, merge, partition, relative_index

WINDOW = 16
SHIFT = WINDOW // 2


class WindowFrame(Frame):
    """A frame whose layers share one table of relative positions and one mask per forward, and sort by category.

    Two categories can be equal to the last bits, and the last bits of a product of matrices may depend on the batch.
    On a CPU, where a batch saves no time, images are therefore taken one by one, so that an image's output does not
    depend on what it is run with. A GPU, or a fused attention, may decide such near ties otherwise.
    """

    relative_position_index_SA: Tensor  # noqa: N815  # its key in official checkpoints

    def __init__(self, scale: int, channels: int, groups: Iterable[nn.Module], lean: bool, noise: bool = False):
        """`noise`: whether random numbers are drawn in evaluation, and so in the order of the whole batch."""
        super().__init__(scale, channels, groups, multiple=WINDOW, mode="symmetric")
        self.lean = lean
        self.noise = noise
        self.register_buffer("relative_position_index_SA", relative_index(WINDOW))
        self.kept = Kept()
        self.apply(init_linear)

    def forward(self, x: Tensor) -> Tensor:
        forward = super().forward
        if x.shape[0] == 1 or not x.is_cpu or self.whole_batch:
            return forward(x)
        return torch.cat([forward(image) for image in torch.split(x, 1)])

    @property
    def whole_batch(self) -> bool:
        """Whether the images of a batch have to be run together."""
        watched = any(module.watched for module in self.modules() if isinstance(module, MapPoint))
        return torch.is_grad_enabled() or torch.compiler.is_compiling() or self.training or self.noise or watched

    def context(self, height: int, width: int) -> tuple[Tensor | None, ...]:
        """The position index and the mask: faithful of every window, lean of the four kinds there are."""
        if self.lean:
            mask = self.kept.get("masks", (self.rgb_mean,), lambda: self.mask(2 * WINDOW, 2 * WINDOW))
        else:
            mask = self.mask(height, width)
        return self.relative_position_index_SA, mask

    def mask(self, height: int, width: int) -> Tensor:  # (windows, 256, 256)
        return shift_mask(height, width, WINDOW, SHIFT, device="cpu").to(self.rgb_mean)


class WindowAttention(nn.Module):
    """Attention in windows with a position bias; odd layers roll the raster by half a window before and after."""

    def __init__(self, channels: int, heads: int, shift: int, attention: str, lean: bool, packed: bool = False):
        """`packed`: the faithful forward copies q, k and v head by head first, as MambaIRv2's official code does."""
        super().__init__()
        self.heads = heads
        self.head = channels // heads
        self.attention = attention
        self.lean = lean
        self.packed = packed
        self.relative_position_bias_table = nn.Parameter(torch.empty((2 * WINDOW - 1) ** 2, heads))
        self.proj = nn.Linear(channels, channels)
        self.map = MapPoint("window", WINDOW, shift, heads=heads)
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def forward(self, qkv: Tensor, height: int, width: int, index: Tensor, mask: Tensor) -> Tensor:
        """(B, H * W, 3C) -> (B, H * W, C); the mask is used in shifted windows only."""
        shift = self.map.shift
        bias = look_up(self.relative_position_bias_table, index)
        raster = qkv.view(-1, height, width, qkv.shape[-1])
        if self.lean and not (self.map.watched or torch.is_grad_enabled() or torch.compiler.is_compiling()):
            out = self.in_tiles(raster, bias, mask)
        else:
            if self.lean and shift:
                mask = mask[like_stored(height // WINDOW, width // WINDOW, 2, mask.device)]
            rolled = raster.roll((-shift, -shift), (1, 2)) if shift else raster
            windows = partition(rolled, WINDOW)
            out = merge(self.windows(windows, bias, mask if shift else None), WINDOW, height, width)
            out = out.roll((shift, shift), (1, 2)) if shift else out
        return out.view(qkv.shape[0], -1, out.shape[-1])

    def windows(self, qkv: Tensor, bias: Tensor, mask: Tensor | None) -> Tensor:  # (n, 256, 3C) -> (n, 256, C)
        n, tokens = qkv.shape[:2]
        qkv = qkv.view(n, tokens, 3, self.heads, self.head).permute(2, 0, 3, 1, 4)
        qkv = qkv.contiguous() if self.packed and not self.lean else qkv
        q, k, v = qkv.unbind()
        scale, how = self.head**-0.5, self.attention
        out = attend(q, k, v, scale=scale, attention=how, point=self.map, bias=bias, mask=mask, lean=self.lean)
        return self.proj(out.transpose(1, 2).reshape(n, tokens, -1))

    def in_tiles(self, qkv: Tensor, bias: Tensor, masks: Tensor) -> Tensor:  # (B, H, W, 3C) -> (B, H, W, C)
        """Some windows at a time, all of one mask and from where they lie: no roll, no map and no mask of the image."""
        out = qkv.new_empty(*qkv.shape[:3], qkv.shape[-1] // 3)
        for rows, columns, kind in self.tiles(qkv):
            tile = qkv[:, rows, columns]
            done = self.windows(partition(tile, WINDOW), bias, masks[kind, None] if kind else None)
            out[:, rows, columns] = merge(done, WINDOW, *tile.shape[1:3])
        return out

    def tiles(self, x: Tensor) -> Iterator[tuple[Any, Any, int]]:  # (B, H, W, .)
        """Pixels of each tile, and the kind of its mask: 0 none, 1 last column's, 2 last row's, 3 corner's."""
        height, width = x.shape[1:3]
        # of a token, in numbers: its logits and map, or its queries, keys, values and result
        widest = 2 * self.heads * WINDOW**2 if self.attention == "naive" else 2 * x.shape[-1]
        room = next(slabs(x, height * width, x.shape[0] * WINDOW**2 * widest)).stop  # windows
        across = min(room, width // WINDOW)
        for rows, low in self.bands(height, room // across):
            for columns, right in self.bands(width, across):
                if low or right:  # in the rolled raster these windows reach over the edge
                    y, x_ = (torch.arange(*band, device=x.device) for band in (rows, columns))
                    yield (y % height)[:, None], x_ % width, 2 * low + right
                else:
                    yield slice(*rows), slice(*columns), 0

    def bands(self, side: int, most: int) -> Iterator[tuple[tuple[int, int], bool]]:
        """A side cut into runs of windows, start and end in pixels of the unrolled raster; does the run wrap?"""
        shift, windows = self.map.shift, side // WINDOW
        inside = windows - (shift > 0)
        for start in range(0, inside, most):
            yield (start * WINDOW + shift, min(start + most, inside) * WINDOW + shift), False
        if shift:
            yield (side - WINDOW + shift, side + shift), True
