"""Reported against measured: joins a table's cells with records, and gives each cell its one verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_DOWN, ROUND_HALF_DOWN, ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any, Literal

from workbench import environment, papers, probes, protocols, scores, store
from workbench.spec import Column, Record, Row, Table

Verdict = Literal["reproduced", "explained", "planned", "differs", "not measured", "not printed"]
VERDICTS: dict[Verdict, str] = {
    "reproduced": "equal in every printed digit under the table's protocol; PSNR within 0.01 dB, SSIM within 0.0005",
    "explained": "equal in every printed digit under another named protocol, or by cutting off instead of rounding; "
    "an estimate within the tolerance under another protocol",
    "planned": "an estimate made without the device comes within the stated tolerance; nothing was measured",
    "differs": "no named protocol gives the printed figure, or the estimate is beyond the tolerance",
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

    @property
    def difference(self) -> float | None:
        """Measured, or else estimated, against reported, as a fraction of the reported."""
        found = self.estimate if self.measured is None else self.measured
        return None if found is None or not self.reported else found / self.reported - 1


@dataclass(frozen=True)
class Search:
    """What came out of looking for a printed figure among the known protocols."""

    rounded: tuple[str, ...]
    """Protocols whose figure rounds to the printed digits, the simplest first."""
    cut: tuple[str, ...]
    """Protocols whose figure was not rounded but cut off to the printed digits."""
    nearest: str
    """The protocol that comes nearest."""
    values: Mapping[str, float]
    """The figure of every protocol that gives one of its own."""
    tried: int
    """How many protocols were tried; most change nothing for a given network."""

    @property
    def fits(self) -> tuple[str, ...]:
        return self.rounded + self.cut

    @property
    def distinct(self) -> int:
        """How many different figures there were to choose from."""
        return len(set(self.values.values()))

    def __str__(self) -> str:
        """`2 fit of 384 protocols tried, which give 28 distinct figures`."""
        many = f"{len(self.fits)} fit" if len(self.fits) != 1 else "1 fits"
        return f"{many} of {self.tried} protocols tried, which give {self.distinct} distinct figures"


def search(record: Record, printed: str, factor: float) -> Search:
    """Look for a printed figure among the values of a search record; `factor` is one printed unit in base units."""
    values = dict(zip(record.details["protocols"], record.values, strict=True))
    scaled = {name: Decimal(value) / Decimal(factor) for name, value in values.items()}
    rounded = tuple(name for name, value in scaled.items() if rounds_to(value, printed))
    cut = tuple(name for name, value in scaled.items() if name not in rounded and cuts_to(value, printed))
    nearest = min(scaled, key=lambda name: abs(scaled[name] - Decimal(printed)))
    return Search(rounded, cut, nearest, values, record.details["tried"])


def read(table: str, records: str | Path) -> tuple[Table, list[Cell]]:
    """A table by its id and its cells, judged against a folder of records: what a notebook starts from."""
    chosen = papers.find_table(table)
    return chosen, judge(chosen, store.read(Path(records)).newest())


def judge(table: Table, known: Mapping[str, Record]) -> list[Cell]:
    """Every cell of a table against the newest records, in the table's order."""
    return [cell(table, row, column, known) for row in table.rows for column in table.columns]


