"""A table as HTML: one page of its own, a section of another, or bare; every figure can lead to its record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from html import escape

from workbench import known
from workbench.judge import VERDICTS, Cell, counts, summary
from workbench.published import Column, Table
from workbench.spec import Record

from . import raw, times
from .frame import page
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
    rank,
    ranks,
    split,
)

MARKED = ("{}", "<b>{}</b>", "<u>{}</u>")
"""By rank."""

COLOURS = """
:root { --dim: #767676; --ok: #1b7f5c; --near: #8a6d00; --off: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --dim: #9a9a9a; --ok: #5cc9a0; --near: #e0bf4a; --off: #ff8a80; } }
td.printed, th.printed { color: var(--dim); }
.reproduced { color: var(--ok); } .explained, .planned { color: var(--near); }
.differs, .contradicted, .suspect { color: var(--off); }
"""

Anchors = Callable[[Record], str]
"""Where the raw record stands that a figure is linked to."""


def render(table: Table, cells: Sequence[Cell]) -> str:
    """The page of one table, which can be sent alone: every figure leads down to its record."""
    linked = dict[str, Record]()

    def below(record: Record) -> str:
        name = raw.anchor(record)
        linked[name] = record
        return f"#{name}"

    content = section(table, cells, below)
    behind = f"<h1>Records behind the figures</h1>\n{raw.articles(linked)}" if linked else ""
    return page(f"{table.source}: {table.title}", content + behind)


def section(table: Table, cells: Sequence[Cell], anchors: Anchors | None = None, below: str = "") -> str:
    """Verdicts, table (hover a figure for its reason), what the marks mean; `below` it; then notes and gaps."""
    meant = [(v, meaning) for v, meaning in VERDICTS.items() if MARKS[v] and any(c.verdict == v for c in cells)]
    legend = "\n".join(
        f'<li><span class="{v.replace(" ", "-")}">{MARKS[v]} {v}</span>: {escape(meaning)}</li>' for v, meaning in meant
    )
    marks = " ".join(f"{told}." for told in ranks(table, cells))
    dagger = f" {DAGGER}; left out: {', '.join(left_out(cells))}." if left_out(cells) else ""
    dagger += f" {DOUBLE_DAGGER}: {'; '.join(told)}." if (told := disturbances(cells)) else ""
    titles = {c.id: c.title for c in table.columns}
    verdicts = [(escape(titles[column]), counted) for column, counted in counts(table, cells).items()]
    strangers = summary(table, cells).partition("; shown as reported: ")[2]
    apart = f'<p class="summary">Shown as reported, not in the catalogue: {escape(strangers)}.</p>\n'
    leads = ", a click leads to its record" if anchors else ""
    return f"""<section id="{escape(table.id)}">
<h1>{escape(table.source)}</h1>
<p class="lead">{escape(table.title)}</p>
{bars(verdicts) if verdicts else '<p class="summary">No column that this version can check.</p>'}
{apart if strangers else ""}<div class="wide">
{_table(table, cells, anchors)}
</div>
<p class="summary">Printed figures are grey, measured ones follow them, Δ is the difference in per cent of the printed.
{marks}
Hover a figure for its reason{leads}.{escape(dagger)}</p>
<ul class="legend summary">
{legend}
</ul>
{_lines(times.said(table, cells))}{below}{_listing("Notes", notes(cells))}{_listing(AUDIT, doubts(cells))}
{_listing("Not measured", gaps(cells))}</section>
"""


def bars(lines: Sequence[tuple[str, Mapping[str, int]]]) -> str:
    """A line each of a name (HTML), a bar of its verdicts, and the same in words."""
    shown = []
    for name, counted in lines:
        kinds = [(v, counted[v]) for v in (*VERDICTS, "open") if counted.get(v)]
        parts = "".join(f'<i class="{v.replace(" ", "-")}" style="flex:{n}"></i>' for v, n in kinds)
        told = ", ".join(f"<span>{n} {v}</span>" for v, n in kinds)
        bar = f'<span class="bar" aria-hidden="true">{parts}</span>' if kinds else ""
        words = f'<div class="told"><p>{told or "shown as reported"}</p></div>'
        shown.append(f'<div class="named">{name}</div><div>{bar}</div>{words}')
    return '<div class="bars">\n' + "\n".join(shown) + "\n</div>\n"


def total(table: Table, cells: Sequence[Cell]) -> Counter[str]:
    """The verdicts of all measurable columns together."""
    return sum(counts(table, cells).values(), Counter[str]())


def fragment(table: Table, cells: Sequence[Cell]) -> str:
    """The bare table for a page that has its own frame, such as a notebook."""
    return f"<style>{COLOURS}</style>" + _table(table, cells)


def _table(table: Table, cells: Sequence[Cell], anchors: Anchors | None = None) -> str:
    pairs, plain = split(table, cells)
    factors = {c.id: c.factor for c in table.columns}
    head = '<th data-sort="text">Method</th><th>Scale</th>'

    def linked(text: str, cell: Cell, value: float | None) -> str:
        record = None if anchors is None else known.giving(cell.records, value, factors[cell.column])
        return text if anchors is None or record is None else f'<a href="{anchors(record)}">{text}</a>'

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
    rows = by_row(cells)

    def marked(text: str, cell: Cell, column: Column, reported: bool) -> str:
        return MARKED[rank(cell, column, rows, reported)].format(text)

    for number, row in enumerate(rows):
        first = next(iter(row.values()))
        shown = [f"<td>{escape(first.method)}</td><td>×{first.scale}</td>"]
        for column in pairs:
            cell = row[column.id]
            kind = cell.verdict.replace(" ", "-")
            mark = f'<span class="mark">{MARKS[cell.verdict]}</span>'
            shown.append(
                f'<td class="printed">{marked(escape(printed(cell)), cell, column, True)}</td>'
                f'<td class="measured {kind}" title="{escape(f"{cell.verdict}: {cell.why}")}">'
                f"{mark}{linked(marked(escape(_once(cell)), cell, column, False), cell, value(cell))}</td>"
                f"<td>{escape(difference(cell))}</td>"
                + (f"<td>{linked(escape(lean(cell)), cell, cell.lean)}</td>" if len(beside[column.id]) > 1 else "")
                + _beside(column, cell, cells, linked)
            )
        for column in plain:
            cell = row[column.id]
            told = marked(escape(printed(cell)), cell, column, True)
            shown.append(f'<td class="printed" title="{escape(cell.why)}">{told}</td>')
            shown.append(_beside(column, cell, cells, linked))
        anchor = f' id="row-{number}"' if anchors else ""
        body.append(f"<tr{anchor}{' class=first' if first.scale != scale else ''}>{''.join(shown)}</tr>")
        scale = first.scale
    return (
        f'<table class="sortable">\n<thead><tr>{head}</tr></thead>\n<tbody>\n'
        + "\n".join(body)
        + "\n</tbody>\n</table>"
    )


def _beside(column: Column, cell: Cell, cells: Sequence[Cell], linked: Callable[..., str]) -> str:
    told = f' title="{escape(cell.ratio.told(column.tolerance))}"' if cell.ratio else ""
    shown = times.entries(column, cell, cells)
    if cell.here and shown:
        told_here, *ratios = shown
        own = f"<td{told}>{linked(escape(told_here), cell, cell.here.value)}</td>"
        return own + "".join(f"<td{told}>{escape(entry)}</td>" for entry in ratios)
    return "".join(f"<td{told}>{escape(entry)}</td>" for entry in shown)


def value(cell: Cell) -> float | None:
    """What a cell's measured or estimated figure is."""
    return cell.estimate if cell.measured is None else cell.measured


def _once(cell: Cell) -> str:
    """The figure; the tilde of an estimate is left to the mark before it where that is one."""
    return measured(cell).removeprefix(MARKS["planned"] if cell.verdict == "planned" else "")


def _lines(told: Sequence[str]) -> str:
    return "<ul>\n" + "\n".join(f"<li>{escape(line)}</li>" for line in told) + "\n</ul>\n" if told else ""


def _listing(title: str, entries: Sequence[tuple[str, str]]) -> str:
    if not entries:
        return ""
    items = "\n".join(f"<dt>{escape(who)}</dt><dd>{escape(why)}</dd>" for who, why in entries)
    return f"<h2>{title}</h2>\n<dl>\n{items}\n</dl>\n"
