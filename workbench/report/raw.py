"""Raw records: what stands behind every figure, with protocol, machine, commit and samples."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from workbench import models, store
from workbench.report.frame import facts
from workbench.spec import Record

PAGE = "records.html"
SHOWN = 12
"""Samples that are shown at once; the rest unfolds."""

LONG = 4000
"""Characters of what a probe adds, after which it is cut and said so."""


def anchor(record: Record) -> str:
    """The name of a record on its page."""
    told = store.identity(record.variant, record.probe, record.probe_version, record.conditions)
    return "r" + hashlib.sha256(f"{told} {record.recorded_at}".encode()).hexdigest()[:12]


def link(record: Record) -> str:
    """Where a record stands, for other pages of the site."""
    return f"{PAGE}#{anchor(record)}"


def content(records: Iterable[Record]) -> str:
    """The page of every record once."""
    once = {anchor(r): r for r in records}
    return (
        "<h1>Records</h1>\n"
        f'<p class="lead">The {len(once)} measurements behind the figures of this report, as they were recorded; '
        "values in base units.</p>\n"
        '<p class="summary">These are the newest of each; <code>workbench records</code> shows those of the whole '
        f"store, <code>--json</code> with everything they hold.</p>\n{articles(once)}"
    )


def articles(once: Mapping[str, Record]) -> str:
    """Records by their anchors, an article each, under the names of their networks in the catalogue's order."""
    at = {name: i for i, name in enumerate(models.VARIANTS)}
    ordered = sorted(once, key=lambda a: (at.get(once[a].variant, len(at)), _name(once[a]), a))
    lines, variant = list[str](), ""
    for name in ordered:
        record = once[name]
        if record.variant != variant:
            variant = record.variant
            lines.append(f'<h2 id="{escape(variant)}">{escape(variant)}</h2>\n')
        lines.append(_article(name, record))
    return "".join(lines)


def _name(record: Record) -> tuple[str, str]:
    return record.probe, record.protocol


def _article(name: str, record: Record) -> str:
    of = record.environment
    commit = f"{str(of.get('commit'))[:12]}{', with changes that were not committed' if of.get('dirty') else ''}"
    versions = ", ".join(f"{k} {v}" for k, v in dict(of.get("versions") or {}).items() if v)
    told = [
        ("probe", f"{escape(record.probe)}, version {record.probe_version}"),
        ("machine", escape(record.machine)),
        ("commit", escape(commit) if of.get("commit") else "not noted"),
        ("versions", escape(versions) or "not noted"),
        ("recorded", escape(record.recorded_at)),
        ("samples", _samples(record)),
    ]
    state = record.details.get("state", {})
    if isinstance(state, Mapping) and state.get("why"):
        told.append(("disturbed", escape("; ".join(map(str, state["why"])))))
    return (
        f'<article id="{name}"><p><strong>{escape(record.probe)}</strong> <span class="summary">under</span> '
        f"<code>{escape(record.protocol)}</code>: {_value(record)}</p>\n{facts(told)}"
        f"{_folded('conditions', record.conditions)}{_folded('what the probe adds', record.details)}</article>\n"
    )


def _value(record: Record) -> str:
    if record.status != "ok":
        return f'<span class="differs">{escape(record.status)}</span>, {escape(str(record.reason))}'
    return f"{number(record.value)} {escape(record.unit) if record.unit != '1' else ''}".rstrip()


def number(value: float) -> str:
    """A count with all its digits, anything else with enough of them."""
    return f"{value:,.0f}" if value == int(value) and abs(value) < 1e18 else f"{value:.8g}"


def _samples(record: Record) -> str:
    values = [number(v) for v in record.values]
    if len(values) <= SHOWN:
        return f"{len(values)}: {', '.join(values)}" if len(values) > 1 else str(len(values) or "none")
    rest = f"<details><summary>all of them</summary><pre>{', '.join(values)}</pre></details>"
    return f"{len(values)}: {', '.join(values[:SHOWN])}, … {rest}"


def _folded(title: str, content: Mapping[str, Any]) -> str:
    if not content:
        return ""
    text = json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True)
    if len(text) > LONG:
        text = f"{text[:LONG]}\n… {len(text) - LONG:,} more characters: workbench records --json"
    return f"<details><summary>{title}</summary><pre>{escape(text)}</pre></details>\n"