def cell(table: Table, row: Row, column: Column, known: Mapping[str, Record]) -> Cell:
    """One cell: the row's own protocol first, then whatever a search among the known protocols found."""
    protocol = "+".join(filter(None, (row.protocols.get(column.id, table.protocol), column.modifier)))
    printed = row.printed.get(column.id)
    reported = None if printed is None else float(printed)
    empty = Cell(
        row.method,
        row.scale,
        row.variant,
        column.id,
        printed,
        reported,
        None,
        column.unit,
        protocol,
        "not measured",
        "",
    )

    def found(verdict: Verdict, why: str, record: Record | None = None, **more: Any) -> Cell:
        if record is not None and record.status == "ok":
            more.setdefault("measured", record.value / column.factor)
            more.setdefault("uncounted", tuple(record.details.get("uncounted_heavy", ())))
            more.setdefault("disturbed", tuple(record.details.get("state", {}).get("why", ())))
        return replace(empty, verdict=verdict, why=" ".join(why.split()), **more)

    if row.variant is None:
        return found("not measured", "this method is not in the catalogue; it is shown as reported")
    if column.probe not in probes.PROBES:
        needs = f"needs {column.needs}"
        if column.estimate in probes.PROBES:
            return _estimated(empty, row, column, known, needs)
        return found("not printed" if printed is None else "not measured", needs)
    if probes.PROBES[column.probe].images:
        return found(*scores.verdict(table, row.variant, row.scale, column, protocol, printed, known))
    record = _answer(row.variant, row.scale, column.probe, protocol, known)
    if (record is None or record.status == "unsupported") and column.estimate in probes.PROBES:
        return _estimated(empty, row, column, known, f"needs {column.needs}")
    if record is None:
        command = f"workbench measure {row.variant} --probe {column.probe} --protocol {protocol}"
        if probes.PROBES[column.probe].timed:
            return found("not printed" if printed is None else "not measured", f"needs {column.needs}: {command}")
        return found("not measured", f"{UNASKED}: {command}")
    if record.status != "ok":
        return found("not measured", f"{record.status}: {record.reason}", record)
    if printed is None:
        return found("not printed", "the paper leaves the cell empty", record)
    if probes.PROBES[column.probe].timed:
        own = f"{record.value / column.factor:.4g} {column.unit} on {record.machine}"
        if abs(record.value / column.factor / float(printed) - 1) <= column.tolerance:
            return found("reproduced", f"{own}, within {column.tolerance:.0%} of the printed figure", record)
        return found("differs", f"{own}: another machine's figures compare as ratios of networks only", record)
    value = Decimal(record.value) / Decimal(column.factor)
    searched = _answer(row.variant, row.scale, f"{column.probe}-search", protocol, known)
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


def _estimated(empty: Cell, row: Row, column: Column, known: Mapping[str, Record], needs: str) -> Cell:
    """A cell whose device is not here: what the estimate says of it, which is not a measurement."""
    record, lean = (
        _answer(str(row.variant), row.scale, str(column.estimate), protocol, known)
        for protocol in (empty.protocol, f"{empty.protocol}+lean")
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
    searched = _answer(str(row.variant), row.scale, f"{column.estimate}-search", empty.protocol, known)
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


def rounds_to(value: Decimal, printed: str) -> bool:
    """Whether a value, rounded to as many decimals as are printed, is what is printed; ties may go either way."""
    digits = Decimal(1).scaleb(Decimal(printed).as_tuple().exponent)  # type: ignore[arg-type]
    return Decimal(printed) in (value.quantize(digits, ROUND_HALF_UP), value.quantize(digits, ROUND_HALF_DOWN))


def cuts_to(value: Decimal, printed: str) -> bool:
    """Whether a value, cut off after as many decimals as are printed, is what is printed."""
    digits = Decimal(1).scaleb(Decimal(printed).as_tuple().exponent)  # type: ignore[arg-type]
    return value.quantize(digits, ROUND_DOWN) == Decimal(printed)


def summary(table: Table, cells: Iterable[Cell]) -> str:
    """One line: how many cells of each measurable column got which verdict; methods not in the catalogue apart."""
    cells = list(cells)
    shown = {c.column for c in cells if c.measured is not None and c.variant}
    counts: dict[str, Counter[str]] = {
        c.id: Counter() for c in table.columns if measurable(c) or (images(c) and c.id in shown)
    }
    strangers = set()
    for one in cells:
        if one.variant is None:
            strangers.add(one.method)
        elif one.column in counts and one.printed is not None:
            counts[one.column][one.verdict] += 1
    titles = {c.id: c.title for c in table.columns}
    parts = []
    for column, verdicts in counts.items():
        total = verdicts.total()
        told = [f"{verdicts[v]}/{total} {v}" for v in VERDICTS if verdicts[v]]
        parts.append(f"{titles[column]}: {', '.join(told)}")
    line = f"{table.id}: " + "; ".join(parts)
    return f"{line}; shown as reported: {', '.join(sorted(strangers))}" if strangers else line


def measurable(column: Column) -> bool:
    """Whether this version can check a column on any machine: count it, or estimate it."""
    counted = column.probe in probes.PROBES and not probes.PROBES[column.probe].timed and not images(column)
    return counted or column.estimate in probes.PROBES


def images(column: Column) -> bool:
    """Whether a column is about images, which takes weights and test sets that nobody ships."""
    return column.probe in probes.PROBES and probes.PROBES[column.probe].images


def _answer(variant: str, scale: int, probe: str, protocol: str, known: Mapping[str, Record]) -> Record | None:
    if probe not in probes.PROBES:
        return None
    found = probes.find(probe)
    conditions = protocols.find(protocol).read(found.reads, scale)
    if found.timed:
        conditions["machine"] = environment.machine()  # a figure of another machine does not stand for this one's
    return known.get(store.identity(variant, found.name, found.version, conditions))
