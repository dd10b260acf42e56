"""ATD-light: attention to a learned dictionary, within the categories that it finds, and in windows (CVPR 2024)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .parts.attention import IMPLEMENTATIONS, MapPoint, attend, by_features
from .parts.order import by_category, take
from .parts.qkv import SHIFT, WindowAttention, WindowFrame
from .parts.slabs import slabs
from .parts.swin import ConvFFN, Group

CHANNELS = 48
GROUPS = 4
LAYERS = 6
HEADS = 4
HEAD = CHANNELS // HEADS
TOKENS = 64  # entries of a dictionary
REDUCED = 8  # channels in which tokens and entries are compared
CATEGORY = 128  # tokens that attend to each other in the order of categories


class DictionaryAttention(nn.Module):
    """Cosine attention of all tokens to the entries of the dictionary; its map also says each token's category.

    The map is wanted for itself, so it is made under every attention implementation.
    """

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((TOKENS,), 0.5))
        self.wq = nn.Linear(CHANNELS, REDUCED)
        self.wk = nn.Linear(CHANNELS, REDUCED)
        self.wv = nn.Linear(CHANNELS, CHANNELS)
        self.map = MapPoint("dictionary", columns=TOKENS, role="dictionary")

    def forward(self, x: Tensor, td: Tensor) -> tuple[Tensor, Tensor]:  # (B, N, 48), (B, 64, 48)
        q, k, v = self.wq(x), self.wk(td), self.wv(td)
        attn = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)
        attn = attn * (1 + self.scale.clamp(0, 1) * math.log(TOKENS))
        attn = self.map(attn.softmax(dim=-1))
        return attn @ v, attn


class CategoryAttention(nn.Module):
    """Self-attention among every 128 neighbours in the order of categories, whose borders the groups ignore."""

    def __init__(self, attention: str, lean: bool):
        super().__init__()
        self.attention = attention
        self.lean = lean
        self.logit_scale = nn.Parameter(torch.full((1, 1), math.log(10)))
        self.proj = nn.Linear(CHANNELS, CHANNELS)
        self.map = MapPoint("category", heads=HEADS, rows=CATEGORY, role="category")

    def forward(self, qkv: Tensor, similarity: Tensor) -> Tensor:  # (B, N, 144), (B, N, 64) -> (B, N, 48)
        order, back = by_category(similarity.argmax(dim=-1))
        widest = 2 * HEADS * CATEGORY if self.attention == "naive" else 2 * qkv.shape[-1]
        whole = not self.lean or self.map.watched or torch.is_grad_enabled()
        cuts = slabs(qkv, qkv.shape[1] // CATEGORY, qkv.shape[0] * CATEGORY * widest, whole)
        parts = (order[:, cut.start * CATEGORY : cut.stop * CATEGORY] for cut in cuts)
        out = torch.cat([self.of_groups(take(qkv, part)) for part in parts], dim=1)
        return self.proj(take(out, back))

    def of_groups(self, qkv: Tensor) -> Tensor:  # (B, n, 144) -> (B, n, 48), n in whole groups
        q, k, v = qkv.view(-1, CATEGORY, 3, HEADS, HEAD).permute(2, 0, 3, 1, 4)
        out = self.attend(q, k, v, self.logit_scale.clamp(max=math.log(100)).exp())
        return out.transpose(1, 2).reshape(*qkv.shape[:2], CHANNELS)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, scale: Tensor) -> Tensor:  # each (groups, heads, 128, 12)
        if self.attention != "naive":
            return attend(q * scale, k, v, scale=1.0, attention=self.attention, point=self.map)
        if self.lean:
            return by_features(q, k, v, self.map, lambda logits: logits * scale)
        logits = q @ k.transpose(-2, -1)
        logits = logits * scale  # up to a hundred times; under autocast this is float32
        logits = self.map(logits.softmax(dim=-1))
        return logits @ v


class Layer(nn.Module):
    """The three attentions side by side, the feed-forward layer, and the dictionary's refinement from its output."""

    def __init__(self, shift: int, last: bool, attention: str, lean: bool):
        super().__init__()
        self.last = last
        self.lean = lean
        self.norm1 = nn.LayerNorm(CHANNELS)
        self.norm2 = nn.LayerNorm(CHANNELS)
        self.wqkv = nn.Linear(CHANNELS, 3 * CHANNELS)
        self.attn_win = WindowAttention(CHANNELS, HEADS, shift, attention, lean)
        self.attn_atd = DictionaryAttention()
        self.attn_aca = CategoryAttention(attention, lean)
        self.convffn = ConvFFN(CHANNELS, CHANNELS, kernel=7)
        if not last:
            self.norm3 = nn.InstanceNorm1d(TOKENS, affine=True)
            self.sigma = nn.Parameter(torch.zeros(TOKENS, 1))

    def forward(
        self, x: Tensor, td: Tensor, height: int, width: int, index: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:  # (B, N, 48), (B, 64, 48)
        normed = self.norm1(x)
        qkv = self.wqkv(normed)
        if self.lean and not torch.is_grad_enabled():
            total = x + self.attn_win(qkv, height, width, index, mask)
            x_atd, similarity = self.attn_atd(normed, td)
            total += x_atd
            del normed, x_atd
            total += self.attn_aca(qkv, similarity)
        else:
            x_atd, similarity = self.attn_atd(normed, td)
            x_aca = self.attn_aca(qkv, similarity)
            total = x + self.attn_win(qkv, height, width, index, mask) + x_atd + x_aca
        x = total + self.convffn(self.norm2(total), height, width)
        return x, td if self.last else self.refine(td, similarity, x)

    def refine(self, td: Tensor, similarity: Tensor, x: Tensor) -> Tensor:
        """Move each entry towards the mean of the tokens that are like it."""
        weights = self.norm3(similarity.transpose(1, 2)).softmax(dim=-1)  # (B, 64, N)
        keep = self.sigma.sigmoid()
        return keep * td + (1 - keep) * torch.einsum("bkn,bnc->bkc", weights, x)


class Body(nn.Module):
    """A group's layers and the dictionary that they begin with."""

    def __init__(self, attention: str, lean: bool):
        super().__init__()
        self.td = nn.Parameter(torch.randn(TOKENS, CHANNELS))
        self.layers = nn.ModuleList(Layer(SHIFT * (k % 2), k == LAYERS - 1, attention, lean) for k in range(LAYERS))

    def forward(self, x: Tensor, height: int, width: int, index: Tensor, mask: Tensor) -> Tensor:
        td = self.td.repeat(x.shape[0], 1, 1)
        for layer in self.layers:
            x, td = layer(x, td, height, width, index, mask)
        return x


class ATD(WindowFrame):
    """The image is extended to whole windows by mirroring with the edge repeated, before the mean is taken off."""

    ATTENTION = IMPLEMENTATIONS

    def __init__(self, scale: int, attention: str = "naive", lean: bool = False):
        groups = (Group(CHANNELS, Body(attention, lean)) for _ in range(GROUPS))
        super().__init__(scale, CHANNELS, groups, lean)


MODELS: dict[str, tuple[type[ATD], dict[str, object]]] = {"atd-light": (ATD, {})}
