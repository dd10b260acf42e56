"""Reservations: several sweeps on one store tell each other what they are at, and see what the others have finished."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from workbench import store
from workbench.locks import Lock
from workbench.spec import Record

FOLDER = ".reserved"
"""Within a folder of records; what reads records passes it over."""

LATE = "another sweep on it at the same time may measure the same"


class Reservations:
    """What this process is about to measure, for others on the same store to see.

    A reservation is a lock: it ends with its process, and nothing has to be cleaned up before others go on. It is
    advice and no more: where the place has no locks that is told once, each is granted, and sweeps at the same
    time may measure the same thing. So may two machines on a network's file system that shows one of them late what
    the other has written.
    """

    def __init__(self, folder: Path, tell: Callable[[str], None]):
        self.folder = folder / FOLDER
        self._tell = tell
        self._shared = store.at(folder).locks
        if self._shared:
            self._bury()
        else:
            tell(f"{folder} has no locks, so nothing can be reserved; {LATE}")

    @contextlib.contextmanager
    def reserve(self, identity: str, wait: bool = False) -> Iterator[bool]:
        """Whether it is ours until the end of the block; `wait` sleeps until it is."""
        if not self._shared:
            yield True
            return
        lock = Lock(self.folder / hashlib.sha256(identity.encode()).hexdigest()[:32])
        try:
            yield self._take(lock, wait)
        finally:
            lock.release()
            with contextlib.suppress(OSError):
                self.folder.rmdir()  # the last one out

    def _take(self, lock: Lock, wait: bool) -> bool:
        while self._shared:
            try:
                self.folder.mkdir(exist_ok=True)
                return lock.take(wait)
            except FileNotFoundError:
                continue  # somebody was the last one out at this moment
            except OSError as error:
                if isinstance(error, FileExistsError) and not (self.folder.is_symlink() or self.folder.is_file()):
                    continue  # the same, between finding it there and looking what it is
                self._shared = False
                self._tell(f"No reservations can be made in {self.folder}: {error.strerror}; {LATE}")
        return True

    def _bury(self) -> None:
        """Remove what killed processes have left: files that nobody holds."""
        with contextlib.suppress(OSError):
            for path in list(self.folder.iterdir()):
                lock = Lock(path)
                if lock.take():
                    lock.release()
            self.folder.rmdir()


class Tail:
    """What is appended to a place of records after it was read; each record is told once, and nothing read twice.

    What was appended and merged between two looks is not told: it is measured again, and then there twice.
    """

    def __init__(self, folder: Path, since: store.Contents):
        self._place = store.at(folder)
        self._ends = dict(since.ends)

    def news(self) -> list[Record]:
        """The records since the last look, ours among them. What is no record is left for `store.read` to report."""
        found = list[Record]()
        with contextlib.suppress(OSError):
            for listed in self._place.names():
                if listed.name.startswith(store.MERGED):
                    continue
                with contextlib.suppress(OSError):
                    found += self._appended(listed.name, listed.size or 0)
        return found

    def _appended(self, name: str, size: int) -> Iterator[Record]:
        start = self._ends.get(name, 0)
        if size <= start:
            return
        whole, newline, _ = self._place.read(name, start).rpartition(b"\n")  # a line may be half written
        self._ends[name] = start + len(whole) + len(newline)
        for line in whole.split(b"\n"):
            with contextlib.suppress(ValueError):
                yield store.parse(line)
