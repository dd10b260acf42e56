"""ASID and ASID-D8: Omni-SR with information distillation, all groups sharing the first one's maps (AAAI 2025)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .parts.omni import (
    ESA,
    WINDOW,
    ChannelAttention,
    Frame,
    GatedFFN,
    MBConv,
    PixelAttention,
    PixelNorm,
    cut,
    pixel_point,
    plus,
    sew_plus,
)

CHANNELS = 48
SPLIT = CHANNELS // 4  # channels that a step of the distillation lays aside


class MakingAttention(PixelAttention):
    """One-headed attention of the first group, which yields its map for the others."""

    def forward(self, x: Tensor, attn: None) -> tuple[Tensor, Tensor]:
        return self.mapped(x)


class OwnAttention(PixelAttention):
    """An ablation: attention of a group that makes its maps itself, and hands none on."""

    def forward(self, x: Tensor, attn: None) -> tuple[Tensor, None]:
        return self.mapped(x)[0], None


class ReusingAttention(nn.Module):
    """Attention of the later groups: values only, no queries, keys or position bias."""

    def __init__(self, channels: int, grid: bool, name: str):
        super().__init__()
        self.to_v = nn.Linear(channels, channels, bias=False)
        self.to_out = nn.Sequential(nn.Linear(channels, channels, bias=False))
        self.map = pixel_point(1, grid, name, reuses=True)

    def forward(self, x: Tensor, attn: Tensor) -> tuple[Tensor, Tensor]:  # attn (windows, 1, 64, 64)
        v = self.to_v(x.reshape(-1, 1, WINDOW**2, x.shape[-1]))
        out = torch.einsum("whij,whjd->whid", self.map(attn), v)
        return self.to_out(out.view(x.shape)), attn


class SpatialAttention(nn.Module):
    """Attention among the pixels of windows or grid groups, then the feed-forward layer."""

    def __init__(self, channels: int, name: str, first: bool, lean: bool, sharing: bool):
        """`name`: SLA1 to SLA3 in windows, SGA1 to SGA3 on the grid; maps are handed on under it."""
        super().__init__()
        self.grid = grid = name.startswith("SGA")
        self.lean = lean
        self.norm = nn.LayerNorm(channels)
        self.attn: nn.Module
        if not sharing:
            self.attn = OwnAttention(channels, 1, grid, lean)
        elif first:
            self.attn = MakingAttention(channels, 1, grid, lean, name)
        else:
            self.attn = ReusingAttention(channels, grid, name)
        self.cnorm = PixelNorm(channels, lean)
        self.gfn = GatedFFN(channels, lean)

    def forward(self, x: Tensor, attn: Tensor | None) -> tuple[Tensor, Tensor | None]:
        out, attn = self.attn(self.norm(cut(x, self.grid)), attn)
        out = sew_plus(out, x, self.grid, self.lean)
        return plus(self.gfn(self.cnorm(out)), out, self.lean), attn


class ChannelBlock(nn.Module):
    """Attention among channels in windows and then on the grid, each followed by the feed-forward layer.

    The lean forward writes over its input, a fresh map that nothing else reads.
    """

    def __init__(self, lean: bool):
        super().__init__()
        self.lean = lean
        self.canorm1 = PixelNorm(CHANNELS, lean)
        self.cttn1 = ChannelAttention(CHANNELS, 1, False, lean)
        self.cnorm1 = PixelNorm(CHANNELS, lean)
        self.gfn1 = GatedFFN(CHANNELS, lean)
        self.canorm2 = PixelNorm(CHANNELS, lean)
        self.cttn2 = ChannelAttention(CHANNELS, 1, True, lean)
        self.cnorm2 = PixelNorm(CHANNELS, lean)
        self.gfn2 = GatedFFN(CHANNELS, lean)

    def forward(self, x: Tensor) -> Tensor:
        x = plus(x, self.cttn1(self.canorm1(x)), self.lean)
        x = plus(x, self.gfn1(self.cnorm1(x)), self.lean)
        x = plus(x, self.cttn2(self.canorm2(x)), self.lean)
        return plus(x, self.gfn2(self.cnorm2(x)), self.lean)


class LocalBlock(nn.Module):
    """Holds an MBConv under the key the checkpoints use."""

    def __init__(self, channels: int, lean: bool):
        super().__init__()
        self.net = MBConv(channels, lean)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


Maps = dict[str, Tensor | None]
"""Of the first group, by the name of the attention that made it; None where nobody shares."""


def joined(*parts: Tensor) -> Tensor:
    """Channels side by side; of one part nothing is copied."""
    some = [part for part in parts if part.shape[1]]
    return some[0] if len(some) == 1 else torch.cat(some, dim=1)


class Block(nn.Module):
    """Three steps of local convolution and attention, each on 12 channels fewer, then attention among channels."""

    def __init__(self, first: bool, lean: bool, sharing: bool, aside: int):
        super().__init__()
        self.lean = lean
        self.aside = aside
        for number in (1, 2, 3):
            width = CHANNELS - (number - 1) * aside
            self.add_module(f"LB{number}", LocalBlock(width, lean))
            for name in (f"SLA{number}", f"SGA{number}"):
                self.add_module(name, SpatialAttention(width - aside, name, first, lean, sharing))
        self.pw1 = nn.Conv2d(CHANNELS, CHANNELS, 1)
        self.pw2 = nn.Conv2d(CHANNELS - aside, CHANNELS - aside, 1)
        self.pw3 = nn.Conv2d(CHANNELS, CHANNELS, 1)
        self.BlockC = ChannelBlock(lean)

    def step(self, number: int, x: Tensor, maps: Maps) -> tuple[Tensor, Tensor]:
        """The attended channels of a step, and those that passed the attention by."""
        x = self.get_submodule(f"LB{number}")(x)
        attended = x[:, self.aside :]
        for name in (f"SLA{number}", f"SGA{number}"):
            attended, maps[name] = self.get_submodule(name)(attended, maps.get(name))
        return attended, x[:, : self.aside]

    def distil(self, x: Tensor, maps: Maps) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The distilled map, and the channels that were laid aside for it."""
        x = self.pw1(joined(*self.step(1, x, maps)))
        one = x[:, : self.aside]
        x = self.pw2(joined(*self.step(2, x[:, self.aside :], maps)))
        two = x[:, : self.aside]
        x, by = self.step(3, x[:, self.aside :], maps)
        return self.pw3(joined(one, two, x, by)), (one, two, by)

    def forward(self, x: Tensor, maps: Maps) -> Tensor:
        x, aside = self.distil(x, maps)
        if self.lean:
            del aside  # the official code holds these, and all channels beside them, to its end
        return self.BlockC(x)


