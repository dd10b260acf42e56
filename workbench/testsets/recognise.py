"""Whether images are a known set: by content where it is known, and if they are not, what was done to them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from .fingerprint import WHOLE, Fingerprint
from .known import SETS, KnownImage, KnownSet

State = Literal["complete", "incomplete", "different"]

SAME = 10.0
"""Levels: cells that differ by less on average are of the same picture.

Re-encoded by JPEG at quality 10, images of the three sets known by content differ by at most 1.1, at an eighth of their
resolution by 7.2; the two most alike of one set, img_022 and img_081 of Urban100, by 14.
"""

RATIOS = {2.0: "double", 0.5: "half", 1 / 3: "a third of", 0.25: "a quarter of", 0.125: "an eighth of"}


@dataclass(frozen=True)
class Verdict:
    """What the images of a folder are, seen as one known set."""

    state: State
    """`different` is refused; `incomplete` has every difference in `missing`."""
    sentence: str
    names: Mapping[Path, str]
    """Which image of the set each file is."""
    missing: tuple[str, ...]
    """Images of the set that no file is."""
    instead: str | None = None
    """The known set that the files are rather."""


@dataclass(frozen=True)
class _Near:
    """A file that is a known image, changed."""

    name: str
    ratio: float
    """Its width over the known one's."""
    changed: float
    told: str
    grey: bool = False


def recognise(known: KnownSet, seen: Mapping[Path, Fingerprint], unread: Sequence[str] = ()) -> Verdict:
    """See files as a known set; those called `unread` were there too, and could not be read.

    Neither their names nor their order matter where the content is known.
    """
    if not known.images:
        return _by_size(known, seen, unread)
    by_content = {k.fingerprint.content: k for k in known.images}
    firsts = {f.content: path for path, f in reversed(list(seen.items())) if f.content in by_content}
    names = {path: by_content[content].name for content, path in firsts.items()}
    missing = tuple(k.name for k in known.images if k.name not in names.values())
    if not missing:
        told = f"all {known.count} images{_cut(known, {path: seen[path] for path in names})}"
        others = len(seen) - len(names)
        return Verdict("complete", told + (f"; files left out: {others}" if others else ""), names, ())
    rest = [k for k in known.images if k.name in missing]
    near = [n for path, f in seen.items() if path not in names and (n := _nearest(f, rest))]
    changed = {n.name for n in near}
    if near and 2 * (len(changed) + len(names)) >= known.count:
        return Verdict("different", _told(known, near), names, missing)
    if 2 * len(names) >= known.count:
        listed = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        told = f"{len(names)} of {known.count} images; missing: {listed}"
        return Verdict("incomplete", told, names, missing)
    return _stranger(known, seen, Verdict("different", "", names, missing))


def _nearest(seen: Fingerprint, rest: list[KnownImage]) -> _Near | None:
    """The known image that a changed one was, if any."""
    one = min(rest, key=lambda k: seen.far(k.fingerprint))
    was = one.fingerprint
    if seen.far(was) >= SAME:
        return None
    size, known = f"{seen.width}x{seen.height}", f"{was.width}x{was.height}"
    ratio, changed = seen.width / was.width, seen.changed(was)
    if all(a // WHOLE == b // WHOLE for a, b in ((seen.height, was.height), (seen.width, was.width))):
        if was.colour and not seen.colour:
            return _Near(one.name, 1.0, changed, f"{one.name} has lost its colours", grey=True)
        return _Near(one.name, 1.0, changed, f"{one.name} differs by {changed:.1f} levels on average")
    return _Near(one.name, ratio, changed, f"{one.name} is {size}, not {known}")


def _told(known: KnownSet, near: list[_Near]) -> str:
    """What was done to a set, by what was done to most of its images."""
    scale = statistics.median(n.ratio for n in near)
    same = [n for n in near if n.ratio == 1.0]
    of = "" if len(near) == known.count else f", {len(near)} of {known.count} images"
    if 2 * len(same) >= len(near):
        worst = max(same, key=lambda n: (n.grey, n.changed))
        return f"{known.title} {'in grey' if worst.grey else 're-encoded'} ({worst.told}{of})"
    worst = next(n for n in near if n.ratio != 1.0)
    if abs(scale - 1) < 0.05:
        return f"{known.title} cut to other sizes ({worst.told}{of})"
    word = next((w for r, w in RATIOS.items() if abs(scale / r - 1) < 0.03), f"{scale:.2f} times")
    return f"{known.title} at {word} its resolution ({worst.told}{of})"


def _stranger(known: KnownSet, seen: Mapping[Path, Fingerprint], verdict: Verdict) -> Verdict:
    """Images that are mostly not of the set: how many are, and whether another set has them."""
    contents = {f.content for f in seen.values()}
    for other in SETS.values():
        there = sum(k.fingerprint.content in contents for k in other.images)
        if other is not known and there and 2 * there >= other.count:
            told = f"it has {there} of the {other.count} images of {other.title}"
            return replace(verdict, sentence=told, instead=other.name)
    few = len(verdict.names) or "none"
    return replace(verdict, sentence=f"it has {few} of the {known.count} images of {known.title} among its {len(seen)}")


def _cut(known: KnownSet, seen: Mapping[Path, Fingerprint]) -> str:
    """How a complete set was cut, where it was cut smaller than the known one: figures differ a little by that."""
    sizes = [side for f in seen.values() for side in (f.height, f.width)]
    area = {k.fingerprint.content: k.fingerprint.height * k.fingerprint.width for k in known.images}
    smaller = any(f.height * f.width < area.get(f.content, 0) for f in seen.values())
    if not smaller:
        return ""
    multiple = next((m for m in (WHOLE, 6, 4, 3, 2) if all(side % m == 0 for side in sizes)), 1)
    return f", cut to multiples of {multiple}" if multiple > 1 else ", some of them cut"


def _by_size(known: KnownSet, seen: Mapping[Path, Fingerprint], unread: Sequence[str]) -> Verdict:
    """A set whose content is not known here: its number, and sizes where they are known."""
    names = {path: path.stem for path in seen}
    fits = known.fits or (lambda height, width: True)
    odd = [path for path, f in seen.items() if not fits(f.height, f.width)]
    for factor, word in ((2, "half"), (3, "a third of"), (4, "a quarter of")):
        if seen and len(odd) == len(seen) and all(fits(f.height * factor, f.width * factor) for f in seen.values()):
            return Verdict("different", f"{known.title} at {word} its resolution, by the sizes", names, ())
    if odd:
        one = seen[odd[0]]
        told = f"{odd[0].name} is {one.width}x{one.height}, a size that none of its images has"
        return Verdict("different", told, {}, ())
    if len(seen) == known.count:
        return Verdict("complete", f"all {known.count} images, recognised by {known.how}", names, ())
    lacking = known.count - len(seen)
    if lacking == len(unread) or (known.fits and 0 < lacking <= known.count / 2):
        told = f"{len(seen)} of {known.count} images, recognised by {known.how}"
        gone = lacking - len(unread)
        missing = tuple(unread) if not gone else (*unread, f"{gone} more") if gone > 0 else (f"{lacking} more",)
        return Verdict("incomplete", told, names, missing)
    return Verdict("different", f"{len(seen) + len(unread)} images, not {known.count}", {}, ())
