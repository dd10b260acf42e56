"""What the audit found in printed figures, cell by cell, each leading to its row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING

from workbench.audit import FALSE_ALARMS, RULES, STRENGTHS, Finding
from workbench.report.layout import by_row

if TYPE_CHECKING:
    from . import Sheet


def found(sheets: Sequence[Sheet]) -> Iterator[tuple[Sheet, int, Finding]]:
    """Every finding with the sheet and the number of the row it is about."""
    for sheet in sheets:
        for number, row in enumerate(by_row(sheet.cells)):
            for cell in row.values():
                for finding in cell.audit:
                    yield sheet, number, finding


def tally(sheets: Sequence[Sheet]) -> str:
    """One line: how many printed figures are in doubt."""
    figures = sum(cell.printed is not None for sheet in sheets for cell in sheet.cells)
    every = list(found(sheets))
    strong = sum(f.strength != "weak" for _, _, f in every)
    places = len({(sheet.table.id, f.place) for sheet, _, f in every})
    return f"{places} of {figures:,} printed figures are in doubt; of {len(every)} findings {strong} are not weak"


def content(sheets: Sequence[Sheet]) -> str:
    """The page."""
    rows = "\n".join(
        f"<tr><td>{escape(sheet.table.id)}</td>"
        f'<td><a href="{escape(sheet.file)}#row-{number}">{escape(str(f.place))}</a></td>'
        f'<td data-label="printed">{escape(f.printed)}</td>'
        f'<td class="{"" if f.strength == "weak" else f.kind}">{escape(f.strength)}</td><td>{escape(f.rule)}</td>'
        f'<td class="long">{escape(f.evidence)}</td></tr>'
        for sheet, number, f in found(sheets)
    )
    head = "".join(
        f'<th data-sort="text">{t}</th>' for t in ("Table", "Cell", "Printed", "Strength", "Rule", "Evidence")
    )
    table = f'<table class="prose sortable">\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>\n'
    rules = "\n".join(f"<dt>{escape(rule.name)}</dt><dd>{escape(rule.title)}</dd>" for rule in RULES)
    strengths = "; ".join(f"<em>{escape(name)}</em>, {escape(meaning)}" for name, meaning in STRENGTHS.items())
    return (
        "<h1>Audit</h1>\n"
        '<p class="lead">Printed figures that the rest of their table, or another paper, speaks against. No misprint '
        "is listed in the code: rules find them.</p>\n"
        f'<p class="summary">{tally(sheets)}.</p>\n<div class="wide">\n{table}</div>\n'
        f'<p class="summary">{strengths}.</p>\n<p class="summary">False alarms: {escape(str(FALSE_ALARMS))}</p>\n'
        f"<h2>Rules</h2>\n<dl>\n{rules}\n</dl>\n"
    )
