"""Softmax attention in three implementations, and the named point that every attention map passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

IMPLEMENTATIONS = ("naive", "sdpa", "flex")

Kind = Literal["window", "grid", "permuted", "ngram", "channel", "correlation", "dictionary", "category", "unknown"]
"""What queries and keys are; unknown only in networks that are not ours."""

BiasAt = Callable[[Tensor, Tensor, Tensor], Tensor]
"""The bias of one head, query and key, for a fused kernel that never holds the whole table."""


class MapPoint(nn.Module):
    """Identity that attention maps pass, so that a probe finds them by this type and reads their geometry."""

    def __init__(
        self,
        kind: Kind = "window",
        window: int | None = None,
        shift: int = 0,
        *,
        heads: int = 1,
        rows: int | None = None,
        columns: int | None = None,
        softmax: bool = True,
        role: str = "",
        handed_on: str | None = None,
        reuses: bool = False,
        masked: bool = True,
    ):
        super().__init__()
        self.kind = kind
        self.window = window
        """Side in tokens of the square that the map's queries come from; None where there is none."""
        self.shift = shift
        """Pixels that the window raster was rolled by."""
        self.heads = heads
        self.rows = rows if rows is not None or window is None else window**2
        """Queries of one map; None where they are all pixels of the image."""
        self.columns = self.rows if columns is None else columns
        """Keys of one map."""
        self.softmax = softmax
        """Whether every row is a distribution: not negative, with sum 1."""
        self.role = role
        """What tells it from the other maps of its block; empty for the only or the foremost one."""
        self.handed_on = handed_on
        """The name under which one layer's map reaches the layers that reuse it; None where a map is used once."""
        self.reuses = reuses
        """Whether its map is the last one before it that was handed on under that name, and not made here."""
        self.masked = masked and shift > 0
        """Whether keys from beyond the image's edge, which the roll brought near, are masked."""
        self.in_parts = False
        """Whether who waits for the map takes it as a lean forward makes it, some windows at a time."""

    @property
    def watched(self) -> bool:
        """Whether someone waits for the map, so that a forward which needs none must make it."""
        return bool(self._forward_hooks)

    @property
    def whole(self) -> bool:
        """Whether someone waits for all windows of the map at once."""
        return self.watched and not self.in_parts

    def forward(self, attn: Tensor) -> Tensor:
        return attn


def attend(
    q: Tensor,  # (B * windows, heads, N, d)
    k: Tensor,  # (B * windows, heads, M, d)
    v: Tensor,  # (B * windows, heads, M, e)
    *,
    scale: float,
    attention: str,
    point: MapPoint,
    bias: Tensor | None = None,  # (heads, N, M)
    mask: Tensor | None = None,  # (windows, N, M), added like the bias
    lean: bool = False,
) -> Tensor:  # (B * windows, heads, N, e)
    """softmax(scale q k^T + bias + mask) v. Only `naive` makes the map, and so only `naive` passes it to the point."""
    if attention == "flex":
        return flex(q, k, v, scale, None if bias is None else lambda h, i, j: bias[h, i, j], mask)
    if attention == "sdpa":
        added = None if bias is None else bias[None]
        if mask is not None:
            tiled = mask.repeat(q.shape[0] // mask.shape[0], 1, 1)[:, None]
            added = tiled if added is None else added + tiled
        return F.scaled_dot_product_attention(q, k, v, attn_mask=added, scale=scale)
    if lean and bias is not None and bias.dtype == q.dtype:  # they differ under autocast
        return by_features(q * scale, k, v, point, lambda logits: _add(logits, bias, mask))
    q = q * scale  # held to the end, as in the official codes
    logits = q @ k.transpose(-2, -1)
    if bias is not None:
        logits = logits + bias
    if mask is not None:
        shape = logits.shape
        logits = (logits.view(-1, mask.shape[0], *shape[1:]) + mask[:, None]).view(shape)
    logits = point(logits.softmax(dim=-1))
    return logits @ v


def by_features(q: Tensor, k: Tensor, v: Tensor, point: MapPoint, dress: Callable[[Tensor], Tensor]) -> Tensor:
    """softmax(dress(q k^T)) v with a head's channels as rows: matrix libraries are much slower with ten columns.

    The order of sums and roundings is that of the plain way, so that what is decided by argmax further on stays.
    """
    n, heads, tokens = q.shape[:3]
    q, k, v = (x.transpose(2, 3).reshape(n * heads, -1, x.shape[2]) for x in (q, k, v))
    logits = dress(torch.bmm(q.transpose(1, 2), k).view(n, heads, tokens, -1))
    logits = point(logits.softmax(dim=-1)).view(n * heads, tokens, -1)
    return torch.bmm(v, logits.transpose(1, 2)).view(n, heads, -1, tokens).transpose(2, 3)


def _add(logits: Tensor, bias: Tensor, mask: Tensor | None) -> Tensor:
    """Bias and mask onto fresh logits, in place."""
    logits += bias
    if mask is not None:
        by_window = logits.view(-1, mask.shape[0], *logits.shape[1:])
        by_window += mask[:, None]
    return logits


def flex(
    q: Tensor, k: Tensor, v: Tensor, scale: float, bias_at: BiasAt | None = None, mask: Tensor | None = None
) -> Tensor:
    """`attend` through torch's flex attention: fused when the caller compiles, plain arithmetic when not."""
    from torch.nn.attention.flex_attention import flex_attention

    def score(logit: Tensor, b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        if bias_at is not None:
            logit = logit + bias_at(h, i, j)
        return logit if mask is None else logit + mask[b % mask.shape[0], i, j]

    out = flex_attention(q, k, v, score_mod=score, scale=scale)
    assert isinstance(out, Tensor)
    return out
