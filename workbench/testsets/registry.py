"""Which sets are on this machine, and where: registered once, looked at again whenever they are used."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.images import files
from workbench.passing import Say, unheard
from workbench.spec import UserError, unknown

from . import fingerprint, layout
from .known import PHOTO_FILES, PHOTOS, SETS
from .recognise import State, Verdict, recognise

TRIED = 6
"""Groups of images in a folder that are looked at for a known set."""

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Image:
    """One image of a set that is here."""

    name: str
    """The set's own name for it where its content is known, else the file's."""
    path: Path
    sha256: str
    """Of the file, when it was registered."""
    pixels: str
    """Of its size and samples, whatever file they are in."""
    height: int
    width: int
    stamp: tuple[int, int]
    """Size and time of the file, by which it is seen without reading that nothing was changed."""

    def read(self) -> NDArray[np.uint8]:
        """Its samples; refused if they are not those that were registered."""
        image = files.read(self.path)
        if files.pixels(image) != self.pixels:
            raise UserError(
                f"{self.path} is not what was registered as {self.name}. Put the image back, or register its folder "
                "again: workbench data add."
            )
        return image


@dataclass(frozen=True)
class TestSet:
    """The images of a set that can be used, and what is to be said of them."""

    name: str
    title: str
    images: tuple[Image, ...]
    missing: tuple[str, ...]
    """Images of the set that are not here, or not what they were."""
    state: State
    sentence: str
    folder: Path
    unread: Mapping[str, str] = field(default_factory=dict)
    """Files that were there when it was registered and could not be read, each with the reason; under the name of a
    missing image, if they are called so."""

    @property
    def complete(self) -> bool:
        """Whether a mean over the images is the set's."""
        return not self.missing and self.state == "complete"

    @cached_property
    def digest(self) -> str:
        """The hash of what its images hold, whatever their order, names and files."""
        return hashlib.sha256("\n".join(sorted(i.pixels for i in self.images)).encode()).hexdigest()


def default() -> Path:
    """The user's folder, where sets are registered, fetched and cached."""
    import pooch

    return Path(pooch.os_cache("workbench"))


def names(home: Path) -> list[str]:
    """Every set: the known ones, those that were registered under names of their own, and the photographs."""
    own = {p.stem for p in _folder(home).glob("*.json") if NAME.fullmatch(p.stem)} - SETS.keys()
    return [*SETS, *sorted(own), PHOTOS]


def registered(name: str, home: Path) -> bool:
    """Whether a set was registered, wherever it is now; the photographs always are."""
    return name == PHOTOS or (_folder(home) / f"{name}.json").is_file()


def add(name: str, folder: Path, home: Path, told: Say = unheard) -> TestSet:
    """Register a folder's images as a set: as a known one after a look at every image, else under any name.

    Images stay where they are. A known set with some images missing is registered so; one that was changed is refused.
    `told` hears of each image that is looked at.
    """
    name = _plain(name)
    if name == PHOTOS:
        raise UserError(f"{PHOTOS} is always here; register your images under another name.")
    found = layout.groups(folder)
    known = SETS.get(name)
    if known is None:
        if len(found) > 1:
            listed = ", ".join(str(g.folder) for g in found[:4])
            raise UserError(f"{folder} has images in {len(found)} folders: {listed}. Name one of them.")
        images, broken, _ = _look(found[0], told)
        _some(images, broken, folder)
        verdict = Verdict("complete", f"{len(images)} images, a set of your own", {}, ())
        return _register(name, found[0].folder, images, broken, verdict, home)
    best: tuple[layout.Group, dict[Path, Image], dict[Path, str], Verdict] | None = None
    for group in sorted(found, key=lambda g: (abs(len(g.images) - known.count), -_area(g)))[:TRIED]:
        images, broken, prints = _look(group, told)
        verdict = recognise(known, prints, [path.name for path in broken])
        if best is None or len(verdict.names) > len(best[3].names):
            best = group, images, broken, verdict
        if verdict.state == "complete":
            best = group, images, broken, verdict
            break
    assert best is not None  # groups() found some
    group, images, broken, verdict = best
    _some(images, broken, folder)
    if verdict.state == "different":
        first = f" {_first(broken)}" if broken else ""
        own = verdict.instead or f"my-{name}"
        raise UserError(
            f"{group.folder} is not {known.title} as published: {verdict.sentence}.{first} Register it under another "
            f"name (workbench data add {own} {group.folder}), or get the set: {known.where}."
        )
    return _register(name, group.folder, images, broken, verdict, home)


def find(name: str, home: Path) -> TestSet:
    """A set that is here. Files that are gone or were changed since are left out and named as missing."""
    name = _plain(name)
    if name == PHOTOS:
        return _photographs()
    file = _folder(home) / f"{name}.json"
    if not file.is_file():
        if name not in SETS:
            raise unknown("test set", name, names(home), "workbench data list")
        raise UserError(
            f"{SETS[name].title} is not registered here. Register its folder: workbench data add {name} FOLDER. Where "
            f"to get it: {SETS[name].where}."
        )
    try:
        entry = json.loads(file.read_bytes())
        images = [Image(**i | {"path": Path(i["path"]), "stamp": tuple(i["stamp"])}) for i in entry["images"]]
        missing, sentence, folder = list(entry["missing"]), str(entry["sentence"]), Path(entry["folder"])
        state: State = entry["state"]
        unread = dict(entry.get("unread", {}))
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{file} cannot be read. Register the set again: workbench data add {name} FOLDER.") from None
    if not folder.is_dir():
        raise UserError(
            f"The folder of {name} is gone: {folder}. Register it where it is now: workbench data add {name} FOLDER."
        )
    there = tuple(i for i in images if _unchanged(i))
    if gone := [i.name for i in images if i not in there]:
        listed = ", ".join(gone[:3]) + (", ..." if len(gone) > 3 else "")
        sentence = f"{len(there)} of {len(images) + len(missing)} images; gone or changed since: {listed}"
        missing, state = missing + gone, "incomplete"
    return TestSet(name, _title(name), there, tuple(missing), state, sentence, folder, unread)


