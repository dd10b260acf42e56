"""The comparison strip of a paper on super-resolution: one region of an image as several networks make it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench import models, weights
from workbench.images import files, metrics, resize
from workbench.spec import Quality, UserError
from workbench.upscaling import Picture, Upscaler

SMALLEST = 8
"""Pixels: a region with a shorter side shows nothing."""


@dataclass(frozen=True)
class Panel:
    """The region as one way makes it, and how near the whole image comes to the original."""

    name: str
    weights: str
    """Of which weights; empty for what has none."""
    image: Picture
    psnr: float | None
    ssim: float | None
    """None for the original itself."""


@dataclass(frozen=True)
class Strip:
    """An image, the region that is looked at, and the region's panels: the original first, then bicubic."""

    name: str
    scale: int
    original: Picture
    region: tuple[int, int, int, int]
    """x, y, width and height in pixels of the original."""
    panels: tuple[Panel, ...]


def region(text: str) -> tuple[int, int, int, int]:
    """A region as typed: x,y,w,h."""
    found = re.fullmatch(r"\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*", text)
    if not found:
        raise UserError(f"--region was given {text!r}; give x,y,w,h in pixels of the original, such as 120,80,64,64.")
    x, y, width, height = map(int, found.groups())
    if min(width, height) < SMALLEST:
        raise UserError(f"--region {text} is {width}x{height}; give one of at least {SMALLEST}x{SMALLEST} pixels.")
    return x, y, width, height


def ways(text: str) -> list[str]:
    """The networks as typed, with commas between; each once, and none without a name."""
    given = [name.strip() for name in text.split(",")]
    twice = next((name for name in given if given.count(name) > 1), None)
    if not all(given):
        raise UserError(
            f"--models was given {text!r}, which has a comma without a name beside it; give variants with commas "
            "between, such as imdn-x4,carn-m-x4."
        )
    if twice is not None:
        raise UserError(f"--models was given {twice} twice; name each once, or as VARIANT=WEIGHTS with other weights.")
    return given


def strip(path: Path, where: tuple[int, int, int, int], names: Sequence[str], home: Path) -> Strip:
    """Make the image small, and large again by bicubic and by every network, and cut the region out of each.

    A name is a variant, or VARIANT=WEIGHTS. All of them have one scale. PSNR and SSIM are those of the whole image.
    """
    chosen = [_chosen(name, home) for name in names]
    scales = {models.find(variant).scale for variant, _ in chosen}
    if len(scales) != 1:
        told = ", ".join(variant for variant, _ in chosen) or "none"
        raise UserError(f"--models was given {told}; give variants of one scale, such as imdn-x4,hit-srf-x4.")
    (scale,) = scales
    original = resize.cropped(files.read(path), scale)
    x, y, width, height = where
    if x + width > original.shape[1] or y + height > original.shape[0]:
        raise UserError(
            f"--region {x},{y},{width},{height} reaches beyond {path.name}, which is"
            f" {original.shape[1]}x{original.shape[0]} where x{scale} divides it; give one inside."
        )
    low = resize.low(original, scale)
    made = [("bicubic", "", resize.imresize(low, scale))]
    made += [(variant, held.name, Upscaler(variant, held, Quality())(low).image) for variant, held in chosen]
    inside = (slice(y, y + height), slice(x, x + width))
    panels = [Panel("HR", "", original[inside], None, None)]
    for name, held, image in made:
        panels.append(Panel(name, held, image[inside], *metrics.both(image, original, scale)))
    return Strip(path.name, scale, original, where, tuple(panels))


def _chosen(name: str, home: Path) -> tuple[str, weights.Weights]:
    """A variant and its weights."""
    variant, _, asked = name.partition("=")
    return variant, weights.choose(models.find(variant).name, asked or None, home)
