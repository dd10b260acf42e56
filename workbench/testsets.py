"""Test sets (a stand-in)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workbench.images import files, resize
from workbench.spec import UserError

SETS = {"set5": "Set5", "set14": "Set14", "b100": "B100", "urban100": "Urban100", "manga109": "Manga109"}


@dataclass(frozen=True)
class Image:
    name: str
    path: Path

    @property
    def sha256(self) -> str:
        return files.sha256(self.path)


@dataclass(frozen=True)
class TestSet:
    name: str
    title: str
    images: tuple[Image, ...]
    complete: bool

    @cached_property
    def digest(self) -> str:
        hashes = sorted(files.pixels(files.read(i.path)) for i in self.images)
        return hashlib.sha256("".join(hashes).encode()).hexdigest()


def find(name: str, home: Path) -> TestSet:
    registered = json.loads((home / "testsets.json").read_text()) if (home / "testsets.json").exists() else {}
    if name not in registered:
        raise UserError(f"No test set {name!r}; workbench data add {name} FOLDER")
    paths = sorted(p for p in Path(registered[name]).iterdir() if p.suffix in (".png", ".webp", ".bmp"))
    return TestSet(name, SETS[name], tuple(Image(p.stem, p) for p in paths), True)


def lows(image: NDArray[np.uint8], scale: int, cache: Path) -> NDArray[np.uint8]:
    return resize.low(image, scale)
