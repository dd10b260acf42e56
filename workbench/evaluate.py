"""Image quality: a trained network on the images of a test set, one by one, each remembered as soon as it is judged.

While the network works on one image, the next is read and made small, and the one before is compared with its original.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from workbench import environment, models, probes, testsets, weights
from workbench.images import metrics, resize
from workbench.spec import Protocol, Quality, UserError
from workbench.testsets import TestSet
from workbench.upscaling import Picture, Upscaler
from workbench.weights import Weights

GONE = "not in the folder, or not what it was"
"""Why an image of the set was not looked at."""

Told = Callable[[int, int, str], None]
"""Hears of every image: how many are done, of how many, and which."""

_told: list[Told] = []


@dataclass(frozen=True)
class Subject:
    """What is judged beside the network itself: its weights, on which images; and the user's folder."""

    weights: Weights
    images: TestSet
    home: Path

    @property
    def conditions(self) -> dict[str, Any]:
        """What identifies both in a record: content, never a name or a path; and what the weights are said to be."""
        known = {"sha256": self.weights.sha256, "trained_on": self.weights.trained_on}
        return {"weights": known, "images": self.images.digest}


@dataclass(frozen=True)
class Score:
    """What came of one image."""

    name: str
    status: Literal["ok", "failed"]
    values: Mapping[str, float]
    """By probe."""
    reason: str | None = None
    cut: Mapping[str, Any] | None = None
    """The tiles that it was cut into, if it was."""
    commit: str | None = None
    """Of the code that judged it, which may have been an earlier run; with a + if it was not all committed."""


def subject(variant: str, protocol: Protocol, asked: str | None, home: Path) -> Subject:
    """The weights and images that a variant is judged by under a protocol, or a UserError that says what is missing."""
    return Subject(weights.choose(variant, asked, home), testsets.find(protocol.quality.set, home), home)


@contextlib.contextmanager
def watched(told: Told) -> Iterator[None]:
    """Tell somebody of every image that is judged in here."""
    _told.append(told)
    try:
        yield
    finally:
        _told.remove(told)


def measure(variant: str, chosen: Subject, protocol: Protocol, probe: str) -> probes.Reading:
    """One probe's value of every image; quality brings SSIM along.

    What could not be judged is named, and then the set is not complete.
    """
    scores = judge(variant, chosen, protocol.quality)
    good = [s for s in scores if s.status == "ok"]
    if not good:
        raise UserError(f"No image of {chosen.images.title} could be judged; the first: {scores[0].reason}")
    failed = {s.name: s.reason for s in scores if s.status != "ok"}
    gone = {name: chosen.images.unread.get(name, GONE) for name in chosen.images.missing}
    details = {
        "set": chosen.images.name,
        "complete": chosen.images.complete and not failed,
        "images": [s.name for s in good],
        "status": {s.name: s.status for s in scores} | dict.fromkeys(gone, "missing"),
        "missing": failed | gone,
        "tiles": {s.name: s.cut for s in good if s.cut},
        "weights": {"name": chosen.weights.name, "file": chosen.weights.file},
        "forward": "lean",
        "commits": sorted({s.commit for s in good if s.commit}),
    }
    if probe == "quality":
        details["ssim"] = [s.values["ssim"] for s in good]
    return probes.Reading(tuple(s.values[probe] for s in good), details)


