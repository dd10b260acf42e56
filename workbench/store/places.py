"""The place where records lie: a folder, or object storage; one interface, so that nothing else can tell which."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path, PosixPath
from typing import NamedTuple, Protocol

from workbench import drafts
from workbench.spec import UserError

SUFFIX = ".jsonl"
"""Of the names that hold records."""

MERGED = "merged-"
"""How a name begins that holds what others held before: nothing in it is new."""

_URL = re.compile(r"([a-z][a-z0-9+.-]+)://(.*)")


class Url(PosixPath):
    """The address of a place that is no folder of this machine, in the clothes of a path, which most callers carry on.

    It is joined and printed; whoever tries to open it as a file is told that it is none.
    """

    __slots__ = ()

    def __str__(self) -> str:
        scheme, *rest = self.parts
        return f"{scheme}//{'/'.join(rest)}"

    def __fspath__(self) -> str:
        raise UserError(f"{self} is no folder of this machine, and one is needed for this. Name a folder.")

    def __repr__(self) -> str:
        return f"Url({str(self)!r})"

    def absolute(self) -> Url:
        return self  # wherever one stands


def where(text: str | Path) -> Path:
    """A folder or an address as somebody typed it; `file://` is a folder."""
    if isinstance(text, Path):
        return text
    if not (match := _URL.fullmatch(text)):
        return Path(text)
    if match[1] == "file":
        return Path(match[2])
    if not match[2].strip("/"):
        raise UserError(f"The address {text!r} names no bucket; give one, and a prefix in it: s3://bucket/records")
    return Url(text)


class Listed(NamedTuple):
    """A name in a place, and what changes when its content does."""

    name: str
    size: int | None
    """Bytes; None where even that cannot be told."""
    stamp: int | str
    """Of a file when it was changed, in nanoseconds; of an object its ETag."""


class Pen(Protocol):
    """What one writer appends through, under a name that no other writer has."""

    def append(self, lines: Sequence[bytes]) -> None:
        """Write lines, each whole or not at all; they are durable when this returns."""

    def close(self) -> None: ...


class Place(Protocol):
    """Where records lie. What goes wrong is an OSError whose `strerror` says why."""

    where: Path
    locks: bool
    """Whether files there can be locked, which reservations are made of."""

    def names(self) -> list[Listed]:
        """What may hold records, by name; nothing where there is no such folder."""

    def read(self, name: str, start: int = 0) -> bytes: ...

    def there(self, name: str) -> bool: ...

    def put(self, name: str, content: bytes) -> None:
        """Write a file whole or not at all, in place of one of that name."""

    def check(self) -> None:
        """See that it takes a file, before anything is measured."""

    def pen(self) -> Pen: ...

    def merge(self) -> int:
        """Make one of many small objects, where appending makes such; how many they were."""


def at(where_: str | Path) -> Place:
    """The place of a folder or an address."""
    found = where(where_)
    if isinstance(found, Url):
        from workbench.store.buckets import Bucket

        return Bucket(found)
    return Folder(found)


def own_name() -> str:
    """A name that no other writer can have, and that sorts by time."""
    return f"{datetime.now(UTC).strftime('%Y%m%dT%H%M%SZ')}-{os.getpid()}-{secrets.token_hex(4)}"


class Folder:
    """A folder, of this machine or of a file system that many mount."""

    locks = True

    def __init__(self, where: Path):
        self.where = where

    def names(self) -> list[Listed]:
        try:
            with os.scandir(self.where) as entries:
                return sorted(map(_listed, (e for e in entries if e.name.endswith(SUFFIX))))
        except FileNotFoundError:
            return []  # and be it there by now
        except NotADirectoryError:
            if self.where.exists():
                raise
            return []

    def read(self, name: str, start: int = 0) -> bytes:
        with open(self.where / name, "rb") as file:
            file.seek(start)
            return file.read()

    def there(self, name: str) -> bool:
        return (self.where / name).exists()

    def put(self, name: str, content: bytes) -> None:
        path = self.where / name
        draft = drafts.beside(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(content)
            draft.replace(path)
        finally:
            with contextlib.suppress(OSError):
                draft.unlink()

    def check(self) -> None:
        """What killed processes have left there half written is removed."""
        self.where.mkdir(parents=True, exist_ok=True)
        drafts.bury(self.where)
        takes(self.where)

    def pen(self) -> Pen:
        return _File(self.where)

    def merge(self) -> int:
        """Each writer's lines are in one file already."""
        return 0


def takes(folder: Path) -> None:
    """See that a folder takes a file; an OSError says why it does not."""
    probe = drafts.beside(folder / "writable")
    os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
    probe.unlink()


def _listed(entry: os.DirEntry[str]) -> Listed:
    try:
        seen = entry.stat()
    except OSError:
        return Listed(entry.name, None, 0)
    return Listed(entry.name, seen.st_size, seen.st_mtime_ns)


class _File:
    """A file that appears with the first line; each append is one write and one fsync."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._file: int | None = None

    def append(self, lines: Sequence[bytes]) -> None:
        for line in lines:
            self._append(line)

    def _append(self, line: bytes) -> None:
        if self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / f"{own_name()}{SUFFIX}"
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
            _sync_folder(self._folder)
        before = os.fstat(self._file).st_size
        try:
            if os.write(self._file, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, before)  # leave no torn line behind
            raise

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _sync_folder(folder: Path) -> None:
    """Make a new file's name as durable as its content."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
