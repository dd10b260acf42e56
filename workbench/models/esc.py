"""ESC, ESC-light and ESC-FP: self-attention in few places, one shared 13x13 convolution in the others (ICCV 2025)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .parts.attention import IMPLEMENTATIONS, MapPoint, attend, flex
from .parts.cache import Kept
from .parts.layers import ChannelNorm
from .parts.slabs import slabs
from .parts.windows import extend, missing

WINDOW = 32
HEAD = 16  # channels of one attention head
PARTIAL = 16  # channels that the large kernel works on; the others pass it by
KERNEL = 13
UNITS = 5  # convolutional units of a block


class ConvFFN(nn.Module):
    """Pointwise, depthwise with a residual, pointwise."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.proj = nn.Conv2d(channels, hidden, 1)
        self.dwc = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.aggr = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.proj(x))
        x = F.gelu(self.dwc(x)) + x
        return self.aggr(x)


class WindowAttention(nn.Module):
    """Self-attention in plain windows, officially of 32x32, with a position bias indexed by KEY MINUS QUERY."""

    def __init__(self, channels: int, attention: str, lean: bool, window: int = WINDOW, role: str = ""):
        super().__init__()
        self.heads = channels // HEAD
        self.window = window
        self.attention = attention
        self.lean = lean
        self.relative_position_bias = nn.Parameter(torch.randn(self.heads, (2 * window - 1) ** 2) * 0.001)
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.to_out = nn.Conv2d(channels, channels, 1)
        self.map = MapPoint("window", window, heads=self.heads, role=role)
        self.kept = Kept()

    def bias(self) -> Tensor:  # (heads, 1024, 1024) for windows of 32x32, as in every comment here
        side = self.window
        table = self.relative_position_bias.view(self.heads, 2 * side - 1, 2 * side - 1)
        from_below = table.unfold(1, side, 1).unfold(2, side, 1)  # (heads, 31 - yq, 31 - xq, yk, xk), a view
        return from_below.flip(1, 2).reshape(self.heads, side**2, side**2)

    def bias_at(self, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        side = self.window
        dy = key // side - query // side + side - 1
        dx = key % side - query % side + side - 1
        return self.relative_position_bias[head, dy * (2 * side - 1) + dx]

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:  # (windows, heads, 1024, 16)
        if self.attention == "flex":
            return flex(q, k, v, HEAD**-0.5, self.bias_at)
        bias = self.kept.get("bias", (self.relative_position_bias,), self.bias) if self.lean else self.bias()

        def some(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            how = self.attention
            return attend(q, k, v, scale=HEAD**-0.5, attention=how, point=self.map, bias=bias, lean=self.lean)

        if self.attention != "naive" or not self.lean or torch.is_grad_enabled():
            return some(q, k, v)
        for slab in slabs(q, len(q), self.heads * self.window**4, whole=self.map.whole):
            q[slab] = some(q[slab], k[slab], v[slab])  # a map of 1024x1024 a head: few windows at a time, over q
        return q

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W)
        side, (height, width) = self.window, x.shape[-2:]
        padded = extend(x, missing(height, side), missing(width, side))
        qkv = self.to_qkv(padded)
        b, c, h, w = padded.shape
        ny, nx = h // side, w // side
        qkv = qkv.view(b, 3, self.heads, HEAD, ny, side, nx, side).permute(1, 0, 4, 6, 2, 5, 7, 3)
        q, k, v = qkv = qkv.reshape(3, b * ny * nx, self.heads, side**2, HEAD)
        out = self.attend(q, k, v)
        out = out.view(b, ny, nx, self.heads, side, side, HEAD).permute(0, 3, 6, 1, 4, 2, 5)
        return self.to_out(out.reshape(b, c, h, w)[..., :height, :width])


def dynamic_kernel(squeeze: int) -> nn.Sequential:
    """The layers that turn the pooled partial channels into one 3x3 kernel for each of them."""
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Conv2d(PARTIAL, squeeze, 1), nn.GELU(), nn.Conv2d(squeeze, 9 * PARTIAL, 1)
    )


