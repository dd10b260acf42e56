"""By hand: how long reading, resizing, PSNR and SSIM of one image take, beside Pillow's and scikit-image's.

python tests/bench/images.py IMAGE --rounds 5
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import metrics as oracle

from workbench import environment, testsets
from workbench.images import files, metrics, resize


def seconds(do: Callable[[], object], rounds: int) -> float:
    """The median of some runs after one that does not count."""
    taken = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        do()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", type=Path, nargs="?", help="[noise of 1024x768]")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = asked.image or Path(folder) / "noise.png"
        if asked.image is None:
            files.write(path, np.random.default_rng(0).integers(0, 256, (768, 1024, 3), dtype=np.uint8))
        image = files.read(path)
        other = np.clip(image.astype(int) + np.random.default_rng(1).integers(-9, 10, image.shape), 0, 255)
        other = other.astype(np.uint8)
        one, two = (metrics.luma(i[4:-4, 4:-4]) for i in (image, other))
        small = [image.shape[1] // 4, image.shape[0] // 4]
        lows = {f"low resolution x{s}": lambda s=s: resize.low(image, s) for s in (2, 3, 4)}
        cached = {f"the same x{s}, kept": lambda s=s: testsets.lows(image, s, Path(folder)) for s in (2, 3, 4)}
        todo: dict[str, Callable[[], object]] = {
            "read": lambda: files.read(path),
            **lows,
            **cached,
            "Pillow's bicubic x4": lambda: Image.fromarray(image).resize(small, Image.Resampling.BICUBIC),
            "PSNR": lambda: metrics.psnr(image, other, 4),
            "scikit-image's, Y given": lambda: oracle.peak_signal_noise_ratio(one, two, data_range=255),
            "SSIM": lambda: metrics.ssim(image, other, 4),
            "scikit-image's SSIM, Y given": lambda: oracle.structural_similarity(
                one, two, gaussian_weights=True, use_sample_covariance=False, data_range=255
            ),
        }
        print(f"{environment.machine()}, {image.shape[1]}x{image.shape[0]}, milliseconds")
        for name, do in todo.items():
            print(f"{name:30}{1000 * seconds(do, asked.rounds):10.1f}", flush=True)


if __name__ == "__main__":
    main()
