"""The report as a site: pages in one folder that open from the file system, and lead to each other and nowhere else.

The same records, figures and checkout give the same bytes. No page needs its script, a network or another folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from workbench import claims, papers, store
from workbench.claims import Judged
from workbench.judge import Cell
from workbench.published import Table
from workbench.report import html, raw, sentences, speeds
from workbench.report.frame import Link, page
from workbench.spec import Record

from . import doubts, front, pictures

FORMATS = {"md": "Markdown", "csv": "CSV", "tex": "LaTeX"}
"""What a table is offered as, beside its page."""


@dataclass(frozen=True)
class Sheet:
    """What the page of a table shows."""

    table: Table
    cells: Sequence[Cell]
    pictures: tuple[str, ...] = ()
    """Names of its figures in the folder of figures."""
    bounds: str = ""
    """Lower bounds of its latencies, as HTML, where there are any."""

    @property
    def file(self) -> str:
        return f"{self.table.id}.html"


def write(sheets: Sequence[Sheet], known: Mapping[str, Record], results: Path, titles: Mapping[str, str]) -> list[Path]:
    """Every page, and the pictures and files that they show; titles are those of pictures by name."""
    report = results / "report"
    shown = pictures.gather(results / "figures", titles)
    judged = claims.judged(known)
    records = behind(sheets, judged, known)
    links = _links(sheets, timed := bool(speeds.read(known)), bool(shown))
    contents = {"index.html": (front.NAME, front.content(sheets, judged, records.values(), shown))}
    for sheet in sheets:
        contents[sheet.file] = (sheet.table.source, _table(sheet, shown))
    contents["claims.html"] = ("Claims", _claims(judged))
    contents["audit.html"] = ("Audit", doubts.content(sheets))
    if shown:
        contents["figures.html"] = ("Figures", _figures(sheets, shown))
    if timed:
        contents["latency.html"] = (speeds.TITLE, speeds.html(known))
    contents[raw.PAGE] = ("Records", raw.content(records.values()))
    written = pictures.write(shown.values(), report)
    for sheet in sheets:
        for format in FORMATS:
            name = f"{sheet.table.id}.{format}"
            written.append(report / "tables" / name)
            store.replace(written[-1], (results / "tables" / name).read_bytes())
    for name, (title, content) in contents.items():
        written.append(report / name)
        store.replace(written[-1], page(title, content, links, name))
    return written


def behind(sheets: Sequence[Sheet], judged: Sequence[Judged], known: Mapping[str, Record]) -> dict[str, Record]:
    """The records that any page shows a figure of, by their anchors."""
    found = [r for sheet in sheets for cell in sheet.cells for r in cell.records]
    found += [r for one in judged for r in one.records]
    found += [r for speed in speeds.read(known) for r in speed.records.values()]
    return {raw.anchor(r): r for r in found}


def _links(sheets: Sequence[Sheet], timed: bool, drawn: bool) -> list[Link]:
    links = [("index.html", front.NAME), *((s.file, s.table.id) for s in sheets)]
    links += [("claims.html", "Claims"), ("audit.html", "Audit")]
    links += [("figures.html", "Figures")] if drawn else []
    links += [("latency.html", "Latency here")] if timed else []
    return [*links, (raw.PAGE, "Records")]


def _table(sheet: Sheet, shown: Mapping[str, pictures.Picture]) -> str:
    """A table's page: verdicts and table first, then figures, then what has to be said of single cells."""
    name = sheet.table.id
    files = ", ".join(f'<a href="tables/{escape(name)}.{f}">{title}</a>' for f, title in FORMATS.items())
    below = f'<p class="summary">The same as {files}.</p>\n'
    own = [pictures.figure(shown[p]) for p in sheet.pictures if p in shown]
    below += f"<h2>Figures</h2>\n{''.join(own)}" if own else ""
    below += f"<h2>Lower bounds of the time</h2>\n{sheet.bounds}" if sheet.bounds else ""
    return html.section(sheet.table, sheet.cells, raw.link, below)


def _claims(judged: Sequence[Judged]) -> str:
    leads = {
        one.claim.id: ", ".join(
            f'<a href="{raw.link(r)}">{escape(r.probe)} of {escape(r.variant)}</a>' for r in one.records
        )
        for one in judged
    }
    held = {paper.__doc__.partition("\n")[0] for paper in papers.PAPERS if paper.__doc__ and paper.CLAIMS}
    meant = [(v, claims.VERDICTS[v]) for v in claims.VERDICTS if any(one.verdict == v for one in judged)]
    said = "; ".join(f'<span class="{v}">{sentences.MARKS[v]} {v}</span>, {escape(m)}' for v, m in meant)
    derived = "; ".join(f"<em>{v}</em>, {escape(m)}" for v, m in claims.DERIVED.items())
    return (
        "<h1>Claims</h1>\n"
        f'<p class="lead">What abstracts say in figures, computed twice: from the paper’s own tables, and from what '
        f"was found here.</p>\n{sentences.html(judged, leads)}"
        f'<p class="summary">Here: {said}. In print: {derived}.</p>\n'
        f'<p class="summary">Sentences of {"; ".join(sorted(escape(h.rstrip(".")) for h in held))}.</p>\n'
    )


def _figures(sheets: Sequence[Sheet], shown: Mapping[str, pictures.Picture]) -> str:
    """Every picture: those of each table, then all others."""
    lines, of_tables = ["<h1>Figures</h1>\n"], {p for sheet in sheets for p in sheet.pictures}
    for sheet in sheets:
        own = [pictures.figure(shown[p]) for p in sheet.pictures if p in shown]
        title = f'<h2><a href="{escape(sheet.file)}">{escape(sheet.table.source)}</a></h2>\n'
        lines += [title, *own] if own else []
    others = [pictures.figure(p) for name, p in shown.items() if name not in of_tables]
    return "".join([*lines, *(["<h2>Other studies</h2>\n", *others] if others else [])])
