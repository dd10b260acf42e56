"""A published table with rows of one's own, without some of its rows, at some of its scales."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from workbench.papers import names
from workbench.published import Column, Row, Table
from workbench.spec import UserError, Variant, unknown

from . import Composition, Line, compose, networks
from .columns import pick
from .reported import Reported


@dataclass(frozen=True)
class Changes:
    """What somebody wants changed."""

    add: Sequence[tuple[str | None, Variant]] = ()
    """Networks, each with its label."""
    drop: Sequence[str] = ()
    """Methods by any spelling, or variants."""
    only: Sequence[int] = ()
    """Scales; empty for all."""
    columns: Sequence[str] = ()
    reported: Reported | None = None
    """Figures of added networks, and rows of other methods."""


def change(table: Table, wanted: Changes) -> tuple[Composition, list[str]]:
    """The table as it is wanted, rows that are added last of their scale; and reported rows that it has already."""
    known = {r.scale for r in table.rows} | {v.scale for _, v in wanted.add}
    known |= {r.scale for r in wanted.reported.rows} if wanted.reported else set()
    if strange := [s for s in wanted.only if s not in known]:
        raise UserError(
            f"{table.id} has nothing at x{strange[0]}; its scales: {', '.join(f'x{s}' for s in sorted(known))}."
        )
    shown = set(wanted.only) or known
    columns = tuple(dict.fromkeys(pick(table.columns, word) for word in wanted.columns)) or table.columns
    for _, network in wanted.add:
        if network.scale not in shown:
            raise UserError(
                f"{network.name} is of x{network.scale}, which --only leaves out; name that scale there too."
            )
    left_out = dropped(table, wanted.drop, table.rows)
    lines = [
        Line(row, table, row.method)
        for row in table.rows
        if row.scale in shown and (row.method, row.scale) not in left_out
    ]
    kept = list[str]()
    added = [Line(networks.row(network, label), table, network=network) for label, network in wanted.add]
    if wanted.reported:
        added = [report(line, wanted.reported, columns) for line in added]
        held = {(names.key(line.row.method), line.row.scale) for line in lines}
        gone = {(names.key(method), scale) for method, scale in left_out}
        fresh = others(wanted.reported, table, columns)
        mine = {(names.key(line.row.method), line.row.scale) for line in added}
        kept = [line.name for line in fresh if _key(line) in held]
        added += [x for x in fresh if _key(x) not in held | gone | mine and x.row.scale in shown]
    told = [
        *([f"added: {', '.join(dict.fromkeys(line.row.method for line in added))}"] if added else []),
        *([f"left out: {', '.join(dict.fromkeys(m for m, _ in left_out))}"] if left_out else []),
        *([f"{', '.join(f'x{s}' for s in sorted(shown))} only"] if wanted.only else []),
    ]
    title = "; ".join([table.title, *told])
    return compose(replace(table, title=title, columns=columns), [*lines, *added]), kept


def dropped(table: Table, drop: Iterable[str], rows: Sequence[Row]) -> list[tuple[str, int]]:
    """The rows that words name, as (method, scale); each has to name one."""
    found = list[tuple[str, int]]()
    for word in drop:
        hits = [(r.method, r.scale) for r in rows if word in (r.method, r.variant)]
        hits = hits or [(r.method, r.scale) for r in rows if names.key(r.method) == names.key(word)]
        if not hits:
            there = dict.fromkeys([names.key(r.method) for r in rows] + [r.variant for r in rows if r.variant])
            raise unknown(f"method or variant of {table.id}", word, there, f"workbench table {table.id}")
        found += hits
    return found


def report(line: Line, reported: Reported, columns: Sequence[Column]) -> Line:
    """A line with what a file reports of it."""
    mine = reported.of(line.row.method, line.row.scale)
    printed = {**line.row.printed, **reported.printed(mine, columns)} if mine else line.row.printed
    return replace(line, row=replace(line.row, printed=printed))


def others(reported: Reported, table: Table, columns: Sequence[Column]) -> list[Line]:
    """The rows of a file as rows of the table."""
    return [
        Line(Row(row.method, row.scale, row.variant, reported.printed(row, columns)), table) for row in reported.rows
    ]


def _key(line: Line) -> tuple[str, int]:
    return names.key(line.row.method), line.row.scale
