"""Records and a table become rows, and rows become Markdown, CSV, LaTeX, HTML and pictures: all formatting is here.

The same records give the same bytes. Nothing here imports torch.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench import papers, store
from workbench.judge import Cell
from workbench.published import Figure, Table
from workbench.spec import Record, unknown

from . import bounds, html, latex, markdown, site, speeds, times
from .answers import answer, remarks
from .audited import as_audit, audited, told
from .findings import as_finding, finding, findings

__all__ = [
    "answer",
    "as_audit",
    "as_finding",
    "as_object",
    "audited",
    "figures",
    "finding",
    "findings",
    "picture",
    "remarks",
    "render",
    "show",
    "write",
]


def as_csv(table: Table, cells: Sequence[Cell]) -> str:
    """One line per cell: for spreadsheets and pandas."""
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(as_object(cells[0])), lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: "" if v is None else v for k, v in as_object(cell).items()} for cell in cells)
    return out.getvalue()


def as_json(table: Table, cells: Sequence[Cell]) -> str:
    """An array of cells; figures in the printed unit."""
    return json.dumps([as_object(cell) for cell in cells], indent=1, ensure_ascii=False) + "\n"


def as_object(cell: Cell) -> dict[str, Any]:
    """A cell as JSON and CSV show it."""
    return {
        "method": cell.method,
        "variant": cell.variant,
        "scale": cell.scale,
        "column": cell.column,
        "printed": cell.printed,
        "reported": cell.reported,
        "measured": cell.measured,
        "estimate": cell.estimate,
        "lean": cell.lean,
        "difference": cell.difference,
        "unit": cell.unit,
        "protocol": cell.protocol,
        "verdict": cell.verdict,
        "why": cell.why,
        "uncounted": ", ".join(cell.uncounted),
        "disturbed": "; ".join(cell.disturbed),
        "audit": "; ".join(told(f) for f in cell.audit),
        "fits": ", ".join(cell.fits),
        "distinct": cell.distinct,
        "tried": cell.tried,
        **times.as_object(cell),
    }


FORMATS: dict[str, Callable[[Table, Sequence[Cell]], str]] = {
    "md": markdown.render,
    "csv": as_csv,
    "tex": latex.render,
    "html": html.render,
    "json": as_json,
}


def render(table: Table, cells: Sequence[Cell], format: str) -> str:
    """A table in one of FORMATS."""
    if format not in FORMATS:
        raise unknown("format", format, FORMATS, "workbench table --help")
    return FORMATS[format](table, cells)


def show(table: Table, cells: Sequence[Cell]) -> Any:
    """A table for a notebook."""
    from IPython.display import HTML

    return HTML(html.fragment(table, cells))


def picture(table: Table, cells: Sequence[Cell]) -> Any:
    """The first figure of a table, for a notebook; None if it has none."""
    from IPython.display import Image

    from . import plots

    drawn = [plots.png(figure, table, cells) for figure in figures(table)[:1]]
    return Image(data=drawn[0], width=900) if drawn else None


def write(
    judged: Sequence[tuple[Table, Sequence[Cell]]], known: Mapping[str, Record], results: str | Path
) -> list[Path]:
    """Tables in every format, their figures, bounds of their latencies, and the site that shows all of it."""
    from . import plots

    results = Path(results)
    tables = results / "tables"
    written, sheets, titles = list[Path](), list[site.Sheet](), dict[str, str]()
    for table, cells in judged:
        for format in ("md", "csv", "tex", "html"):
            path = tables / f"{table.id}.{format}"
            store.replace(path, render(table, cells, format))
            written.append(path)
        drawn = [p for figure in figures(table) for p in plots.write(figure, table, cells, results / "figures", known)]
        titles |= {figure.id: figure.title for figure in figures(table)}
        beside = ""
        if bounds.read(table, known):
            drawn += bounds.write(table, known, results)
            beside, titles[f"{table.id}-bounds"] = bounds.html(table, known), f"{table.source}: {bounds.TITLE}"
        written += drawn
        named = tuple(dict.fromkeys(p.stem for p in drawn if p.suffix == ".svg"))
        sheets.append(site.Sheet(table, cells, named, beside))
    if speeds.read(known):
        written.append(speeds.write(known, results))
    return [*written, *site.write(sheets, known, results, titles)]


def figures(table: Table) -> list[Figure]:
    """The figures that are drawn from a table's cells."""
    return [f for f in papers.FIGURES.values() if f.table == table.id]
