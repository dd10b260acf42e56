"""Whether results are still those of the records, the code and the versions that they were made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from workbench import environment, store

NOTE = "made.json"
"""The file in the folder of the report that says from what it was made."""

FOLDERS = ("tables", "figures", "report")


def stands(results: Path, of: str) -> bool:
    """Whether what was made of `of` lies there as it was written: nothing gone, nothing changed, nothing new."""
    try:
        noted = json.loads((results / "report" / NOTE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(noted == {"of": of, "made": _made(results)})


def note(results: Path, of: str) -> None:
    """Remember of what everything was made that lies in the folders of results now."""
    store.replace(results / "report" / NOTE, json.dumps({"of": of, "made": _made(results)}) + "\n")


def inputs(records: Path, notebooks: Iterable[str], parameters: dict[str, Any]) -> str:
    """A digest of all that results depend on: records, this package, the notebooks, versions, machine and commit."""
    source, package = environment.home() / "notebooks", Path(__file__).resolve().parent
    code = [p for p in package.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    told = [
        json.dumps([parameters, environment.capture()], sort_keys=True),
        _held(records),
        _digest(package, code),
        _digest(source, [source / f"{name}.ipynb" for name in notebooks]),
    ]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def _held(records: Path) -> str:
    """Of the records; of a place that is no folder, what it lists of them."""
    if isinstance(records, store.Url):
        return hashlib.sha256(json.dumps(store.at(records).names()).encode()).hexdigest()
    held = [p for p in records.rglob("*") if p.suffix in (".jsonl", ".gz")] if records.is_dir() else []
    return _digest(records, held)


def _made(results: Path) -> str:
    files = [p for folder in FOLDERS for p in (results / folder).rglob("*") if p.is_file() and p.name != NOTE]
    return _digest(results, files)


def _digest(folder: Path, files: Iterable[Path]) -> str:
    """Of names and contents; a file that cannot be read counts as none."""
    told = hashlib.sha256()
    for path in sorted(files):
        try:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError:
            continue
        told.update(f"{path.relative_to(folder)} {content}\n".encode())
    return told.hexdigest()
