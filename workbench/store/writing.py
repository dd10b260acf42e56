"""Records are written: each writer under a name of its own, each record whole or not at all; results are replaced."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from workbench.spec import Record, UserError
from workbench.store.lines import to_json
from workbench.store.places import Folder, Pen, at, takes, where


class Writer:
    """Appends records to one file of its own, so that any number of writers can share a place.

    A record that `append` has returned for survives a kill at any later moment: in a folder each is one write and one
    fsync, in object storage those of one call are one object. It appears with the first record, under a name no other
    writer can have.
    """

    def __init__(self, folder: str | Path):
        self.folder = where(folder)
        self._place = at(folder)
        self._pen: Pen | None = None
        self._checked = False

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pen is not None:
            self._pen.close()
            self._pen = None

    def check(self) -> None:
        """Fail now, before anything is measured, if records could not be written later; seen once."""
        if self._checked:
            return
        try:
            self._place.check()
            self._checked = True
        except OSError as error:
            raise self._refused(error) from None

    def append(self, records: Iterable[Record]) -> None:
        """Write records, each whole or not at all."""
        lines = [as_line(record) for record in records]
        self._pen = self._pen or self._place.pen()
        try:
            self._pen.append(lines)
        except OSError as error:
            raise self._refused(error) from None

    def _refused(self, error: OSError) -> UserError:
        return UserError(
            f"Cannot write a record to {self.folder}: {error.strerror}."
            f" Records written before are safe; the unwritten one will be measured again. {_mend(error, '--records')}"
        )


def as_line(record: Record) -> bytes:
    """A record as a line of the store; a value that JSON does not know is a ValueError."""
    return (json.dumps(to_json(record), allow_nan=False) + "\n").encode()


def check(folder: Path) -> None:
    """Make a folder if there is none, and see that it takes a file; an OSError says why it does not.

    What killed processes have left there half written is removed.
    """
    Folder(folder).check()


def check_results(results: Path) -> None:
    """Fail now, before anything is measured, if results could not be written later."""
    for folder in (results / "tables", results / "figures", results / "report"):
        try:
            check(folder)
        except OSError as error:
            raise unwritten(folder, error) from None


def check_file(path: Path, option: str) -> None:
    """Fail now, before anything is measured, if a result could not be written there later; no folder is made yet."""
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        takes(next(folder for folder in path.absolute().parents if folder.exists()))
    except OSError as error:
        raise unwritten(path, error, option) from None


def replace(path: Path, content: str | bytes, option: str = "--results, or another file") -> None:
    """Write a result whole or not at all: under another name first, then moved to its place.

    `option` is the one that names another place, for the sentence where this one takes nothing; empty where an
    argument does.
    A full disk, a crash or Ctrl-C leave what was there before, never an empty file.
    """
    try:
        Folder(path.parent).put(path.name, content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise unwritten(path, error, option) from None


def unwritten(path: Path, error: OSError, option: str = "--results, or another file") -> UserError:
    """The sentence for what could not be written."""
    return UserError(f"Cannot write {path}: {error.strerror}. {_mend(error, option)}")


def _mend(error: OSError, option: str) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "Free some space and run the same command again."
    return f"Name a writable folder with {option}." if option else "Name a writable place for it."
