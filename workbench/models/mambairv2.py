"""MambaIRv2-light: window attention, then one selective scan over tokens sorted by learned categories (CVPR 2025)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .parts.attention import IMPLEMENTATIONS
from .parts.layers import to_map, to_tokens
from .parts.mamba import Scans
from .parts.order import by_category, take
from .parts.qkv import SHIFT, WindowAttention, WindowFrame
from .parts.scan import selective_scan
from .parts.swin import Group

CHANNELS = 48
GROUPS = 4
LAYERS = 5
HEADS = 4
STATES = 8
RANK = 3  # CHANNELS / 16
TOKENS = 64  # categories, each with its prompt
INNER = 32  # rank of the table of prompts
HALF = CHANNELS // 2


class Gate(nn.Module):
    """One half of the channels times a depthwise convolution of the other."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(HALF)
        self.conv = nn.Conv2d(HALF, HALF, 5, padding=2, groups=HALF)

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:  # (B, N, 48) -> (B, N, 24)
        passed, gate = x.chunk(2, dim=-1)
        gate = self.conv(to_map(self.norm(gate), height, width).contiguous())
        return passed * to_tokens(gate)


class GatedMLP(nn.Module):
    """The feed-forward layer."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(CHANNELS, CHANNELS)
        self.sg = Gate()
        self.fc2 = nn.Linear(HALF, CHANNELS)

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        return self.fc2(self.sg(F.gelu(self.fc1(x)), height, width))


class ASSM(nn.Module):
    """The attentive scan: each token is given a category, tokens are sorted by it, and each adds its category's prompt.

    The prompts are added to the sorted sequence in the order of the unsorted tokens, as the official code does.
    """

    def __init__(self, noise: bool, lean: bool):
        super().__init__()
        self.noise = noise
        self.lean = lean
        self.selectiveScan = Scans(1, CHANNELS, STATES, RANK)
        self.out_norm = nn.LayerNorm(CHANNELS)
        self.out_proj = nn.Linear(CHANNELS, CHANNELS)
        self.in_proj = nn.Sequential(nn.Conv2d(CHANNELS, CHANNELS, 1))
        self.CPE = nn.Sequential(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, groups=CHANNELS))
        self.embeddingB = nn.Embedding(TOKENS, INNER)
        self.route = nn.Sequential(nn.Linear(CHANNELS, 16), nn.GELU(), nn.Linear(16, TOKENS), nn.LogSoftmax(dim=-1))
        nn.init.uniform_(self.embeddingB.weight, -1 / TOKENS, 1 / TOKENS)

    def forward(self, x: Tensor, height: int, width: int, embedding: Tensor) -> Tensor:  # (B, N, 48), (32, 8)
        category, prompt = self.routed(x, self.embeddingB.weight @ embedding)
        order, back = by_category(category)
        y = self.scanned(take(self.values(x, height, width), order), prompt)
        return take(self.out_proj(self.out_norm(y)), back)

    def values(self, x: Tensor, height: int, width: int) -> Tensor:  # (B, N, 48)
        x = self.in_proj(to_map(x, height, width))
        return to_tokens(x * self.CPE(x).sigmoid())

    def routed(self, x: Tensor, prompts: Tensor) -> tuple[Tensor, Tensor]:  # (B, N, 48), (64, 8)
        """The category of every token (B, N) and the prompt that belongs to it (B, N, 8)."""
        logits = self.route(x)
        if self.noise or self.training:
            logits = logits - torch.empty_like(logits).exponential_().log()
        category = logits.argmax(dim=-1)
        if self.lean and not torch.is_grad_enabled():
            return category, F.embedding(category, prompts)
        return category, one_hot(logits, category) @ prompts

    def scanned(self, x: Tensor, prompt: Tensor) -> Tensor:  # (B, N, 48), (B, N, 8)
        scan = self.selectiveScan
        if self.lean:
            return scan.along(x, prompt=prompt)
        return selective_scan(*scan.sequences(x.mT.contiguous()[:, None], prompt.mT[:, None])).mT


def one_hot(logits: Tensor, category: Tensor) -> Tensor:
    """The choice as a one-hot vector, whose gradient is that of the softmax in its place."""
    hard = torch.zeros_like(logits).scatter_(-1, category[..., None], 1.0)
    if not torch.is_grad_enabled():
        return hard
    soft = logits.softmax(dim=-1)
    return hard + (soft - soft.detach())


class Layer(nn.Module):
    """Window attention, then the scan, each followed by a gated MLP and joined to a scaled shortcut."""

    def __init__(self, shift: int, noise: bool, attention: str, lean: bool):
        super().__init__()
        self.norm1 = nn.LayerNorm(CHANNELS)
        self.norm2 = nn.LayerNorm(CHANNELS)
        self.norm3 = nn.LayerNorm(CHANNELS)
        self.norm4 = nn.LayerNorm(CHANNELS)
        self.scale1 = nn.Parameter(torch.full((CHANNELS,), 1e-4))
        self.scale2 = nn.Parameter(torch.full((CHANNELS,), 1e-4))
        self.wqkv = nn.Linear(CHANNELS, 3 * CHANNELS)
        self.win_mhsa = WindowAttention(CHANNELS, HEADS, shift, attention, lean, packed=True)
        self.assm = ASSM(noise, lean)
        self.convffn1 = GatedMLP()
        self.convffn2 = GatedMLP()
        self.embeddingA = nn.Embedding(INNER, STATES)
        nn.init.uniform_(self.embeddingA.weight, -1 / INNER, 1 / INNER)

    def forward(self, x: Tensor, height: int, width: int, index: Tensor, mask: Tensor) -> Tensor:  # (B, N, 48)
        x = self.attended(x, height, width, index, mask)
        mixed = self.assm(self.norm3(x), height, width, self.embeddingA.weight) + x
        mixed = mixed + self.convffn2(self.norm4(mixed), height, width)
        return x * self.scale2 + mixed

    def attended(self, x: Tensor, height: int, width: int, index: Tensor, mask: Tensor) -> Tensor:
        normed = self.norm1(x)  # held to the end, as in the official code
        mixed = self.win_mhsa(self.wqkv(normed), height, width, index, mask) + x
        mixed = self.convffn1(self.norm2(mixed), height, width) + mixed
        return x * self.scale1 + mixed


class Body(nn.Module):
    """A group's layers, under the key the checkpoints use."""

    def __init__(self, noise: bool, attention: str, lean: bool):
        super().__init__()
        self.layers = nn.ModuleList(Layer(SHIFT * (k % 2), noise, attention, lean) for k in range(LAYERS))

    def forward(self, x: Tensor, height: int, width: int, index: Tensor, mask: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x, height, width, index, mask)
        return x


class MambaIRv2(WindowFrame):
    """The image is extended to whole windows by mirroring with the edge repeated, before the mean is taken off.

    The official router draws Gumbel noise in evaluation too, so that two runs of one checkpoint differ. Here it does
    so in training alone, and the same image gives the same output; `noise=True` draws it always, from torch's global
    generator in the official order, so that a seed gives the official run.
    """

    ATTENTION = IMPLEMENTATIONS

    def __init__(self, scale: int, noise: bool = False, attention: str = "naive", lean: bool = False):
        groups = (Group(CHANNELS, Body(noise, attention, lean)) for _ in range(GROUPS))
        super().__init__(scale, CHANNELS, groups, lean, noise)


MODELS: dict[str, tuple[type[MambaIRv2], dict[str, object]]] = {"mambairv2-light": (MambaIRv2, {})}
