"""What a paper's abstract claims, computed twice: from the paper's own tables, and from what is known here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

from workbench import digits, judge, known, papers, probes, ratios
from workbench.judge import Cell
from workbench.papers import names
from workbench.published import Claim, Row, Side, Table
from workbench.spec import Record, unknown

ABOUT = 0.05
"""The fraction by which a figure may be off that a paper gives as a round one."""

Derived = Literal["follows", "cut off", "does not follow", "not printed"]
DERIVED: dict[Derived, str] = {
    "follows": "the paper's own table gives the figure in its printed digits",
    "cut off": "the paper's own table gives it if digits are cut off and not rounded",
    "does not follow": "the paper's own table gives another figure",
    "not printed": "no table that is held here prints what it would take",
}

Verdict = Literal["reproduced", "planned", "differs", "open"]
VERDICTS: dict[Verdict, str] = {
    "reproduced": "measured, and equal in the printed digits, or as the claim is worded",
    "planned": "an estimate made without the device comes within the tolerance of its column",
    "differs": "what was measured or estimated gives another figure",
    "open": "nothing here answers it yet; it says what that takes",
}


@dataclass(frozen=True)
class Judged:
    """A claim, what its paper's tables say of it, and what was found here."""

    claim: Claim
    derived: Derived
    from_print: float | None
    """The figure that follows from printed cells."""
    verdict: Verdict
    found: float | None
    """The figure from records or estimates."""
    estimated: bool
    """Whether an estimate is in it."""
    why: str
    """From which figures, under which protocols; or what is missing."""
    records: tuple[Record, ...] = ()
    """Those that give its figures; of an open claim those of one side, if there are any."""
    interval: tuple[float, float] | None = None
    """That of a ratio of measured times; counts and estimates have none."""

    @property
    def machines(self) -> tuple[str, ...]:
        """Where its figures were taken: a count or an estimate is the same anywhere, a time is not."""
        return tuple(dict.fromkeys(r.machine for r in self.records))


def judged(newest: Mapping[str, Record], claims: Iterable[Claim] | None = None) -> list[Judged]:
    """Every claim of the papers, or those given."""
    return [judge_claim(c, newest) for c in (papers.CLAIMS.values() if claims is None else claims)]


def chosen(ids: Iterable[str]) -> list[Claim]:
    """The claims of those ids, all of them if there is none."""
    ids = list(ids)
    if strange := [name for name in ids if name not in papers.CLAIMS]:
        raise unknown("claim", strange[0], papers.CLAIMS, "workbench claims --json")
    return [papers.CLAIMS[name] for name in ids or papers.CLAIMS]


def judge_claim(claim: Claim, newest: Mapping[str, Record]) -> Judged:
    """One claim against its table and against records."""
    if claim.of is None:
        return Judged(claim, "not printed", None, "open", None, False, f"needs {claim.needs}")
    table = papers.find_table(claim.table)
    column = next(c for c in table.columns if c.id == claim.of.column)
    cells = [_cell(table, side, newest) for side in (claim.of, claim.over) if side]
    others = _others(claim, newest) if claim.relation == "least" else []
    from_print = _figure(claim, [_printed(c, s) for c, s in zip(cells, _sides(claim), strict=True)], _prints(others))
    here = _figure(claim, [_known(c) for c in cells], [v for o in others if (v := _known(o) or o.reported) is not None])
    derived: Derived = "not printed" if from_print is None else _follows(claim, from_print)
    factors = [next(c.factor for c in table.columns if c.id == side.column) for side in _sides(claim)]
    behind = tuple(r for cell, factor in zip(cells, factors, strict=True) if (r := _giving(cell, factor)))
    if here is None:
        missing = next(c for c in (*cells, *others) if _known(c) is None)
        return Judged(claim, derived, from_print, "open", None, False, missing.why, behind)
    estimated = any(c.measured is None for c in cells)
    between = " less " if claim.relation == "difference" else " over "
    told = "; ".join([between.join(map(_told, cells)), *_least(others), *filter(None, [claim.note])])
    timed = claim.relation == "ratio" and not estimated and probes.PROBES[column.probe].timed and len(behind) == 2
    interval = _interval(*behind) if timed else None
    near = False
    if claim.relation == "ratio" and (estimated or interval):  # as the cells of its column are judged
        near = abs(here / float(claim.printed) - 1) <= column.tolerance or _holds(interval, claim.printed)
    holds = near or _follows(claim, here) in ("follows", "cut off")
    verdict: Verdict = ("planned" if estimated else "reproduced") if holds else "differs"
    least = min(others, key=_least_of, default=None)
    behind += tuple(r for r in [_giving(least, column.factor) if least else None] if r)
    return Judged(claim, derived, from_print, verdict, here, estimated, told, behind, interval)


