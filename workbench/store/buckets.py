"""Object storage through fsspec: nothing can be appended there, so that each append is an object of its own."""

from __future__ import annotations

import errno
import functools
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from workbench import passing

from .copies import Copies
from .objects import asked, connected, refused
from .places import MERGED, SUFFIX, Listed, Pen, own_name

AT_ONCE, BYTES_AT_ONCE = 500, 2**26
"""Objects that are asked for together, and bytes: what is held in memory of a place is no more than that."""

LARGEST = 2**28
"""Bytes of an object beyond which it is not fetched; no writer of ours puts one."""

WHOLE = 2**26
"""Bytes of a merged object, about: what a reader has to fetch anew when one more was merged into it."""

FOLDED, SMALL = 50, 2**20
"""Appends of one writer that it merges itself, so that readers have two objects to fetch; only those of few bytes."""

NOTE = ".json"
"""What the list of those it was made of has behind the name of a merged object."""

OURS = re.compile(rf"\d{{8}}T\d{{6}}Z-\d+-[0-9a-f]{{8}}-\d{{5,}}{re.escape(SUFFIX)}")
"""Names that our writers give, each once; what somebody else has put there is left where it is."""

TRIES = 10
"""Times that objects are listed, if some of them are merged and gone before they are fetched."""


class Span(NamedTuple):
    """Where the lines of one append lie: in an object of their own, or in a merged one."""

    within: Listed
    begin: int
    end: int | None
    """None for the end of the object."""


