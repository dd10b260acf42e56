"""Records that travel: a zip of lines and side files under a manifest, the same from the same, and read with doubt.

A checksum says that a member is what the manifest names, and a bundle's own digest that the manifest is the one that
somebody told. No signature is made: who changes a member, its checksum and the digest is not found out.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from workbench import probes, sidefiles, store
from workbench.spec import SCHEMA, Record, UserError, unknown

# The history of the format. A newer one is refused.
# 1: manifest.json, records.jsonl, arrays/*.npy.gz
FORMAT = 1

MANIFEST, LINES = "manifest.json", "records.jsonl"
SIDE = re.compile(rf"{sidefiles.FOLDER}/([0-9a-f]{{64}})\.npy\.gz")

MEMBERS = 100_000
WHOLE = 8 * 2**30
"""Bytes that all members may have unpacked."""
RATIO = 500
"""How many times as large as packed a member may be; JSON of alike records packs to a fiftieth at best."""

FIELDS = ("variant", "probe", "protocol", "machine")
"""What records can be selected by."""


@dataclass(frozen=True)
class Bundle:
    """What a bundle holds, checked."""

    records: tuple[Record, ...]
    sides: Mapping[str, bytes]
    """Packed side files by the hash of what they unpack to."""
    digest: str
    """Of its manifest, which has the checksums of all else."""


def line(record: Record) -> bytes:
    """A record as bytes that are the same for the same record, whatever file it came from."""
    return json.dumps(store.to_json(record), sort_keys=True, allow_nan=False, ensure_ascii=False).encode()


def selected(records: Iterable[Record], select: Sequence[str]) -> list[Record]:
    """The records that all of some `FIELD=GLOB` pick; of several for one field any."""
    globs: dict[str, list[str]] = {}
    for each in select:
        field, sign, glob = each.partition("=")
        if not sign or not glob:
            raise UserError(
                f"--select {each!r} names nothing; give FIELD=GLOB, such as variant='esc*' or probe=latency."
            )
        if field not in FIELDS:
            raise unknown("field to select by", field, FIELDS, "workbench export --help")
        globs.setdefault(field, []).append(glob)
    return [r for r in records if all(any(fnmatchcase(getattr(r, f), g) for g in gs) for f, gs in globs.items())]


def packed(records: Iterable[Record], folder: Path) -> bytes:
    """A bundle of records and the side files they name: the same records give the same bytes."""
    held = sorted({(record.recorded_at, line(record)): record for record in records}.items())
    members = {LINES: b"".join(told + b"\n" for (_, told), _ in held)}
    place = store.at(folder)
    for name in sorted({name for _, record in held for name in names(record)}):
        if sidefiles.there(folder, name):
            members[f"{sidefiles.FOLDER}/{name}.npy.gz"] = place.read(f"{sidefiles.FOLDER}/{name}.npy.gz")
    manifest = {
        "format": FORMAT,
        "schema": SCHEMA,
        **_about([record for _, record in held]),
        "members": {n: {"sha256": hashlib.sha256(c).hexdigest(), "bytes": len(c)} for n, c in members.items()},
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name, content in {MANIFEST: _as_bytes(manifest), **members}.items():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            file.writestr(entry, content, compresslevel=9)
    return out.getvalue()


def opened(path: Path) -> Bundle:
    """The content of a bundle, every byte of it checked; whatever is wrong with one is a UserError."""
    try:
        with zipfile.ZipFile(path) as file:
            return _opened(file, path)
    except FileNotFoundError:
        raise UserError(f"There is no bundle {path}. Make one where the records are: workbench export {path}") from None
    except (zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError, RuntimeError) as error:
        raise UserError(
            f"{path} is no whole bundle ({_told(error)}): torn, or another kind of file. Bring it here again."
        ) from None
    except OSError as error:
        raise UserError(f"Cannot read the bundle {path}: {error.strerror or error}. Name a readable file.") from None


def _opened(file: zipfile.ZipFile, path: Path) -> Bundle:
    entries = file.infolist()
    named = {entry.filename: entry for entry in entries}
    if len(entries) > MEMBERS or len(named) < len(entries):
        raise _refused(path, f"it has {len(entries):,} members, of {len(named):,} names")
    whole = sum(entry.file_size for entry in entries)
    if whole > WHOLE:
        raise _refused(path, f"it unpacks to {whole:,} bytes, more than {WHOLE:,}")
    if MANIFEST not in named:
        raise _refused(path, f"it has no {MANIFEST}, so no `workbench export` made it")
    manifest = _read(file, named[MANIFEST], path)
    told = _manifest(manifest, path)
    if strangers := sorted(named.keys() - told.keys() - {MANIFEST}):
        raise _refused(path, f"its manifest does not know {strangers[0]!r}")
    records, sides = tuple[Record, ...](), dict[str, bytes]()
    for name, facts in told.items():
        match = SIDE.fullmatch(name)
        if name != LINES and not match:
            raise _refused(path, f"{name!r} is no place of a side file, and nothing is written elsewhere")
        if name not in named:
            raise _refused(path, f"{name!r} is missing")
        content = _read(file, named[name], path)
        if hashlib.sha256(content).hexdigest() != facts.get("sha256"):
            raise _refused(path, f"{name!r} is not what the manifest says; it was changed")
        if match is None:
            records = tuple(_records(content, path))
        elif sidefiles.unpacked(content, match[1]) is None:
            raise _refused(path, f"{name!r} does not unpack to what its name says")
        else:
            sides[match[1]] = content
    if (said := _said(manifest)) != _about(records):
        raise _refused(path, f"its {MANIFEST} says {said} of what is {_about(records)}")
    return Bundle(records, sides, hashlib.sha256(manifest).hexdigest())


def _about(records: Sequence[Record]) -> dict[str, Any]:
    """What a manifest says of its records."""
    return {"records": len(records), "machines": dict(sorted(Counter(r.machine for r in records).items()))}


def _said(manifest: bytes) -> dict[str, Any]:
    told = json.loads(manifest)
    return {name: told.get(name) for name in ("records", "machines")}


def _manifest(content: bytes, path: Path) -> Mapping[str, Mapping[str, Any]]:
    """The members that a manifest names."""
    try:
        told = json.loads(content)
        number, members = told["format"], told.get("members")
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        raise _refused(path, f"its {MANIFEST} is none") from None
    newer = [n for n, known in (("format", FORMAT), ("schema", SCHEMA)) if type(told.get(n)) is int and told[n] > known]
    if newer == ["schema"]:
        raise UserError(f"{path} holds records of schema {told['schema']}, newer than {SCHEMA}; update the workbench.")
    if newer:
        raise UserError(
            f"{path} is a bundle of format {number}, newer than this workbench's {FORMAT}; update the workbench."
        )
    if number != FORMAT or not isinstance(members, dict) or not all(isinstance(m, dict) for m in members.values()):
        raise _refused(path, f"its {MANIFEST} is none")
    return members


def _read(file: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> bytes:
    """A member, of which no more is unpacked than its entry admits."""
    if entry.file_size > RATIO * max(entry.compress_size, 100):
        raise _refused(path, f"{entry.filename!r} unpacks to more than {RATIO} times its size")
    with file.open(entry) as member:
        content = member.read(entry.file_size + 1)
    if len(content) != entry.file_size:
        raise _refused(path, f"{entry.filename!r} is not as long as it says")
    return content


def _records(content: bytes, path: Path) -> Iterator[Record]:
    for number, text in enumerate(content.split(b"\n")[:-1], start=1):
        try:
            record = store.parse(text)
        except ValueError as error:
            raise _refused(path, f"line {number} of {LINES} is {error}") from None
        probe = probes.PROBES.get(record.probe)
        if probe and record.probe_version <= probe.version and record.unit != probe.unit:
            raise _refused(
                path, f"line {number} of {LINES} has {record.probe} in {record.unit!r}, which is in {probe.unit}"
            )
        yield record


def names(record: Record) -> Iterator[str]:
    """Whatever in a record's details may be the name of a side file."""
    level: list[Any] = [record.details]
    while level:
        inner = level.pop()
        if isinstance(inner, str) and re.fullmatch("[0-9a-f]{64}", inner):
            yield inner
        elif isinstance(inner, dict):
            level += inner.values()
        elif isinstance(inner, list | tuple):
            level += inner


def _as_bytes(manifest: Mapping[str, Any]) -> bytes:
    return (json.dumps(manifest, indent=1, ensure_ascii=False) + "\n").encode()


def _refused(path: Path, why: str) -> UserError:
    return UserError(
        f"The bundle {path} was refused, and nothing of it taken: {why}. Ask for it anew where it was made."
    )


def _told(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
