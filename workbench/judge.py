"""Reported against measured: joins a table's cells with records, and gives each cell its one verdict."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from workbench import audit, here, papers, probes, protocols, scores, store
from workbench.digits import cuts_to, rounds_to, search
from workbench.here import Here
from workbench.known import Indexed, Noted
from workbench.published import Column, Row, Table
from workbench.ratios import Ratio
from workbench.spec import Record

Verdict = Literal[
    "reproduced",
    "explained",
    "planned",
    "differs",
    "contradicted",
    "suspect",
    "reference",
    "not measured",
    "not printed",
]
VERDICTS: dict[Verdict, str] = {
    "reproduced": "equal in every printed digit under the table's protocol; PSNR within 0.01 dB, SSIM within 0.0005; "
    "of a time, the ratio to the table's reference is the printed one, within its interval or the stated tolerance",
    "explained": "equal in every printed digit under another named protocol, or by cutting off instead of rounding; "
    "an estimate within the tolerance under another protocol",
    "planned": "an estimate made without the device comes within the stated tolerance; nothing was measured",
    "differs": "no named protocol gives the printed figure, or the estimate or ratio is beyond the tolerance",
    "contradicted": "found otherwise here, and another paper prints another figure for the same thing",
    "suspect": "open, and the rest of the table speaks against the figure or its mark",
    "reference": "a time that the others' are divided by: a machine's milliseconds get no verdict, their ratios do",
    "not measured": "no record answers the cell; the reason says what is missing",
    "not printed": "the paper leaves the cell empty",
}

UNSETTLED = ("explained", "differs", "contradicted", "suspect")
"""Verdicts on cells that, where something was measured, their own protocol did not reproduce."""

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
    disturbed: tuple[str, ...] = ()
    """What kept the machine from giving `measured` its best: others at work on it, clocks held down."""
    estimate: float | None = None
    """What would be measured, in `unit`, where the device to measure it on is not needed to say so."""
    lean: float | None = None
    """The same estimate for the forward that computes the same with less."""
    fits: tuple[str, ...] = ()
    """The protocols that give the printed digits, the simplest first, if other protocols were searched."""
    distinct: int = 0
    """How many different figures the search had to choose from: many, and a fit may be chance."""
    tried: int = 0
    """How many protocols the search tried."""
    here: Here | None = None
    """What this machine gives under a protocol that any machine can run, where the column has one."""
    ratio: Ratio | None = None
    """How many times as long as the table's reference it takes: as printed, and as `measured`, else `here`, has it."""
    audit: tuple[audit.Finding, ...] = ()
    """What speaks against the printed figure, whatever the verdict."""
    records: tuple[Record, ...] = ()
    """What was known of it when it was judged: every record that was asked for and found."""

    @property
    def difference(self) -> float | None:
        """Measured, or else estimated, against reported, as a fraction of the reported; the same of ratios of times."""
        if self.measured is not None and self.ratio is not None and self.ratio.protocol == self.protocol:
            return self.ratio.difference
        found = self.estimate if self.measured is None else self.measured
        return None if found is None or not self.reported else found / self.reported - 1


def read(table: str, records: str | Path) -> tuple[Table, list[Cell]]:
    """A table by its id and its cells, judged against a folder of records: what a notebook starts from."""
    chosen = papers.find_table(table)
    return chosen, judge(chosen, store.read(Path(records)).newest())


def judge(table: Table, known: Mapping[str, Record]) -> list[Cell]:
    """Every cell of a table against the newest records, in the table's order."""
    found = Indexed(known)
    cells = [cell(table, row, column, found) for row in table.rows for column in table.columns]
    doubts: dict[tuple[str, int, str], list[audit.Finding]] = {}
    for finding in audit.of(table):
        place = finding.place
        doubts.setdefault((place.method, place.scale, place.column), []).append(finding)
    return [doubted(c, doubts.get((c.method, c.scale, c.column), ())) for c in cells]


def doubted(cell: Cell, findings: Iterable[audit.Finding]) -> Cell:
    """A cell with what the audit found in it.

    What is reproduced, explained or planned stays so. Of what is open, a finding that is not weak makes the verdict;
    evidence inside the table goes before another paper's print, which says nothing where nothing was found here: of
    two prints either may be right.
    """
    told = tuple(findings)
    able = ("suspect", "contradicted") if cell.verdict == "differs" else ("suspect",)
    heavy = sorted((f for f in told if f.strength != "weak" and f.kind in able), key=lambda f: able.index(f.kind))
    if not heavy or cell.verdict not in ("differs", "not measured"):
        return replace(cell, audit=told)
    return replace(cell, audit=told, verdict=heavy[0].kind, why=f"{heavy[0].evidence}; {cell.verdict}: {cell.why}")


def cell(table: Table, row: Row, column: Column, known: Mapping[str, Record]) -> Cell:
    """One cell, and the records that it was judged by."""
    noted = Noted(known)
    judged = _cell(table, row, column, noted)
    return replace(judged, records=tuple({id(r): r for r in (*judged.records, *noted.taken)}.values()))


