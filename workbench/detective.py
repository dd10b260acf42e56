"""The protocol detective: which ways of counting give a printed figure, and how many were tried to find them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from workbench import execute, judge, models, probes, progress, store
from workbench.digits import Search, search
from workbench.judge import Cell
from workbench.spec import Column, Record, Row, Table, UserError, unknown

COUNTED = ("macs", "params")
"""What a figure of one's own may be; an estimate has no digits to compare."""

SEARCHED = (*COUNTED, "planned-memory")
LEAST = 1000
"""Parameters and multiply-adds that any network has: fewer, without a unit, were printed in K, M, G or T."""

UNITS = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


def parse(figure: str) -> tuple[str, float]:
    """A printed figure such as 244.2G, 772K or 1,234,567: its digits as printed, and its unit in base units."""
    match = re.fullmatch(r"(\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?\s*([KMGT]?)", figure.strip(), re.IGNORECASE)
    if not match:
        raise UserError(
            f"The figure {figure!r} cannot be read; write digits and, if printed so, one of K, M, G, T: 244.2G, 772K."
        )
    whole, decimals, unit = match.groups()
    digits = whole.replace(",", "") + (decimals or "")
    if not unit and float(digits) < LEAST:
        raise UserError(
            f"The figure {figure!r} has no unit, and no network has so few; write the unit that it was printed in, as "
            f"in {digits}G or {digits}K."
        )
    return digits, UNITS[unit.upper()]


def figure(variant: str, probe: str, printed: str, records: Path) -> tuple[Search, Record]:
    """Look for a figure that somebody printed for a variant; what the records do not know is measured first."""
    digits, factor = parse(printed)
    (asked,) = execute.requests([models.find(variant).name], [f"{probe}-search"], ["fvcore"])
    contents = store.read(records)
    known = contents.newest()
    for record in progress.measure(execute.missing([asked], known), records, since=contents):
        known[asked.identity] = record
    record = execute.answer(asked, known)
    if record.status != "ok":
        raise UserError(f"No search for {probe} of {variant}: {record.status}: {record.reason}")
    return search(record, digits, factor), record


def table(chosen: Table, only: Iterable[str], records: Path) -> list[Cell]:
    """Judge the counted and estimated cells of a table, after a search for each that is still open.

    `only` restricts it to cells, METHOD or METHOD:xSCALE or METHOD:xSCALE:COLUMN; those are searched in any case.
    """
    picked = list(only)
    wanted = pick(chosen, picked)
    columns = [c for c in chosen.columns if searched(c)]
    own = [
        r
        for row in chosen.rows
        for c in columns
        if (row.method, row.scale, c.id) in wanted
        for r in asked(chosen, row, c)
    ]
    measure(own, records)
    known = store.read(records).newest()
    measure(list(searches(chosen, judge.judge(chosen, known), wanted if picked else ())), records)
    known = store.read(records).newest()
    return [c for c in judge.judge(chosen, known) if (c.method, c.scale, c.column) in wanted]


def pick(chosen: Table, only: Iterable[str]) -> set[tuple[str, int, str]]:
    """The counted or estimated cells of built networks that the specifications pick, all of them if there is none."""
    columns = [c.id for c in chosen.columns if searched(c)]
    able = {(r.method, r.scale, c) for r in chosen.rows for c in columns if r.variant and c in r.printed}
    found = set[tuple[str, int, str]]()
    for one in only:
        method, *rest = one.split(":")
        known = {r.method: r for r in chosen.rows}
        if method not in known:
            raise unknown(f"method in {chosen.id}", method, known, f"workbench table {chosen.id}")
        hits = {
            cell
            for cell in able
            if cell[0] == method and all(part in (f"x{cell[1]}", cell[2]) for part in rest) and len(rest) <= 2
        }
        if not hits:
            built = ", ".join(sorted({c[0] for c in able}))
            raise UserError(
                f"No counted or estimated cell {one!r} in {chosen.id}. A cell is METHOD, METHOD:xSCALE or "
                f"METHOD:xSCALE:COLUMN; such columns: {', '.join(columns)}; built methods: {built}."
            )
        found |= hits
    return found or able


def searched(column: Column) -> str | None:
    """The probe whose space of protocols a column's figures can be looked for in."""
    return next((p for p in (column.probe, column.estimate) if p in SEARCHED), None)


def asked(chosen: Table, row: Row, column: Column) -> list[execute.Request]:
    """What answers a cell under its own protocol: the column's probe, or its estimate for both forwards."""
    protocol = row.protocols.get(column.id, chosen.protocol)
    if row.variant not in models.VARIANTS:
        return []
    if column.probe in probes.PROBES and not probes.find(column.probe).real:
        return execute.requests([row.variant], [column.probe], [protocol])
    if column.estimate in probes.PROBES:
        return execute.requests([row.variant], [column.estimate], [protocol, f"{protocol}+lean"])
    return []


def searches(
    chosen: Table, cells: Iterable[Cell], always: Iterable[tuple[str, int, str]] = ()
) -> Iterable[execute.Request]:
    """The searches that could explain cells which their own protocol does not reproduce, and those asked for."""
    probe_of = {c.id: searched(c) for c in chosen.columns}
    wanted = set(always)
    for cell in cells:
        if cell.variant and probe_of[cell.column] and cell.printed is not None:
            open_ = cell.verdict in judge.UNSETTLED and cell.difference is not None and not cell.tried
            if open_ or (cell.method, cell.scale, cell.column) in wanted:
                yield from execute.requests([cell.variant], [f"{probe_of[cell.column]}-search"], [chosen.protocol])


def measure(wanted: list[execute.Request], records: Path) -> list[Record]:
    """Measure what is missing; what failed comes back for the caller to tell."""
    contents = store.read(records)
    return progress.measure(execute.missing(wanted, contents.newest()), records, since=contents)
