"""What attention is looked at on: image files or scikit-image's photographs, made low resolution and cropped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workbench.images import files, resize
from workbench.spec import UserError

PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")
"""Those of scikit-image's pictures in colour that come with the package."""


@dataclass(frozen=True)
class Crop:
    """What the network is given of one image."""

    name: str
    """The file's name without its folder and its suffix."""
    pixels: NDArray[np.uint8]
    """Height x width x 3, the middle of the low resolution."""

    @property
    def sha256(self) -> str:
        return files.pixels(self.pixels)


def paths(named: Sequence[Path]) -> list[Path]:
    """The image files that were named, those of folders in the order of their names; the photographs if none were."""
    if not named:
        import skimage

        return [Path(skimage.__file__).parent / "data" / name for name in PHOTOGRAPHS]
    found: list[Path] = []
    for path in named:
        if not path.is_dir():
            found.append(path)
            continue
        try:
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in files.SUFFIXES and p.is_file())
        except OSError as error:
            raise UserError(f"Cannot read {path}: {error.strerror}. Name a readable folder with --images.") from None
        if not inside:
            known = ", ".join(files.SUFFIXES)
            raise UserError(f"No image in the folder {path}. Images are files whose names end in {known}.")
        found += inside
    return list(dict.fromkeys(found))


def check(images: Sequence[Path], side: int, scale: int | None) -> None:
    """Refuse images too small for a crop, before anything is measured of the others."""
    small = []
    for path in images:
        height, width = (length // (scale or 1) for length in files.size(path))
        if min(height, width) < side:
            small.append((path, width, height))
    if small:
        path, width, height = small[0]
        what = "its low resolution is" if scale is not None else "it is"
        most = min(min(width, height) for _, width, height in small) // 16 * 16
        others = f" So {'is' if len(small) == 2 else 'are'} {len(small) - 1} more." if len(small) > 1 else ""
        mend = f"Leave out what is too small, or --crop {most}." if most else "Leave out what is too small."
        raise UserError(
            f"{path} is too small for a crop of {side}x{side} LR pixels: {what} {width}x{height}.{others} {mend}"
        )


def crops(images: Sequence[Path], side: int, scale: int | None) -> Iterator[Crop]:
    """The middle of each image, `side` pixels wide and high; of its low resolution if a scale is given.

    The low resolution is MATLAB's bicubic. Without a scale the image is taken for one.
    """
    check(images, side, scale)
    for path in images:
        image = files.read(path)
        if scale is not None:
            image = resize.low(image, scale)
        top, left = ((length - side) // 2 for length in image.shape[:2])
        yield Crop(path.stem, np.ascontiguousarray(image[top : top + side, left : left + side]))