def _cell(table: Table, row: Row, column: Column, known: Mapping[str, Record]) -> Cell:
    """The row's own protocol first, then whatever a search among the known protocols found."""
    protocol = here.own(table, row, column)
    printed = row.printed.get(column.id)
    reported = None if printed is None else float(printed)
    place = (row.method, row.scale, row.variant, column.id)
    empty = Cell(*place, printed, reported, None, column.unit, protocol, "not measured", "")

    def found(verdict: Verdict, why: str, record: Record | None = None, **more: Any) -> Cell:
        if record is not None and record.status == "ok":
            more.setdefault("measured", record.value / column.factor)
            more.setdefault("uncounted", tuple(record.details.get("uncounted_heavy", ())))
            more.setdefault("disturbed", here.disturbed(record))
            more.setdefault("records", (record,))
        return replace(empty, verdict=verdict, why=" ".join(why.split()), **more)

    if row.variant is None and printed is None:
        return found("not printed", "the paper leaves the cell empty")
    if row.variant is None:
        return found("not measured", "this method is not in the catalogue; it is shown as reported")
    if column.probe not in probes.PROBES:
        needs = f"needs {column.needs}"
        if column.estimate in probes.PROBES:
            return _estimated(empty, row, column, known, needs)
        return found("not printed" if printed is None else "not measured", needs)
    if column.ratio:
        empty = replace(empty, here=here.here(row, column, known), ratio=here.ratio(table, row, column, known))
    if probes.PROBES[column.probe].images:
        return found(*scores.verdict(table, row.variant, row.scale, column, protocol, printed, known))
    record = here.answer(row.variant, row.scale, column.probe, protocol, known, row.source)
    if (record is None or record.status == "unsupported") and column.estimate in probes.PROBES:
        return _estimated(empty, row, column, known, f"needs {column.needs}")
    timed = probes.PROBES[column.probe].timed
    if record is None or (timed and record.status == "unsupported"):
        command = f"workbench measure {shlex.quote(row.variant)} --probe {column.probe} --protocol {protocol}"
        if timed:
            return found("not printed" if printed is None else "not measured", f"needs {column.needs}: {command}")
        return found("not measured", f"{UNASKED}: {command}")
    if record.status != "ok":
        return found("not measured", f"{record.status}: {record.reason}", record)
    if printed is None:
        return found("not printed", "the paper leaves the cell empty", record)
    if timed:
        return found(*_timed(table, row, column, empty.ratio, record), record)
    value = Decimal(record.value) / Decimal(column.factor)
    searched = here.answer(row.variant, row.scale, f"{column.probe}-search", protocol, known, row.source)
    looked = None if searched is None or searched.status != "ok" else search(searched, printed, column.factor)
    seen = {"fits": looked.fits, "distinct": looked.distinct, "tried": looked.tried} if looked else {}
    if rounds_to(value, printed):
        return found("reproduced", f"{record.value:,} rounds to the printed digits", record, **seen)
    if cuts_to(value, printed):
        return found("explained", f"{record.value:,} was cut off, not rounded", record, **seen)
    own = f"{protocol} gives {record.value:,}"
    if looked is None:
        more = f"workbench explain {table.id} --cell {row.method}:x{row.scale}:{column.id}"
        return found("differs", f"{own}; other protocols were not tried yet: {more}", record)
    assert searched is not None
    name = looked.fits[0] if looked.fits else looked.nearest
    gives = f"protocol {name} ({_said(name)}) gives {looked.values[name]:,}"
    other = {
        "protocol": name,
        "measured": looked.values[name] / column.factor,
        "uncounted": tuple(searched.details.get("uncounted_heavy", {}).get(name, ())),
    }
    if looked.fits:
        how = "rounds to the printed digits" if looked.rounded else "was cut off, not rounded"
        return found("explained", f"{gives}, which {how}; {looked}; {own}", record, **other, **seen)
    told = f"unexplained: none of {looked.tried} protocols ({looked.distinct} distinct figures) gives it"
    if looked.values[name] == record.value:
        return found("differs", f"{told}; {own}, which is nearest", record, **seen)
    return found("differs", f"{told}; the nearest, {gives}; {own}", record, **other, **seen)


def _timed(table: Table, row: Row, column: Column, ratio: Ratio | None, record: Record) -> tuple[Verdict, str]:
    """The verdict on a figure that was measured on this machine under the row's own protocol."""
    value = record.value / column.factor
    own = f"{value:.4g} {column.unit} on {record.machine}"
    if not column.ratio:
        off = value / float(row.printed[column.id]) - 1
        near = abs(off) <= column.tolerance
        return ("reproduced" if near else "differs"), f"{own}, {off:+.1%}; the tolerance is {column.tolerance:.0%}"
    if row.method == table.reference:
        return "reference", f"{own}: the time that the others' are divided by"
    base = here.reference(table, row)
    if base is None:
        return "differs", f"{own}: another machine's figures compare as ratios, and the table names no reference"
    if ratio is None or ratio.protocol != here.own(table, row, column):
        command = f"workbench measure {base.variant} --probe {column.probe} --protocol {here.own(table, base, column)}"
        return "not measured", f"{own}; for its ratio {base.method} is missing: {command}"
    if ratio.printed is None:
        return "not measured", f"{own}; no figure of {base.method} is printed that this one could be divided by"
    held = ratio.agrees(column.tolerance)
    return ("reproduced" if held else "differs"), f"{ratio.told(column.tolerance)} on {record.machine}; {own}"