def judge(variant: str, chosen: Subject, quality: Quality) -> list[Score]:
    """A score for every image of the set, in the set's order; what an earlier run has judged is not judged again."""
    scale = models.find(variant).scale
    journal = Journal.of(variant, chosen, quality)
    known = journal.read()
    images, found = chosen.images.images, dict[int, Score]()
    if not images:
        raise UserError(f"There is no image in {chosen.images.title}; add a folder that has some: workbench data add")
    network: Upscaler | None = None
    with ThreadPoolExecutor(1) as ahead, ThreadPoolExecutor(1) as behind:
        ready = ahead.submit(_prepared, images[0], scale, chosen.home, known)
        judged: list[tuple[int, str, Future[Score]]] = []

        def settle() -> None:
            for index, content, future in judged:
                found[index] = future.result()
                if found[index].status == "ok":
                    journal.add(content, found[index])
                _tell(len(found), len(images), found[index].name)
            judged.clear()

        for index, image in enumerate(images):
            prepared = ready.result()
            if index + 1 < len(images):
                ready = ahead.submit(_prepared, images[index + 1], scale, chosen.home, known)
            if isinstance(prepared, Score):
                found[index] = prepared
                if image.pixels not in known:  # what was judged before was told before
                    _tell(len(found), len(images), image.name)
                continue
            original, low = prepared
            network = network or Upscaler(variant, chosen.weights, quality)
            try:
                made = network(low)
            except UserError as error:
                found[index] = Score(image.name, "failed", {}, str(error))
                continue
            settle()
            cut = asdict(made.cut) if made.cut else None
            judged.append(
                (index, image.pixels, behind.submit(_compared, image.name, made.image, original, scale, quality, cut))
            )
        settle()
    return [found[i] for i in range(len(images))]


def _tell(done: int, total: int, name: str) -> None:
    for told in _told:
        told(done, total, name)


def _prepared(
    image: testsets.Image, scale: int, home: Path, known: Mapping[str, Score]
) -> Score | tuple[Picture, Picture]:
    """The original and its low resolution; or a score: an earlier one, or why there is none."""
    try:
        if image.pixels in known:
            return replace(known[image.pixels], name=image.name)
        original = resize.cropped(image.read(), scale)
        return original, testsets.lows(original, scale, home / "lows")
    except UserError as error:
        return Score(image.name, "failed", {}, str(error).replace(str(image.path), image.path.name))


def _compared(
    name: str, made: Picture, original: Picture, scale: int, quality: Quality, cut: Mapping[str, Any] | None
) -> Score:
    """Every probe of images on one of them."""
    border = scale if quality.border is None else quality.border
    try:
        psnr, ssim = metrics.both(made, original, border, quality.space)  # what both look at is made once
    except UserError as error:
        return Score(name, "failed", {}, str(error))
    values = {"quality": psnr, "ssim": ssim}
    if not all(map(math.isfinite, values.values())):
        return Score(name, "failed", {}, f"{name} came out equal to its original, whose PSNR is infinite")
    code = environment.capture()
    return Score(name, "ok", values, None, cut, code["commit"] and code["commit"] + "+" * bool(code["dirty"]))


@dataclass(frozen=True)
class Journal:
    """What was judged before, by the hash of the image: a file of lines in the user's folder, one for each image."""

    path: Path

    @classmethod
    def of(cls, variant: str, chosen: Subject, quality: Quality) -> Journal:
        """The journal of one network under one protocol, whatever the set."""
        way = asdict(quality)
        del way["set"]
        versions = {p.name: p.version for p in probes.PROBES.values() if p.images}
        key = json.dumps([variant, chosen.weights.sha256, way, versions], sort_keys=True)
        return cls(chosen.home / "journal" / f"{variant}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.jsonl")

    def read(self) -> dict[str, Score]:
        """Scores by the hash of the image's pixels; torn lines are passed over, and those images judged again."""
        found: dict[str, Score] = {}
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        except OSError as error:
            raise UserError(f"Cannot read {self.path}: {error.strerror}. Name another folder with --data.") from None
        for line in lines:
            try:
                told = json.loads(line)
                score = Score(**told["score"])
                if all(math.isfinite(v) for v in score.values.values()):
                    found[str(told["image"])] = score
            except (ValueError, TypeError, KeyError, AttributeError):
                continue
        return found

    def add(self, content: str, score: Score) -> None:
        """Remember a score, whole or not at all, before the next one is heard of."""
        line = json.dumps({"image": content, "score": asdict(score)}) + "\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                os.write(handle, line.encode())
            finally:
                os.close(handle)
        except OSError as error:
            raise UserError(f"Cannot write {self.path}: {error.strerror}. Name another folder with --data.") from None

    def forget(self) -> None:
        """Begin anew."""
        self.path.unlink(missing_ok=True)


def forget(variant: str, chosen: Subject, protocol: Protocol) -> None:
    """Forget what was judged before of a network under a protocol."""
    Journal.of(variant, chosen, protocol.quality).forget()
