"""The test sets of the field, as data: how many images, of what content where it is known, and who publishes them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from .fingerprint import Fingerprint

PHOTOS = "skimage-photos"
"""The set that is always here: photographs that ship inside scikit-image. No benchmark, and in no paper's table."""

PHOTO_FILES = ("astronaut.png", "camera.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")

SWINIR = "https://raw.githubusercontent.com/JingyunLiang/SwinIR/6545850fbf8df298df73d81f3e8cba638787c8bd/"
SELFEXSR = "https://raw.githubusercontent.com/jbhuang0604/SelfExSR/8f6dd8c1d20cb7e8792a7177b4f6fd677633f598/"
DIV2K = "https://data.vision.ee.ethz.ch/cvl/DIV2K/"


@dataclass(frozen=True)
class KnownImage:
    """One image of a set whose content is known."""

    name: str
    fingerprint: Fingerprint
    source: str
    """Where it lies below the set's address."""
    sha256: str
    """Of the file there."""


@dataclass(frozen=True)
class Source:
    """An address that serves a whole set."""

    address: str
    """Of one archive, or the start of the address of each image."""
    megabytes: float
    sha256: str | None = None
    """Of the archive; None: one file for each image."""


@dataclass(frozen=True)
class KnownSet:
    """A test set of the field."""

    name: str
    title: str
    count: int
    page: str
    """Where its authors publish it."""
    source: Source | None = None
    """None: no lasting address is known, and the set is got by hand."""
    advice: str = ""
    """What else to know to get it."""
    fits: Callable[[int, int], bool] | None = field(default=None, repr=False)
    """Which heights and widths its images have, where their content is not known."""

    @property
    def images(self) -> tuple[KnownImage, ...]:
        """Its images in its own order; none where it is recognised by number and size only."""
        return _images().get(self.name, ())

    @property
    def where(self) -> str:
        """Who hands it out: a command, or only its authors' page."""
        return f"workbench data fetch {self.name}" if self.source else self.page

    @property
    def how(self) -> str:
        """What it is recognised by."""
        return "content" if self.images else "number and size only" if self.fits else "number only"


def _b100(height: int, width: int) -> bool:
    """The Berkeley photographs are 481x321 or upright, or cut to a multiple of 2, 3, 4 or 12."""
    return sorted((height // 12, width // 12)) == [26, 40]


def _div2k(height: int, width: int) -> bool:
    """The longer side is 2040, or 2040 cut: it is a multiple of 12 itself."""
    return max(height, width) == 2040


SETS: Mapping[str, KnownSet] = {
    s.name: s
    for s in (
        KnownSet(
            "set5",
            "Set5",
            5,
            "http://people.rennes.inria.fr/Aline.Roumy/results/SR_BMVC12.html",
            Source(SWINIR, 0.9),
        ),
        KnownSet(
            "set14",
            "Set14",
            14,
            "https://sites.google.com/site/romanzeyde/research-interests",
            Source(SELFEXSR, 5.0),
        ),
        KnownSet(
            "b100",
            "B100",
            100,
            "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/bsds/",
            advice="the 100 images of the folder `test` of BSDS300",
            fits=_b100,
        ),
        KnownSet("urban100", "Urban100", 100, "https://github.com/jbhuang0604/SelfExSR", Source(SELFEXSR, 135.6)),
        KnownSet(
            "manga109",
            "Manga109",
            109,
            "http://www.manga109.org/en/",
            advice="its authors send it to those who ask; papers use 109 of its pages",
        ),
        KnownSet(
            "div2k-val",
            "DIV2K-val",
            100,
            DIV2K,
            Source(
                DIV2K + "DIV2K_valid_HR.zip", 449.0, "20dd31fd84d777bc1cf5d6b7654a3f569c0aec74458ae094122ad1d0489900fc"
            ),
            fits=_div2k,
        ),
    )
}
"""The known sets by name, in the order of the papers' columns."""


@cache
def _images() -> Mapping[str, tuple[KnownImage, ...]]:
    found: dict[str, list[KnownImage]] = {}
    with Path(__file__).with_name("known.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            fingerprint = Fingerprint(
                int(row["height"]),
                int(row["width"]),
                row["colour"] == "1",
                row["content"],
                bytes.fromhex(row["cells"]),
                bytes.fromhex(row["points"]),
            )
            one = KnownImage(row["name"], fingerprint, row["source"], row["sha256"])
            found.setdefault(row["set"], []).append(one)
    return {name: tuple(images) for name, images in found.items()}