class Group(nn.Module):
    """One block, a pointwise convolution, a residual, a spatial gate. Only the first group's block is in a list."""

    def __init__(self, first: bool, lean: bool, sharing: bool, aside: int):
        super().__init__()
        self.lean = lean
        block = Block(first, lean, sharing, aside)
        self.residual_layer = nn.ModuleList([block]) if first else block
        self.res_end = nn.Conv2d(CHANNELS, CHANNELS, 1)
        self.esa = ESA(CHANNELS, lean)

    def forward(self, x: Tensor, maps: Maps) -> Tensor:
        block = self.residual_layer[0] if isinstance(self.residual_layer, nn.ModuleList) else self.residual_layer
        return self.esa(plus(self.res_end(block(x, maps)), x, self.lean))


class ASID(Frame):
    """ASID and ASID-D8, which differ in the number of groups; all but the first reuse its six attention maps."""

    ATTENTION = ("naive",)
    ATTENTION_NOTE = "its later groups reuse the attention maps of the first, and a fused kernel yields no map."

    def __init__(
        self,
        scale: int,
        groups: int,
        attention: str = "naive",
        lean: bool = False,
        sharing: bool = True,
        aside: int = SPLIT,
    ):
        """`sharing` and `aside`, the channels of each step that its attention or later steps pass by: for ablations."""
        super().__init__(CHANNELS, scale, lean)
        self.names = tuple(f"block{i}" for i in range(groups))
        for i, name in enumerate(self.names):
            self.add_module(name, Group(i == 0, lean, sharing, aside))

    def body(self, x: Tensor) -> Tensor:
        maps: Maps = {}
        for name in self.names:
            x = self.get_submodule(name)(x, maps)
        return x


MODELS = {"asid": (ASID, {"groups": 3}), "asid-d8": (ASID, {"groups": 8})}
