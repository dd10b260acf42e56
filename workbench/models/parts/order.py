"""Putting tokens into the order of their categories, and back."""

from __future__ import annotations

import torch
from torch import Tensor


def by_category(category: Tensor) -> tuple[Tensor, Tensor]:
    """(B, N) int64 -> the order that sorts tokens by category, and its inverse.

    Tokens of one category keep their order. The official codes sort with stable=False, which leaves it open.
    """
    places = torch.arange(category.shape[-1], device=category.device).expand_as(category)
    order = (category * category.shape[-1] + places).argsort(dim=-1)  # no two keys equal: ONNX has no stable sort
    return order, torch.empty_like(order).scatter_(-1, order, places)


def take(x: Tensor, order: Tensor) -> Tensor:
    """Tokens (B, N, C) by their places (B, n)."""
    b, n, c = x.shape
    rows = order + n * torch.arange(b, device=order.device)[:, None]
    return x.reshape(b * n, c).index_select(0, rows.flatten()).view(b, -1, c)
