"""The protocol detective: which ways of counting give a printed figure, and how many were tried to find them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from workbench import execute, judge, models, probes, progress, store
from workbench.digits import Search, parse, search
from workbench.judge import Cell
from workbench.published import Column, Row, Table
from workbench.spec import Record, UserError, unknown

COUNTED = ("macs", "params")
"""What a figure of one's own may be; an estimate has no digits to compare."""

SEARCHED = (*COUNTED, "planned-memory")


def figure(variant: str, probe: str, printed: str, records: Path) -> tuple[Search, Record]:
    """Look for a figure that somebody printed for a variant; what the records do not know is measured first."""
    digits, factor = parse(printed)
    (asked,) = execute.requests([models.find(variant).name], [f"{probe}-search"], ["fvcore"])
    contents = store.read(records)
    known = contents.newest()
    for done in progress.run(execute.missing([asked], known), records, since=contents):
        known[asked.identity] = done.record
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
    columns = {c.id: c.title for c in chosen.columns if searched(c)}
    able = {(r.method, r.scale, c) for r in chosen.rows for c in columns if r.variant and c in r.printed}
    titles = {title.lower(): id for id, title in columns.items()}
    found = set[tuple[str, int, str]]()
    for one in only:
        method, *parts = one.split(":")
        rest = [titles.get(part.lower(), part) for part in parts]
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
            scales = ", ".join(f"x{scale}" for scale in sorted({c[1] for c in able if c[0] == method}))
            raise UserError(
                f"No counted or estimated cell {one!r} in {chosen.id}. A cell is METHOD, METHOD:xSCALE or "
                f"METHOD:xSCALE:COLUMN; such columns: {', '.join(columns.values())}; "
                + (f"{method} is there at {scales}." if scales else f"built methods: {built}.")
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
    return [d.record for d in progress.run(execute.missing(wanted, contents.newest()), records, since=contents)]
