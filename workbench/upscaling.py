"""One picture through one trained network: pixels into its range, tiles where they have to be, and eight bits back."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from workbench import environment, fits, models, planner, protocols
from workbench.spec import Quality, UserError
from workbench.weights import Weights

if TYPE_CHECKING:
    from torch import Tensor, nn

Picture = NDArray[np.uint8]

SURE = 64 * 1024
"""Bytes for each pixel of an input, above what any network takes lean: where there are as many, nothing is planned."""

SHARED = 24
"""LR pixels that tiles share where memory is what cuts the image."""


@dataclass(frozen=True)
class Cut:
    """How an image was cut into tiles."""

    height: int
    width: int
    overlap: int
    why: str
    """`protocol`, or `memory`: the whole image was planned not to fit."""


@dataclass(frozen=True)
class Made:
    """What a network made of an image."""

    image: Picture
    cut: Cut | None
    """None: the image went through whole."""


class Upscaler:
    """A network with trained weights, ready for pictures: on the CUDA device if there is one, else on the CPU.

    Its forward is the lean one, which computes the same function as the faithful one, and TF32 is off.
    """

    def __init__(self, variant: str, weights: Weights, quality: Quality, room: int | None = None) -> None:
        import torch

        self.variant = models.find(variant)
        self.quality = quality
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.room = room
        """Bytes that there are; None: what is free when an image comes."""
        self.black, self.white = weights.pixels or models.PIXELS.get(self.variant.model, (0.0, 1.0))
        self.network: nn.Module = models.load_checkpoint(models.create(variant), weights.path).to(self.device)
        if quality.seed is not None:
            _draw(self.network, variant)

    def __call__(self, low: Picture) -> Made:
        """Upscale an image; a UserError where the network cannot take it."""
        import torch

        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            if self.quality.seed is not None:
                torch.manual_seed(self.quality.seed)
            x = torch.from_numpy(np.ascontiguousarray(low.transpose(2, 0, 1))).to(self.device, torch.float32)
            x = (x / 255 * (self.white - self.black) + self.black)[None]
            cut = self._cut(*low.shape[:2])
            forward = self._whole if cut is None else lambda part: self._tiled(part, cut)
            y = _eightfold(forward, x) if self.quality.ensemble == "x8" else forward(x)
            if bad := int((~torch.isfinite(y)).sum()):
                raise ValueError(f"{self.variant.name} put out {bad} numbers of {y.numel()} that are NaN or infinite")
            y = ((y[0] - self.black) / (self.white - self.black) * 255).round_().clamp_(0, 255)
            image: Picture = np.ascontiguousarray(y.to("cpu", torch.uint8).numpy().transpose(1, 2, 0))
        return Made(image, cut)

    def _whole(self, x: Tensor) -> Tensor:
        y: Tensor = self.network(x)
        return y

    def _tiled(self, x: Tensor, cut: Cut) -> Tensor:
        """Every tile by itself; where tiles overlap, the mean of what they say."""
        import torch

        scale = self.variant.scale
        height, width = x.shape[-2:]
        if height < cut.height or width < cut.width:  # turned by the ensemble
            cut = Cut(cut.width, cut.height, cut.overlap, cut.why)
        total = x.new_zeros(1, x.shape[1], height * scale, width * scale)
        times = torch.zeros_like(total[:, :1])
        for top, left in itertools.product(
            starts(height, cut.height, cut.overlap), starts(width, cut.width, cut.overlap)
        ):
            part = x[..., top : top + cut.height, left : left + cut.width]
            there = (
                ...,
                slice(top * scale, (top + cut.height) * scale),
                slice(left * scale, (left + cut.width) * scale),
            )
            total[there] += self.network(part.contiguous())
            times[there] += 1
        return total.div_(times)

    def _cut(self, height: int, width: int) -> Cut | None:
        """The protocol's tiles, which never exceed the image; or those that memory asks for."""
        quality = self.quality
        if quality.tile:
            tile = min(quality.tile, height), min(quality.tile, width)
            return None if tile == (height, width) else Cut(*tile, quality.overlap, "protocol")
        free = self._free()
        if height * width * SURE <= free:
            return None
        answer = fits.image(self._planner, fits.Room(free, 0), height, width, SHARED)
        if answer.tiles is None:
            return None
        return Cut(*answer.tiles.tile.lr, SHARED, "memory")

    @cached_property
    def _planner(self) -> planner.Planner:
        return planner.Planner(self.variant.name, protocols.find("fvcore+lean"))

    def _free(self) -> int:
        import torch

        if self.room is not None:
            return self.room
        return torch.cuda.mem_get_info()[0] if self.device == "cuda" else environment.free_memory()


def starts(length: int, tile: int, overlap: int) -> Iterator[int]:
    """Where tiles begin along a side: every `tile - overlap`, and the last one flush with the end."""
    step = max(1, tile - overlap)
    count = max(0, math.ceil((length - tile) / step))
    return iter([*(i * step for i in range(count)), max(0, length - tile)])


def _draw(network: nn.Module, variant: str) -> None:
    """Let a network draw in evaluation what its official code draws there."""
    drawing = [m for m in network.modules() if hasattr(m, "noise")]
    if not drawing:
        raise UserError(f"{variant} draws nothing at random in evaluation, so +drawn has nothing to do; leave it out.")
    for module in drawing:
        module.noise = True  # type: ignore[assignment]  # a switch, neither tensor nor module


def _eightfold(forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The mean over the image, its mirror image, and both turned by quarters; each output is put back first."""
    total: Tensor | None = None
    for mirrored, turns in itertools.product((False, True), range(4)):
        seen = x.flip(-1) if mirrored else x
        y = forward(seen.rot90(turns, (-2, -1)).contiguous()).rot90(-turns, (-2, -1))
        y = y.flip(-1) if mirrored else y
        total = y.contiguous() if total is None else total.add_(y)
    assert total is not None
    return total.div_(8)
