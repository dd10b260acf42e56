"""Quality: PSNR, how far the pixels of an image that a network made are from the original's; with it goes SSIM."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from workbench.images import metrics


def measure(made: NDArray[np.uint8], original: NDArray[np.uint8], border: int, space: str) -> float:
    """Of one image. Infinite where the two are equal."""
    return metrics.psnr(made, original, border, space)
