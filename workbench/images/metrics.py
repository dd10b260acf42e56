"""PSNR and SSIM as the papers' code computes them, in float64."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.spec import UserError, unknown

Image = NDArray[np.uint8]
Planes = NDArray[np.float64]

WINDOW = 11
"""Side of SSIM's Gaussian window."""
SIGMA = 1.5
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
STRIP = 32
"""Lines and columns of the map that are filtered at a time: small enough to stay in the processor's cache."""


@dataclass(frozen=True)
class Space:
    """What of an image is compared: its planes, and whose way that is."""

    name: str
    title: str
    planes: Callable[[Image], Planes]
    """height x width x 3 to planes x height x width."""


def luma(rgb: Image) -> Planes:
    """Y of BT.601 in 16 to 235, rounded, as MATLAB's rgb2ycbcr gives it of eight bits: height x width.

    In whole numbers, so that a half is a half and goes up: (65.481 R + 128.553 G + 24.966 B) / 255 + 16.
    """
    total = _weighted(rgb, 21827, 42851, 8322) + 42500  # each coefficient is its 255th part times 85000
    return (total // 85000 + 16).astype(np.float64)


def luma_unrounded(rgb: Image) -> Planes:
    """The same without rounding, as BasicSR computes it of float images."""
    return _weighted(rgb, 21827, 42851, 8322) / 85000 + 16


def luma_full(rgb: Image) -> Planes:
    """Y of JPEG in 0 to 255, rounded: 0.299 R + 0.587 G + 0.114 B, which gives a PSNR about 1.3 dB lower."""
    return ((_weighted(rgb, 299, 587, 114) + 500) // 1000).astype(np.float64)


SPACES: Mapping[str, Space] = {
    s.name: s
    for s in (
        Space("y", "Y of BT.601, 16 to 235, rounded: MATLAB's rgb2ycbcr of eight bits", lambda i: luma(i)[None]),
        Space("y-float", "Y of BT.601, 16 to 235, not rounded: BasicSR's", lambda i: luma_unrounded(i)[None]),
        Space("y-jpeg", "Y of JPEG, 0 to 255, rounded: OpenCV's and Pillow's", lambda i: luma_full(i)[None]),
        Space("rgb", "all three channels together", lambda i: np.moveaxis(i.astype(np.float64), 2, 0)),
    )
}
"""The named ways to look at a colour image."""


def psnr(a: Image, b: Image, border: int, space: str = "y") -> float:
    """Peak signal-to-noise ratio in dB, peak 255, without `border` pixels at each side; equal images give infinity."""
    difference = np.subtract(*_planes(a, b, border, space))
    error = float(np.vdot(difference, difference)) / difference.size
    return 10 * math.log10(255**2 / error) if error else math.inf


def ssim(a: Image, b: Image, border: int, space: str = "y") -> float:
    """Structural similarity by Wang's ssim_index: 11x11 Gaussian of sigma 1.5, only where it fits whole.

    Of several planes the mean. Nothing is shrunk first, as Wang's later code does with large images.
    """
    ones, others = _planes(a, b, border, space)
    height, width = ones.shape[1:]
    if min(height, width) < WINDOW:
        raise UserError(
            f"An image with {width}x{height} pixels within a border of {border} is smaller than SSIM's window of "
            f"{WINDOW}x{WINDOW}. Take a larger image."
        )
    return math.fsum(_similarity(x, y) for x, y in zip(ones, others, strict=True)) / len(ones)


def _planes(a: Image, b: Image, border: int, space: str) -> tuple[Planes, Planes]:
    """What is compared of two images, without their borders."""
    if space not in SPACES:
        raise unknown("colour space", space, SPACES, "they are in this sentence")
    if a.shape != b.shape:
        raise UserError(
            f"An image of {a.shape[1]}x{a.shape[0]} cannot be compared with one of {b.shape[1]}x{b.shape[0]}; crop the "
            "larger to the multiple of the scale."
        )
    height, width = a.shape[:2]
    if border < 0 or min(height, width) <= 2 * border:
        raise UserError(
            f"An image of {width}x{height} has nothing left within a border of {border}. Take a larger image, or a "
            "narrower border."
        )
    inner = (slice(border, height - border), slice(border, width - border))
    planes = SPACES[space].planes
    return planes(a[inner]), planes(b[inner])


def _similarity(x: Planes, y: Planes) -> float:
    """The mean of the map of similarity of two planes, strip by strip."""
    height, width = (side - WINDOW + 1 for side in x.shape)
    sums = []
    for top in range(0, height, STRIP):
        lines = min(STRIP, height - top)
        p, q = (plane[top : top + lines + WINDOW - 1] for plane in (x, y))
        # the two variances occur as their sum only, so four filterings do
        mean_p, mean_q, squares, product = (_blurred(plane) for plane in (p, q, p * p + q * q, p * q))
        means, both = mean_p * mean_q, mean_p**2 + mean_q**2
        above = (2 * means + C1) * (2 * (product - means) + C2)
        below = (both + C1) * (squares - both + C2)
        sums.append(float((above / below).sum()))
    count: int = height * width
    return math.fsum(sums) / count


def _blurred(lines: Planes) -> Planes:
    """The Gaussian along both axes, where it fits: by columns through one product of matrices, by rows in pieces."""
    high = _bands(len(lines) - WINDOW + 1) @ lines
    wide = high.shape[1] - WINDOW + 1
    found = np.empty((len(high), wide))
    for left in range(0, wide, STRIP):
        columns = min(STRIP, wide - left)
        piece = high[:, left : left + columns + WINDOW - 1]
        np.matmul(piece, _bands(columns).T, out=found[:, left : left + columns])
    return found


_BANDS: dict[int, Planes] = {}


def _bands(count: int) -> Planes:
    """The matrix that filters `count + 10` values to `count`: the window, shifted by one in each row."""
    if count not in _BANDS:
        window = np.exp(-((np.arange(WINDOW) - WINDOW // 2) ** 2) / (2 * SIGMA**2))
        matrix = np.zeros((count, count + WINDOW - 1))
        for row in range(count):
            matrix[row, row : row + WINDOW] = window / window.sum()
        _BANDS[count] = matrix
    return _BANDS[count]


def _weighted(rgb: Image, red: int, green: int, blue: int) -> NDArray[np.int32]:
    """A weighted sum of the channels in whole numbers, which fit: 255 * 85000 is far below 2**31."""
    total = rgb[..., 0] * np.int32(red)
    total += rgb[..., 1] * np.int32(green)
    total += rgb[..., 2] * np.int32(blue)
    return total
