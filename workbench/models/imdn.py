"""IMDN: modules that distil a quarter of the channels at every step (ACM MM 2019)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .parts.imdn import SLOPE, Frame

CHANNELS = 64
KEPT = CHANNELS // 4  # channels distilled at a step
PASSED = CHANNELS - KEPT  # channels that the next step works on
SQUEEZED = CHANNELS // 16


class ContrastAttention(nn.Module):
    """Scales every channel by a gate computed from the channel's standard deviation over the image plus its mean."""

    def __init__(self, lean: bool):
        super().__init__()
        self.lean = lean
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.conv_du = nn.Sequential(
            nn.Conv2d(CHANNELS, SQUEEZED, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(SQUEEZED, CHANNELS, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        mean = self.avg_pool(x)
        gate = self.conv_du(self.contrast(x, mean) + mean)
        if self.lean and not torch.is_grad_enabled():
            return x.mul_(gate)  # x is the fresh concatenation
        return x * gate

    def contrast(self, x: Tensor, mean: Tensor) -> Tensor:  # (B, C, H, W), (B, C, 1, 1) -> (B, C, 1, 1)
        if x.dtype in (torch.float16, torch.bfloat16):  # float16 cannot hold sums of squares
            x, mean = x.float(), mean.float()
        if self.lean:
            norm: Tensor = torch.linalg.vector_norm(x - mean, dim=(2, 3), keepdim=True)
            return norm / (x.shape[2] * x.shape[3]) ** 0.5
        mean = x.mean(dim=(2, 3), keepdim=True)  # once more, as in the official code
        return (x - mean).pow(2).mean(dim=(2, 3), keepdim=True).sqrt()


class Block(nn.Module):
    """IMDB: three steps that keep a quarter and pass the rest on, one that keeps all, attention, residual."""

    def __init__(self, lean: bool):
        super().__init__()
        self.lean = lean
        self.c1 = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.c2 = nn.Conv2d(PASSED, CHANNELS, 3, padding=1)
        self.c3 = nn.Conv2d(PASSED, CHANNELS, 3, padding=1)
        self.c4 = nn.Conv2d(PASSED, KEPT, 3, padding=1)
        self.c5 = nn.Conv2d(CHANNELS, CHANNELS, 1)
        self.cca = ContrastAttention(lean)

    def forward(self, x: Tensor) -> Tensor:
        distilled, passed = [], x
        for conv in (self.c1, self.c2, self.c3):
            kept, passed = torch.split(F.leaky_relu(conv(passed), SLOPE, inplace=True), [KEPT, PASSED], dim=1)
            distilled.append(kept.clone() if self.lean else kept)  # a view would hold the whole map
        distilled.append(self.c4(passed))
        out = self.c5(self.cca(torch.cat(distilled, dim=1)))
        return out.add_(x) if self.lean else out + x


class IMDN(Frame):
    """IMDN; images in 0..1."""

    def __init__(self, scale: int, attention: str = "naive", lean: bool = False):
        super().__init__(scale, CHANNELS, {f"IMDB{i}": Block(lean) for i in range(1, 7)}, lean)


MODELS: dict[str, tuple[type[IMDN], dict[str, int]]] = {"imdn": (IMDN, {})}