def rows(claim: Claim) -> list[tuple[Table, Row, str]]:
    """The cells that answer a claim: table, row as the claim wants it measured, and column."""
    table = papers.find_table(claim.table)
    return [(table, _row(table, side), side.column) for side in _sides(claim)]


def _sides(claim: Claim) -> list[Side]:
    return [side for side in (claim.of, claim.over) if side]


def _row(table: Table, side: Side) -> Row:
    """The table's row of a network, under the claim's protocol; a row of our own where the table has none."""
    scale = int(side.variant.rpartition("-x")[2])
    row = next((r for r in table.rows if r.variant == side.variant), Row(side.variant, scale, side.variant, {}))
    return replace(row, protocols={**row.protocols, side.column: side.protocol}) if side.protocol else row


def _cell(table: Table, side: Side, newest: Mapping[str, Record]) -> Cell:
    column = next(c for c in table.columns if c.id == side.column)
    return judge.cell(table, _row(table, side), column, newest)


def _others(claim: Claim, newest: Mapping[str, Record]) -> list[Cell]:
    """The cells of the same column and scale, in all tables that are held, that are to be greater: one of a method."""
    assert claim.of is not None
    own = _row(papers.find_table(claim.table), claim.of)
    found = dict[str, Cell]()
    for table in (papers.find_table(claim.table), *papers.TABLES.values()):
        column = next((c for c in table.columns if c.id == claim.of.column), None)
        for row in table.rows if column else ():
            assert column is not None
            method = names.key(row.method)
            if row.scale == own.scale and method not in found:
                found[method] = judge.cell(table, row, column, newest)
    apart = {names.key(method) for method in (own.method, *claim.apart)}
    return [cell for method, cell in found.items() if method not in apart]


def _giving(cell: Cell, factor: float) -> Record | None:
    """The record of a cell's figure; none where there is no figure."""
    value = _known(cell)
    return None if value is None else known.giving(cell.records, value, factor)


def _interval(of: Record, over: Record) -> tuple[float, float]:
    found = ratios.ratio(over.variant, of, over)
    return found.low, found.high


def _holds(interval: tuple[float, float] | None, printed: str) -> bool:
    """Whether an interval holds a figure that the printed digits leave open."""
    if interval is None:
        return False
    half = digits.left_open(printed)
    return interval[0] <= float(printed) + half and float(printed) - half <= interval[1]


def _printed(cell: Cell, side: Side) -> float | None:
    return None if side.protocol else cell.reported


def _prints(cells: Sequence[Cell]) -> list[float]:
    return [c.reported for c in cells if c.reported is not None]


def _known(cell: Cell) -> float | None:
    return cell.estimate if cell.measured is None else cell.measured


def _figure(claim: Claim, values: Sequence[float | None], others: Sequence[float]) -> float | None:
    """What a claim's relation makes of its values; None where one is missing.

    Of `least` it is how many times as much the next one has.
    """
    there = [v for v in values if v is not None]
    if len(there) < len(values) or (claim.relation == "least" and not others):
        return None
    match claim.relation:
        case "ratio" | "more":
            return there[0] / there[1]
        case "difference":
            return there[0] - there[1]
        case "about":
            return there[0]
        case "least":
            return min(others) / there[0]


def _follows(claim: Claim, value: float) -> Derived:
    """Whether a figure is the printed one, as the claim is worded."""
    if claim.relation in ("least", "more"):
        return "follows" if value > 1 else "does not follow"
    if claim.relation == "about":
        return "follows" if abs(value / float(claim.printed) - 1) <= ABOUT else "does not follow"
    exact = Decimal(repr(round(value, 9)))
    if digits.rounds_to(exact, claim.printed):
        return "follows"
    return "cut off" if digits.cuts_to(exact, claim.printed) else "does not follow"


def _told(cell: Cell) -> str:
    value, kind = (cell.measured, "measured") if cell.measured is not None else (cell.estimate, "estimated")
    return f"{cell.variant} under {cell.protocol}: {value:.6g} {cell.unit}, {kind}"


def _least_of(cell: Cell) -> float:
    return _known(cell) or cell.reported or float("inf")


def _least(others: Sequence[Cell]) -> Iterator[str]:
    """The next of the others, if there are any."""
    if not others:
        return
    least = min(others, key=_least_of)
    how = "" if _known(least) else ", as printed"
    yield f"the least of {len(others)} others has {_least_of(least):.6g} {least.unit} ({least.method}{how})"