class Bucket:
    """A prefix of a bucket. Credentials and endpoint are what the storage's own client finds: AWS_PROFILE, ~/.aws.

    Objects are written once and never changed, so that a reader sees each whole or not at all. There are no locks.
    What was merged keeps its names: where lines lie is no reader's business.
    """

    locks = False

    def __init__(self, where: Path):
        self.where = where
        self._files, self._root = connected(str(where))
        self._copies = _copies(self._root)
        self._spans: dict[str, Span] = {}
        self._hidden: list[str] = []

    def names(self) -> list[Listed]:
        """Every append, in whatever object it lies now; listed again if some went before they were fetched."""
        self._copies.look()
        for _ in range(TRIES):
            found = {each.name: each for each in self._listed()}
            if self._fetch(each for each in found.values() if _is_note(each.name)):
                self._spans = self._shown(found)
                if self._fetch(dict.fromkeys(span.within for span in self._spans.values())):
                    break
        shown = {span.within.name for span in self._spans.values()}
        self._hidden = [n for n in found if _is_ours(n) and n.endswith(SUFFIX) and n not in shown]
        self._copies.tidy(list(found.values()))
        return sorted(_as_listed(name, span) for name, span in self._spans.items())

    def _shown(self, found: dict[str, Listed]) -> dict[str, Span]:
        spans, merged = dict[str, Span](), set[str]()
        for note in sorted(name for name in found if _is_note(name)):
            within = found.get(note.removesuffix(NOTE) + SUFFIX)
            if within is None:
                continue  # it says what will be there, or what was
            merged.add(within.name)
            parts = self._parts(found[note], within)
            for (name, size), end in zip(parts, itertools.accumulate(size for _, size in parts), strict=True):
                if name in found and not OURS.fullmatch(name):
                    name = f"{within.name}:{name}"  # somebody has put another one since
                spans.setdefault(name, Span(within, end - size, end))  # two may have merged the same
        for name, listed in found.items():
            if name.endswith(SUFFIX) and name not in merged:
                spans.setdefault(name, Span(listed, 0, None))
        return spans

    def _listed(self) -> list[Listed]:
        """What lies there. `find` of fsspec would be one call, and shows a place that cannot be listed as empty."""

        def listed() -> list[dict[str, Any]]:
            self._files.invalidate_cache()
            try:
                found: list[dict[str, Any]] = self._files.ls(self._root, detail=True)
            except (FileNotFoundError, NotADirectoryError) as error:
                if refused(error):
                    raise  # there is no bucket, or no storage at all
                return []
            return found

        return [_described(facts) for facts in asked(listed) if facts.get("type") != "directory"]

    def _parts(self, note: Listed, within: Listed) -> list[tuple[str, int]]:
        try:
            parts = [(str(name), int(size)) for name, size in json.loads(self._content(note))]
        except (ValueError, TypeError):
            parts = []
        if not parts or within.size not in (None, sum(size for _, size in parts)):
            raise OSError(errno.EIO, f"{note.name} does not say what is in {within.name}: one was changed since")
        return parts

    def _fetch(self, listed: Iterable[Listed]) -> bool:
        """Keep the content of objects; whether none of them is gone. What else does not come is told when it is read.

        The size is known, so that one request fetches one object.
        """
        wanted = [each for each in listed if each.size and each.size <= LARGEST and each not in self._copies]
        gone, done = False, 0
        with passing.passing() as say:
            for some in _batches(wanted):
                say(f"fetching records from {self.where}: {done:,} of {len(wanted):,} objects")
                paths = [self._path(each.name) for each in some]
                ask = functools.partial(self._files.cat_ranges, paths, 0, [each.size for each in some])
                came = asked(lambda ask=ask: ask(on_error="return"))  # type: ignore[misc]
                whole = {e: c for e, c in zip(some, came, strict=True) if isinstance(c, bytes) and len(c) == e.size}
                self._copies.keep(whole)
                gone = gone or any(isinstance(c, FileNotFoundError) for c in came)
                done += len(some)
        return not gone

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def read(self, name: str, start: int = 0) -> bytes:
        if (span := self._spans.get(name)) is None:
            return bytes(asked(lambda: self._files.cat_file(self._path(name))))[start:]
        return self._content(span.within, span.begin, span.end)[start:]

    def _content(self, listed: Listed, begin: int = 0, end: int | None = None) -> bytes:
        if listed.size is not None and listed.size > LARGEST:
            raise OSError(errno.EFBIG, f"it has {listed.size:,} bytes, and no more than {LARGEST:,} are fetched")
        content = b"" if listed.size == 0 else self._copies.get(listed, begin, end)
        if content is not None:
            return content
        whole = bytes(asked(lambda: self._files.cat_file(self._path(listed.name))))
        if listed.size not in (None, len(whole)):
            raise OSError(errno.EIO, f"{len(whole):,} bytes came of {listed.size:,}")
        return whole[begin:end]

    def merge(self) -> int:
        """Make few objects of those that writers have put, and remove them; how many they were.

        What an earlier merging had copied and was killed before it could remove, is removed as well.
        """
        self.names()
        behind: dict[Listed, list[str]] = {}
        for name, span in sorted(self._spans.items()):
            behind.setdefault(span.within, []).append(name)
        small = [each for each in behind if _is_ours(each.name) and (each.size or 0) < WHOLE // 2]
        merged = 0
        for some in _batches(small, len(small) or 1, WHOLE):
            if len(some) > 1:
                names = sorted(name for each in some for name in behind[each])
                self.fold([(name, self.read(name)) for name in names], [each.name for each in some])
                merged += len(some)
        self._clear(self._hidden)
        return merged

    def fold(self, parts: Sequence[tuple[str, bytes]], objects: Sequence[str]) -> None:
        """Make one object of appends, and remove those they lie in.

        First the note of what will be in it, which counts for nothing before the object is there; then the object; then
        the others go, and their notes last. A reader sees each line once at any instant. Killed at any, what is there
        twice is shown once.
        """
        name = MERGED + own_name()
        self.put(name + NOTE, json.dumps([[part, len(content)] for part, content in parts]).encode())
        self.put(name + SUFFIX, b"".join(content for _, content in parts))
        self._clear(objects)

    def _clear(self, objects: Sequence[str]) -> None:
        self._remove(objects)
        self._remove([each.removesuffix(SUFFIX) + NOTE for each in objects if each.startswith(MERGED)])

    def _remove(self, names: Sequence[str]) -> None:
        if names:
            try:
                asked(lambda: self._files.rm([self._path(name) for name in names]))
            except OSError as error:
                if error.errno != errno.ENOENT:
                    raise
                # somebody else has merged the same; what is left of it is shown once, and the next merging's

    def there(self, name: str) -> bool:
        return bool(asked(lambda: self._files.exists(self._path(name))))

    def put(self, name: str, content: bytes) -> None:
        asked(lambda: self._files.pipe_file(self._path(name), content))

    def check(self) -> None:
        """An object is put and removed again; one that a killed process left is in nobody's way."""
        probe = self._path(f".writable-{own_name()}")
        asked(lambda: self._files.pipe_file(probe, b""))
        asked(lambda: self._files.rm_file(probe))

    def pen(self) -> Pen:
        return _Objects(self)


class _Objects:
    """One numbered object for each append, which is durable when its upload was answered."""

    def __init__(self, bucket: Bucket):
        self._bucket, self._name, self._number = bucket, own_name(), 0
        self._small: list[tuple[str, bytes]] = []
        self._folds = True

    def append(self, lines: Sequence[bytes]) -> None:
        if lines:
            self._number += 1
            name, content = f"{self._name}-{self._number:05}{SUFFIX}", b"".join(lines)
            self._bucket.put(name, content)
            if self._folds and len(content) <= SMALL:
                self._small.append((name, content))
            if len(self._small) >= FOLDED:
                self._fold()

    def _fold(self) -> None:
        """Merge our own. It is for readers' ease: where nothing may be removed, it is not tried again."""
        small, self._small = self._small, []
        try:
            self._bucket.fold(small, [name for name, _ in small])
        except OSError:
            self._folds = False

    def close(self) -> None:
        """Nothing is open."""


@functools.cache
def _copies(root: str) -> Copies:
    return Copies(root)


def _is_note(name: str) -> bool:
    return name.startswith(MERGED) and name.endswith(NOTE)


def _is_ours(name: str) -> bool:
    return name.startswith(MERGED) or bool(OURS.fullmatch(name))


def _as_listed(name: str, span: Span) -> Listed:
    if span.end is None:
        return span.within
    return Listed(name, span.end - span.begin, span.within.stamp)


def _described(facts: dict[str, Any]) -> Listed:
    stamp = facts.get("ETag") or facts.get("etag") or facts.get("md5Hash") or ""
    return Listed(facts["name"].rstrip("/").rpartition("/")[2], facts.get("size"), str(stamp))


def _batches(listed: Sequence[Listed], most: int = AT_ONCE, size: int = BYTES_AT_ONCE) -> Iterator[list[Listed]]:
    """In their order, so many at a time; one that is larger than all alone."""
    batch, held = list[Listed](), 0
    for each in listed:
        if batch and (len(batch) >= most or held + (each.size or 0) > size):
            yield batch
            batch, held = [], 0
        batch.append(each)
        held += each.size or 0
    if batch:
        yield batch
