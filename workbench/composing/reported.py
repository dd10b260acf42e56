"""Figures that somebody reports of rows: read from a CSV file or as typed, and put in the unit of their column."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from workbench.audit import own
from workbench.described import digits
from workbench.digits import moved, split
from workbench.papers import names
from workbench.published import Column, Row
from workbench.spec import UserError

from .columns import alike


@dataclass(frozen=True)
class Reported:
    """The rows of such a file, with figures in its own columns."""

    file: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    strange: tuple[str, ...]
    """Headings that nothing is known of."""

    def printed(self, row: Row, columns: Sequence[Column]) -> dict[str, str]:
        """What the file reports in the columns of a table, in their units."""
        found = dict[str, str]()
        for mine in self.columns:
            for column in columns:
                if mine.id in row.printed and alike(mine, column):
                    found[column.id] = moved(row.printed[mine.id], mine.factor, column.factor)
        return found

    def of(self, label: str, scale: int) -> Row | None:
        """The file's row of a method, by any of its spellings."""
        mine = [r for r in self.rows if r.scale == scale]
        exact = next((r for r in mine if r.method == label), None)
        return exact or next((r for r in mine if names.key(r.method) == names.key(label)), None)


def read(path: Path, scale: int | None) -> Reported:
    """A CSV file, its columns recognised as `audit` does; `scale` is that of all rows where no column has it."""
    table, strange = own.read(path, None, scale, fewest=1)
    if unit := next((c for c in table.columns if not c.factor), None):
        raise UserError(
            f"{path} names no unit of its {unit.title}; write it into the heading: "
            f"{'Params (K)' if unit.probe == 'params' else 'FLOPs (G)'}."
        )
    return Reported(str(path), table.columns, table.rows, tuple(strange))


def typed(value: object, column: Column) -> str:
    """A figure as it was typed: in the unit that is written behind it, else in that of the column."""
    text, factor = split(digits(value), column.probe)
    if re.fullmatch(r"\d{1,3}(,\d{3})+(\.\d+)?", text):
        text = text.replace(",", "")
    try:
        plain = Decimal(text)
    except ArithmeticError:
        plain = Decimal("nan")
    if not plain.is_finite() or "e" in text.lower():
        unit = f", in {column.unit}" if column.unit else ""
        raise UserError(f"{text[:40]!r} is no figure of {column.title}; write it as it is printed{unit}: 28.90")
    return text if factor is None else moved(text, factor, column.factor)
