"""ELAN-light: convolutions that shift channels, and windows of three sizes whose maps two layers share (ECCV 2022)."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .parts.attention import IMPLEMENTATIONS, MapPoint, attend
from .parts.layers import DIV2K_MEAN, Upsampler
from .parts.precision import full_precision, wide
from .parts.slabs import slabs
from .parts.windows import extend, missing

CHANNELS = 60
BLOCKS = 12  # every second one rolls its windows by half
WINDOWS = (4, 8, 16)  # sides in pixels; each takes a third of the channels
PART = CHANNELS // len(WINDOWS)
RANGE = 255.0  # of the pixels, in and out


class ShiftConv(nn.Module):
    """Four fifths of the channels move by a pixel, a fifth each way, then a pointwise layer mixes them."""

    def __init__(self, channels: int, out: int):
        super().__init__()
        self.shift_conv = Taps(channels, out)

    def forward(self, x: Tensor) -> Tensor:
        return self.shift_conv.conv1x1(self.move(x))

    def move(self, x: Tensor, padding: tuple[int, int] = (1, 1)) -> Tensor:
        return F.conv2d(x, self.shift_conv.weight, padding=padding, groups=x.shape[1])


class Taps(nn.Module):
    """The frozen kernel that moves channels and the pointwise layer, under the keys the checkpoints use."""

    def __init__(self, channels: int, out: int):
        super().__init__()
        fifth = channels // 5
        weight = torch.zeros(channels, 1, 3, 3)
        for i, (row, column) in enumerate(((1, 2), (1, 0), (2, 1), (0, 1), (1, 1))):
            weight[i * fifth : (i + 1) * fifth, :, row, column] = 1
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.conv1x1 = nn.Conv2d(channels, out, 1)


class LFE(nn.Module):
    """Local feature extraction: two shifting convolutions, added to their input."""

    def __init__(self) -> None:
        super().__init__()
        self.conv0 = ShiftConv(CHANNELS, 2 * CHANNELS)
        self.conv1 = ShiftConv(2 * CHANNELS, CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv1(F.relu_(self.conv0(x))) + x

    def in_slabs(self, x: Tensor) -> Tensor:
        """Lean inference: some rows at a time, between rows of zeros that pad the second convolution."""
        b, _, height, width = x.shape
        out = self.conv0.move(x)
        padded = (b, 2 * CHANNELS, height + 2, width)
        hidden = torch.empty(padded, dtype=x.dtype, device=x.device, memory_format=layout(x))
        hidden[:, :, 0] = 0
        hidden[:, :, -1] = 0
        inner = hidden[:, :, 1:-1]
        rows = list(slabs(x, height, b * width * hidden.shape[1]))
        for slab in rows:
            inner[:, :, slab] = F.relu_(self.conv0.shift_conv.conv1x1(out[:, :, slab]))
        for slab in rows:
            near = hidden[:, :, slab.start : slab.stop + 2]
            mixed = self.conv1.shift_conv.conv1x1(self.conv1.move(near, padding=(0, 1)))
            out[:, :, slab] = mixed.add_(x[:, :, slab])
        return out


class GMSA(nn.Module):
    """Self-attention of windows of each size, its keys the queries, without heads, scale, bias or mask.

    The second of two such layers has no queries and takes over the first one's maps. Only the plain implementation
    has maps to hand on; sdpa and flex hand on the queries and form the maps again. So does the lean forward, which
    thereby never holds more than a slab of them.
    """

    def __init__(self, asks: bool, shifted: bool, attention: str):
        super().__init__()
        self.attention = attention
        self.each = (1 + asks) * PART  # channels that the projection makes for one window size
        projected = self.each * len(WINDOWS)
        self.project_inp = nn.Sequential(nn.Conv2d(CHANNELS, projected, 1), nn.BatchNorm2d(projected))
        self.project_out = nn.Conv2d(CHANNELS, CHANNELS, 1)
        self.maps = nn.ModuleList(
            MapPoint(
                "window", w, w // 2 if shifted else 0, role=f"w{w}", handed_on=f"w{w}", reuses=not asks, masked=False
            )
            for w in WINDOWS
        )

    def forward(self, x: Tensor, shared: list[Tensor] | None, sparing: bool) -> tuple[Tensor, list[Tensor]]:
        """(B, 60, H, W), sides in whole windows, and one tensor for each window size: maps, or queries."""
        height, width = x.shape[-2:]
        outs, handed_on = [], []
        for i, part in enumerate(self.in_parts(x) if sparing else self.project_inp(x).split(self.each, dim=1)):
            point = self.maps[i]
            assert isinstance(point, MapPoint)
            given = None if shared is None else shared[i]
            part = roll(part, -point.shift)
            if self.attention == "naive" and not sparing:
                q_v = cut(part, WINDOWS[i])
                attn = point(self_map(q_v[0]) if given is None else given)
                handed_on.append(attn)
                y = attn @ q_v[-1]
            else:
                q = cut(part[:, :PART], WINDOWS[i])[0] if given is None else given
                handed_on.append(q)
                part = cut(part[:, -PART:], WINDOWS[i])[0]  # the values alone: what they were cut from is free now
                y = self.attend(q, part, point)
            y = join(y, WINDOWS[i], height, width, layout(x))
            y = roll(y, point.shift)
            outs.append(y)
        return self.project_out(torch.cat(outs, dim=1)) + x, handed_on

    def attend(self, q: Tensor, v: Tensor, point: MapPoint) -> Tensor:  # (windows, N, 20)
        if self.attention != "naive":
            q, v = q[:, None], v[:, None]
            return attend(q, q, v, scale=1.0, attention=self.attention, point=point)[:, 0]
        out = torch.empty_like(v)
        windows, tokens = q.shape[:2]
        for slab in slabs(q, windows, tokens**2, whole=point.watched):
            out[slab] = point(self_map(q[slab])) @ v[slab]
        return out

    def in_parts(self, x: Tensor) -> Iterable[Tensor]:
        """The projection for one window size after the other, equal to the projection's parts in every bit."""
        conv, norm = self.project_inp
        assert isinstance(conv, nn.Conv2d)
        assert conv.bias is not None
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        for first in range(0, norm.num_features, self.each):
            own = slice(first, first + self.each)
            norms = (norm.running_mean[own], norm.running_var[own], norm.weight[own], norm.bias[own])
            yield F.batch_norm(F.conv2d(x, conv.weight[own], conv.bias[own]), *norms, eps=norm.eps)


