"""An index beside the text of records, in Parquet, so that of many records only those asked for are parsed.

It is a cache and holds no value: what it says of a file counts only while the bytes it was made of are the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from workbench import drafts
from workbench.spec import SCHEMA

FOLDER = ".compact"
"""Where it lies in a folder of records."""

VERSION = 1
"""Of its format, and of the rules by which a line is a record."""


class Line(NamedTuple):
    """A line that is a record: where it is, and what decides whether it is the newest of its kind."""

    file: str
    begin: int
    """Byte of the file where it begins; `end` is behind its last."""
    end: int
    digest: str
    """Of its identity."""
    variant: str
    probe: str
    ok: bool
    at: int
    """When it was recorded, in microseconds since 1970."""


@dataclass(frozen=True)
class Covered:
    """What is indexed of one file."""

    size: int
    """Bytes from its beginning, all of whole lines."""
    sha256: str
    lines: int
    problems: tuple[tuple[int, str], ...]
    """Lines that are no records, and why."""


@dataclass(frozen=True)
class Ledger:
    """The files that are indexed, and their lines in order."""

    files: Mapping[str, Covered]
    lines: Mapping[str, Sequence[Line]]


def digest(identity: str) -> str:
    """An identity in 32 characters."""
    return hashlib.sha256(identity.encode()).hexdigest()[:32]


def write(folder: Path, files: Mapping[str, Covered], lines: Sequence[Line]) -> Path:
    """Write an index whole or not at all: first its lines, then the note that names them."""
    import duckdb

    home = folder / FOLDER
    home.mkdir(parents=True, exist_ok=True)
    draft = drafts.beside(home / "lines.parquet")
    text = drafts.beside(home / "lines.json")
    try:
        text.write_text("\n".join(json.dumps(line._asdict()) for line in lines) + "\n", encoding="utf-8")
        with duckdb.connect() as connection:
            rows = connection.read_json(str(text), format="newline_delimited", columns=_TYPES)
            rows.write_parquet(str(draft), compression="zstd")
        sha256 = hashlib.sha256(draft.read_bytes()).hexdigest()
        path = home / f"{sha256[:16]}.parquet"
        draft.replace(path)
    finally:
        text.unlink(missing_ok=True)
        draft.unlink(missing_ok=True)
    told = {name: [c.size, c.sha256, c.lines, c.problems] for name, c in files.items()}
    note = drafts.beside(home / "files.json")
    note.write_text(json.dumps({"version": VERSION, "schema": SCHEMA, "sha256": sha256, "files": told}) + "\n")
    note.replace(home / "files.json")
    for old in home.glob("*.parquet"):
        if old != path:
            old.unlink(missing_ok=True)
    return path


_TYPES = {
    "file": "VARCHAR", "begin": "BIGINT", "end": "BIGINT", "digest": "VARCHAR", "variant": "VARCHAR",
    "probe": "VARCHAR", "ok": "BOOLEAN", "at": "BIGINT",
}  # fmt: skip


def load(folder: Path) -> Ledger | None:
    """The index of a folder; None if there is none, or none that can be trusted: then the text is read."""
    home = folder / FOLDER
    try:
        told = json.loads((home / "files.json").read_text(encoding="utf-8"))
        if (told["version"], told["schema"]) != (VERSION, SCHEMA):
            return None
        path = home / f"{told['sha256'][:16]}.parquet"
        if hashlib.sha256(path.read_bytes()).hexdigest() != told["sha256"]:
            return None
        files = {n: Covered(s, h, k, tuple((i, w) for i, w in p)) for n, (s, h, k, p) in told["files"].items()}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    import duckdb

    with duckdb.connect() as connection:
        rows = connection.read_parquet(str(path)).fetchall()
    lines: dict[str, list[Line]] = {name: [] for name in files}
    for row in rows:
        lines[row[0]].append(Line._make(row))
    return Ledger(files, lines)
