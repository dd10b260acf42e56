"""Small layers that several families share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DIV2K_MEAN = (0.4488, 0.4371, 0.4040)
"""Mean RGB of DIV2K, which most networks of this field subtract."""


class ChannelNorm(nn.LayerNorm):
    """nn.LayerNorm over the channels of a (B, C, H, W) map, pixel by pixel."""

    def forward(self, x: Tensor) -> Tensor:
        normed = F.layer_norm(x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps)
        return normed.permute(0, 3, 1, 2)


class Upsampler(nn.Sequential):
    """3x3 convolution to 3 s^2 channels and a pixel shuffle; the convolution's key is `0`."""

    def __init__(self, channels: int, scale: int):
        super().__init__(nn.Conv2d(channels, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))


class TokenNorm(nn.Module):
    """A layer norm over tokens under the key `norm`, as the patch embedding of Swin's descendants holds it."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x)


class DepthwiseGELU(nn.Module):
    """A depthwise convolution of tokens (B, H * W, C) seen as a map, and a GELU; keys as in SRFormer's ConvFFN."""

    lean = False  # a lean frame sets it

    def __init__(self, channels: int, kernel: int = 5):
        super().__init__()
        conv = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        self.depthwise_conv = nn.Sequential(conv, nn.GELU())

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        return to_tokens(self.depthwise_conv(to_map(x, height, width, self.lean)))


def mean_buffer() -> Tensor:
    """(1, 3, 1, 1): DIV2K's mean, to be registered as a buffer that is not saved."""
    return torch.tensor(DIV2K_MEAN).view(1, 3, 1, 1)


def to_tokens(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H * W, C)."""
    return x.flatten(2).transpose(1, 2)


def to_map(x: Tensor, height: int, width: int, lean: bool = False) -> Tensor:
    """(B, H * W, C) -> (B, C, H, W).

    By the official view torch does not see that a single image lies channels last, and a convolution copies it. Lean
    on a CPU, where that copy costs more than the convolution, it is taken as it lies.
    """
    if lean and x.is_cpu:
        return x.view(x.shape[0], height, width, x.shape[2]).permute(0, 3, 1, 2)
    return x.transpose(1, 2).view(x.shape[0], x.shape[2], height, width)
