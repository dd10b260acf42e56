"""What was fetched of object storage, kept in the user's cache: an object never changes, so it is fetched once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from workbench import drafts

from .places import Listed

SUFFIX = ".pack"

PACKS, SMALL = 16, 2**22
"""Packs of few bytes, beyond whose number they are made one."""


class Spot(NamedTuple):
    """Where the content of an object lies on this machine."""

    pack: Path
    begin: int
    size: int


def default() -> Path:
    """The user's folder of copies. Removing it loses nothing but time."""
    import pooch

    return Path(pooch.os_cache("workbench")) / "objects"


class Copies:
    """Copies of the objects of one place, by name, size and stamp.

    A pack is a line of JSON that says what is in it, and the contents. It appears whole, under the name of its own
    digest, so that one that was torn or changed is as good as none. Where no cache can be written, or an object has no
    stamp, they are kept in memory, for this process.
    """

    def __init__(self, place: str):
        self._folder = default() / hashlib.sha256(place.encode()).hexdigest()[:24]
        self._spots: dict[Listed, Spot] = {}
        self._held: dict[Listed, bytes] = {}
        self._seen: set[Path] = set()

    def __contains__(self, listed: Listed) -> bool:
        return listed in self._held or listed in self._spots

    def look(self) -> None:
        """Learn what is there, from other processes too."""
        with contextlib.suppress(OSError):
            for pack in self._folder.glob(f"*{SUFFIX}"):
                if pack not in self._seen:
                    self._seen.add(pack)
                    self._spots |= _spots(pack)

    def get(self, listed: Listed, begin: int = 0, end: int | None = None) -> bytes | None:
        """The content, or bytes of it; None if it is not here any more."""
        if listed in self._held:
            return self._held[listed][begin:end]
        if (spot := self._spots.get(listed)) is None:
            return None
        size = (spot.size if end is None else end) - begin
        with contextlib.suppress(OSError), open(spot.pack, "rb") as file:
            content = os.pread(file.fileno(), size, spot.begin + begin)
            if len(content) == size:
                return content
        del self._spots[listed]
        return None

    def keep(self, contents: Mapping[Listed, bytes]) -> None:
        """Keep what was fetched."""
        lasting = {listed: content for listed, content in contents.items() if listed.stamp}
        self._held |= {listed: content for listed, content in contents.items() if not listed.stamp}
        try:
            if lasting:
                self._write(lasting)
        except OSError:
            self._held |= lasting

    def tidy(self, listed: Sequence[Listed]) -> None:
        """Remove packs that hold nothing of what is listed; of many small ones make one."""
        live = {each: self._spots[each] for each in listed if each in self._spots}
        with contextlib.suppress(OSError):
            old = self._seen - {spot.pack for spot in live.values()}
            small = {pack for pack in self._seen - old if pack.stat().st_size < SMALL}
            if len(small) > PACKS:
                again = {e: c for e, spot in live.items() if spot.pack in small and (c := self.get(e)) is not None}
                old |= small - {self._write(again)}
            for pack in old:
                pack.unlink(missing_ok=True)  # whoever was about to read it fetches anew
            self._seen -= old
            self._spots = {each: spot for each, spot in self._spots.items() if spot.pack not in old}

    def _write(self, contents: Mapping[Listed, bytes]) -> Path:
        told = json.dumps([(*each, len(content)) for each, content in contents.items()]).encode() + b"\n"
        whole = b"".join((told, *contents.values()))
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        pack = self._folder / f"{hashlib.sha256(whole).hexdigest()}{SUFFIX}"
        draft = drafts.beside(pack)
        try:
            draft.write_bytes(whole)
            draft.replace(pack)
        finally:
            draft.unlink(missing_ok=True)
        self._seen.add(pack)
        self._spots |= _told(pack, told)
        return pack


def _spots(pack: Path) -> dict[Listed, Spot]:
    try:
        whole = pack.read_bytes()
        if hashlib.sha256(whole).hexdigest() != pack.stem:
            pack.unlink()
            return {}
        return _told(pack, whole.partition(b"\n")[0] + b"\n")
    except (OSError, ValueError, TypeError):
        return {}


def _told(pack: Path, line: bytes) -> dict[Listed, Spot]:
    found, begin = dict[Listed, Spot](), len(line)
    for name, size, stamp, length in json.loads(line):
        found[Listed(name, size, stamp)] = Spot(pack, begin, length)
        begin += length
    return found
