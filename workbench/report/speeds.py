"""Every network's latency on this machine, in a table or not, under the protocol that any machine can run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path

from workbench import models, ratios, store
from workbench.here import answer, disturbed
from workbench.spec import Record

from .layout import DOUBLE_DAGGER, spanned
from .times import conditions

PROTOCOL = "cpu"
TITLE = "Latency of every network on this machine"


@dataclass(frozen=True)
class Speed:
    """One network at its scales."""

    model: str
    records: Mapping[int, Record]
    """By scale; only those with values."""

    @property
    def fastest(self) -> float:
        return min(record.value for record in self.records.values())


def read(known: Mapping[str, Record]) -> list[Speed]:
    """The networks that were timed here, the fastest first."""
    found: dict[str, dict[int, Record]] = {}
    for variant in models.VARIANTS.values():
        record = answer(variant.name, variant.scale, "latency", PROTOCOL, known)
        if record is not None and record.status == "ok":
            found.setdefault(variant.model, {})[variant.scale] = record
    return sorted((Speed(model, records) for model, records in found.items()), key=lambda speed: speed.fastest)


def markdown(known: Mapping[str, Record]) -> str:
    """One row for each network, its times with their intervals."""
    speeds = read(known)
    scales = _scales(speeds)
    lines = [f"# {TITLE}", "", *(line for told in _said(speeds) for line in (told, ""))]
    lines += ["| Network | " + " | ".join(f"x{s} (ms)" for s in scales) + " |", "| --- |" + " ---: |" * len(scales)]
    lines += [f"| {speed.model} | " + " | ".join(_entry(speed, s) for s in scales) + " |" for speed in speeds]
    return "\n".join(lines) + "\n"


def html(known: Mapping[str, Record]) -> str:
    """The same as a section of a page."""
    speeds = read(known)
    scales = _scales(speeds)
    head = "<th data-sort=text>Network</th>" + "".join(f"<th>×{s} (ms)</th>" for s in scales)
    body = "\n".join(
        f"<tr><td>{escape(speed.model)}</td>{''.join(f'<td>{_entry(speed, s)}</td>' for s in scales)}</tr>"
        for speed in speeds
    )
    said = "".join(f'<p class="summary">{escape(told)}</p>\n' for told in _said(speeds))
    table = f'<table class="sortable">\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>'
    return f'<section id="latency-here">\n<h1>{TITLE}</h1>\n{said}<div class="wide">\n{table}\n</div>\n</section>\n'


def write(known: Mapping[str, Record], results: Path) -> Path:
    """The table as Markdown, in the folder of tables."""
    path = results / "tables" / "latency-here.md"
    store.replace(path, markdown(known))
    return path


def _scales(speeds: list[Speed]) -> list[int]:
    return sorted({scale for speed in speeds for scale in speed.records})


def _entry(speed: Speed, scale: int) -> str:
    record = speed.records.get(scale)
    if record is None:
        return "–"
    low, high = ratios.interval(record)
    return f"{1e3 * record.value:.1f}{'‡' if disturbed(record) else ''} [{1e3 * low:.1f}, {1e3 * high:.1f}]"


def _said(speeds: list[Speed]) -> list[str]:
    """Which machine under which conditions, and what disturbed it."""
    records = [record for speed in speeds for record in speed.records.values()]
    threads = sorted({str(record.details.get("threads")) for record in records})
    told = [
        f"{records[0].machine}, threads: {', '.join(threads)}; {conditions(PROTOCOL, _scales(speeds))}. The median of "
        "the runs of each, and its interval. All scales make the same output, as in the papers, so x2 is fed four "
        "times the pixels of x4."
    ]
    if why := spanned([text for record in records for text in disturbed(record)]):
        told.append(f"{DOUBLE_DAGGER}: {'; '.join(why)}.")
    return told
