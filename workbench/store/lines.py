"""A line of the store: a record as JSON, read with every doubt that what comes from elsewhere deserves."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from workbench.spec import SCHEMA, STATUSES, Record

REQUIRED = {f.name for f in dataclasses.fields(Record)} - {"details", "environment", "took"}

LONGEST = 32 * 2**20
"""Bytes of a line, beyond which it is not even parsed: the longest of this project has under a thousandth of them."""

DEEPEST = 64
"""Brackets within brackets, after which a line is no record; Python's own limit is reached only beyond."""

YEARS = range(2000, 2200)
"""In which a clock may have been: outside of them times cannot be told apart from rubbish, nor counted on from."""


NEVER_BELOW_ZERO = {"count", "bytes", "seconds", "joules"}
"""Units of which there cannot be less than none, whatever is measured."""


def identity(variant: str, probe: str, version: int, conditions: Mapping[str, Any]) -> str:
    """What makes two records measurements of the same thing."""
    return json.dumps([variant, probe, version, conditions], sort_keys=True)


def key(record: Record) -> str:
    """The identity of a record."""
    return identity(record.variant, record.probe, record.probe_version, record.conditions)


def parse(line: bytes | str) -> Record:
    """One line as a record; ValueError says in words what it is instead."""
    if len(line) > LONGEST:
        raise ValueError(f"a line of {len(line):,} bytes, and no record has more than {LONGEST:,}")
    try:
        fields = json.loads(line)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        raise ValueError("not a whole line of JSON (torn by a crash, or foreign)") from None
    except ValueError:
        raise ValueError("JSON with a number of more digits than can be read") from None
    if not isinstance(fields, dict):
        raise ValueError(f"JSON, but of type {type(fields).__name__} and no record")
    schema = fields.get("schema")
    if isinstance(schema, int) and schema > SCHEMA:
        raise ValueError(f"a record of schema {schema}, newer than this workbench's {SCHEMA}; update the workbench")
    if missing := sorted(REQUIRED - fields.keys()):
        raise ValueError(f"JSON, but no record: it lacks {', '.join(missing)}")
    if why := _invalid(fields) or _unfit(line, fields):
        raise ValueError(f"a record whose {why}")
    known = {f.name for f in dataclasses.fields(Record)}
    return Record(**{k: v for k, v in fields.items() if k in known} | {"values": tuple(fields["values"])})


def _invalid(fields: Mapping[str, Any]) -> str | None:
    """What is of the wrong kind in a line that has all fields. JSON's true is no number, though Python's is."""
    texts = ("variant", "protocol", "probe", "unit", "recorded_at", "machine")
    if wrong := [t for t in texts if not isinstance(fields[t], str)]:
        return f"{wrong[0]} is no text"
    if wrong := [t for t in texts if not fields[t].isprintable()]:
        return f"{wrong[0]} has characters that cannot be printed"
    if wrong := [t for t in ("variant", "protocol", "probe", "machine") if not fields[t].strip()]:
        return f"{wrong[0]} is empty"
    if why := _untimely(fields["recorded_at"]):
        return f"recorded_at {fields['recorded_at']!r} {why}"
    if not isinstance(fields["reason"], str | None):
        return "reason is no text"
    if wrong := [n for n in ("schema", "probe_version") if type(fields[n]) is not int or fields[n] < 1]:
        return f"{wrong[0]} is no version number"
    if wrong := [m for m in ("conditions", "details", "environment") if not isinstance(fields.get(m, {}), dict)]:
        return f"{wrong[0]} is no object"
    took = fields.get("took")
    if took is not None and (type(took) not in (int, float) or not 0 <= took <= sys.float_info.max):
        return "took is no number of seconds"
    if fields["status"] not in STATUSES:
        return f"status {fields['status']!r} is none of {', '.join(STATUSES)}"
    values = fields["values"]
    if not isinstance(values, list) or not all(map(_is_finite, values)):
        return "values are not finite numbers"
    if fields["unit"] in NEVER_BELOW_ZERO and (below := [v for v in values if v < 0]):
        return f"values have {below[0]:.12g} {fields['unit']}, and there is no less than none"
    if (fields["status"] == "ok") != bool(values):
        return f"status is {fields['status']!r} with {len(values)} values"
    return None


def _untimely(text: str) -> str | None:
    """What is wrong with a time. One of the future is told apart only beyond `YEARS`: clocks are wrong, and mended."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        return "is no ISO time with its zone"
    if at.year in YEARS:
        return None
    return "lies in the future" if at.year > YEARS[-1] else f"lies before the year {YEARS[0]}"


def _is_finite(value: object) -> bool:
    """Whether it is a number that a float can be; JSON's integers have no end, and true is none."""
    return type(value) in (int, float) and abs(value) <= sys.float_info.max  # type: ignore[arg-type]


def _unfit(line: bytes | str, fields: Mapping[str, Any]) -> str | None:
    """What Python can hold and cannot write again: nested too deep, or halves of characters."""
    text = line.encode() if isinstance(line, str) else line
    if text.count(b"[") + text.count(b"{") > DEEPEST and _deeper(fields):
        return f"content is nested more than {DEEPEST} deep"
    if b"\\u" in text:
        try:
            json.dumps(fields, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            return "text has halves of characters"
    return None


def _deeper(fields: Mapping[str, Any]) -> bool:
    level: list[Any] = [fields]
    for _ in range(DEEPEST):
        level = [inner for outer in level for inner in _within(outer)]
    return bool(level)


def _within(container: Any) -> Iterator[Any]:
    for value in container.values() if isinstance(container, dict) else container:
        if isinstance(value, dict | list):
            yield value


def to_json(record: Record) -> dict[str, Any]:
    """A record as the store writes it and `--json` prints it."""
    return {f.name: getattr(record, f.name) for f in dataclasses.fields(record)}
