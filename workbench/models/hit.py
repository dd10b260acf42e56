"""HiT-SIR, HiT-SNG and HiT-SRF: windows from 4 to 64, correlation in place of softmax attention (ECCV 2024)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .parts.attention import MapPoint
from .parts.cache import Kept
from .parts.layers import to_map
from .parts.precision import full_precision
from .parts.swin import MLP, Blocks, ConvFFN, Frame, Group
from .parts.windows import extend, merge, missing, partition, relative_index

CHANNELS = 60
GROUPS = 4
WINDOWS = (4, 8, 16, 32, 48, 64)  # one block each: ratios 0.5, 1, 2, 4, 6, 8 of a base window of 8
HEADS = 6
HALF = CHANNELS // 2  # channels of the queries, and of the values
HEAD = HALF // HEADS
CELLS = 8  # a window's values are condensed to at most 8x8 cells


class DFE(nn.Module):
    """Dual feature extraction: a convolutional bottleneck times a pointwise layer."""

    def __init__(self) -> None:
        super().__init__()
        squeezed = CHANNELS // 5
        self.conv = nn.Sequential(
            nn.Conv2d(CHANNELS, squeezed, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(squeezed, squeezed, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(squeezed, CHANNELS, 1),
        )
        self.linear = nn.Conv2d(CHANNELS, CHANNELS, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) * self.linear(x)


class PositionMLP(nn.Module):
    """Turns an offset between two pixels into one bias per head."""

    def __init__(self) -> None:
        super().__init__()
        hidden = 3

        def layer(out: int) -> nn.Sequential:
            return nn.Sequential(nn.LayerNorm(hidden), nn.ReLU(), nn.Linear(hidden, out))

        self.pos_proj = nn.Linear(2, hidden)
        self.pos1 = layer(hidden)
        self.pos2 = layer(hidden)
        self.pos3 = layer(HEADS)

    def forward(self, offsets: Tensor) -> Tensor:  # (offsets, 2) -> (offsets, heads)
        return self.pos3(self.pos2(self.pos1(self.pos_proj(offsets))))


class NGramContext(nn.Module):
    """HiT-SNG: each window learns from its neighbours, two by two, forward and backward."""

    def __init__(self, window: int):
        super().__init__()
        self.unigram_embed = nn.Conv2d(2, 1, window, stride=window)
        self.ngram_attn = NGramAttention(window)
        self.merge = nn.Conv2d(CHANNELS, CHANNELS, 1)

    def forward(self, x: Tensor) -> Tensor:  # (B, 60, H, W) -> (B, 60, windows down, windows across)
        b, c = x.shape[:2]
        pairs = x.reshape(b * c // 2, 2, *x.shape[2:])
        unigrams = self.unigram_embed(pairs).view(b, c // 2, *self._windows(x))
        around = F.pad(unigrams, (1, 1, 1, 1), mode="reflect")
        forward = self.ngram_attn(around[..., 1:, 1:])
        backward = self.ngram_attn(around[..., :-1, :-1])
        return self.merge(torch.cat((forward, backward), dim=1))

    def _windows(self, x: Tensor) -> tuple[int, int]:
        window = self.unigram_embed.stride[0]
        return x.shape[2] // window, x.shape[3] // window


class NGramAttention(nn.Module):
    """Softmax self-attention inside every 2x2 neighbourhood of windows, then their mean."""

    relative_position_index: Tensor

    def __init__(self, window: int):
        super().__init__()
        self.relative_position_bias_table = nn.Parameter(torch.empty(9, HEADS))
        self.register_buffer("relative_position_index", relative_index(2))
        self.qkv = nn.Linear(HALF, 3 * HALF)
        self.proj = nn.Linear(HALF, HALF)
        self.map = MapPoint("ngram", 2 * window, heads=HEADS, rows=4, role="ngram")
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def forward(self, x: Tensor) -> Tensor:  # (B, 30, h + 1, w + 1) -> (B, 30, h, w)
        b, c, h, w = x.shape[0], x.shape[1], x.shape[2] - 1, x.shape[3] - 1
        grams = x.unfold(2, 2, 1).unfold(3, 2, 1).permute(0, 2, 3, 4, 5, 1).reshape(-1, 4, c)
        q, k, v = self.qkv(grams).view(-1, 4, 3, HEADS, HEAD).permute(2, 0, 3, 1, 4)
        bias = self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)
        attn = self.map(((q * HEAD**-0.5) @ k.transpose(-2, -1) + bias).softmax(dim=-1))
        out = self.proj((attn @ v).transpose(1, 2).reshape(-1, 4, c))
        return out.mean(dim=1).view(b, h, w, c).permute(0, 3, 1, 2)


class NGramPartition(nn.Module):
    """Holds the context under the key the checkpoints use."""

    def __init__(self, window: int):
        super().__init__()
        self.ngram_context = NGramContext(window)

    def forward(self, qv: Tensor) -> Tensor:
        context = self.ngram_context(qv)
        b, c, h, w = qv.shape
        ny, nx = context.shape[2:]
        spread = context[:, :, :, None, :, None]
        return (qv.view(b, c, ny, h // ny, nx, w // nx) + spread).view(b, c, h, w)


class Correlation(nn.Module):
    """Spatial and channel self-correlation in one window size: no softmax, keys and values condensed to cells."""

    def __init__(self, window: int, ngram: bool, lean: bool):
        super().__init__()
        self.window = window
        self.cells = min(window, CELLS)
        self.cell = window // self.cells  # side of a cell in pixels
        self.lean = lean
        self.qv = DFE()
        self.ngram_window_partition = NGramPartition(window) if ngram else nn.Identity()
        self.spatial_linear = nn.Linear(self.cell**2, 1)
        self.pos = PositionMLP()
        self.proj = nn.Linear(CHANNELS, CHANNELS)
        self.map = MapPoint("correlation", window, heads=HEADS, columns=self.cells**2, softmax=False)
        self.channel_map = MapPoint("channel", window, rows=HALF, softmax=False, role="channel")
        self.kept = Kept()

    def forward(self, x: Tensor) -> Tensor:  # (B, H, W, 60), sides in whole windows
        height, width = x.shape[1:3]
        qv = self.ngram_window_partition(self.qv(x.permute(0, 3, 1, 2))).permute(0, 2, 3, 1).contiguous()
        qv = partition(qv, self.window)  # (n, L, 60)
        n, tokens = qv.shape[:2]
        q, v = qv = qv.view(n, tokens, 2, HEADS, HEAD).permute(2, 0, 3, 1, 4).contiguous()  # each (n, heads, L, 5)
        spatial = self.spatial(q, self.condense(v)).transpose(1, 2).reshape(n, tokens, HALF)
        q, v = qv.transpose(2, 3).reshape(2, n, tokens, HALF)
        out = torch.cat((spatial, self.channel(q, v)), dim=-1)
        return self.proj(merge(out, self.window, height, width))

    def condense(self, v: Tensor) -> Tensor:  # (n, heads, L, 5) -> (n, heads, cells^2, 5)
        """One learned mean per cell of a window."""
        n, c, r = v.shape[0], self.cells, self.cell
        by_cell = v.view(n, HEADS, c, r, c, r, HEAD).permute(0, 1, 2, 4, 6, 3, 5)
        return self.spatial_linear(by_cell.reshape(n, HEADS, c * c, HEAD, r * r)).squeeze(-1)

    def spatial(self, q: Tensor, v: Tensor) -> Tensor:
        """(q v^T / 5 + bias) v. Without a softmax the lean order, q (v^T v) / 5 + bias v, needs no map."""
        if self.lean and not self.map.watched:
            bias = self.kept.get("bias", tuple(self.pos.parameters()), self.bias)
            positional = bias @ v.permute(1, 2, 0, 3).flatten(2)  # (heads, L, n * 5)
            positional = positional.view(HEADS, -1, q.shape[0], HEAD).permute(2, 0, 1, 3)
            return q @ (v.transpose(-2, -1) @ v / HEAD) + positional
        correlation = q @ v.transpose(-2, -1) / HEAD
        bias = self.bias() if self.lean else self.bias_by_index()
        return self.map(correlation + bias) @ v

    def channel(self, q: Tensor, v: Tensor) -> Tensor:  # (n, L, 30) twice
        """Correlation of channels over all tokens of a window, applied to v."""
        return (self.channel_map(q.transpose(-2, -1) @ v / q.shape[1]) @ v.transpose(-2, -1)).transpose(-2, -1)

    def offsets(self) -> Tensor:  # ((2w - 1)^2, heads)
        """The bias of every offset between two pixels of a window."""
        axis = torch.arange(1 - self.window, self.window, device=self.proj.weight.device)
        grid = torch.stack(torch.meshgrid(axis, axis, indexing="ij")).flatten(1)
        return self.pos(grid.T.to(self.proj.weight.dtype))

    def bias_by_index(self) -> Tensor:  # (heads, L, cells^2)
        """The official order of work: the bias of every pair of pixels, then its mean over each cell of keys."""
        w, c, r = self.window, self.cells, self.cell
        axis = torch.arange(w, device=self.proj.weight.device)
        at = torch.stack(torch.meshgrid(axis, axis, indexing="ij")).flatten(1)
        relative = (at[:, :, None] - at[:, None, :]).permute(1, 2, 0).contiguous()  # (L, L, 2), query minus key
        relative += w - 1
        relative[..., 0] *= 2 * w - 1
        index = relative.sum(-1)
        pairs = self.offsets()[index.view(-1)]  # (L * L, heads)
        by_cell = pairs.view(w * w, c, r, c, r, HEADS).permute(0, 1, 3, 5, 2, 4).contiguous()
        return by_cell.view(w * w, c * c, HEADS, r * r).mean(-1).permute(2, 0, 1)

    def bias(self) -> Tensor:  # (heads, L, cells^2)
        """The same mean taken over offsets before they are looked up: a box filter in place of all pairs."""
        w, c, r = self.window, self.cells, self.cell
        table = self.offsets().T.view(HEADS, 2 * w - 1, 2 * w - 1)
        means = F.avg_pool2d(table, r, stride=1)  # at [a, b]: over offsets a .. a + r - 1 and b .. b + r - 1
        device = table.device
        at = torch.arange(w, device=device)[:, None] - torch.arange(c, device=device) * r + w - r  # (w, c)
        rows, columns = at[:, None, :, None], at[None, :, None, :]
        return means[:, rows, columns].reshape(HEADS, w * w, c * c)


class Block(nn.Module):
    """Correlation in one window size, then the feed-forward layer; norms act on each branch's output."""

    def __init__(self, window: int, mlp: nn.Module, ngram: bool, lean: bool):
        super().__init__()
        self.multiple = 2 * window if ngram else window
        self.norm1 = nn.LayerNorm(CHANNELS)
        self.norm2 = nn.LayerNorm(CHANNELS)
        self.correlation = Correlation(window, ngram, lean)
        self.mlp = mlp

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:  # (B, H * W, 60)
        with full_precision(x) as x:
            x = x + self.norm1(self.correlate(x, height, width))
        return x + self.norm2(self.mlp(x, height, width))

    def correlate(self, x: Tensor, height: int, width: int) -> Tensor:
        """The correlation before its norm. It is of sixth order in x: 1e14 with the published x4 weights on Set5,
        where float16 ends at 65,504, so that autocast is suspended for it."""
        bottom, right = missing(height, self.multiple), missing(width, self.multiple)
        out = self.correlation(extend(to_map(x, height, width), bottom, right).permute(0, 2, 3, 1).contiguous())
        return out[:, :height, :width].reshape(x.shape)


class HiT(Frame):
    """The three networks, which differ in the feed-forward layer and in the N-gram context."""

    ATTENTION = ("naive",)
    ATTENTION_NOTE = "its correlation has no softmax, which the fused kernels compute."

    def __init__(
        self,
        scale: int,
        mlp: type[MLP] | type[ConvFFN],
        ngram: bool,
        attention: str = "naive",
        lean: bool = False,
    ):
        def group() -> Group:
            blocks = (Block(window, mlp(CHANNELS, 2 * CHANNELS), ngram, lean) for window in WINDOWS)
            return Group(CHANNELS, Blocks(blocks))

        super().__init__(scale, CHANNELS, (group() for _ in range(GROUPS)), lean=lean)


MODELS: dict[str, tuple[type[HiT], dict[str, object]]] = {
    "hit-sir": (HiT, {"mlp": MLP, "ngram": False}),
    "hit-sng": (HiT, {"mlp": MLP, "ngram": True}),
    "hit-srf": (HiT, {"mlp": ConvFFN, "ngram": False}),
}
