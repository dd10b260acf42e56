"""SwinIR's frame, which its descendants kept: a long skip around groups of token blocks that end in a convolution."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import DepthwiseGELU, TokenNorm, Upsampler, mean_buffer, to_map, to_tokens
from .slabs import slabs
from .windows import extend, missing


class Frame(nn.Module):
    """Everything of the network that is not in its groups; a family inherits it and passes the groups."""

    lean = False
    rgb_mean: Tensor

    def __init__(
        self,
        scale: int,
        channels: int,
        groups: Iterable[nn.Module],
        multiple: int = 1,
        mode: Literal["reflect", "symmetric"] = "reflect",
        lean: bool = False,
    ):
        """`multiple`: the image is extended below and to the right to sides divisible by it, and cut at the end."""
        super().__init__()
        self.scale = scale
        self.multiple = multiple
        self.mode: Literal["reflect", "symmetric"] = mode
        self.register_buffer("rgb_mean", mean_buffer(), persistent=False)
        self.conv_first = nn.Conv2d(3, channels, 3, padding=1)
        self.patch_embed = TokenNorm(channels)
        self.layers = nn.ModuleList(groups)
        self.norm = nn.LayerNorm(channels)
        self.conv_after_body = nn.Conv2d(channels, channels, 3, padding=1)
        self.upsample = Upsampler(channels, scale)
        for module in self.modules():
            if isinstance(module, Frame | Group | DepthwiseGELU):
                module.lean = lean

    def context(self, height: int, width: int) -> tuple[Tensor | None, ...]:
        """What every group is given beside tokens and size, such as a mask made once per forward."""
        return ()

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        x = extend(x, missing(height, self.multiple), missing(width, self.multiple), self.mode)
        x = self.conv_first(x - self.rgb_mean)
        x = self.conv_after_body(self.deep(x)) + x
        x = self.upsample(x) + self.rgb_mean
        return x[..., : height * self.scale, : width * self.scale]

    def deep(self, x: Tensor) -> Tensor:  # (B, C, H, W), as its output
        """All groups, between the two norms over tokens."""
        height, width = x.shape[-2:]
        context = self.context(height, width)
        x = self.patch_embed(to_tokens(x))
        for group in self.layers:
            x = group(x, height, width, *context)
        return to_map(self.norm(x), height, width, self.lean)


class Group(nn.Module):
    """A body of blocks and a 3x3 convolution, with a residual around both."""

    lean = False  # a lean frame sets it

    def __init__(self, channels: int, body: nn.Module):
        super().__init__()
        self.residual_group = body
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, height: int, width: int, *context: Tensor | None) -> Tensor:  # (B, H * W, C)
        body = self.residual_group(x, height, width, *context)
        return to_tokens(self.conv(to_map(body, height, width, self.lean))) + x


class Blocks(nn.Module):
    """A group's blocks one after the other, under the key the checkpoints use."""

    def __init__(self, blocks: Iterable[nn.Module]):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor, height: int, width: int, *context: Tensor | None) -> Tensor:
        for block in self.blocks:
            x = block(x, height, width, *context)
        return x


class DropPath(nn.Module):
    """Stochastic depth: in training a branch is left out per sample at this rate, and scaled up where it stays."""

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.rate:
            return x
        kept = torch.rand(x.shape[0], *(1,) * (x.dim() - 1), device=x.device, dtype=x.dtype) >= self.rate
        return x * kept / (1 - self.rate)


def depth_rates(blocks: int, last: float = 0.1) -> list[float]:
    """Stochastic depth's rate for every block of a network: it grows from 0 to `last`."""
    return [last * k / (blocks - 1) for k in range(blocks)]


def init_linear(module: nn.Module) -> None:
    """To be applied to every module: Linear weights truncated normal with deviation 0.02, their biases 0."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class MLP(nn.Module):
    """The plain feed-forward layer over tokens."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, x: Tensor, *size: int) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class ConvFFN(nn.Module):
    """SRFormer's feed-forward layer: a depthwise convolution with residual between the two linear layers."""

    def __init__(self, channels: int, hidden: int, kernel: int = 5):
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.dwconv = DepthwiseGELU(hidden, kernel)
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        x = F.gelu(self.fc1(x))
        x = x + self.dwconv(x, height, width)
        return self.fc2(x)

    def add_in_slabs(self, x: Tensor, norm: nn.Module) -> None:  # (B, H, W, C)
        """Lean inference: x += self(norm(x)), some rows at a time, between rows of zeros that pad the convolution."""
        conv = self.dwconv.depthwise_conv[0]
        assert isinstance(conv, nn.Conv2d)
        b, height, width, _ = x.shape
        margin = conv.kernel_size[0] // 2
        hidden = x.new_empty(b, height + 2 * margin, width, conv.in_channels)
        hidden[:, :margin] = 0
        hidden[:, -margin:] = 0
        inner = hidden[:, margin:-margin]
        rows = list(slabs(x, height, 3 * b * width * conv.in_channels))  # up to three such temporaries at once
        for slab in rows:
            inner[:, slab] = F.gelu(self.fc1(norm(x[:, slab])))
        for slab in rows:
            near = hidden[:, slab.start : slab.stop + 2 * margin].permute(0, 3, 1, 2)
            near = near if x.is_cpu else near.contiguous()  # depthwise kernels for GPUs want channels first
            near = F.conv2d(near, conv.weight, conv.bias, padding=(0, margin), groups=conv.groups)
            x[:, slab] += self.fc2(inner[:, slab] + F.gelu(near).permute(0, 2, 3, 1))
