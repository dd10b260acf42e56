"""What every rendering of a table decides alike: which columns stand where, and how a figure is written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from itertools import groupby

from workbench.digits import last
from workbench.judge import UNASKED, UNSETTLED, Cell
from workbench.published import Column, Table

from .audited import told

MARKS = {
    "reproduced": "✓",
    "explained": "≈",
    "planned": "~",
    "differs": "✗",
    "contradicted": "≠",
    "suspect": "?",
    "reference": "=",
    "not measured": "·",
    "not printed": "",
}
COMMAND = re.compile(r": workbench measure .*")
USUAL = {"dB": "0.00", "": "0.0000"}
"""As papers print, by unit: PSNR, and SSIM, which has none."""
NUMBER = re.compile(r"\d+(?:\.\d+)?")
DAGGER = "† the convention left operators of weight uncounted, so this figure is incomplete"
AUDIT = "Audit (§)"
SECTION = "§ something speaks against the printed figure"
RANKS = "Bold: the best of its scale; underlined: the second best. As found here; where nothing was, as printed"
PRINTED_MB = "MB as papers and torch print it: 2**20 bytes, a MiB"
DOUBLE_DAGGER = "‡ taken on a machine that was busy with something else or held its clocks down"


def split(table: Table, cells: Sequence[Cell]) -> tuple[list[Column], list[Column]]:
    """The columns with a measurement or an estimate in some row, and those without one in any."""
    answered = {c.column for c in cells if c.measured is not None or c.estimate is not None}
    judged = {c.column for c in cells if UNASKED in c.why}  # measurable, if only somebody did
    return (
        [c for c in table.columns if c.id in answered | judged],
        [c for c in table.columns if c.id not in answered | judged],
    )


def obtained(column: Column, cells: Sequence[Cell]) -> list[str]:
    """What stands beside the printed figures of a column: what was measured; or an estimate, and one for lean."""
    mine = [c for c in cells if c.column == column.id]
    if not any(c.estimate is not None for c in mine):
        return ["measured"]
    return ["estimate", "lean"] if any(c.lean is not None for c in mine) else ["estimate"]


def ranks(table: Table, cells: Sequence[Cell]) -> list[str]:
    """What marks of rank and units mean; times taken elsewhere than the printed ones rank nothing."""
    here = dict.fromkeys(c.column for c in cells if c.here and c.measured is None)
    told = [f"{c.title} here has no marks: those are of the printed times" for c in table.columns if c.id in here]
    return [RANKS, *told, *megabytes(table)]


def rank(cell: Cell, column: Column, rows: Sequence[Mapping[str, Cell]], reported: bool) -> int:
    """1 for the best of its scale, 2 for the second, 0 for all others; ties share their rank.

    A cell is ranked by what was measured, else estimated, else printed, and of its two figures that one has the rank;
    an incomplete count has none, nor has a printed figure that nothing measures.
    """

    def value(one: Cell) -> float | None:
        if one.uncounted:
            return None
        found = one.estimate if one.measured is None else one.measured
        if found is None:
            return None if any(f.rule == "impossible" for f in one.audit) else one.reported
        return found

    by_print = cell.measured is None and cell.estimate is None
    mine = value(cell) if reported == by_print else None
    found = {value(row[column.id]) for row in rows if row[column.id].scale == cell.scale}
    order = sorted((v for v in found if v is not None), reverse=column.best == "high")
    return order.index(mine) + 1 if mine is not None and mine in order[:2] else 0


def by_row(cells: Sequence[Cell]) -> list[dict[str, Cell]]:
    """The cells row by row, each row a mapping from column id."""
    rows = groupby(cells, key=lambda c: (c.scale, c.method))
    return [{c.column: c for c in row} for _, row in rows]


def measured(cell: Cell) -> str:
    """The measured or estimated figure with one more digit than is printed, so that rounding can be seen."""
    value = cell.estimate if cell.measured is None else cell.measured
    if value is None:
        return "–"
    tilde = "~" if cell.measured is None else ""
    return tilde + figure(value, cell) + ("†" if cell.uncounted else "") + ("‡" if cell.disturbed else "")


def printed(cell: Cell) -> str:
    """The printed figure, marked if something speaks against it."""
    return (cell.printed or "–") + ("§" if cell.audit else "")


def lean(cell: Cell) -> str:
    """The estimate for the lean forward."""
    return "–" if cell.lean is None else f"~{figure(cell.lean, cell)}"


def figure(value: float, cell: Cell) -> str:
    """A figure with one decimal more than the cell prints, or than is usual where it prints nothing."""
    digit = last(cell.printed or USUAL.get(cell.unit, "0.0")) / 10
    return str(Decimal(repr(value)).quantize(digit, ROUND_HALF_UP))


def difference(cell: Cell) -> str:
    """The relative difference in per cent; nothing where there is none to speak of."""
    if cell.difference is None:
        return "–"
    if cell.unit in ("dB", "") and cell.measured is not None and cell.reported is not None:  # no ratio means anything
        return f"{cell.measured - cell.reported:+.{4 if cell.unit else 5}f}".replace("-", "−")
    return "0" if abs(cell.difference) < 5e-5 else f"{cell.difference:+.2%}".replace("-", "−").replace("%", " %")


def heading(column: Column) -> str:
    """A column's title with its printed unit."""
    return f"{column.title} ({column.unit})" if column.unit and column.unit != "dB" else column.title