def layout(x: Tensor) -> torch.memory_format:
    last = torch.channels_last
    return last if x.is_contiguous(memory_format=last) else torch.contiguous_format


def self_map(q: Tensor) -> Tensor:  # (windows, N, 20) -> (windows, N, N)
    """softmax(q q^T), in float32 at least: unscaled logits go beyond float16, and bfloat16 is too coarse for them."""
    with full_precision(q) as full:
        full = wide(full)
        attn = full @ full.transpose(-2, -1)
        return attn.softmax(dim=-1).to(q.dtype)


def roll(x: Tensor, by: int) -> Tensor:  # (B, C, H, W); round the edges, without a mask
    return x.roll((by, by), (2, 3)) if by else x


def cut(x: Tensor, window: int) -> Tensor:
    """(B, n * 20, H, W) -> (n, B * windows, N, 20)."""
    b, c, h, w = x.shape
    x = x.view(b, c // PART, PART, h // window, window, w // window, window).permute(1, 0, 3, 5, 4, 6, 2)
    return x.reshape(c // PART, -1, window * window, PART)


def join(x: Tensor, window: int, height: int, width: int, layout: torch.memory_format) -> Tensor:
    """(B * windows, N, 20) -> (B, 20, H, W)."""
    x = x.view(-1, height // window, width // window, window, window, PART)
    if layout == torch.channels_last:
        return x.transpose(2, 3).reshape(-1, height, width, PART).permute(0, 3, 1, 2)
    return x.permute(0, 5, 1, 3, 2, 4).reshape(-1, PART, height, width)


class ELAB(nn.Module):
    """Twice a local feature extraction and an attention; the second attention takes over the first one's maps."""

    def __init__(self, shifted: bool, attention: str, lean: bool):
        super().__init__()
        self.lean = lean
        self.modules_lfe = nn.ModuleDict({f"lfe_{j}": LFE() for j in range(2)})
        self.modules_gmsa = nn.ModuleDict({f"gmsa_{j}": GMSA(j == 0, shifted, attention) for j in range(2)})

    def forward(self, x: Tensor) -> Tensor:
        sparing = self.lean and not (self.training or torch.is_grad_enabled())
        shared = None
        for lfe, gmsa in zip(self.modules_lfe.values(), self.modules_gmsa.values(), strict=True):
            assert isinstance(lfe, LFE)
            x = lfe.in_slabs(x) if sparing else lfe(x)
            x, shared = gmsa(x, shared, sparing)
        return x


class MeanShift(nn.Conv2d):
    """Adds or takes away the mean of DIV2K, by a frozen convolution."""

    def __init__(self, sign: int):
        super().__init__(3, 3, 1)
        self.weight = nn.Parameter(torch.eye(3).view(3, 3, 1, 1), requires_grad=False)
        self.bias = nn.Parameter(sign * RANGE * torch.tensor(DIV2K_MEAN), requires_grad=False)


class ELAN(nn.Module):
    """ELAN-light. Its images, in and out, have pixels from 0 to 255.

    Without a scale the softmax is nearly hard, so that where weights are large a last bit can turn the image. On a CPU
    the lean forward therefore rounds as the faithful one does: no norm is folded into a convolution, and the dense
    convolutions keep their layout.
    """

    ATTENTION = IMPLEMENTATIONS

    def __init__(self, scale: int, attention: str = "naive", lean: bool = False):
        super().__init__()
        self.scale = scale
        self.lean = lean
        self.sub_mean = MeanShift(-1)
        self.head = nn.Sequential(nn.Conv2d(3, CHANNELS, 3, padding=1))
        self.body = nn.Sequential(*(ELAB(k % 2 == 1, attention, lean) for k in range(BLOCKS)))
        self.tail = Upsampler(CHANNELS, scale)
        self.add_mean = MeanShift(1)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        multiple = math.lcm(*WINDOWS)
        x = extend(x, missing(height, multiple), missing(width, multiple))
        x = self.head(self.sub_mean(x))
        if self.lean and x.is_cpu:  # whose depthwise convolutions are much faster on channels last
            x = x.contiguous(memory_format=torch.channels_last)
        x = self.body(x) + x
        if self.lean:
            x = x.contiguous()
        x = self.add_mean(self.tail(x))
        return x[..., : height * self.scale, : width * self.scale]


MODELS: dict[str, tuple[type[ELAN], dict[str, object]]] = {"elan-light": (ELAN, {})}
