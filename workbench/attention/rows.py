"""Unit rows of the maps that a forward pass makes, held until all of their cosines are taken."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from . import passes, similarity
from .capture import Layer


@dataclass
class _Group:
    """Layers in which every two can be compared, and so have maps of one shape."""

    layers: Sequence[Layer]
    held: Tensor
    """(L, most numbers of a map)."""
    shape: tuple[int, ...] = ()
    """(heads, N, M)."""


class Rows:
    """Memory for the rows of one pass after the other, whatever the image: touching fresh memory costs as much time
    as taking the cosines."""

    def __init__(self) -> None:
        self.flat = torch.empty(0)
        self.seen = torch.empty(0)
        self.groups: list[_Group] = []
        self.filled: dict[str, int] = {}

    def begin(self, groups: Sequence[Sequence[Layer]], height: int, width: int) -> None:
        """What the next pass holds; what the one before held is gone."""
        most = [max(passes.size(layer, height, width) for layer in layers) // 4 for layers in groups]
        sizes = [len(layers) * numbers for layers, numbers in zip(groups, most, strict=True)]
        self.groups, self.filled = [], {}
        if sum(sizes) > self.flat.numel():
            self.flat = torch.empty(0)  # the old one goes before the new one comes
            self.flat = torch.empty(sum(sizes))
        parts = self.flat[: sum(sizes)].split(sizes)
        self.groups = [_Group(layers, part.view(len(layers), -1)) for layers, part in zip(groups, parts, strict=True)]

    def take(self, layer: Layer, attn: Tensor) -> None:
        """A map (windows, heads, N, M) passes, or the next windows of it; of an n-gram context both directions."""
        group = next((g for g in self.groups if layer in g.layers), None)
        if group is None:
            return
        group.shape = tuple(attn.shape[1:])
        start = self.filled.get(layer.name, 0)
        self.filled[layer.name] = start + attn.numel()
        part = group.held[group.layers.index(layer), start : start + attn.numel()]
        similarity.unit_rows(attn, part.view(attn.shape))

    def features(self, blocks: int, pixels: int, channels: int) -> Tensor:
        """Room for the features of a pass, (blocks, pixels, C)."""
        if self.seen.shape != (blocks, pixels, channels):
            self.seen = torch.empty(blocks, pixels, channels)
        return self.seen

    def cosines(self, by_head: bool) -> Mapping[tuple[Layer, ...], Tensor]:
        """What `similarity.cosines` has of the maps that passed, by the layers of each group."""
        return {tuple(g.layers): similarity.products(self._held(g), by_head) for g in self.groups if g.shape}

    def _held(self, group: _Group) -> Tensor:  # (L, windows, heads, N, M)
        windows = self.filled[group.layers[0].name] // math.prod(group.shape)
        return group.held[:, : windows * math.prod(group.shape)].view(-1, windows, *group.shape)
