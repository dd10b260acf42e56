"""By hand: how long reading, resizing, PSNR and SSIM of one image take, beside Pillow's and scikit-image's.

python tests/bench/images.py IMAGE --rounds 5

Of a folder of originals: what low resolution and metrics take beside a network, in CPU seconds of one thread.

python tests/bench/images.py Set5/HR --network imdn-x4
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

from workbench import environment, models, testsets
from workbench.images import files, metrics, resize


def seconds(do: Callable[[], object], rounds: int) -> float:
    """The median of some runs after one that does not count."""
    taken = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        do()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[1:])


def beside(folder: Path, name: str, rounds: int) -> None:
    """Low resolution and both metrics of every image in a folder, as a share of a network's own time."""
    import torch

    torch.set_num_threads(1)
    scale, net = models.find(name).scale, models.create(name, forward="lean")
    originals = [resize.cropped(files.read(path), scale) for path in sorted(folder.iterdir())]
    shares, spent = [], []
    for _ in range(rounds + 1):
        taken = [0.0, 0.0, 0.0]
        for original in originals:
            began = time.thread_time()
            low = resize.low(original, scale)
            made = time.thread_time()
            with torch.inference_mode():
                y = net(torch.from_numpy(low).permute(2, 0, 1)[None].float() / 255)
            out = (y[0] * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
            ran = time.thread_time()
            metrics.both(out, original, scale)
            taken = [t + s for t, s in zip(taken, (made - began, ran - made, time.thread_time() - ran), strict=True)]
        spent.append(taken)
        shares.append((taken[0] + taken[2]) / taken[1])
    low_ms, net_ms, both_ms = (1000 * statistics.median(column) for column in zip(*spent[1:], strict=True))
    print(f"{environment.machine()}, {len(originals)} images, {name}, milliseconds of one thread's CPU")
    print(f"low resolution {low_ms:.1f}, metrics {both_ms:.1f}, the network {net_ms:.1f}")
    print(f"share {statistics.median(shares[1:]):.2%} ({min(shares[1:]):.2%} to {max(shares[1:]):.2%})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", type=Path, nargs="?", help="[noise of 1024x768]")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--network", default="imdn-x4", help="beside which a folder's images are judged")
    asked = parser.parse_args()
    if asked.image and asked.image.is_dir():
        beside(asked.image, asked.network, asked.rounds)
        return
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
