"""SSIM: how alike an image that a network made and the original are in their structure; 1 where they are equal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from workbench.images import metrics


def measure(made: NDArray[np.uint8], original: NDArray[np.uint8], border: int, space: str) -> float:
    """Of one image: the mean over all 11x11 neighbourhoods that lie inside it."""
    return metrics.ssim(made, original, border, space)