def _estimated(empty: Cell, row: Row, column: Column, known: Mapping[str, Record], needs: str) -> Cell:
    """A cell whose device is not here: what the estimate says of it, which is not a measurement."""
    record, lean = (
        here.answer(str(row.variant), row.scale, str(column.estimate), protocol, known, row.source)
        for protocol in (empty.protocol, here.lean(empty.protocol))
    )
    if record is None:
        command = f"workbench measure {row.variant} --probe {column.estimate} --protocol {empty.protocol}"
        return replace(empty, why=f"{needs}; {UNASKED} of an estimate: {command}")
    if record.status != "ok":
        return replace(empty, why=f"{needs}; no estimate: {record.status}: {record.reason}")
    value = record.value / column.factor
    spared = lean.value / column.factor if lean is not None and lean.status == "ok" else None
    known_cell = replace(empty, estimate=value, lean=spared)
    if known_cell.difference is None:
        return replace(known_cell, verdict="not printed", why="the paper leaves the cell empty")
    told = (
        f"estimated {value:.1f} {column.unit} without the device, {known_cell.difference:+.1%}; to measure it {needs}"
    )
    if abs(known_cell.difference) <= column.tolerance:
        return replace(known_cell, verdict="planned", why=told)
    searched = here.answer(str(row.variant), row.scale, f"{column.estimate}-search", empty.protocol, known, row.source)
    if searched is None or searched.status != "ok":
        return replace(known_cell, verdict="differs", why=f"{told}; other protocols were not tried yet")
    values = dict(zip(searched.details["protocols"], searched.values, strict=True))
    looked = {"distinct": len(set(values.values())), "tried": searched.details["tried"]}
    off = {name: other / column.factor / known_cell.reported - 1 for name, other in values.items()}
    name = min(off, key=lambda name: abs(off[name]))
    other = replace(known_cell, protocol=name, estimate=values[name] / column.factor, **looked)
    gives = f"protocol {name} ({_said(name)}) is estimated at {other.estimate:.1f} {column.unit}, {off[name]:+.1%}"
    if abs(off[name]) > column.tolerance:
        return replace(known_cell, verdict="differs", why=f"{told}; unexplained: the nearest, {gives}", **looked)
    fits = tuple(n for n in off if abs(off[n]) <= column.tolerance)
    many = f"{len(fits)} of {looked['tried']} protocols tried come that near"
    return replace(other, verdict="explained", why=f"{gives}; {many}; by its own protocol {told}", fits=fits)


def _said(name: str) -> str:
    """What the modifiers of a protocol's name mean, or the protocol itself if it has none."""
    _, *modifiers = name.split("+")
    return "; ".join(protocols.MODIFIERS[m].title for m in modifiers) or protocols.find(name).title


def summary(table: Table, cells: Iterable[Cell]) -> str:
    """One line: how many printed figures of each measurable column got which verdict; other methods apart."""
    cells = list(cells)
    strangers = {one.method for one in cells if one.variant is None and one.printed is not None}
    titles = {c.id: c.title for c in table.columns}
    parts = []
    for column, verdicts in counts(table, cells).items():
        total = verdicts.total()
        told = [f"{verdicts[v]}/{total} {v}" for v in VERDICTS if verdicts[v]] or ["nothing printed"]
        empty = sum(c.column == column and c.printed is None for c in cells)
        told += [f"and {empty} not printed"] if empty and total else []
        parts.append(f"{titles[column]}: {', '.join(told)}")
    line = f"{table.id}: " + ("; ".join(parts) or "no column that this version can check")
    return f"{line}; shown as reported: {', '.join(sorted(strangers))}" if strangers else line


def counts(table: Table, cells: Iterable[Cell]) -> dict[str, Counter[str]]:
    """By measurable column: how many printed figures of methods in the catalogue got which verdict."""
    cells = list(cells)
    answered = {c.column for c in cells if c.measured is not None and c.variant}
    found: dict[str, Counter[str]] = {c.id: Counter() for c in table.columns if measurable(c) or c.id in answered}
    for one in cells:
        if one.variant is not None and one.column in found and one.printed is not None:
            found[one.column][one.verdict] += 1
    return found


def measurable(column: Column) -> bool:
    """Whether this version can check a column on any machine: count it, or estimate it."""
    counted = column.probe in probes.PROBES and not probes.PROBES[column.probe].timed and not images(column)
    return counted or column.estimate in probes.PROBES


def images(column: Column) -> bool:
    """Whether a column is about images, which takes weights and test sets that nobody ships."""
    return column.probe in probes.PROBES and probes.PROBES[column.probe].images
