"""A table as Markdown: every printed figure, the measured one beside it, difference and verdict."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.judge import VERDICTS, Cell, summary
from workbench.published import Column, Table

from . import times
from .layout import (
    AUDIT,
    DAGGER,
    DOUBLE_DAGGER,
    by_row,
    difference,
    disturbances,
    doubts,
    gaps,
    heading,
    lean,
    left_out,
    measured,
    notes,
    obtained,
    printed,
    rank,
    ranks,
    split,
)

MARKED = ("{}", "**{}**", "<ins>{}</ins>")
"""By rank; of the two tags that underline, GitHub takes this one."""


def render(table: Table, cells: Sequence[Cell]) -> str:
    """The table, what its marks mean, and what is behind every cell that is not simply reproduced."""
    pairs, plain = split(table, cells)
    head = ["Method", "Scale"]
    ruler = ["---", "---:"]
    for column in pairs:
        beside = obtained(column, cells)
        head += [heading(column), beside[0], "Δ", *beside[1:], "verdict"]
        more = times.beside(column, cells)
        head += more
        ruler += ["---:"] * (2 + len(beside)) + ["---"] + ["---:"] * len(more)
    for column in plain:
        more = times.beside(column, cells)
        head += [heading(column), *more]
        ruler += ["---:"] * (1 + len(more))
    lines = [f"# {table.source}: {table.title}", "", summary(table, cells), "", _line(head), _line(ruler)]
    rows = by_row(cells)

    def marked(text: str, cell: Cell, column: Column, reported: bool) -> str:
        return MARKED[rank(cell, column, rows, reported)].format(text)

    for row in rows:
        first = next(iter(row.values()))
        shown = [first.method, f"x{first.scale}"]
        for column in pairs:
            cell = row[column.id]
            spared = [lean(cell)] if len(obtained(column, cells)) > 1 else []
            mine = marked(measured(cell), cell, column, False)
            shown += [marked(printed(cell), cell, column, True), mine, difference(cell), *spared, cell.verdict]
            shown += times.entries(column, cell, cells)
        for column in plain:
            cell = row[column.id]
            shown += [marked(printed(cell), cell, column, True), *times.entries(column, cell, cells)]
        lines.append(_line(shown))
    lines += [line for told in times.said(table, cells) for line in ("", told)]
    lines += ["", " ".join(f"{told}." for told in ranks(table, cells))]
    lines += ["", "Verdicts: " + "; ".join(f"*{v}*, {meaning}" for v, meaning in VERDICTS.items()) + "."]
    for title, entries in (("Notes", notes(cells)), (AUDIT, doubts(cells)), ("Not measured", gaps(cells))):
        if entries:
            lines += ["", f"## {title}", ""] + [f"- {who}: {why}" for who, why in entries]
    if any(c.uncounted for c in cells):
        lines += ["", f"{DAGGER}; left out: {', '.join(left_out(cells))}."]
    if told := disturbances(cells):
        lines += ["", f"{DOUBLE_DAGGER}: {'; '.join(told)}."]
    return "\n".join(lines) + "\n"


def _line(entries: Sequence[str]) -> str:
    return "| " + " | ".join(e.replace("|", "\\|") for e in entries) + " |"
