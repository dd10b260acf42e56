"""CARN and CARN-M, multi-scale as their official checkpoints: residual blocks in a cascade of cascades (ECCV 2018)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .parts.concat import fuse
from .parts.edsr import MeanShift
from .parts.upscale import in_strips, ladder

CHANNELS = 64
STAGES = 3  # of either cascade
SCALES = (2, 3, 4)


class Shift(nn.Module):
    """Holds the mean shift, for images in 0..1, under the key the checkpoints use."""

    def __init__(self, sign: int):
        super().__init__()
        self.shifter = MeanShift(sign, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.shifter(x)


class Fusion(nn.Module):
    """A pointwise convolution of all that a cascade made so far, and a ReLU."""

    def __init__(self, maps: int):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(maps * CHANNELS, CHANNELS, 1), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)

    def of_parts(self, parts: list[Tensor]) -> Tensor:
        """The same without the concatenation."""
        return self.body[1](fuse(self.body[0], parts))


class Residual(nn.Module):
    """3x3, ReLU, 3x3, residual, ReLU; in CARN-M the 3x3 are grouped, and a ReLU and a pointwise layer follow them."""

    def __init__(self, groups: int, lean: bool):
        super().__init__()
        self.lean = lean
        layers = [
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, groups=groups),
            nn.ReLU(inplace=True),
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, groups=groups),
        ]
        if groups > 1:
            layers += [nn.ReLU(inplace=True), nn.Conv2d(CHANNELS, CHANNELS, 1)]
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        if self.lean:
            return self.body(x).add_(x).relu_()
        return F.relu(self.body(x) + x)


class Cascade(nn.Module):
    """Stages, after each of which a fusion sees the input and every stage's output.

    CARN-M's inner cascades have one stage, which runs three times.
    """

    def __init__(self, stages: Iterable[nn.Module], lean: bool):
        super().__init__()
        self.lean = lean
        self.stages = 0
        for i, stage in enumerate(stages, start=1):
            self.add_module(f"b{i}", stage)
            self.stages = i
        for i in range(1, STAGES + 1):
            self.add_module(f"c{i}", Fusion(i + 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.cascade(x)[0]

    def cascade(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The result, and the maps that the official forward holds as long as its names live."""
        parts, held = [x], []
        for i in range(1, STAGES + 1):
            fusion = self.get_submodule(f"c{i}")
            assert isinstance(fusion, Fusion)
            parts.append(self.get_submodule(f"b{min(i, self.stages)}")(x))
            if self.lean:
                x = fusion.of_parts(parts)
            else:
                dense = torch.cat(parts, dim=1)
                x = fusion(dense)
                held += [parts[-1], dense, x]
        return x, held


class Ladder(nn.Module):
    """One scale's way up, under the key the checkpoints use."""

    def __init__(self, scale: int, groups: int):
        super().__init__()
        self.body = nn.Sequential(*ladder(CHANNELS, scale, groups, relu=True))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class CARN(Cascade):
    """Both networks. All three ladders are held, and counted, at every scale; the own scale's one is used."""

    ATTENTION = ("naive",)
    ATTENTION_NOTE = "it has no attention."

    def __init__(self, scale: int, groups: int, attention: str = "naive", lean: bool = False):
        shared = groups > 1
        inner = ([Residual(groups, lean) for _ in range(1 if shared else STAGES)] for _ in range(STAGES))
        super().__init__((Cascade(residuals, lean) for residuals in inner), lean)
        self.scale = scale
        self.sub_mean = Shift(-1)
        self.add_mean = Shift(1)
        self.entry = nn.Conv2d(3, CHANNELS, 3, padding=1)
        self.upsample = nn.ModuleDict({f"up{s}": Ladder(s, groups) for s in SCALES})
        self.exit = nn.Conv2d(CHANNELS, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.entry(self.sub_mean(x))
        deep, _held = self.cascade(x)
        up = in_strips(self.tail, deep, self.scale) if self.lean else self.tail(deep)
        return self.add_mean(up)

    def tail(self, x: Tensor) -> Tensor:
        return self.exit(self.upsample[f"up{self.scale}"](x))


MODELS = {"carn": (CARN, {"groups": 1}), "carn-m": (CARN, {"groups": 4})}
