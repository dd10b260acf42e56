"""A table that somebody puts together: rows of published ones and rows of one's own, and the cells of all of them."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from workbench import audit, execute, here, judge, probes, protocols
from workbench.judge import Cell
from workbench.published import Column, Row, Table
from workbench.spec import Protocol, Record, UserError, Variant

from .columns import alike

UNREPORTED = "nothing is reported of it"

ELSEWHERE = "the quality of a network of your own is not measured here; report what you found: --reported FILE.csv"


@dataclass(frozen=True)
class Line:
    """A row as it is shown, and what it is judged by."""

    row: Row
    by: Table
    """The table whose protocol, reference and training hold for it."""
    place: str | None = None
    """The method as `by` prints it, where the row is one of that table's; None of what nobody printed there."""
    network: Variant | None = None
    """What is measured for it where no record answers; None of a printed row, which is shown as its table has it."""

    @property
    def name(self) -> str:
        return f"{self.row.method} x{self.row.scale}"


@dataclass(frozen=True)
class Composition:
    """A table, and for each of its rows where that comes from."""

    table: Table
    lines: tuple[Line, ...]

    def requests(self) -> list[execute.Request]:
        """What would fill the cells of added networks and needs no device: counts, and estimates of what does."""
        every = [r for line in self.lines if line.network for c in self.table.columns for r in _asked(line, c)]
        return list({r.identity: r for r in every}.values())

    def judged(self, known: Mapping[str, Record]) -> list[Cell]:
        """Every cell against the newest records; printed ones as their own table has them."""
        tables = {line.by.id: line.by for line in self.lines if line.place}
        printed = {
            (name, c.method, c.scale, c.column): c for name, by in tables.items() for c in judge.judge(by, known)
        }
        mine = replace(self.table, rows=tuple(line.row for line in self.lines if not line.place))
        doubts = audit.impossible(mine)
        cells = list[Cell]()
        for line in self.lines:
            for column in self.table.columns:
                place = next((c.id for c in line.by.columns if alike(c, column)), None)
                cell = printed.get((line.by.id, str(line.place), line.row.scale, str(place)))
                if cell is None:
                    cell = _own(line, column, judge.cell(line.by, line.row, column, known))
                    cell = judge.doubted(cell, doubts.get((line.row.method, line.row.scale, column.id), ()))
                cells.append(replace(cell, method=line.row.method, column=column.id))
        several = {c.ratio.to for c in cells if c.ratio}
        return [replace(c, ratio=None) for c in cells] if len(several) > 1 else cells


def compose(table: Table, lines: Sequence[Line]) -> Composition:
    """Lines put in the order of their scales and else as they came; what cannot be told apart is refused."""
    if not lines:
        raise UserError(f"Of {table.id} no row is left to show; leave out less.")
    seen = set[str]()
    for line in lines:
        if line.name in seen:
            raise UserError(f"{table.id} has a row {line.name} already; call yours otherwise, by a label.")
        seen.add(line.name)
    ordered = sorted(lines, key=lambda line: line.row.scale)
    return Composition(replace(table, rows=tuple(line.row for line in ordered)), tuple(ordered))


def _asked(line: Line, column: Column) -> list[execute.Request]:
    network, named = line.network, here.own(line.by, line.row, column)
    assert network
    both: tuple[Callable[[str], str], ...] = (str,) if network.source else (str, here.lean)
    if column.probe in probes.PROBES and not probes.find(column.probe).real:
        return [execute.Request(network, _protocol(named), probes.find(column.probe))]
    if column.estimate in probes.PROBES:
        return [execute.Request(network, _protocol(way(named)), probes.find(column.estimate)) for way in both]
    return []


def _protocol(name: str) -> Protocol:
    return protocols.find(name)


def _own(line: Line, column: Column, cell: Cell) -> Cell:
    """A cell of a row that the table does not print, in words that are true of it."""
    if cell.printed is not None and "E" in cell.printed:  # of which no digit is left unknown, once it is judged
        cell = replace(cell, printed=f"{Decimal(cell.printed):f}")
    if column.probe in probes.PROBES and probes.PROBES[column.probe].images and line.row.source:
        why = ELSEWHERE.partition("; ")[0] if cell.printed is not None else ELSEWHERE
        return replace(cell, verdict="not measured", why=why)
    if line.row.variant is None:
        return cell if cell.printed is not None else replace(cell, why=UNREPORTED)
    if line.row.source and line.row.source.held is not None and cell.measured is None and cell.estimate is None:
        asked = f"wb.measure(model, {column.probe!r}, protocol={cell.protocol!r})"
        return replace(cell, verdict="not measured", why=f"needs {column.needs}, and is not stored: {asked}")
    why, more, _ = cell.why.partition("; other protocols were not tried yet")
    why = f"{why}; workbench review looks for others that do" if more else why
    why = why.replace("the paper leaves the cell empty", UNREPORTED)
    if cell.verdict != "not printed" or cell.measured is not None or cell.estimate is not None:
        return replace(cell, why=why)
    if column.here and column.probe in probes.PROBES and cell.here is None:
        why += f"; on any machine, beside it: {_command(line, column, column.here)}"
    if column.probe in probes.PROBES and probes.PROBES[column.probe].images:
        why += f"; with weights and the images: {_command(line, column, cell.protocol)}"
    return replace(cell, verdict="not measured", why=why)


def _command(line: Line, column: Column, protocol: str) -> str:
    return f"workbench measure {shlex.quote(str(line.row.variant))} --probe {column.probe} --protocol {protocol}"
