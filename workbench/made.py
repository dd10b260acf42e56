"""Whether results are still those of the records, the code and the versions that they were made from."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from workbench import environment, store

NOTE = "made.json"
"""The file in the folder of the report that says from what it was made."""

FOLDERS = ("tables", "figures", "report")


ARRAYS = "arrays"
"""What files beside the records count as, among the probes."""

_PROBE = re.compile(rb'"probe": "([^"\\]*)"')

Reads = Callable[[str], bool]
"""Whether somebody reads records of a probe, by its name."""


def noted(results: Path) -> dict[str, str]:
    """Of what each notebook was made whose results lie there as they were written: nothing gone, changed or new."""
    try:
        found = json.loads((results / "report" / NOTE).read_text(encoding="utf-8"))
        return dict(found["of"]) if found["made"] == _made(results) else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def note(results: Path, of: Mapping[str, str]) -> None:
    """Remember of what each notebook was made, and what lies in the folders of results now."""
    store.replace(results / "report" / NOTE, json.dumps({"of": of, "made": _made(results)}) + "\n")


def inputs(records: Path, reads: Mapping[str, Reads], parameters: Mapping[str, Any]) -> dict[str, str]:
    """A digest of all that each notebook depends on: its text, what it reads, this package, versions and commit."""
    package = Path(__file__).resolve().parent
    code = [p for p in package.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    common = json.dumps([parameters, environment.capture()], sort_keys=True) + _digest(package, code)
    held = _held(records)

    def of(name: str) -> str:
        source = environment.home() / "notebooks" / f"{name}.ipynb"
        read = {probe: digest for probe, digest in held.items() if not probe or reads[name](probe)}
        told = [common, _digest(source.parent, [source]), json.dumps(read, sort_keys=True)]
        return hashlib.sha256("\n".join(told).encode()).hexdigest()

    return {name: of(name) for name in reads}


def _held(records: Path) -> dict[str, str]:
    """Of the records of each probe, and of lines of none, which everybody reads; of a bucket, what it lists."""
    if isinstance(records, store.Url):
        return {"": hashlib.sha256(json.dumps(store.at(records).names()).encode()).hexdigest()}
    told = dict[str, Any]()
    for path in sorted(records.glob("*.jsonl")):
        with contextlib.suppress(OSError), path.open("rb") as file:
            for line in file:
                found = _PROBE.search(line)
                told.setdefault(found[1].decode(errors="replace") if found else "", hashlib.sha256()).update(line)
    digests = {probe: one.hexdigest() for probe, one in told.items()}
    return digests | {ARRAYS: _digest(records, records.rglob("*.gz"))}


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
