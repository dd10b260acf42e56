"""Fields over images: each image's receptive field and attribution map a record, and all of them a few figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from workbench import sidefiles
from workbench.spec import Record, UserError

from . import field, trials
from .trials import Image, Network, Trial

TRIAL = Trial("field", 1, "count", {"shares": list(field.SHARES), "patch": field.PATCH, "sigma": field.SIGMA})

CROP = 64
"""LR pixels a side, as LAM's figures are quoted for."""

SORTED = 200
"""Resamples whose areas are found: each takes sorting a whole map."""


@dataclass(frozen=True)
class Figure:
    """One figure of a network's field, over all images."""

    measure: str
    value: float
    low: float | None
    """Lower end of the 95 % interval, of images drawn anew; None where there is one image."""
    high: float | None
    images: int
    trained: bool | None
    unit: str


@dataclass(frozen=True)
class Fields:
    """What was found of one network."""

    title: str
    """`swinir-light-x4, untrained`."""
    variant: str
    crop: int
    """LR pixels a side."""
    figures: tuple[Figure, ...]
    energy: NDArray[np.float64]
    """The effective receptive field: parts of one, each image counting alike."""
    attributions: tuple[NDArray[np.float64], ...]
    """LAM of each image, signed, summed over colours."""
    images: tuple[Image, ...]
    diffusions: tuple[float, ...]
    gaps: tuple[float, ...]
    """By what part of the change each LAM's sum misses it."""
    patch: float
    """Side of the attributed patch, in LR pixels."""


def study(net: Network, images: Sequence[Image], folder: Path, steps: int = field.STEPS, force: bool = False) -> Fields:
    """Measure what no record answers yet, and read all of it."""
    if steps < 1:
        raise UserError(f"--steps was given {steps}; a path has at least 1 step, better {field.STEPS}.")
    trial = Trial(TRIAL.probe, TRIAL.version, TRIAL.unit, {**TRIAL.settings, "steps": steps})

    def measure(image: Image) -> tuple[Sequence[float], Mapping[str, Any]]:
        return _measure(net, image, folder, steps)

    def usable(record: Record) -> bool:
        return sidefiles.there(folder, record.details["array"])

    records = trials.each(trial, net, images, folder, measure, force, usable)
    arrays = [sidefiles.get(folder, record.details["array"]) for record in records]
    return read(net, images, records, np.stack(arrays))


def _measure(net: Network, image: Image, folder: Path, steps: int) -> tuple[Sequence[float], Mapping[str, Any]]:
    x = net.given(image)
    black, white = net.range
    energy = field.energy(field.gradient(net.model, x))
    found = field.attribute(net.model, x, steps, reach=white - black)
    array = np.stack([energy.numpy(), found.map.sum(0).double().numpy()]).astype(np.float32)
    areas = [field.area(energy, share) for share in field.SHARES]
    details = {
        "areas": areas,
        "sides": [field.side(energy, share) for share in field.SHARES],
        "diffusion": found.diffusion,
        "change": found.change,
        "gap": found.gap,
        "array": sidefiles.put(folder, array),
    }
    return [float(a) for a in areas], details


def read(net: Network, images: Sequence[Image], records: Sequence[Record], arrays: NDArray[Any]) -> Fields:
    """The records of all images, and their maps (images, 2, H, W), as figures."""
    energies = arrays[:, 0].astype(np.float64)
    diffusions = np.array([r.details["diffusion"] for r in records])
    drawn = trials.draws(len(images)) if len(images) > 1 else np.zeros((0, 1), dtype=np.int64)
    figures = []
    norms = np.sqrt(energies)
    norms /= np.maximum(norms.sum((1, 2), keepdims=True), np.finfo(np.float64).tiny)
    mean = torch.from_numpy(energies.mean(0))
    for name, maps, of in (
        ("area", energies, field.area),
        ("side", energies, field.side),
        ("reach", norms, field.area),
    ):
        whole = torch.from_numpy(maps.mean(0))
        resampled = [torch.from_numpy(maps[d].mean(0)) for d in drawn[:SORTED]]
        for share in field.SHARES:
            low, high = trials.interval(np.array([float(of(m, share)) for m in resampled]), len(images))
            unit = "LR pixels a side" if name == "side" else "LR pixels"
            what = f"{name}-{share * 100:.0f}"
            figures.append(Figure(what, float(of(whole, share)), low, high, len(images), net.trained, unit))
    low, high = trials.interval(diffusions[drawn].mean(1), len(images))
    figures.append(Figure("diffusion", float(diffusions.mean()), low, high, len(images), net.trained, "of 100"))
    return Fields(
        net.title,
        net.variant.name,
        images[0].lr.shape[0],
        tuple(figures),
        mean.numpy(),
        tuple(a[1].astype(np.float64) for a in arrays),
        tuple(images),
        tuple(float(d) for d in diffusions),
        tuple(float(r.details["gap"]) for r in records),
        field.PATCH / net.variant.scale,
    )
