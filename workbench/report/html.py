"""A table as one HTML page that opens from the file system: no network, no script it cannot do without."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from workbench.judge import VERDICTS, Cell, summary
from workbench.spec import Column, Table

from . import times
from .layout import (
    AUDIT,
    DAGGER,
    DOUBLE_DAGGER,
    MARKS,
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
    split,
)

COLOURS = """
:root { --dim: #767676; --ok: #1b7f5c; --near: #8a6d00; --off: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --dim: #9a9a9a; --ok: #5cc9a0; --near: #e0bf4a; --off: #ff8a80; } }
td.printed, th.printed { color: var(--dim); }
.reproduced { color: var(--ok); } .explained, .planned { color: var(--near); }
.differs, .contradicted, .suspect { color: var(--off); font-weight: 600; }
"""

STYLE = (
    COLOURS
    + """
:root { color-scheme: light dark; --line: #8884; }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 100rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin-bottom: 0; } section + section { margin-top: 4rem; }
h2 { font-size: 1.1rem; margin-top: 2rem; }
.summary { color: var(--dim); } .wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; white-space: nowrap; font-size: .87rem; }
th, td { padding: .18rem .55rem; text-align: right; } th:first-child, td:first-child { text-align: left; }
thead th { border-bottom: 1px solid; vertical-align: bottom; } tr.first td { border-top: 1px solid var(--line); }
td.measured { padding-left: 0; }
tbody tr:hover { background: #8882; }
.mark { display: inline-block; width: 1.1em; text-align: center; } dt { font-weight: 600; margin-top: .5rem; }
dd { margin-left: 1.2rem; } figure { margin: 1rem 0; background: #fff; border-radius: 6px; padding: .5rem; }
figure svg { max-width: 100%; height: auto; display: block; margin: auto; }
"""
)


def render(table: Table, cells: Sequence[Cell], pictures: Sequence[str] = ()) -> str:
    """The page of one table."""
    return page(f"{table.source}: {table.title}", [section(table, cells, pictures)])


def page(title: str, sections: Sequence[str]) -> str:
    """Sections in one page that opens from the file system."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<style>{STYLE}</style>
</head>
<body>
{"".join(sections)}</body>
</html>
"""


def section(table: Table, cells: Sequence[Cell], pictures: Sequence[str] = ()) -> str:
    """Summary, pictures (SVG), table (hover a figure for its reason), what the marks mean, notes, gaps."""
    legend = "; ".join(
        f'<span class="{v.replace(" ", "-")}">{MARKS[v]} {v}</span>, {escape(meaning)}'
        for v, meaning in VERDICTS.items()
        if MARKS[v] and any(c.verdict == v for c in cells)
    )
    dagger = f" {DAGGER}; left out: {', '.join(left_out(cells))}." if left_out(cells) else ""
    dagger += f" {DOUBLE_DAGGER}: {'; '.join(told)}." if (told := disturbances(cells)) else ""
    return f"""<section id="{escape(table.id)}">
<h1>{escape(f"{table.source}: {table.title}")}</h1>
<p class="summary">{escape(summary(table, cells))}</p>
{"".join(f"<figure>{picture}</figure>" for picture in pictures)}
<div class="wide">
{_table(table, cells)}
</div>
<p class="summary">Printed figures are grey, measured ones follow them, Δ is the difference in per cent of the printed:
{legend}. Hover a figure for its reason.{escape(dagger)}</p>
{_lines(times.said(table, cells))}{_listing("Notes", notes(cells))}{_listing(AUDIT, doubts(cells))}
{_listing("Not measured", gaps(cells))}</section>
"""


def framed(title: str, content: str, picture: str) -> str:
    """A section with a picture above its content."""
    return f"<section>\n<h1>{escape(title)}</h1>\n<figure>{picture}</figure>\n{content}</section>\n"


def fragment(table: Table, cells: Sequence[Cell]) -> str:
    """The bare table for a page that has its own frame, such as a notebook."""
    return f"<style>{COLOURS}</style>" + _table(table, cells)


def _table(table: Table, cells: Sequence[Cell]) -> str:
    pairs, plain = split(table, cells)
    head = "<th>Method</th><th>Scale</th>"
    beside = {c.id: obtained(c, cells) for c in pairs}
    for column in pairs:
        what, *more = beside[column.id]
        head += f'<th class="printed">{escape(heading(column))}</th><th>{what}</th><th>Δ</th>'
        head += "".join(f"<th>{escape(title)}</th>" for title in (*more, *times.beside(column, cells)))
    for column in plain:
        head += f'<th class="printed">{escape(heading(column))}</th>'
        head += "".join(f"<th>{escape(title)}</th>" for title in times.beside(column, cells))
    body = []
    scale = 0
    for row in by_row(cells):
        first = next(iter(row.values()))
        shown = [f"<td>{escape(first.method)}</td><td>×{first.scale}</td>"]
        for column in pairs:
            cell = row[column.id]
            kind = cell.verdict.replace(" ", "-")
            mark = f'<span class="mark">{MARKS[cell.verdict]}</span>'
            shown.append(
                f'<td class="printed">{escape(printed(cell))}</td>'
                f'<td class="measured {kind}" title="{escape(f"{cell.verdict}: {cell.why}")}">'
                f"{mark}{escape(measured(cell))}</td><td>{escape(difference(cell))}</td>"
                + (f"<td>{escape(lean(cell))}</td>" if len(beside[column.id]) > 1 else "")
                + _beside(column, cell, cells)
            )
        for column in plain:
            cell = row[column.id]
            shown.append(f'<td class="printed" title="{escape(cell.why)}">{escape(printed(cell))}</td>')
            shown.append(_beside(column, cell, cells))
        body.append(f"<tr{' class=first' if first.scale != scale else ''}>{''.join(shown)}</tr>")
        scale = first.scale
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(body) + "\n</tbody>\n</table>"


def _beside(column: Column, cell: Cell, cells: Sequence[Cell]) -> str:
    told = f' title="{escape(cell.ratio.told(column.tolerance))}"' if cell.ratio else ""
    return "".join(f"<td{told}>{escape(entry)}</td>" for entry in times.entries(column, cell, cells))


def _lines(told: Sequence[str]) -> str:
    return "<ul>\n" + "\n".join(f"<li>{escape(line)}</li>" for line in told) + "\n</ul>\n" if told else ""


def _listing(title: str, entries: Sequence[tuple[str, str]]) -> str:
    if not entries:
        return ""
    items = "\n".join(f"<dt>{escape(who)}</dt><dd>{escape(why)}</dd>" for who, why in entries)
    return f"<h2>{title}</h2>\n<dl>\n{items}\n</dl>\n"
