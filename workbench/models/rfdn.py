"""RFDN: distillation by pointwise convolutions, shallow residual blocks, spatial attention (ECCV Workshops 2020)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .parts.concat import fuse
from .parts.imdn import SLOPE, Frame
from .parts.windows import at_least

CHANNELS = 50
DISTILLED = CHANNELS // 2
GATE = CHANNELS // 4  # channels of the spatial attention


class ESA(nn.Module):
    """Enhanced spatial attention: a gate for every value, from a coarse look at a wide surrounding."""

    def __init__(self, lean: bool):
        super().__init__()
        self.lean = lean
        self.conv1 = nn.Conv2d(CHANNELS, GATE, 1)
        self.conv_f = nn.Conv2d(GATE, GATE, 1)
        self.conv_max = nn.Conv2d(GATE, GATE, 3, padding=1)
        self.conv2 = nn.Conv2d(GATE, GATE, 3, stride=2)
        self.conv3 = nn.Conv2d(GATE, GATE, 3, padding=1)
        self.conv3_ = nn.Conv2d(GATE, GATE, 3, padding=1)
        self.conv4 = nn.Conv2d(GATE, CHANNELS, 1)

    def forward(self, x: Tensor) -> Tensor:
        near = self.conv1(x)
        half = self.conv2(near)
        far = F.max_pool2d(half, 7, stride=3)
        far = self.conv3_(F.relu(self.conv3(F.relu(self.conv_max(far), inplace=True)), inplace=True))
        far = F.interpolate(far, x.shape[2:], mode="bilinear", align_corners=False)
        own = self.conv_f(near)
        if self.lean and not torch.is_grad_enabled():
            del near, half
            return x.mul_(self.conv4(far.add_(own)).sigmoid_())  # x is the fresh output of the convolution before
        values = self.conv4(far + own)
        gate = values.sigmoid()
        return x * gate


class Block(nn.Module):
    """RFDB: three steps, each a pointwise distillation beside a residual 3x3; fusion, attention; NO outer residual."""

    def __init__(self, lean: bool):
        super().__init__()
        self.lean = lean
        for i in (1, 2, 3):
            self.add_module(f"c{i}_d", nn.Conv2d(CHANNELS, DISTILLED, 1))
            self.add_module(f"c{i}_r", nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1))
        self.c4 = nn.Conv2d(CHANNELS, DISTILLED, 3, padding=1)
        self.c5 = nn.Conv2d(4 * DISTILLED, CHANNELS, 1)
        self.esa = ESA(lean)

    def forward(self, x: Tensor) -> Tensor:
        if self.lean:
            return self.esa(fuse(self.c5, self.parts(x, [])))
        held: list[Tensor] = []
        parts = list(self.parts(x, held))
        dense = torch.cat(parts, dim=1)
        return self.esa(self.c5(dense))

    def parts(self, x: Tensor, held: list[Tensor]) -> Iterator[Tensor]:
        """What is distilled; `held` gets the maps between, which the official forward's names hold to the end."""
        for i in (1, 2, 3):
            yield F.leaky_relu(self.get_submodule(f"c{i}_d")(x), SLOPE, inplace=True)
            rest = self.get_submodule(f"c{i}_r")(x)
            rest = rest.add_(x) if self.lean else rest + x
            x = F.leaky_relu(rest, SLOPE, inplace=True)
            if not self.lean:
                held.append(x)
        yield F.leaky_relu(self.c4(x), SLOPE, inplace=True)


class RFDN(Frame):
    """RFDN; images in 0..1. The official constructor ignores its scale and always builds x4; this one does not."""

    def __init__(self, scale: int, attention: str = "naive", lean: bool = False):
        super().__init__(scale, CHANNELS, {f"B{i}": Block(lean) for i in range(1, 5)}, lean)

    def forward(self, x: Tensor) -> Tensor:
        at_least(x, 15, "RFDN", "its spatial attention pools 7x7 cells of half the resolution")
        return super().forward(x)


MODELS: dict[str, tuple[type[RFDN], dict[str, int]]] = {"rfdn": (RFDN, {})}