def per_sample(x: Tensor, kernels: Tensor) -> Tensor:
    """Depthwise convolution of (B, C, H, W) by (B, C, k, k), each sample by its own kernels."""
    b, c, k = kernels.shape[:3]
    flat = x.reshape(1, b * c, *x.shape[2:])
    return F.conv2d(flat, kernels.reshape(b * c, 1, k, k), padding=k // 2, groups=b * c).view(x.shape)


class LargeKernel(nn.Module):
    """The shared dense kernel, officially 13x13, plus a dynamic depthwise 3x3, on the first channels."""

    def __init__(self) -> None:
        super().__init__()
        self.dwc_proj = dynamic_kernel(squeeze=8)

    def forward(self, x: Tensor, kernel: Tensor) -> Tensor:  # kernel (16, 16, 13, 13)
        part = x[:, :PARTIAL]
        dynamic = self.dwc_proj(part).view(-1, PARTIAL, 3, 3)
        part = F.conv2d(part, kernel, padding=kernel.shape[-1] // 2) + per_sample(part, dynamic)
        if torch.is_grad_enabled():
            return torch.cat((part, x[:, PARTIAL:]), dim=1)
        x[:, :PARTIAL] = part  # x is the fresh output of the ConvFFN before
        return x


class FactoredKernel(nn.Module):
    """ESC-FP: a shared 1x1, then a depthwise 13x13 whose middle is the dynamic 3x3."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = dynamic_kernel(squeeze=4)

    def forward(self, x: Tensor, channel: Tensor, spatial: Tensor) -> Tensor:  # (16, 16, 1, 1), (16, 1, 13, 13)
        part, rest = x[:, :PARTIAL], x[:, PARTIAL:]
        dynamic = self.proj(part).view(-1, PARTIAL, 3, 3)
        kernels = spatial[:, 0] + F.pad(dynamic, (KERNEL // 2 - 1,) * 4)
        return torch.cat((per_sample(F.conv2d(part, channel), kernels), rest), dim=1)


class ConvUnit(nn.Module):
    """A large-kernel operator on part of the channels, then a pointwise convolution over all."""

    def __init__(self, channels: int, plk: nn.Module):
        super().__init__()
        self.plk = plk
        self.aggr = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, *kernels: Tensor) -> Tensor:
        return self.aggr(self.plk(x, *kernels))


class AttentionUnit(nn.Module):
    """An ablation: self-attention where a unit of convolution was, with a norm of its own as all attention here has."""

    def __init__(self, channels: int, attention: str, lean: bool, window: int, role: str):
        super().__init__()
        self.norm = ChannelNorm(channels, eps=1e-6)
        self.attn = WindowAttention(channels, attention, lean, window, role)

    def forward(self, x: Tensor, *kernels: Tensor) -> Tensor:
        return self.attn(self.norm(x))


class Block(nn.Module):
    """One self-attention, then the units, officially all of convolution."""

    def __init__(
        self,
        channels: int,
        first: int,
        units: Sequence[nn.Module],
        norms: bool,
        attention: str,
        lean: bool,
        window: int,
    ):
        super().__init__()
        hidden = channels * 5 // 4
        self.ln_proj = ChannelNorm(channels, eps=1e-6)
        self.proj = ConvFFN(channels, first)
        self.ln_attn = ChannelNorm(channels, eps=1e-6)
        self.attn = WindowAttention(channels, attention, lean, window)
        self.lns = nn.ModuleList(ChannelNorm(channels, eps=1e-6) if norms else nn.Identity() for _ in units)
        self.pconvs = nn.ModuleList(units)
        self.convffns = nn.ModuleList(ConvFFN(channels, hidden) for _ in units)
        self.ln_out = ChannelNorm(channels, eps=1e-6)
        self.conv_out = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, *kernels: Tensor) -> Tensor:
        skip = x
        x = self.proj(self.ln_proj(x))
        x = x + self.attn(self.ln_attn(x))
        for norm, ffn, unit in zip(self.lns, self.convffns, self.pconvs, strict=True):
            x = x + unit(ffn(norm(x)), *kernels)
        return self.conv_out(self.ln_out(x)) + skip


class ESC(nn.Module):
    """ESC and ESC-light, which differ in the number of blocks."""

    ATTENTION = IMPLEMENTATIONS

    def __init__(
        self,
        scale: int,
        blocks: int,
        attention: str = "naive",
        lean: bool = False,
        window: int = WINDOW,
        kernel: int = KERNEL,
        attentive: int = 0,
    ):
        """`window`, `kernel` and `attentive`, the units of each block turned back into attention, are for ablations."""
        super().__init__()
        channels = 64
        self.scale = scale
        self.lean = lean
        shared = torch.empty(PARTIAL, PARTIAL, kernel, kernel) if attentive < UNITS else None  # nobody would read it
        self.plk_filter = None if shared is None else nn.Parameter(shared)
        self.proj = nn.Conv2d(3, channels, 3, padding=1)

        def units() -> list[nn.Module]:
            back = (AttentionUnit(channels, attention, lean, window, f"unit{i}") for i in range(attentive))
            return [*back, *(ConvUnit(channels, LargeKernel()) for _ in range(UNITS - attentive))]

        self.blocks = nn.ModuleList(
            Block(channels, 2 * channels, units(), False, attention, lean, window) for _ in range(blocks)
        )
        self.last = nn.Conv2d(channels, channels, 3, padding=1)
        self.to_img = nn.Conv2d(channels, 3 * scale**2, 3, padding=1)
        self.kept = Kept()
        self.reset()

    def reset(self) -> None:
        """Start the dynamic kernels at zero and the shared kernel orthogonal, as for training from scratch."""
        if self.plk_filter is not None:
            nn.init.orthogonal_(self.plk_filter)
        for module in self.modules():
            if isinstance(module, LargeKernel):
                for parameter in module.dwc_proj[3].parameters():
                    nn.init.zeros_(parameter)

    @staticmethod
    def average(k: Tensor) -> Tensor:
        """The shared kernel, averaged over the eight symmetries of the square."""
        turned = torch.rot90(k, 1, (2, 3))
        flips = (dims for dims in ((3,), (2,), (2, 3)))
        total = k + turned
        for dims in flips:
            total = total + k.flip(dims) + turned.flip(dims)
        return total / 8

    def kernels(self) -> tuple[Tensor, ...]:
        """The one kernel that all convolution shares, if there is any."""
        if (raw := self.plk_filter) is None:
            return ()
        return (self.kept.get("kernel", (raw,), lambda: self.average(raw)) if self.lean else self.average(raw),)

    def forward(self, x: Tensor) -> Tensor:
        kernels = self.kernels()
        skip = feat = self.proj(x)
        for block in self.blocks:
            feat = block(feat, *kernels)
        feat = self.last(feat) + skip
        up = self.to_img(feat) + x.repeat_interleave(self.scale**2, dim=1)
        return F.pixel_shuffle(up, self.scale)


class ESCFP(nn.Module):
    """ESC-FP: 48 channels, the large kernel factored into a pointwise and a depthwise one, bicubic image skip."""

    ATTENTION = IMPLEMENTATIONS

    def __init__(self, scale: int, attention: str = "naive", lean: bool = False):
        super().__init__()
        channels = 48
        self.scale = scale
        self.lk_channel = nn.Parameter(torch.empty(PARTIAL, PARTIAL, 1, 1))
        self.lk_spatial = nn.Parameter(torch.empty(PARTIAL, 1, KERNEL, KERNEL))
        self.proj = nn.Conv2d(3, channels, 3, padding=1)
        self.blocks = nn.ModuleList(
            Block(channels, channels * 3 // 2, units, True, attention, lean, WINDOW)
            for units in ([ConvUnit(channels, FactoredKernel()) for _ in range(UNITS)] for _ in range(5))
        )
        self.ln_last = ChannelNorm(channels, eps=1e-6)
        self.last = nn.Conv2d(channels, channels, 3, padding=1)
        self.to_img = nn.Conv2d(channels, 3 * scale**2, 3, padding=1)
        nn.init.orthogonal_(self.lk_channel)
        nn.init.orthogonal_(self.lk_spatial)

    def forward(self, x: Tensor) -> Tensor:
        skip = feat = self.proj(x)
        for block in self.blocks:
            feat = block(feat, self.lk_channel, self.lk_spatial)
        feat = self.last(self.ln_last(feat)) + skip
        up = F.pixel_shuffle(self.to_img(feat), self.scale)
        return up + F.interpolate(x, scale_factor=self.scale, mode="bicubic", align_corners=False)


MODELS = {"esc": (ESC, {"blocks": 5}), "esc-light": (ESC, {"blocks": 3}), "esc-fp": (ESCFP, {})}
