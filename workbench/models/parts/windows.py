"""Geometry: cutting maps into windows, extending them to a whole number of windows, and relative positions."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from workbench.spec import UserError


def missing(side: int, multiple: int) -> int:
    """How many pixels a side lacks to the next multiple."""
    return -side % multiple


def extend(x: Tensor, bottom: int, right: int, mode: Literal["reflect", "symmetric"] = "reflect") -> Tensor:
    """Extend the last two axes (..., H, W) below and to the right by mirroring.

    `reflect` does not repeat the edge row, `symmetric` does. Where more is wanted than one mirroring gives, the
    image goes on bouncing between its edges; torch's own reflect padding, which refuses that, is equal where it works.
    """
    if not bottom and not right:
        return x
    height, width = x.shape[-2:]
    if mode == "reflect" and bottom < height and right < width and x.dim() == 4:
        return F.pad(x, (0, right, 0, bottom), mode="reflect")
    if bottom:
        x = x.index_select(-2, _bounce(height, height + bottom, mode, x.device))
    if right:
        x = x.index_select(-1, _bounce(width, width + right, mode, x.device))
    return x


def _bounce(side: int, length: int, mode: str, device: torch.device) -> Tensor:
    """Indices 0, 1, ... that run to and fro between the edges of a side."""
    if side == 1:
        return torch.zeros(length, dtype=torch.int64, device=device)
    period = 2 * side if mode == "symmetric" else 2 * side - 2
    step = torch.arange(length, device=device) % period
    back = period - step - (1 if mode == "symmetric" else 0)
    return torch.minimum(step, back)


def at_least(x: Tensor, side: int, who: str, why: str) -> None:
    """Refuse an input (B, 3, H, W) with a side too short, in a sentence that gives the smallest."""
    height, width = x.shape[-2:]
    if min(height, width) < side:
        raise UserError(f"{who} was given {height}x{width} pixels; {why}, so each side needs at least {side} pixels.")


def partition(x: Tensor, window: int) -> Tensor:
    """(B, H, W, C) -> (B * windows, window * window, C): raster windows of raster tokens."""
    b, h, w, c = x.shape
    x = x.view(b, h // window, window, w // window, window, c).permute(0, 1, 3, 2, 4, 5)
    return x.reshape(-1, window * window, c)


def merge(x: Tensor, window: int, height: int, width: int) -> Tensor:
    """The inverse of `partition`: (B * windows, window * window, C) -> (B, height, width, C)."""
    c = x.shape[-1]
    x = x.view(-1, height // window, width // window, window, window, c).permute(0, 1, 3, 2, 4, 5)
    return x.reshape(-1, height, width, c)


def relative_index(window: int) -> Tensor:
    """(window^2, window^2) int64: for query i and key j the row of a (2 window - 1)^2 table, by QUERY MINUS KEY."""
    axis = torch.arange(window)
    y, x = (a.flatten() for a in torch.meshgrid(axis, axis, indexing="ij"))
    dy = y[:, None] - y[None, :] + window - 1
    dx = x[:, None] - x[None, :] + window - 1
    return dy * (2 * window - 1) + dx


def region_labels(
    height: int, width: int, window: int, shift: int, device: torch.device | str | None = "cpu"
) -> Tensor:
    """(1, height, width, 1): which of 3x3 regions, cut at -window and -shift, a pixel of the rolled map is from."""

    def band(side: int) -> Tensor:
        at = torch.arange(side, device=device)
        return (at >= side - window).float() + (at >= side - shift).float()

    return (3 * band(height)[:, None] + band(width)[None, :])[None, :, :, None]


def look_up(table: Tensor, index: Tensor) -> Tensor:
    """A position bias (heads, N, M) out of a table (offsets, heads), by the index of every query and key."""
    return table[index.view(-1)].view(*index.shape, table.shape[1]).permute(2, 0, 1).contiguous()
