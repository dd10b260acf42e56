"""What Omni-SR and ASID share: the frame around the groups, and the layers that the groups are made of."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import Kind, MapPoint
from .cache import Kept
from .layers import Upsampler
from .precision import wide
from .windows import at_least, missing, relative_index

WINDOW = 8


def portion(device: torch.device) -> int:
    """How many windows a lean forward works on at once: what a processor's cache holds, what keeps a GPU busy."""
    return 32 if device.type == "cpu" else 192


def overwrites(lean: bool) -> bool:
    """Whether a layer may write over tensors that it made: in a lean forward, unless gradients are recorded."""
    return lean and not torch.is_grad_enabled()


def plus(fresh: Tensor, x: Tensor, lean: bool) -> Tensor:
    """The sum of both, written over `fresh` where that is allowed."""
    return fresh.add_(x) if overwrites(lean) else fresh + x


class Frame(nn.Module):
    """Zero padding of the image to whole windows, a convolution on either side of the body, upsampling, cropping."""

    def __init__(self, channels: int, scale: int, lean: bool):
        super().__init__()
        self.scale = scale
        self.lean = lean
        self.input = nn.Conv2d(3, channels, 3, padding=1)
        self.output = nn.Conv2d(channels, channels, 3, padding=1)
        self.up = Upsampler(channels, scale)

    def body(self, x: Tensor) -> Tensor:
        """What a network makes of the first convolution's output."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        why = f"sides are zero-padded to multiples of {WINDOW} and its pooling needs {2 * WINDOW}"
        at_least(x, WINDOW + 1, type(self).__name__, why)
        height, width = x.shape[-2:]
        x = F.pad(x, (0, missing(width, WINDOW), 0, missing(height, WINDOW)))
        shallow = self.input(x)
        deep = plus(self.output(self.body(shallow)), shallow, self.lean)
        return self.up(deep)[..., : height * self.scale, : width * self.scale]


class ESA(nn.Module):
    """Enhanced spatial attention: a gate made from a strided, pooled copy of the map. No ReLU anywhere."""

    def __init__(self, channels: int, lean: bool):
        super().__init__()
        self.lean = lean
        squeezed = max(channels // 4, 16)
        self.conv1 = nn.Conv2d(channels, squeezed, 1)
        self.conv_f = nn.Conv2d(squeezed, squeezed, 1)
        self.conv2 = nn.Conv2d(squeezed, squeezed, 3, stride=2)
        self.conv3 = nn.Conv2d(squeezed, squeezed, 3, padding=1)
        self.conv4 = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        near = self.conv1(x)
        far = self.conv3(F.max_pool2d(self.conv2(near), 7, stride=3))
        far = F.interpolate(far, x.shape[-2:], mode="bilinear", align_corners=False)
        gate = self.conv4(far + self.conv_f(near))
        if overwrites(self.lean):
            return gate.sigmoid_().mul_(x)
        return x * gate.sigmoid()


class SqueezeExcite(nn.Module):
    """A gate per channel from the mean over all pixels."""

    def __init__(self, channels: int):
        super().__init__()
        hidden = channels // 4
        self.gate = nn.Sequential(
            nn.Identity(),  # the mean, in the checkpoints' numbering
            nn.Linear(channels, hidden, bias=False),
            nn.SiLU(),
            nn.Linear(hidden, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x.mean((2, 3)))[..., None, None]


class MBConv(nn.Module):
    """Pointwise, depthwise, squeeze and excite, pointwise, with a residual."""

    def __init__(self, channels: int, lean: bool):
        super().__init__()
        self.lean = lean
        self.fn = nn.Sequential(
            nn.Conv2d(channels, channels, 1),
            nn.GELU(),
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels),
            nn.GELU(),
            SqueezeExcite(channels),
            nn.Conv2d(channels, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return plus(self.fn(x), x, self.lean)


class PixelNorm(nn.Module):
    """A layer norm over the channels of a (B, C, H, W) map in plain arithmetic, which no counter takes for one."""

    def __init__(self, channels: int, lean: bool):
        super().__init__()
        self.lean = lean
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        weight, bias, dtype = self.weight[:, None, None], self.bias[:, None, None], x.dtype
        x = wide(x)
        mean = x.mean(1, keepdim=True)
        if overwrites(self.lean):
            x = x - mean
            variance = x.square().mean(1, keepdim=True)
            return x.mul_(variance.add_(1e-6).rsqrt_()).mul_(weight).add_(bias).to(dtype)
        variance = (x - mean).square().mean(1, keepdim=True)
        normed = (x - mean) / (variance + 1e-6).sqrt()
        return (weight * normed + bias).to(dtype)


def spread(x: Tensor, pointwise: nn.Conv2d, depthwise: nn.Conv2d, pieces: int, lean: bool) -> Iterator[Tensor]:
    """A pointwise and a depthwise convolution, both without bias, and their output in pieces along the channels.

    A lean forward makes the pieces of a large map one by one, when they are asked for, past the two modules' hooks.
    """
    if lean and x.shape[0] * x.shape[2] * x.shape[3] > portion(x.device) * WINDOW**2:
        for point, depth in zip(pointwise.weight.chunk(pieces), depthwise.weight.chunk(pieces), strict=True):
            yield F.conv2d(F.conv2d(x, point), depth, padding=1, groups=depth.shape[0])
    else:
        yield from depthwise(pointwise(x)).chunk(pieces, dim=1)


class GatedFFN(nn.Module):
    """Pointwise to twice the channels, depthwise, one half gated by the GELU of the other, pointwise. No biases."""

    def __init__(self, channels: int, lean: bool):
        super().__init__()
        self.lean = lean
        self.project_in = nn.Conv2d(channels, 2 * channels, 1, bias=False)
        self.dwconv = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels, bias=False)
        self.project_out = nn.Conv2d(channels, channels, 1, bias=False)

    def gated(self, x: Tensor) -> Tensor:
        a, b = spread(x, self.project_in, self.dwconv, 2, self.lean)
        a = F.gelu(a)
        return a.mul_(b) if overwrites(self.lean) else a * b

    def forward(self, x: Tensor) -> Tensor:
        return self.project_out(self.gated(x))


def cut(x: Tensor, grid: bool) -> Tensor:
    """(B, C, H, W) -> (B, Y, X, 8, 8, C), a view: raster windows, or groups of 64 pixels spread over the whole map."""
    b, c, h, w = x.shape
    if grid:
        return x.view(b, c, WINDOW, h // WINDOW, WINDOW, w // WINDOW).permute(0, 3, 5, 2, 4, 1)
    return x.view(b, c, h // WINDOW, WINDOW, w // WINDOW, WINDOW).permute(0, 2, 4, 3, 5, 1)


def sew(x: Tensor, grid: bool) -> Tensor:
    """The inverse of `cut`."""
    b, ny, nx, _, _, c = x.shape
    x = x.permute(0, 5, 3, 1, 4, 2) if grid else x.permute(0, 5, 1, 3, 2, 4)
    return x.reshape(b, c, ny * WINDOW, nx * WINDOW)


def sew_plus(out: Tensor, x: Tensor, grid: bool, lean: bool) -> Tensor:
    """A residual around windows (B, Y, X, 8, 8, C) cut from x. The official order adds first and then sews."""
    return plus(sew(out, grid), x, lean) if lean else sew(out + cut(x, grid), grid)


def pixel_point(heads: int, grid: bool, handed_on: str | None = None, reuses: bool = False) -> MapPoint:
    """What the maps of attention among 64 pixels pass, in windows or on the grid."""
    kind: Kind = "grid" if grid else "window"
    return MapPoint(kind, WINDOW, heads=heads, role=kind, handed_on=handed_on, reuses=reuses)


class PixelAttention(nn.Module):
    """The layers of attention among the 64 pixels of a window or grid group; position bias by QUERY MINUS KEY.

    The grid's token (w1, w2) of group (y, x) is the pixel at row w1 * Y + y and column w2 * X + x.
    """

    index: Tensor

    def __init__(self, channels: int, heads: int, grid: bool, lean: bool, handed_on: str | None = None):
        super().__init__()
        self.heads = heads
        self.scale = (channels // heads) ** -0.5
        self.lean = lean
        self.to_qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.to_out = nn.Sequential(nn.Linear(channels, channels, bias=False))
        self.rel_pos_bias = nn.Embedding((2 * WINDOW - 1) ** 2, heads)
        self.register_buffer("index", relative_index(WINDOW), persistent=False)
        self.map = pixel_point(heads, grid, handed_on)
        self.kept = Kept()

    def look_up(self) -> Tensor:  # (heads, 64, 64)
        return self.rel_pos_bias(self.index).permute(2, 0, 1).contiguous()

    def bias(self) -> Tensor:
        return self.kept.get("bias", (self.rel_pos_bias.weight,), self.look_up) if self.lean else self.look_up()

    def split(self, x: Tensor) -> Tensor:  # (..., 8, 8, C) -> (3, windows, heads, 64, C / heads), a view
        qkv = self.to_qkv(x.reshape(-1, WINDOW**2, x.shape[-1]))
        return qkv.view(-1, WINDOW**2, 3, self.heads, x.shape[-1] // self.heads).permute(2, 0, 3, 1, 4)

    def mapped(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The attention's output and its map (windows, heads, 64, 64), in the official order of work.

        The official code holds all of these tensors to its end, and they are its peak.
        """
        q, k, v = self.split(x)
        q = q * self.scale
        logits = torch.einsum("whid,whjd->whij", q, k)
        logits = plus(logits, self.bias(), self.lean)
        attn = self.map(logits.softmax(dim=-1))
        out = torch.einsum("whij,whjd->whid", attn, v)
        out = out.transpose(1, 2).reshape(x.shape)
        return self.to_out(out), attn


