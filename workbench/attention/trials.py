"""A network tried on images one by one, each trial a record, so that what was interrupted goes on where it stopped."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from workbench import environment, interrupts, models, store
from workbench.images import files, resize
from workbench.spec import Record, UserError, Variant, standing
from workbench.weights import Weights

from . import study
from .pictures import Picture, large
from .tapping import Tapped

SEED = 0
"""Of the weights of an untrained network."""

RESAMPLES = 1000
LEVEL = 0.95
"""Of the intervals, which are of images drawn anew."""


@dataclass(frozen=True)
class Network:
    """What is tried: a network that records no gradients of its weights, and the hash of its weights' file."""

    variant: Variant
    model: nn.Module
    weights: str | None
    """None for an untrained network."""
    pixels: tuple[float, float] | None = None
    """Black and white as its weights want them, where that is not as the model's others do."""

    @property
    def trained(self) -> bool | None:
        """None where somebody's own code makes its weights, and nobody knows what they are."""
        return None if self.variant.source else self.weights is not None

    @property
    def title(self) -> str:
        """`swinir-light-x4, untrained`: how texts and pictures call it."""
        return self.variant.name if self.trained else f"{self.variant.name}, {standing(self.trained)}"

    @property
    def range(self) -> tuple[float, float]:
        """Black and white, as this network was trained to see them."""
        return self.pixels or models.PIXELS.get(self.variant.model, (0.0, 1.0))

    def given(self, image: Image) -> Tensor:  # (1, 3, H, W)
        black, white = self.range
        x = torch.from_numpy(image.lr).permute(2, 0, 1)[None].float() / 255
        return black + (white - black) * x

    def seen(self, y: Tensor) -> NDArray[np.uint8]:  # (1, 3, H, W) -> (H, W, 3)
        """An output as eight bits."""
        black, white = self.range
        levels = ((y[0] - black) / (white - black) * 255).round().clamp(0, 255)
        return levels.to(torch.uint8).permute(1, 2, 0).contiguous().numpy()


@dataclass(frozen=True)
class Image:
    """The middle of an image, in low resolution and as it was."""

    name: str
    hr: NDArray[np.uint8]
    """Height x width x 3."""
    lr: NDArray[np.uint8]

    @cached_property
    def sha256(self) -> str:
        return files.pixels(self.hr)


@dataclass(frozen=True)
class Trial:
    """What kind of record a trial makes."""

    probe: str
    version: int
    """Raised when the same network would give another value; older records are stale from then on."""
    unit: str
    settings: Mapping[str, Any]
    """What a figure depends on beside network and image."""


def network(name: str | Variant, weights: Weights | None = None) -> Network:
    """A network, with trained weights if some are given; untrained ones are drawn from one seed."""
    variant = models.find(name)
    torch.manual_seed(SEED)
    model = models.create(name).requires_grad_(False)
    if variant.source:
        return Network(variant, Tapped(model, (), {}, variant.source), None, (0.0, 1.0))
    if weights is None:
        return Network(variant, model, None)
    models.load_checkpoint(model, weights.path)
    return Network(variant, model, weights.sha256, weights.pixels)


def middles(images: Sequence[Picture], side: int, scale: int) -> list[Image]:
    """The middle of each image that is large enough, `side` LR pixels wide and high, from the bicubic of the whole."""
    if side < 1:
        raise UserError(f"--crop was given {side}; a crop has at least 1 LR pixel a side, better 64.")
    found = []
    for picture in large(images, side)[0]:
        hr = resize.cropped(picture.read(), scale)
        lr = picture.low(hr)
        height, width = lr.shape[:2]
        top, left = (height - side) // 2, (width - side) // 2
        own = hr[top * scale : (top + side) * scale, left * scale : (left + side) * scale]
        part = lr[top : top + side, left : left + side]
        found.append(Image(picture.name, np.ascontiguousarray(own), np.ascontiguousarray(part)))
    return found


def conditions(trial: Trial, net: Network, images: Sequence[Image]) -> dict[str, Any]:
    """What identifies a record."""
    weights = {"weights": net.weights} if net.trained else {"weights": None, "seed": SEED}
    own = study.own(net.variant, net.model) if net.variant.source else {}
    crop = list(images[0].lr.shape[:2])
    return weights | own | {"images": [i.sha256 for i in images], "crop": crop} | dict(trial.settings)


def answered(trial: Trial, net: Network, images: Sequence[Image], known: Mapping[str, Record]) -> Record | None:
    """The record that answers a trial on these images, if there is one."""
    key = store.identity(net.variant.name, trial.probe, trial.version, conditions(trial, net, images))
    record = known.get(key)
    return record if record is not None and record.status == "ok" else None


def record(
    trial: Trial, net: Network, images: Sequence[Image], values: Sequence[float], details: Mapping[str, Any]
) -> Record:
    """What a trial on these images gave."""
    return Record(
        variant=net.variant.name,
        protocol=trial.probe,
        probe=trial.probe,
        probe_version=trial.version,
        conditions=conditions(trial, net, images),
        unit=trial.unit,
        values=tuple(values),
        status="ok",
        reason=None,
        recorded_at=datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        machine=environment.machine(),
        details={"names": [i.name for i in images], "trained": net.trained} | dict(details),
        environment=environment.capture(),
    )


def each(
    trial: Trial,
    net: Network,
    images: Sequence[Image],
    folder: Path,
    measure: Callable[[Image], tuple[Sequence[float], Mapping[str, Any]]],
    force: bool = False,
    usable: Callable[[Record], bool] = lambda record: True,
) -> list[Record]:
    """One record for each image: the known one, or a new one, stored before the next image is begun.

    `usable` says whether a known record still has the file beside it that its figures are read from.
    """
    known = {} if force else store.read(folder).newest()
    records = []
    with store.Writer(folder) as writer:
        for number, image in enumerate(images, start=1):
            found = answered(trial, net, [image], known)
            if found is None or not usable(found):
                writer.check()
                found = record(trial, net, [image], *measure(image))
                interrupts.check()
                writer.append([found])
                tell(f"[{number}/{len(images)}] {image.name}: measured")
            else:
                tell(f"[{number}/{len(images)}] {image.name}: known")
            records.append(found)
    return records


def tell(told: str) -> None:
    print(told, file=sys.stderr)


def draws(images: int) -> NDArray[np.int64]:
    """Which images each resample holds: (resamples, images)."""
    return np.random.default_rng(0).integers(images, size=(RESAMPLES, images))


def interval(resampled: NDArray[np.float64], images: int) -> tuple[float, float] | tuple[None, None]:
    """The ends between which a figure of resampled images lies; of one image there are none."""
    if images < 2:
        return None, None
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
