"""An index made of a folder's records, or many small objects made one: what `workbench records --compact` does."""

from __future__ import annotations

import array
import hashlib
import os
from pathlib import Path

from workbench import ledger
from workbench.spec import UserError
from workbench.store import at, rank
from workbench.store.lines import key, parse
from workbench.store.places import Folder, Place
from workbench.store.writing import unwritten


def compact(folder: str | Path) -> str:
    """Make later reading cheaper, and say in a sentence what was done. No record is changed."""
    place = at(folder)
    if not isinstance(place, Folder):
        merged = _merged(place)
        return f"{merged} objects merged into fewer; each of their lines stays as it is."
    return f"{index(place.where)} records indexed; their text stays as it is, and the truth."


def _merged(bucket: Place) -> int:
    try:
        return bucket.merge()
    except OSError as error:
        raise unwritten(bucket.where, error, "--records") from None


def index(folder: Path) -> int:
    """Index a folder's whole lines, so that later only what is asked for is parsed; how many records that are.

    The text stays as it is and stays the truth: a file that was changed since, but by appending, is parsed as before.
    What was indexed before and is still there as it was is not parsed again.
    """
    import numpy as np

    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}, so there is nothing to index. Name one with --records.")
    before = ledger.load(folder)
    kinds = {kind: n for n, kind in enumerate(before.kinds)} if before else dict[tuple[str, str], int]()
    numbers = {name: n for n, name in enumerate(before.files)} if before else dict[str, int]()
    files: dict[str, ledger.Covered] = {}
    parts = []
    for listed in Folder(folder).names():
        covered = before.covers(*listed) if before else None
        kept = before.lines["file"] == numbers[listed.name] if before and covered else None
        columns = {name: array.array("q") for name in ledger.COLUMNS}
        begin, number = (covered.size, covered.lines) if covered else (0, 0)
        problems = list(covered.problems if covered else ())
        try:
            with open(folder / listed.name, "rb") as file:
                changed = os.fstat(file.fileno()).st_mtime_ns
                text = file.read()
                text = text[: text.rfind(b"\n") + 1]
                ends = ledger.ends(file, len(text))
        except OSError:
            continue  # who reads the folder is told of it
        for line in text[begin:].split(b"\n")[:-1]:
            number, end = number + 1, begin + len(line)
            if line.strip():
                try:
                    record = parse(line)
                    kind = kinds.setdefault((record.variant, record.probe), len(kinds))
                    row = (*ledger.digest(key(record)), len(files), begin, end, kind, *rank(record))
                    for name, value in zip(ledger.COLUMNS, row, strict=True):
                        columns[name].append(value)
                except ValueError as error:
                    problems.append((number, str(error)))
            begin = end + 1
        part = {name: np.array(values, dtype=np.int64) for name, values in columns.items()}
        if before is not None and kept is not None:
            old = {name: before.lines[name][kept] for name in ledger.COLUMNS} | {
                "file": np.full(int(kept.sum()), len(files))
            }
            part = {name: np.concatenate((old[name], part[name])) for name in ledger.COLUMNS}
        parts.append(part)
        sha256 = hashlib.sha256(text).hexdigest()
        files[listed.name] = ledger.Covered(
            len(text), changed, ends, sha256, number, len(part["high"]), tuple(problems)
        )
    none = np.zeros(0, dtype=np.int64)
    lines = {name: np.concatenate([none, *(part[name] for part in parts)]) for name in ledger.COLUMNS}
    try:
        ledger.write(folder, files, list(kinds), lines)
    except OSError as error:
        raise unwritten(folder / ledger.FOLDER, error, "--records") from None
    return len(lines["high"])
