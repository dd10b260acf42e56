"""A table as Markdown: every printed figure, the measured one beside it, difference and verdict."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.judge import VERDICTS, Cell, summary
from workbench.spec import Table

from .layout import by_row, difference, gaps, heading, measured, notes, split


def render(table: Table, cells: Sequence[Cell]) -> str:
    """The table, what its marks mean, and what is behind every cell that is not simply reproduced."""
    pairs, plain = split(table, cells)
    head = ["Method", "Scale"]
    for column in pairs:
        head += [heading(column), "measured", "Δ", "verdict"]
    head += [heading(c) for c in plain]
    lines = [f"# {table.source}: {table.title}", "", summary(table, cells), "", _line(head)]
    lines.append(_line(["---", "---:"] + ["---:", "---:", "---:", "---"] * len(pairs) + ["---:"] * len(plain)))
    for row in by_row(cells):
        first = next(iter(row.values()))
        shown = [first.method, f"x{first.scale}"]
        for column in pairs:
            cell = row[column.id]
            shown += [cell.printed or "–", measured(cell), difference(cell), cell.verdict]
        shown += [row[c.id].printed or "–" for c in plain]
        lines.append(_line(shown))
    lines += ["", "Verdicts: " + "; ".join(f"*{v}*, {meaning}" for v, meaning in VERDICTS.items()) + "."]
    for title, entries in (("Notes", notes(cells)), ("Not measured", gaps(cells))):
        if entries:
            lines += ["", f"## {title}", ""] + [f"- {who}: {why}" for who, why in entries]
    if any(c.uncounted for c in cells):
        lines += ["", "† the convention left operators of weight uncounted; the record names them."]
    return "\n".join(lines) + "\n"


def _line(entries: Sequence[str]) -> str:
    return "| " + " | ".join(e.replace("|", "\\|") for e in entries) + " |"
