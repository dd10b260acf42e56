"""What an image is recognised by: exactly, whatever multiple it was cut to; and roughly, if it was changed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.images import files, metrics

WHOLE = 12
"""Sides are cut to a multiple of this before the content is hashed: that much is in every usual cut (2, 3, 4, 12)."""

CELLS = 8
"""Cells along a side whose mean brightness is kept."""

POINTS = 12
"""Points along a side whose brightness is kept."""


@dataclass(frozen=True)
class Fingerprint:
    """What is kept of an image: 64 means and 144 points are no picture, and tell what was done to one."""

    height: int
    width: int
    colour: bool
    """Whether the channels differ anywhere."""
    content: str
    """Hash of the samples, cut to multiples of 12: equal for the original, its mod-4 crop and its GTmod12."""
    cells: bytes
    """Mean luma of 8x8 cells of the uncut image: nearly the same after any re-encoding or resizing."""
    points: bytes
    """Luma at 12x12 points of the cut image: how much a re-encoding changed."""

    def far(self, other: Fingerprint) -> float:
        """Mean difference of the cells, in levels: whether two are the same picture."""
        return _difference(self.cells, other.cells)

    def changed(self, other: Fingerprint) -> float:
        """Mean difference at the points, in levels: meaningful for two of the same size."""
        return _difference(self.points, other.points)


def take(image: NDArray[np.uint8]) -> Fingerprint:
    """The fingerprint of an image."""
    height, width = image.shape[:2]
    cut = image[: height // WHOLE * WHOLE or height, : width // WHOLE * WHOLE or width]
    whole, luma = metrics.luma_full(image), metrics.luma_full(cut)
    colour = bool((cut[..., 0] != cut[..., 1]).any() or (cut[..., 1] != cut[..., 2]).any())
    rows, columns = (((np.arange(POINTS) + 0.5) * side / POINTS).astype(int) for side in luma.shape)
    points = luma[np.ix_(rows, columns)]
    return Fingerprint(height, width, colour, files.pixels(cut), _bytes(_means(whole)), _bytes(points))


def _means(luma: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of each cell; of images with fewer pixels than cells, of the nearest pixel."""
    for axis in (0, 1):
        edges = np.arange(CELLS + 1) * luma.shape[axis] // CELLS
        sums = np.add.reduceat(luma, edges[:-1], axis)
        counts = np.maximum(np.diff(edges), 1)
        luma = sums / (counts[:, None] if axis == 0 else counts)
    return luma


def _bytes(levels: NDArray[np.float64]) -> bytes:
    return np.rint(levels).astype(np.uint8).tobytes()


def _difference(a: bytes, b: bytes) -> float:
    one, other = (np.frombuffer(x, np.uint8).astype(float) for x in (a, b))
    return float(np.abs(one - other).mean())
