"""What networks are looked at on: image files, the images of a test set, or scikit-image's photographs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workbench import testsets
from workbench.images import files, resize
from workbench.spec import UserError

PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")
"""Those of scikit-image's pictures in colour that come with the package."""

LARGE = ("astronaut.png", "hubble_deep_field.jpg")
"""Those that are large enough, as originals, for two of every network's windows."""


@dataclass(frozen=True)
class Picture:
    """One image, before anything was read of it."""

    path: Path
    scale: int | None = None
    """How many times larger than what is fed it is; None where it is fed as it is."""
    of: str | None = None
    """The test set that it is of."""
    registered: testsets.Image | None = None
    cache: Path | None = None
    """Where low resolution that was made once is kept."""

    @property
    def name(self) -> str:
        """The test set's own name for it, or the file's without its folder and its suffix."""
        return self.path.stem if self.registered is None else self.registered.name

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return files.size(self.path) if self.registered is None else (self.registered.height, self.registered.width)

    def read(self) -> NDArray[np.uint8]:
        return files.read(self.path) if self.registered is None else self.registered.read()

    def low(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What is fed of it: its bicubic low resolution, as MATLAB makes it, or itself."""
        if self.scale is None:
            return image
        return resize.low(image, self.scale) if self.cache is None else testsets.lows(image, self.scale, self.cache)


@dataclass(frozen=True)
class Crop:
    """What the network is given of one image."""

    name: str
    pixels: NDArray[np.uint8]
    """Height x width x 3, the middle of the low resolution."""

    @property
    def sha256(self) -> str:
        return files.pixels(self.pixels)


def find(
    named: Sequence[str | Path], home: Path, scale: int, hr: bool = False, default: Sequence[str] = PHOTOGRAPHS
) -> list[Picture]:
    """The images of files, folders and test sets that were named; photographs of scikit-image if none were.

    Those of test sets are originals, files are if `hr` says so; of originals the low resolution at a scale is fed.
    A path that exists is a path, whatever sets there are; what has a `/` or a suffix is meant as one. Images of folders
    come in the order of their names.
    """
    if not named:
        import skimage

        folder = Path(skimage.__file__).parent / "data"
        return [Picture(folder / name, scale if hr else None) for name in default]
    found: list[Picture] = []
    for one in named:
        if not str(one) or str(one) == ".":
            raise UserError("--images was given an empty path; name a folder, a file or a test set, or leave it out.")
        if Path(one).exists() or re.search(r"[/.]", str(one)):
            found += [Picture(path, scale if hr else None) for path in _paths(Path(one))]
        else:
            of = testsets.find(str(one), home)
            found += [Picture(i.path, scale, of.name, i, home / "lows") for i in of.images]
    return list(dict.fromkeys(found))


def _paths(path: Path) -> list[Path]:
    """A file itself, or the images in a folder."""
    if not path.is_dir():
        return [path]
    try:
        inside = sorted(p for p in path.iterdir() if p.suffix.lower() in files.SUFFIXES and p.is_file())
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}. Name a readable folder with --images.") from None
    if not inside:
        known = ", ".join(files.SUFFIXES)
        raise UserError(f"No image in the folder {path}. Images are files whose names end in {known}.")
    return inside


def large(images: Sequence[Picture], side: int) -> tuple[list[Picture], list[Picture]]:
    """The images from which a crop can be taken, and those of test sets that are too small for it.

    A file that is too small is refused, before anything is measured of the others: it was named by itself.
    """
    fit: list[tuple[Picture, int, int]] = []
    small: list[tuple[Picture, int, int]] = []
    for picture in images:
        height, width = (length // (picture.scale or 1) for length in picture.size)
        (small if min(height, width) < side else fit).append((picture, width, height))
    refused = [one for one in small if one[0].of is None] if fit else small
    if refused:
        picture, width, height = refused[0]
        what = "it is" if picture.scale is None else f"its low resolution at x{picture.scale} is"
        most = min(min(width, height) for _, width, height in refused) // 16 * 16
        others = f" So {'is' if len(refused) == 2 else 'are'} {len(refused) - 1} more." if len(refused) > 1 else ""
        mend = f"Leave out what is too small, or --crop {most}." if most else "Leave out what is too small."
        raise UserError(
            f"{picture.path} is too small for a crop of {side}x{side} LR pixels: {what} {width}x{height}.{others}"
            f" {mend}"
        )
    return [picture for picture, *_ in fit], [picture for picture, *_ in small]


def fed(images: Sequence[Picture], side: int) -> str:
    """What is fed of them, for texts: size, how it was made, of how many, and which are too small for that."""
    fit, small = large(images, side)
    scales = {picture.scale for picture in fit}
    made = "".join(f"the LR (bicubic, x{scale}) of " for scale in scales if scale)
    made = "images as they are and of LR (bicubic): " if len(scales) > 1 else made or ("the " if len(fit) == 1 else "")
    sets = " and ".join(dict.fromkeys(picture.of for picture in fit if picture.of))
    left = f" (too small: {', '.join(picture.name for picture in small)})" if small else ""
    return f"{side}x{side} pixels from {made}{len(fit)} image{'s' * (len(fit) > 1)}{f' of {sets}' * bool(sets)}{left}"


def crops(images: Sequence[Picture], side: int) -> Iterator[Crop]:
    """The middle of what is fed of each image that is large enough, `side` pixels wide and high."""
    for picture in large(images, side)[0]:
        image = picture.low(picture.read())
        top, left = ((length - side) // 2 for length in image.shape[:2])
        yield Crop(picture.name, np.ascontiguousarray(image[top : top + side, left : left + side]))
