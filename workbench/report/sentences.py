"""What papers claim, as text, as JSON and as a part of the page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from workbench import store
from workbench.claims import DERIVED, VERDICTS, Judged
from workbench.spec import Record

MARKS = {"reproduced": "✓", "planned": "~", "differs": "✗", "open": "·"}


def as_object(one: Judged) -> dict[str, Any]:
    """A claim as JSON shows it."""
    return {
        "id": one.claim.id,
        "paper": one.claim.paper,
        "claim": one.claim.sentence,
        "printed": one.claim.printed,
        "unit": one.claim.unit,
        "derived": one.derived,
        "from_print": one.from_print,
        "verdict": one.verdict,
        "found": one.found,
        "interval": one.interval,
        "estimated": one.estimated,
        "why": one.why,
        "device": "; ".join(one.machines) or None,
        "records": [
            {
                "variant": r.variant,
                "probe": r.probe,
                "protocol": r.protocol,
                "machine": r.machine,
                "recorded_at": r.recorded_at,
            }
            for r in one.records
        ],
    }


def text(judged: Sequence[Judged]) -> str:
    """Claim by claim: the sentence, what the paper's tables say of it, what was found here."""
    lines = []
    for one in judged:
        lines += [f"{MARKS[one.verdict]} {one.claim.paper}: {one.claim.sentence} ({one.claim.id})"]
        lines += [f"    in print: {printed(one)}", f"    here: {found(one)}"]
        lines += [f"    by: {'; '.join(map(_record, one.records))}"] if one.records else []
    return "\n".join([*lines, "", tally(judged), ""])


def tally(judged: Sequence[Judged]) -> str:
    """One line: how many claims have which verdict."""
    counts = {v: sum(one.verdict == v for one in judged) for v in VERDICTS}
    return f"{len(judged)} claims: " + ", ".join(f"{n} {v}" for v, n in counts.items() if n)


def printed(one: Judged) -> str:
    """What follows from the paper's own tables."""
    if one.from_print is None:
        return f"{one.derived}: {DERIVED[one.derived]}"
    return f"{one.derived}: {_figure(one, one.from_print)}"


def found(one: Judged) -> str:
    """What was found here, or what is missing."""
    if one.found is None:
        return f"{one.verdict}: {one.why}"
    between = " [{:.3g}, {:.3g}]".format(*one.interval) if one.interval else ""
    return f"{one.verdict}: {'~' if one.estimated else ''}{_figure(one, one.found)}{between}; {one.why}"


def html(judged: Sequence[Judged], leads: Mapping[str, str] | None = None) -> str:
    """The claims as a table of a page; `leads` (HTML, by claim) names the records that answer one."""
    rows = "\n".join(
        f'<tr id="{escape(one.claim.id)}"><td>{escape(one.claim.paper)}</td><td>{escape(one.claim.sentence)}</td>'
        f'<td data-label="in print">{escape(_follows(one))}</td><td class="long" data-label="here">'
        f'<span class="{one.verdict}">{MARKS[one.verdict]} {one.verdict}</span>'
        f"{escape(found(one).removeprefix(one.verdict))}{_led((leads or {}).get(one.claim.id))}</td></tr>"
        for one in judged
    )
    head = "<th>Paper</th><th>Claim</th><th>From its own tables</th><th>Here</th>"
    return (
        f'<p class="summary">{escape(tally(judged))}</p>\n<div class="wide">\n<table class="prose">\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>\n</div>\n"
    )


def write(judged: Sequence[Judged], results: str | Path) -> list[Path]:
    """The claims as text and as JSON, in the folder of tables."""
    folder = Path(results) / "tables"
    contents = {
        folder / "claims.txt": text(judged),
        folder / "claims.json": json.dumps([as_object(one) for one in judged], indent=1, ensure_ascii=False) + "\n",
    }
    for path, content in contents.items():
        store.replace(path, content)
    return list(contents)


def _follows(one: Judged) -> str:
    return one.derived if one.from_print is None else printed(one)


def _record(record: Record) -> str:
    """`params of asid-x4 under esc, 2026-11-21, AMD EPYC, 2 cores`."""
    return f"{record.probe} of {record.variant} under {record.protocol}, {record.recorded_at[:10]}, {record.machine}"


def _led(links: str | None) -> str:
    return f"<br>Records: {links}" if links else ""


def _figure(one: Judged, value: float) -> str:
    """A figure with one digit more than is printed; of `least`, how many times as much the next has."""
    if one.claim.relation == "least":
        return f"the next has {value:.2f} times as many"
    if one.claim.relation == "more":
        return f"{value:.2f} times as much"
    decimals = len(one.claim.printed.partition(".")[2]) + 1
    return f"{value:.{decimals}f} {one.claim.unit}".replace(" x", "x")