class ChannelAttention(nn.Module):
    """Softmax attention among channels, over the pixels of a window, or on the grid over one phase of all windows.

    The phases (y mod 8, x mod 8) are NOT the groups of the grid attention among pixels.
    """

    def __init__(self, channels: int, heads: int, grid: bool, lean: bool):
        super().__init__()
        self.heads = heads
        self.grid = grid
        self.lean = lean
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.qkv_dwconv = nn.Conv2d(3 * channels, 3 * channels, 3, padding=1, groups=3 * channels, bias=False)
        self.project_out = nn.Conv2d(channels, channels, 1, bias=False)
        self.map = MapPoint(
            "channel",
            None if grid else WINDOW,
            heads=heads,
            rows=channels // heads,
            role="grid-channel" if grid else "channel",
        )

    def group(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, groups, heads, C / heads, pixels of a group)
        b, c, h, w = x.shape
        x = x.view(b, self.heads, c // self.heads, h // WINDOW, WINDOW, w // WINDOW, WINDOW)
        if self.grid:
            return x.permute(0, 4, 6, 1, 2, 3, 5).reshape(b, WINDOW**2, self.heads, c // self.heads, -1)
        return x.permute(0, 3, 5, 1, 2, 4, 6).reshape(b, -1, self.heads, c // self.heads, WINDOW**2)

    def ungroup(self, x: Tensor, height: int, width: int) -> Tensor:
        """The inverse of `group`."""
        b, _, heads, c, _ = x.shape
        ny, nx = height // WINDOW, width // WINDOW
        if self.grid:
            x = x.view(b, WINDOW, WINDOW, heads, c, ny, nx).permute(0, 3, 4, 5, 1, 6, 2)
        else:
            x = x.view(b, ny, nx, heads, c, WINDOW, WINDOW).permute(0, 3, 4, 1, 5, 2, 6)
        return x.reshape(b, heads * c, height, width)

    def forward(self, x: Tensor) -> Tensor:
        if overwrites(self.lean):
            return self.project_out(self.mix(x))
        qkv = self.qkv_dwconv(self.qkv(x))
        q, k, v = (self.group(part) for part in qkv.chunk(3, dim=1))
        q, k = F.normalize(wide(q), dim=-1), F.normalize(wide(k), dim=-1)
        attn = self.weigh(q, k).to(v.dtype)
        out = attn @ v
        out = self.ungroup(out, *x.shape[-2:])
        return self.project_out(out)

    def weigh(self, q: Tensor, k: Tensor) -> Tensor:
        """The attention map of normalised queries and keys: (B, groups, heads, C / heads, C / heads)."""
        return self.map(((q @ k.transpose(-2, -1)) * self.temperature).softmax(dim=-1))

    def mix(self, x: Tensor) -> Tensor:
        """The same up to the last layer: queries, keys and values made in turn, and normalised in place."""
        pieces = spread(x, self.qkv, self.qkv_dwconv, 3, self.lean)
        q, k = (self.normalise(self.group(next(pieces))) for _ in range(2))
        attn = self.weigh(q, k)
        del q, k
        return self.ungroup(attn.to(x.dtype) @ self.group(next(pieces)), *x.shape[-2:])

    @staticmethod
    def normalise(x: Tensor) -> Tensor:
        """F.normalize over the last axis, in place."""
        x = wide(x)
        return x.div_(torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp_min_(1e-12))
