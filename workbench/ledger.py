"""An index beside the text of records, in Parquet, so that of very many records only those asked for are read at all.

It is a cache and holds no value. A file of the same size and time of change, whose ends are the same, is taken for the
one it was made of; a file that was touched is hashed whole. What is read by it is compared with what it said.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import drafts
from workbench.spec import SCHEMA

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Columns = Mapping[str, NDArray[Any]]

FOLDER = ".compact"
"""Where it lies in a folder of records."""

VERSION = 3
"""Of its format, and of the rules by which a line is a record."""

END = 4096
"""Bytes of either end of a file that are compared though its size and time are the same."""

COLUMNS = ("high", "low", "file", "begin", "end", "kind", "ok", "at")
"""Of a line: the halves of its identity's digest, its file (by number) and bytes there, its network and probe (by
number), whether it has values, and when it was recorded, in microseconds since 1970."""


@dataclass(frozen=True)
class Covered:
    """What is indexed of one file."""

    size: int
    """Bytes from its beginning, all of whole lines."""
    changed: int
    """When the file was last changed, in nanoseconds, if that was all of it."""
    ends: str
    sha256: str
    lines: int
    records: int
    problems: tuple[tuple[int, str], ...]
    """Lines that are no records, and why."""


def digest(identity: str) -> tuple[int, int]:
    """An identity in two numbers of 64 bits."""
    told = hashlib.sha256(identity.encode()).digest()
    return int.from_bytes(told[:8], "big", signed=True), int.from_bytes(told[8:16], "big", signed=True)


@dataclass(frozen=True)
class Ledger:
    """The files that are indexed, in their order, and their lines in that order, read when they are asked for."""

    folder: Path
    files: Mapping[str, Covered]
    kinds: Sequence[tuple[str, str]]
    """Network and probe, by number."""
    sha256: Mapping[str, str]

    @cached_property
    def lines(self) -> Columns:
        """Every line, by file and place."""
        return _columns(_path(self.folder, "lines", self.sha256["lines"]))

    @cached_property
    def newest(self) -> Columns:
        """The line that stands of each identity, by digest; `first` is where the identity was met first."""
        return _columns(_path(self.folder, "newest", self.sha256["newest"]))

    def covers(self, name: str, size: int | None, changed: int | str) -> Covered | None:
        """What is indexed of a file, if it still begins as it did then."""
        covered = self.files.get(name)
        if covered is None or size is None or size < covered.size:
            return None
        try:
            with open(self.folder / name, "rb") as file:
                if (size, changed) == (covered.size, covered.changed):
                    same = ends(file, covered.size) == covered.ends
                else:
                    same = hashlib.sha256(file.read(covered.size)).hexdigest() == covered.sha256
        except OSError:
            return None
        return covered if same else None


def ends(file: Any, size: int) -> str:
    """A digest of the beginning and the end of the first bytes of a file."""
    told = hashlib.sha256()
    for begin in (0, max(0, size - END)):
        told.update(os.pread(file.fileno(), min(END, size), begin))
    return told.hexdigest()[:32]


def standing(lines: Columns, some: NDArray[Any] | None = None) -> Columns:
    """Of lines (of those marked in `some`), the one that stands of each identity, sorted by digest.

    By the rule of `Contents.newest`: values before none, then the later, then the one that is read later.
    """
    import numpy as np

    rows = np.arange(len(lines["high"])) if some is None else np.flatnonzero(some)
    high, low, ok, at = (lines[c][rows] for c in ("high", "low", "ok", "at"))
    order = np.lexsort((rows, at, ok, low, high))
    high, low = high[order], low[order]
    last = np.ones(len(order), dtype=bool)
    last[:-1] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
    groups = np.concatenate(([0], np.flatnonzero(last)[:-1] + 1)) if len(order) else np.zeros(0, dtype=int)
    found = {name: lines[name][rows[order[last]]] for name in COLUMNS}
    found["first"] = np.minimum.reduceat(rows[order], groups) if len(order) else rows
    return found


def write(
    folder: Path, files: Mapping[str, Covered], kinds: Sequence[tuple[str, str]], lines: Columns
) -> dict[str, Path]:
    """Write an index whole or not at all: first its tables, then the note that names them."""
    home = folder / FOLDER
    home.mkdir(parents=True, exist_ok=True)
    told, paths = dict[str, str](), dict[str, Path]()
    for table, columns in (("lines", lines), ("newest", standing(lines))):
        draft = drafts.beside(home / f"{table}.parquet")
        try:
            _parquet(columns, draft)
            told[table] = hashlib.sha256(draft.read_bytes()).hexdigest()
            paths[table] = _path(folder, table, told[table])
            draft.replace(paths[table])
        finally:
            draft.unlink(missing_ok=True)
    held = {n: [c.size, c.changed, c.ends, c.sha256, c.lines, c.records, c.problems] for n, c in files.items()}
    noted = {"version": VERSION, "schema": SCHEMA, "sha256": told, "kinds": kinds, "files": held}
    note = drafts.beside(home / "files.json")
    note.write_text(json.dumps(noted) + "\n")
    note.replace(home / "files.json")
    for old in home.glob("*.parquet"):
        if old not in paths.values():
            old.unlink(missing_ok=True)
    return paths


def load(folder: Path) -> Ledger | None:
    """The index of a folder; None if there is none, or none that can be trusted: then the text is read."""
    try:
        told = json.loads((folder / FOLDER / "files.json").read_text(encoding="utf-8"))
        if (told["version"], told["schema"]) != (VERSION, SCHEMA):
            return None
        for table in ("lines", "newest"):
            content = _path(folder, table, told["sha256"][table]).read_bytes()
            if hashlib.sha256(content).hexdigest() != told["sha256"][table]:
                return None
        files = {
            name: Covered(size, changed, last, whole, number, records, tuple((line, why) for line, why in wrong))
            for name, (size, changed, last, whole, number, records, wrong) in told["files"].items()
        }
        kinds = [(variant, probe) for variant, probe in told["kinds"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return Ledger(folder, files, kinds, told["sha256"])


def _path(folder: Path, table: str, sha256: str) -> Path:
    return folder / FOLDER / f"{table}-{sha256[:16]}.parquet"


def _parquet(columns: Columns, path: Path) -> None:
    import duckdb
    import pandas

    with duckdb.connect() as connection:
        connection.register("columns", pandas.DataFrame(dict(columns)))
        connection.table("columns").write_parquet(str(path), compression="zstd")


def _columns(path: Path) -> Columns:
    import duckdb

    with duckdb.connect() as connection:
        return connection.read_parquet(str(path)).fetchnumpy()
