"""Who leads: networks by what they take, a board for each device and way to measure, so that none are mixed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from workbench import probes, ratios
from workbench.here import disturbed
from workbench.spec import Record

BY = "latency"

BESIDE = ("memory", "energy")
"""Timed quantities of the same device that stand beside it, where they were measured the same way."""

COUNTED = ("params", "macs")
"""What is the same on every device."""

SHARED = ("input", "build", "execution")
"""The conditions in which figures of one row have to agree; multiply-adds read no execution."""


@dataclass(frozen=True)
class Figure:
    """A figure with its interval, where there are runs to make one of."""

    value: float
    low: float | None = None
    high: float | None = None
    disturbed: bool = False


@dataclass(frozen=True)
class Place:
    """One network on a board."""

    rank: int
    """One more than the networks whose whole interval lies below: who shares a rank cannot be told apart."""
    variant: str
    figures: Mapping[str, Figure]
    """By probe."""


@dataclass(frozen=True)
class Board:
    """Networks that were timed on one device under the same conditions."""

    device: str
    protocol: str
    scale: str
    conditions: Mapping[str, Any]
    places: tuple[Place, ...]


def boards(known: Iterable[Record], by: str = BY) -> list[Board]:
    """Every board that there are records for, by device, protocol and scale."""
    known = [r for r in known if r.status == "ok" and r.values]
    groups: dict[tuple[str, str, str, str], list[Record]] = {}
    for record in known:
        if record.probe == by and record.probe_version == _version(record.probe):
            device = str(record.conditions.get("machine", "any machine"))
            told = json.dumps(record.conditions, sort_keys=True)
            groups.setdefault((device, record.protocol, _scale(record), told), []).append(record)
    beside: dict[tuple[str, str], list[Record]] = {}
    for record in known:
        beside.setdefault((record.variant, record.probe), []).append(record)
    return [
        Board(device, protocol, scale, json.loads(told), _places(records, beside))
        for (device, protocol, scale, told), records in sorted(groups.items())
    ]


def _places(records: Iterable[Record], beside: Mapping[tuple[str, str], list[Record]]) -> tuple[Place, ...]:
    rows = [(record, figure(record)) for record in records]
    better = probes.PROBES[rows[0][0].probe].unit in ("decibels", "fraction")
    sign = -1 if better else 1
    rows.sort(key=lambda row: (sign * row[1].value, row[0].variant))
    places = []
    for record, mine in rows:
        ahead = sum(sign * _end(its, better, far=True) < sign * _end(mine, better, far=False) for _, its in rows)
        figures = {record.probe: mine}
        for probe in (BY, *BESIDE, *COUNTED):
            found = [r for r in beside.get((record.variant, probe), ()) if _alike(record, r)]
            if found and probe not in figures:
                figures[probe] = figure(max(found, key=lambda r: r.recorded_at))
        places.append(Place(1 + ahead, record.variant, figures))
    return tuple(places)


def figure(record: Record) -> Figure:
    """A record's figure; with an interval where its values are repetitions."""
    if record.conditions.get("timing") is None or len(record.values) < 2:
        return Figure(record.value, disturbed=bool(disturbed(record)))
    low, high = ratios.interval(record)
    return Figure(record.value, low, high, bool(disturbed(record)))


def _end(its: Figure, better: bool, far: bool) -> float:
    """The worst (`far`) or best end of an interval, or the figure where there is none."""
    end = its.low if far == better else its.high
    return its.value if end is None else end


def _alike(record: Record, other: Record) -> bool:
    """Whether another quantity was measured of the same thing: on this device, if it is of one, and the same way."""
    if other.probe_version != _version(other.probe):
        return False
    if other.conditions.get("machine", record.conditions.get("machine")) != record.conditions.get("machine"):
        return False
    if other.probe == "params":
        return bool(other.conditions.get("counting", {}).get("parameters") == "total")
    parts = [p for p in SHARED if p in other.conditions]
    return other.protocol.partition("+")[0] == record.protocol.partition("+")[0] and all(
        other.conditions[p] == record.conditions.get(p) for p in parts
    )


def _scale(record: Record) -> str:
    """`x4`, as the variant's name says; a network of somebody's own may say none."""
    name, sign, scale = record.variant.rpartition("-x")
    return f"x{scale}" if sign and name and scale.isdigit() else ""


def _version(probe: str) -> int | None:
    return probes.PROBES[probe].version if probe in probes.PROBES else None
