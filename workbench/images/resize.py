"""MATLAB's imresize, bicubic and antialiased: how the low resolution of every benchmark was made."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.spec import UserError

REACH = 2.0
"""The cubic kernel is zero beyond this distance, in pixels of the smaller image."""


BLOCK = 16
"""Lines of the result that are summed at a time: few enough to stay in the processor's cache."""

PARTS = 2**14
"""Where weights are whole numbers of these parts, float32 holds every sum of eight bits: 255 * PARTS is a quarter of
2**24, and a kernel's weights, the negative ones without their signs, sum to less than 2."""


def cropped(image: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """The top-left part whose sides the scale divides."""
    height, width = (side - side % scale for side in image.shape[:2])
    if not height or not width:
        raise UserError(
            f"An image of {image.shape[1]}x{image.shape[0]} holds no {scale}x{scale} pixels, so it has no low "
            f"resolution at x{scale}. Take a larger image, or a smaller scale."
        )
    return image[:height, :width]


def low(hr: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """The low resolution of an image at a scale, as MATLAB makes it of the cropped image."""
    return imresize(cropped(hr, scale), 1 / scale)


def imresize(image: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """MATLAB's `imresize(image, factor)` of eight bits: sides are ceil(side * factor).

    Rows first, then columns, rounded to eight bits after each, as MATLAB does: rounded once at the end, a tenth of the
    samples would come out otherwise. Sums are taken in the order of the taps, so that ties fall as they do there.
    """
    if not 0 < factor < math.inf:
        raise UserError(f"An image cannot be resized by {factor:g}; give a factor above 0.")
    return np.ascontiguousarray(_along(_along(image, 0, factor), 1, factor))


def _along(image: NDArray[np.uint8], axis: int, factor: float) -> NDArray[np.uint8]:
    """One pass: every line of the result is a weighted sum of lines of the image."""
    places, weights = _taps(image.shape[axis], factor)
    image = np.ascontiguousarray(image.swapaxes(0, axis))
    found = np.empty((len(places), *image.shape[1:]), np.uint8)
    summed = _product if not (weights * PARTS % 1).any() else _in_order
    for top in range(0, len(places), BLOCK):
        block = slice(top, top + BLOCK)
        total = summed(image, places[block], weights[block])
        total += 0.5  # halves go up, as MATLAB rounds what is positive
        np.floor(total, out=total)
        found[block] = np.clip(total, 0, 255, out=total)
    return found.swapaxes(0, axis)


def _in_order(image: NDArray[np.uint8], places: NDArray[np.intp], weights: NDArray[np.float64]) -> NDArray[Any]:
    """Lines summed tap by tap."""
    total = np.zeros((len(places), *image.shape[1:]))
    term = np.empty_like(total)
    for place, weight in zip(places.T, weights.T, strict=True):
        np.multiply(image[place], weight[:, None, None], out=term)
        total += term
    return total


def _product(image: NDArray[np.uint8], places: NDArray[np.intp], weights: NDArray[np.float64]) -> NDArray[Any]:
    """The same as a product of matrices, for weights that are whole numbers of `PARTS`, as those of 1/2 and 1/4 are:
    no sum is rounded, so the order does not matter."""
    first, last = places.min(), places.max() + 1
    matrix = np.zeros((len(places), last - first), np.float32)
    np.add.at(matrix, (np.arange(len(places))[:, None], places - first), weights)  # a mirrored line may come twice
    lines = image[first:last].reshape(last - first, -1).astype(np.float32)
    return (matrix @ lines).reshape(len(places), *image.shape[1:])


@lru_cache(maxsize=64)
def _taps(length: int, factor: float) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Which pixels each pixel of the result is made of, and their weights: result x taps, both.

    The kernel is widened by the factor when shrinking (that is the antialiasing); beyond its ends an image is mirrored.
    """
    stretch = min(factor, 1.0)
    width = 2 * REACH / stretch
    here = np.arange(1, math.ceil(length * factor) + 1)
    centre = here / factor + 0.5 * (1 - 1 / factor)  # in pixels of the image, counted from 1
    first = np.floor(centre - width / 2)
    places = first[:, None] + np.arange(math.ceil(width) + 2)
    weights = stretch * _cubic(stretch * (centre[:, None] - places))
    weights /= weights.sum(axis=1, keepdims=True)
    mirrored = (places.astype(np.intp) - 1) % (2 * length)
    mirrored = np.minimum(mirrored, 2 * length - 1 - mirrored)
    used = weights.any(axis=0)
    return mirrored[:, used], weights[:, used]


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' kernel with a = -0.5."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= REACH, far, 0.0))
