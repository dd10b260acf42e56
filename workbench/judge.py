"""Reported against measured: joins a table's cells with records, and gives each cell its one verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_DOWN, ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Literal

from workbench import papers, probes, protocols, store
from workbench.spec import Column, Record, Row, Table

Verdict = Literal["reproduced", "explained", "differs", "not measured", "not printed"]
VERDICTS: dict[Verdict, str] = {
    "reproduced": "equal in every printed digit under the table's protocol",
    "explained": "equal in every printed digit under another named protocol, or by cutting off instead of rounding",
    "differs": "no named protocol gives the printed figure",
    "not measured": "no record answers the cell; the reason says what is missing",
    "not printed": "the paper leaves the cell empty",
}

UNASKED = "no record yet"
"""How the reason of a cell begins that nobody has measured, though this workbench can."""


@dataclass(frozen=True)
class Cell:
    """One cell of a published table: what is printed, what was measured, and what to think of it."""

    method: str
    scale: int
    variant: str | None
    column: str
    printed: str | None
    """The printed text."""
    reported: float | None
    """The printed figure, in `unit`."""
    measured: float | None
    """The measured figure, in `unit`."""
    unit: str
    protocol: str
    """The protocol that `measured` was obtained under; the table's own where nothing was measured."""
    verdict: Verdict
    why: str
    uncounted: tuple[str, ...] = ()
    """Operators of weight that the protocol left uncounted in `measured`."""

    @property
    def difference(self) -> float | None:
        """Measured against reported, as a fraction of the reported."""
        if self.reported is None or self.measured is None or not self.reported:
            return None
        return self.measured / self.reported - 1


def read(table: str, records: str | Path) -> tuple[Table, list[Cell]]:
    """A table by its id and its cells, judged against a folder of records: what a notebook starts from."""
    chosen = papers.find_table(table)
    return chosen, judge(chosen, store.read(Path(records)).newest())


def judge(table: Table, known: Mapping[str, Record]) -> list[Cell]:
    """Every cell of a table against the newest records, in the table's order."""
    return [cell(table, row, column, known) for row in table.rows for column in table.columns]


def cell(table: Table, row: Row, column: Column, known: Mapping[str, Record]) -> Cell:
    """One cell: the table's protocol first, then those that may explain what it does not reproduce."""
    printed = row.printed.get(column.id)
    reported = None if printed is None else float(printed)

    def found(verdict: Verdict, why: str, record: Record | None = None, protocol: str = table.protocol) -> Cell:
        ok = record is not None and record.status == "ok"
        measured = record.values[0] / column.factor if record and ok else None
        left = tuple(record.details.get("uncounted_heavy", ())) if record else ()
        return Cell(
            row.method, row.scale, row.variant, column.id, printed, reported, measured, column.unit, protocol,
            verdict, " ".join(why.split()), left,
        )  # fmt: skip

    if row.variant is None:
        return found("not measured", "this method is not in the catalogue; it is shown as reported")
    if column.probe not in probes.PROBES:
        return found("not printed" if printed is None else "not measured", f"needs {column.needs}")
    record = _answer(row, column, table.protocol, known)
    if record is None:
        command = f"workbench measure {row.variant} --probe {column.probe} --protocol {table.protocol}"
        return found("not measured", f"{UNASKED}: {command}")
    if record.status != "ok":
        return found("not measured", f"{record.status}: {record.reason}", record)
    if printed is None:
        return found("not printed", "the paper leaves the cell empty", record)
    value = Decimal(record.values[0]) / Decimal(column.factor)
    if rounds_to(value, printed):
        return found("reproduced", f"{record.values[0]:,} rounds to the printed digits", record)
    if cuts_to(value, printed):
        return found("explained", f"{record.values[0]:,} was cut off, not rounded", record)
    untried, near = [], {table.protocol: record.values[0]}
    for name in table.alternatives:
        other = _answer(row, column, name, known)
        if other is None or other.status != "ok":
            untried.append(name)
            continue
        near[name] = other.values[0]
        if rounds_to(Decimal(other.values[0]) / Decimal(column.factor), printed):
            title = protocols.find(name).title
            own = f"{table.protocol} gives {record.values[0] / column.factor:.6g}"
            return found("explained", f"protocol {name} ({title}); {own}", other, name)
    own = f"{table.protocol} gives {record.values[0]:,}"
    if untried:
        commands = " ".join(f"--protocol {name}" for name in untried)
        more = f"workbench measure {row.variant} --probe {column.probe} {commands}"
        return found("differs", f"{own}; protocols not tried yet, which may explain it: {more}", record)
    nearest = min(near, key=lambda name: abs(Decimal(near[name]) / Decimal(column.factor) - Decimal(printed)))
    others = f"; nor does any of {', '.join(table.alternatives)} give the printed digits" if table.alternatives else ""
    if nearest != table.protocol:
        others += f"; nearest is {nearest} with {near[nearest]:,}"
    return found("differs", own + others, record)


def rounds_to(value: Decimal, printed: str) -> bool:
    """Whether a value, rounded to as many decimals as are printed, is what is printed; ties may go either way."""
    digits = Decimal(1).scaleb(Decimal(printed).as_tuple().exponent)  # type: ignore[arg-type]
    return Decimal(printed) in (value.quantize(digits, ROUND_HALF_UP), value.quantize(digits, ROUND_HALF_DOWN))


def cuts_to(value: Decimal, printed: str) -> bool:
    """Whether a value, cut off after as many decimals as are printed, is what is printed."""
    digits = Decimal(1).scaleb(Decimal(printed).as_tuple().exponent)  # type: ignore[arg-type]
    return value.quantize(digits, ROUND_DOWN) == Decimal(printed)


def summary(table: Table, cells: Iterable[Cell]) -> str:
    """One line: how many cells of each measurable column got which verdict."""
    counts: dict[str, Counter[str]] = {c.id: Counter() for c in table.columns if c.probe in probes.PROBES}
    for one in cells:
        if one.column in counts and one.printed is not None:
            counts[one.column][one.verdict] += 1
    titles = {c.id: c.title for c in table.columns}
    parts = []
    for column, verdicts in counts.items():
        total = verdicts.total()
        told = [f"{verdicts[v]}/{total} {v}" for v in VERDICTS if verdicts[v]]
        parts.append(f"{titles[column]}: {', '.join(told)}")
    return f"{table.id}: " + "; ".join(parts)


def _answer(row: Row, column: Column, protocol: str, known: Mapping[str, Record]) -> Record | None:
    probe = probes.find(column.probe)
    conditions = protocols.find(protocol).read(probe.reads, row.scale)
    return known.get(store.identity(str(row.variant), probe.name, probe.version, conditions))