def megabytes(table: Table) -> list[str]:
    """What an MB of a table is, where it has one: elsewhere it is 10**6 bytes."""
    return [PRINTED_MB] if any(c.unit == "MB" and c.factor == 2**20 for c in table.columns) else []


def left_out(cells: Sequence[Cell]) -> list[str]:
    """The operators of weight that some measured figure leaves uncounted."""
    return sorted({operator for cell in cells for operator in cell.uncounted})


def disturbances(cells: Sequence[Cell]) -> list[str]:
    """What disturbed measured figures, each thing once, from its least to its most."""
    return spanned([why for cell in cells for why in (*cell.disturbed, *(cell.here.disturbed if cell.here else ()))])


def spanned(told: Sequence[str]) -> list[str]:
    """Each thing once, those that differ in their numbers as one."""
    alike: dict[str, list[str]] = {}
    for why in sorted(told):
        alike.setdefault(NUMBER.sub("#", why), []).append(why)
    return [_span(group) for group in alike.values()]


def _span(texts: Sequence[str]) -> str:
    """Texts that differ in their numbers as one: `others kept 0.3 to 1.7 of 2 cores busy`."""
    columns = zip(*(NUMBER.findall(text) for text in texts), strict=True)
    ends = iter([sorted({*column}, key=float) for column in columns])

    def both(_: re.Match[str]) -> str:
        numbers = next(ends)
        return numbers[0] if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"

    return NUMBER.sub(both, texts[0])


def notes(cells: Sequence[Cell]) -> list[tuple[str, str]]:
    """What has to be said about cells that are not simply reproduced: who, and why; equal reasons once."""
    told: dict[tuple[str, str], list[str]] = {}
    for cell in cells:
        if cell.verdict in UNSETTLED or (cell.verdict == "not measured" and cell.printed is None):
            told.setdefault((cell.column, f"{cell.verdict}: {cell.why}"), []).append(f"{cell.method} x{cell.scale}")
    columns: dict[tuple[str, str], list[str]] = {}
    for (column, why), who in told.items():
        columns.setdefault((", ".join(who), why), []).append(column)
    return [(f"{who}, {', '.join(those)}", why) for (who, why), those in columns.items()]


def doubts(cells: Sequence[Cell]) -> list[tuple[str, str]]:
    """What speaks against printed figures: (cell, evidence)."""
    return [(f"{c.audit[0].place}, printed {c.printed}", "; ".join(map(told, c.audit))) for c in cells if c.audit]


def gaps(cells: Sequence[Cell]) -> list[tuple[str, str]]:
    """Which printed figures were not measured, and what each kind of them needs: (figures, reason)."""
    told: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.verdict == "not measured" and cell.printed is not None:
            kind = UNASKED if UNASKED in cell.why else cell.why.partition(": workbench ")[0]
            told.setdefault(kind, []).append(cell)
    return [(_named(group), group[0].why if len(group) == 1 else _all(group, why)) for why, group in told.items()]


def _all(group: Sequence[Cell], why: str) -> str:
    """What cells need that each would need a command of its own."""
    command = group[0].why.removeprefix(why).removeprefix(": ")
    if why == UNASKED or command.startswith("workbench measure"):
        return f"{why}; workbench reproduce, without --quick, measures what tables need"
    return f"{why}, for the first of them by: {command}" if command else why


def _named(cells: Sequence[Cell]) -> str:
    columns = list(dict.fromkeys(c.column for c in cells))
    rows = list(dict.fromkeys(f"{c.method} x{c.scale}" for c in cells))
    return f"{', '.join(columns)}: {len(cells)} cells" if len(rows) > 4 else f"{', '.join(rows)}: {', '.join(columns)}"
