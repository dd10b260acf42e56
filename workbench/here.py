"""What records say of a row on this machine: its own answers, a stand-in that any machine gives, ratios of times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from workbench import environment, probes, protocols, ratios, store
from workbench.published import Column, Row, Table
from workbench.ratios import Ratio
from workbench.spec import Record, Source


@dataclass(frozen=True)
class Here:
    """A figure of this machine that stands beside a printed one and is not the same thing: nothing is concluded."""

    value: float
    """In the unit of the cell; so are the ends of its interval."""
    low: float
    high: float
    protocol: str
    machine: str
    threads: int | None
    """Of the CPU; None where the record does not say."""
    disturbed: tuple[str, ...]
    """As that of a cell."""


def answer(
    variant: str, scale: int, probe: str, protocol: str, known: Mapping[str, Record], source: Source | None = None
) -> Record | None:
    """The newest record of what a cell asks for; for a timed probe, of this machine."""
    if probe not in probes.PROBES:
        return None
    found = probes.find(probe)
    conditions = protocols.find(protocol).read(found.reads, scale)
    if found.timed:
        conditions["machine"] = environment.machine()  # a figure of another machine does not stand for this one's
    if source:
        conditions["source"] = source.conditions
    return known.get(store.identity(variant, found.name, found.version, conditions))


def own(table: Table, row: Row, column: Column) -> str:
    """The protocol of a cell: its row's, or the table's, with what its column adds."""
    return "+".join(filter(None, (row.protocols.get(column.id, table.protocol), column.modifier)))


def lean(protocol: str) -> str:
    """The same protocol with the forward that computes the same with less."""
    return "+".join([*(part for part in protocol.split("+") if part != "faithful"), "lean"])


def reference(table: Table, row: Row) -> Row | None:
    """The row whose time a row's is divided by."""
    return next((r for r in table.rows if r.scale == row.scale and r.method == table.reference and r.variant), None)


def here(row: Row, column: Column, known: Mapping[str, Record]) -> Here | None:
    """What this machine gives under the protocol that any machine can run."""
    record = answer(str(row.variant), row.scale, column.probe, column.here, known, row.source) if column.here else None
    if record is None or record.status != "ok":
        return None
    low, high = (end / column.factor for end in ratios.interval(record))
    value, threads = record.value / column.factor, record.details.get("threads")
    return Here(value, low, high, str(column.here), record.machine, threads, disturbed(record))


def ratio(table: Table, row: Row, column: Column, known: Mapping[str, Record]) -> Ratio | None:
    """A row's ratio to the reference, both timed under their own protocols, or else both under that of any machine."""
    base = reference(table, row)
    if base is None:
        return None
    printed = row.printed.get(column.id), base.printed.get(column.id)
    for way in (None, column.here):
        pair = [
            answer(str(r.variant), r.scale, column.probe, way or own(table, r, column), known, r.source)
            for r in (row, base)
        ]
        mine, its = (r if r is not None and r.status == "ok" else None for r in pair)
        if mine and its and its.value > 0:
            asked = way or own(table, row, column)  # what was measured for another protocol may be the same thing
            found = ratios.ratio(base.method, replace(mine, protocol=asked), its, *printed)
            return replace(found, disturbed=bool(disturbed(mine) or disturbed(its)))
    return None


def disturbed(record: Record) -> tuple[str, ...]:
    """What kept the machine from giving a record's figure its best."""
    return tuple(record.details.get("state", {}).get("why", ()))
