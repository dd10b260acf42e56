"""From feature maps to a larger image by convolutions and pixel shuffles: the ladder, and walking it in strips."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

HALO = 2  # rows that reach into a strip's output: 1 of the first convolution, 1/2 of the second, 1/4 of the last
STRIP = 10_240  # input pixels of a strip: at 64 channels and x4 about 90 MB of maps
ROWS = 16  # fewer would spend too much on the halo


def ladder(channels: int, scale: int, groups: int = 1, relu: bool = False) -> list[nn.Module]:
    """3x3 convolution, perhaps ReLU, pixel shuffle: by 2 at x2, by 2 twice at x4, by 3 at x3."""
    steps = {2: (2,), 3: (3,), 4: (2, 2)}[scale]
    layers: list[nn.Module] = []
    for step in steps:
        layers.append(nn.Conv2d(channels, channels * step**2, 3, padding=1, groups=groups))
        layers += [nn.ReLU(inplace=True)] if relu else []
        layers.append(nn.PixelShuffle(step))
    return layers


def in_strips(tail: Callable[[Tensor], Tensor], x: Tensor, scale: int) -> Tensor:
    """`tail(x)`, where the tail is a ladder and one more 3x3 convolution, at the memory of a strip of rows.

    A strip is walked with a halo that is cut off again, so borders are padded where the image ends and nowhere else.
    """
    if torch.is_grad_enabled() or torch.compiler.is_compiling():
        return tail(x)
    height, width = x.shape[-2:]
    count = -(-height // max(STRIP // width, ROWS))
    if count == 1:
        return tail(x)
    cuts = [height * i // count for i in range(count + 1)]
    strips = []
    for top, bottom in pairwise(cuts):
        first = max(top - HALO, 0)
        strip = tail(x[:, :, first : bottom + HALO])
        strips.append(strip[:, :, (top - first) * scale : (bottom - first) * scale])
    return torch.cat(strips, dim=2)
