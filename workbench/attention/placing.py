"""What the rows and columns of somebody's attention map stand for, as far as its shape and its zeros tell."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from workbench.models.parts.shift import shift_mask

from . import axes
from .capture import Geometry

DEAD = 1e-20
"""Below this a weight counts as masked: a mask of -100 leaves 4e-44, times what the logits differ by."""


@dataclass(frozen=True)
class Place:
    """The axes and the geometry of one map."""

    axes: axes.Axes
    geometry: Geometry
    unknown: str = ""
    """Why nobody knows where its queries lie; empty where that is known or guessed."""
    notes: tuple[str, ...] = ()
    """What was guessed."""


def place(attn: Tensor, height: int, width: int, heads: int | None = None, window: int | None = None) -> Place:
    """Where the queries and keys of a map lie, made of one image of height x width pixels.

    Windows are guessed where N is a square and every pixel, of an image extended to whole windows, asks exactly once;
    `window` says their side, 0 that there are none. That windows lie in a raster and their pixels too is part of the
    guess. How far the raster is rolled is told by which keys are masked: without a mask a roll is not seen.
    """
    queries, keys = attn.shape[-2:]
    side = math.isqrt(queries)
    extended = [-(-length // side) * side for length in (height, width)]
    read = axes.read(attn.shape, math.prod(extended) if side**2 == queries else height * width, heads)
    geometry = Geometry("unknown", None, 0, read.heads, queries, keys, softmax=True)
    notes = (read.note,) if read.note else ()
    why = _why_no_windows(read, queries, keys, extended, window)
    if why is not None:
        return Place(read.axes, geometry, why, notes)
    geometry = replace(geometry, kind="window", window=side)
    if window is None:
        notes = (*notes, f"windows of {side}x{side} were guessed")
    shift, seen = _shift(read.axes.arranged(attn), geometry, *extended)
    return Place(read.axes, replace(geometry, shift=shift), "", (*notes, seen) if seen else notes)


def _why_no_windows(read: axes.Read, queries: int, keys: int, extended: list[int], window: int | None) -> str | None:
    """Why a map is none of windows; None where it is."""
    side = math.isqrt(queries)
    if window == 0:
        return "there are no windows, as --window 0 says"
    if side**2 != queries or side < 2:
        return f"its {queries} queries are no square"
    if keys > queries or math.isqrt(keys) ** 2 != keys or side % math.isqrt(keys):
        return f"its {keys} keys are not the pixels of a window of {side}x{side}"
    if window is None and read.rows * queries != math.prod(extended):
        asks = f"{read.rows} x {queries} queries are not the {math.prod(extended)} pixels"
        return f"{asks} of {extended[1]}x{extended[0]}: channels, condensed pixels, or windows at another resolution"
    if window is None and read.rows == 1:
        return "all pixels of the image ask at once"
    return None


def _shift(attn: Tensor, geometry: Geometry, height: int, width: int) -> tuple[int, str]:
    """By how many pixels the raster is rolled, as masked keys of (windows, heads, N, M) show, and what to say of it."""
    side = geometry.window or 1
    if attn.shape[0] != height // side * (width // side):
        return 0, ""
    dead = (attn < DEAD).all(1)  # (windows, N, M)
    if not dead.any():
        return 0, ""
    others = [s for s in range(1, side) if s != side // 2 and s % geometry.cell == 0]
    for shift in (side // 2, *others):
        mask = shift_mask(height, width, side, shift, geometry.cell, attn.device) < 0
        if bool((dead == mask).all()):
            return shift, f"rolled by {shift}, as its mask shows"
    for shift in (side // 2, *others):  # weights that are 0 by themselves do not hide a mask
        mask = shift_mask(height, width, side, shift, geometry.cell, attn.device) < 0
        if bool(dead[mask].all()) and not bool(dead[:1].all()):
            return shift, f"rolled by {shift}, as its mask shows"
    return 0, "some keys are masked, and not as a rolled raster masks them"


def measured(attn: Tensor) -> bool:
    """Whether every row is a distribution, as far as float32 tells: not negative, with sum 1."""
    total = attn.sum(-1, dtype=torch.float64)
    return bool((attn >= 0).all()) and bool(((total - 1).abs() < 1e-3).all())