def check(name: str, home: Path, told: Say = unheard) -> TestSet:
    """The same with every sample read again; nothing is registered anew."""
    found = find(name, home)
    there, wrong = [], []
    for number, image in enumerate(found.images, start=1):
        told(f"[{number}/{len(found.images)}] {image.path.name}")
        try:
            image.read()
            there.append(image)
        except UserError as error:
            wrong.append(str(error))
    if not wrong:
        return found
    lost = tuple(i.name for i in found.images if i not in there)
    count = len(found.images) + len(found.missing)
    sentence = f"{len(there)} of {count} images; {wrong[0]}"
    return replace(found, images=tuple(there), missing=found.missing + lost, state="incomplete", sentence=sentence)


def _look(
    group: layout.Group, told: Say = unheard
) -> tuple[dict[Path, Image], dict[Path, str], dict[Path, fingerprint.Fingerprint]]:
    """Every image of a group that can be read, why others cannot, and what they are recognised by."""
    images, broken, prints = {}, {}, {}
    for number, path in enumerate(group.images, start=1):
        told(f"[{number}/{len(group.images)}] {path.name}")
        try:
            image = files.read(path)
            sha, stat = files.sha256(path), path.stat()
        except UserError as error:
            broken[path] = str(error)
            continue
        height, width = image.shape[:2]
        stamp = (stat.st_size, stat.st_mtime_ns)
        images[path] = Image(path.stem, path.absolute(), sha, files.pixels(image), height, width, stamp)
        prints[path] = fingerprint.take(image)
    return images, broken, prints


def _some(images: Mapping[Path, Image], broken: Mapping[Path, str], folder: Path) -> None:
    if not images:
        raise UserError(f"No image in {folder} can be read. The first: {_first(broken)}")


def _first(broken: Mapping[Path, str]) -> str:
    return next(iter(broken.values()))


def _register(
    name: str, folder: Path, images: Mapping[Path, Image], broken: Mapping[Path, str], verdict: Verdict, home: Path
) -> TestSet:
    """Keep what was seen, in the set's own order; one file for each set, so that nobody waits for anybody."""
    called = verdict.names or {path: path.stem for path in images}
    ordered = sorted((replace(i, name=called[p]) for p, i in images.items() if p in called), key=lambda i: i.name)
    sentence, unread = verdict.sentence, dict[str, str]()
    missing = list(verdict.missing if verdict.names else [path.name for path in broken])
    if broken and missing:
        sentence += f"; {_first(broken)}" + (f" And {len(broken) - 1} more." if len(broken) > 1 else "")
        for path, why in broken.items():
            unread[path.stem if path.stem in missing else path.name] = why.replace(str(path), path.name)
    state: State = "incomplete" if missing else verdict.state
    entry: dict[str, Any] = {
        "folder": str(folder.absolute()),
        "state": state,
        "sentence": sentence,
        "missing": missing,
        "unread": unread,
        "images": [asdict(i) | {"path": str(i.path)} for i in ordered],
    }
    files.whole(_folder(home) / f"{name}.json", json.dumps(entry, indent=1).encode())
    return TestSet(name, _title(name), tuple(ordered), tuple(missing), state, sentence, folder.absolute(), unread)


def _photographs() -> TestSet:
    """The photographs of scikit-image, found without importing it."""
    spec = importlib.util.find_spec("skimage")
    assert spec is not None  # a dependency
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "data"
    there = [folder / f for f in PHOTO_FILES if (folder / f).is_file()]
    images, _, _ = _look(layout.Group(folder, tuple(there)))
    missing = tuple(Path(f).stem for f in PHOTO_FILES if folder / f not in images)
    sentence = "photographs that ship inside scikit-image; no benchmark"
    state: State = "incomplete" if missing else "complete"
    return TestSet(PHOTOS, PHOTOS, tuple(images.values()), missing, state, sentence, folder)


def _unchanged(image: Image) -> bool:
    """Whether a file is what was registered: by its size and time, else by its samples."""
    try:
        stat = image.path.stat()
        same = (stat.st_size, stat.st_mtime_ns) == image.stamp
        return same or files.sha256(image.path) == image.sha256 or files.pixels(files.read(image.path)) == image.pixels
    except (OSError, UserError):
        return False


def _plain(name: str) -> str:
    plain = name.lower()
    if not NAME.fullmatch(plain):
        raise UserError(f"{name!r} cannot name a test set; take letters, digits, dots and dashes, up to 64.")
    return plain


def _area(group: layout.Group) -> int:
    """Pixels of all images of a group, by their heads: the largest of several cuts is taken."""
    total = 0
    for path in group.images:
        try:
            height, width = files.size(path)
            total += height * width
        except UserError:
            continue
    return total


def _title(name: str) -> str:
    return SETS[name].title if name in SETS else name


def _folder(home: Path) -> Path:
    return home / "testsets"
