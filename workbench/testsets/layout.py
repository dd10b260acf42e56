"""Which files of a folder are the high-resolution images of a set, in the layouts people have."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from workbench.images import files
from workbench.spec import UserError

DEEP = 5
"""Folders below the one that was named are looked into so far."""

MANY = 20_000
"""More images than this are no test set; somebody named the root of a disk."""

LOW_FOLDER = re.compile(r"(^|[-_])(lr|lq)|lr($|[-_])|bicubic|^x[2348]$", re.IGNORECASE)
"""Folders of low resolution: `LR_bicubic`, `X4`, `LRbicx4`, `DIV2K_valid_LR_bicubic`."""

SIDES = re.compile(r"[-_](HR|GT)$", re.IGNORECASE)
"""`img_001_SRF_4_HR.png` lies beside `..._LR.png` and what methods made of it."""

LOW_NAME = re.compile(r"([-_]?x[2348]|[-_](LR|LQ))$", re.IGNORECASE)
"""`babyx4.png`, `baby_LR.png`."""


@dataclass(frozen=True)
class Group:
    """The images of one folder that may be a set's."""

    folder: Path
    images: tuple[Path, ...]


def groups(folder: Path) -> list[Group]:
    """The groups of high-resolution images in a folder and below it; UserError where there is none.

    Links are followed, and a folder that was seen is not entered again. Hidden files and what macOS adds are left out.
    """
    if not folder.is_dir():
        found = "is a file" if folder.exists() else "is not there"
        raise UserError(f"{folder} {found}; name the folder that holds a set's images, unpacked.")
    by_folder = _by_folder(folder)
    if not by_folder:
        raise UserError(
            f"No images in {folder}, nor {DEEP} folders deep below it. Looked for: {', '.join(files.SUFFIXES)}."
        )
    high = {f: images for f, images in by_folder.items() if not _is_low(f, folder)}
    picked = [Group(f, _high(images, alone=len(high or by_folder) == 1)) for f, images in (high or by_folder).items()]
    return [g for g in picked if g.images] or [Group(f, tuple(i)) for f, i in by_folder.items()]


def _by_folder(root: Path) -> dict[Path, list[Path]]:
    """The images of each folder, by name."""
    found: dict[Path, list[Path]] = {}
    seen: set[tuple[int, int]] = set()
    todo, count = [(root, 0)], 0
    while todo:
        folder, depth = todo.pop()
        try:
            here = folder.stat()
            if (here.st_dev, here.st_ino) in seen:
                continue  # a link that leads back
            seen.add((here.st_dev, here.st_ino))
            entries = sorted(os.scandir(folder), key=lambda e: e.name)
        except OSError as error:
            raise UserError(f"Cannot read {folder}: {error.strerror}. Name a folder that can be read.") from None
        for entry in entries:
            if entry.name.startswith((".", "__")):
                continue
            if _is_folder(entry):
                if depth < DEEP:
                    todo.append((Path(entry.path), depth + 1))
            elif entry.name.lower().endswith(files.SUFFIXES):
                found.setdefault(folder, []).append(Path(entry.path))
                count += 1
        if count > MANY:
            raise UserError(f"More than {MANY:,} images below {root}; name the folder of one set.")
    return dict(sorted(found.items()))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_low(folder: Path, root: Path) -> bool:
    return any(LOW_FOLDER.search(part) for part in folder.relative_to(root).parts)


def _high(images: Iterable[Path], alone: bool) -> tuple[Path, ...]:
    """Of the images of one folder those of high resolution."""
    images = tuple(images)
    if marked := tuple(i for i in images if SIDES.search(i.stem)):
        return marked
    stems = {i.stem for i in images}
    left = tuple(i for i in images if LOW_NAME.sub("", i.stem) not in stems - {i.stem})
    if not alone and all(LOW_NAME.search(i.stem) for i in left):
        return ()
    return left
