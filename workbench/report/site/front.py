"""The front page: what was reproduced at a glance, by which machine, and how to cite it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from workbench import environment, papers
from workbench.claims import Judged
from workbench.report import html, raw, sentences
from workbench.report.frame import NAME, facts
from workbench.spec import Record

from . import doubts, pictures

if TYPE_CHECKING:
    from . import Sheet

__all__ = ["NAME", "content"]


def content(
    sheets: Sequence[Sheet], judged: Sequence[Judged], records: Iterable[Record], shown: Mapping[str, pictures.Picture]
) -> str:
    """The page: a line for each table, claims, audit, machine, citation."""
    verdicts = [html.total(sheet.table, sheet.cells) for sheet in sheets]
    lines = [(_named(sheet), counted) for sheet, counted in zip(sheets, verdicts, strict=True)]
    held = Counter[str](one.verdict for one in judged)
    claims_line = (f'<a href="claims.html">Claims of abstracts</a><small>{len(judged)} sentences</small>', held)
    picture = next((shown[p] for sheet in sheets for p in sheet.pictures if p in shown), None)
    records = list(records)
    return (
        "<h1>Printed and measured</h1>\n"
        f'<p class="lead">{_lead(sheets, sum(verdicts, Counter()))}</p>\n'
        f"{html.bars(lines)}"
        '<p class="summary">Counted are figures of networks in the catalogue that this version can measure or '
        "estimate. Striped: an estimate made without the device, within its tolerance; nothing was measured.</p>\n"
        f"<h2>Claims and misprints</h2>\n{html.bars([claims_line])}"
        f'<p>{doubts.tally(sheets)}: <a href="audit.html">the audit</a>.</p>\n'
        f"<ul>\n{_sentences(judged)}</ul>\n"
        f"{pictures.figure(picture) if picture else ''}"
        f"<h2>Machine and versions</h2>\n{_machine(records)}"
        f"<h2>How to cite</h2>\n{_cite()}"
    )


def _named(sheet: Sheet) -> str:
    return f'<a href="{escape(sheet.file)}">{escape(sheet.table.source)}</a><small>{escape(sheet.table.title)}</small>'


def _lead(sheets: Sequence[Sheet], verdicts: Counter[str]) -> str:
    """One sentence on all tables."""
    printed = sum(cell.printed is not None for sheet in sheets for cell in sheet.cells)
    counted = verdicts.total()
    measured = sum(verdicts[v] for v in ("reproduced", "explained"))
    return (
        f"{len(sheets)} published tables on efficient super-resolution, {printed:,} printed figures. Of {counted:,} "
        f"that can be checked here, {measured:,} are reproduced or explained, {verdicts['planned']:,} agree with an "
        f"estimate, and {sum(verdicts[v] for v in ('differs', 'contradicted', 'suspect')):,} do not hold."
    )


def _sentences(judged: Sequence[Judged]) -> str:
    """The claims that something is known of, a line each."""
    return "".join(
        f'<li><a href="claims.html#{escape(one.claim.id)}">{escape(one.claim.paper)}</a>: {escape(one.claim.sentence)} '
        f'<span class="{one.verdict}">{sentences.MARKS[one.verdict]} {one.verdict}</span></li>\n'
        for one in judged
        if one.verdict != "open"
    )


def _machine(records: Sequence[Record]) -> str:
    """This machine and checkout; and which machines the records are of."""
    of = environment.capture()
    memory = of["memory_bytes"]
    versions = ", ".join(f"{name} {version}" for name, version in of["versions"].items() if version)
    commit = "not known" if of["commit"] is None else f"<code>{escape(of['commit'][:12])}</code>"
    told = [
        ("this machine", escape(environment.machine()) + (f", {memory / 2**30:.0f} GiB of memory" if memory else "")),
        ("system", escape(f"{of['os']}, {of['architecture']}, Python {of['python']}")),
        ("versions", escape(versions)),
        ("commit", commit + (", with changes that are not committed" if of["dirty"] else "")),
    ]
    machines = Counter(r.machine for r in records)
    if records:
        first, last = min(r.recorded_at for r in records), max(r.recorded_at for r in records)
        counts = "; ".join(f"{n:,} taken on {escape(machine)}" for machine, n in machines.most_common())
        when = f"{first[:10]} to {last[:10]}" if first[:10] != last[:10] else first[:10]
        told.append(("records", f'<a href="{raw.PAGE}">{len(records):,} shown here</a>, of {when}: {counts}'))
    else:
        told.append(("records", "none yet: <code>workbench reproduce</code> measures what the tables need"))
    return facts(told)


def _cite() -> str:
    """This workbench, and the papers whose figures are shown."""
    of = environment.capture()
    version, commit = of["versions"].get("workbench") or "unversioned", of["commit"]
    lines = [
        "@software{sr_workbench,",
        "  title = {SR workbench: printed and measured figures of efficient super-resolution},",
        f"  version = {{{version}}},",
        *([f"  note = {{commit {commit[:12]}}},"] if commit else []),
        "}",
    ]
    held = "\n".join(f"<li>{escape(str(p.__doc__).partition(chr(10))[0])}</li>" for p in papers.PAPERS)
    entry = escape("\n".join(lines))
    return (
        f"<pre>{entry}</pre>\n<p>The printed figures are those of these papers; cite them for what they measured:</p>\n"
        f"<ul>\n{held}\n</ul>\n"
    )
