"""Measurements of networks as a table of a notebook: a row for each network, a column for each probe, notes below."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from workbench import protocols
from workbench.here import disturbed
from workbench.spec import Record

from .answers import counted, of_images
from .layout import DAGGER, DOUBLE_DAGGER, spanned

Rows = Mapping[str, Mapping[str, Record]]
"""By what a network is called and by probe, what is known of it."""

STEPS: dict[str, tuple[tuple[float, str], ...]] = {
    "count": ((1e9, "G"), (1e6, "M"), (1e3, "K"), (1, "")),
    "seconds": ((1, "s"), (1e-3, "ms"), (1e-6, "µs")),
    "bytes": ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B")),
    "joules": ((1, "J"), (1e-3, "mJ")),
    "decibels": ((1, "dB"),),
    "fraction": ((1, ""),),
}
"""For a base unit those it is shown in, the largest first."""

ESTIMATES = {
    "roofline": "the least time by the data sheet of {device}: an estimate, nothing was timed",
    "planned-memory": "planned from shapes, without a device: an estimate",
}

HELD = (
    "measured in this process, of a copy; not stored, since nothing identifies a network that exists only here "
    "(name its file for that: './net.py:Net')"
)

STYLE = """<style>
.workbench table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.workbench th, .workbench td { padding: .2rem .6rem; text-align: right; white-space: nowrap; }
.workbench th:first-child, .workbench td:first-child { text-align: left; }
.workbench thead th { border-bottom: 1px solid currentColor; vertical-align: bottom; }
.workbench small, .workbench .notes { opacity: .72; } .workbench .notes { font-size: .86em; max-width: 62rem; }
.workbench .notes p { margin: .15rem 0; text-align: left; } .workbench sup { padding-left: .1em; }
</style>
"""


@dataclass(frozen=True)
class Unit:
    """What a column's figures are shown in."""

    name: str
    factor: float
    """One of it in base units."""
    decimals: int

    def figure(self, value: float) -> str:
        """With the decimals of its column; what would vanish by them keeps two digits."""
        shown = value / self.factor
        small = shown and abs(shown) < 10**-self.decimals
        return f"{shown:.2g}" if small else f"{shown:,.{self.decimals}f}"

    def heading(self, probe: str) -> str:
        return f"{probe.replace('-', ' ')} ({self.name})" if self.name else probe.replace("-", " ")


def value(record: Record) -> float | None:
    """A figure in base units; None where there is none, as of a part of a test set."""
    return record.value if record.status == "ok" and record.details.get("complete", True) else None


def unit(known: Iterable[Record]) -> Unit:
    """The unit in which the largest figure of a column has one to three digits before its point, and four in all."""
    records = list(known)
    most = max((abs(r.value) for r in records if r.status == "ok"), default=0.0)
    steps = STEPS[records[0].unit]
    factor, name = next(((f, n) for f, n in steps if most >= f), steps[-1])
    exact = factor == 1 and records[0].unit in ("count", "bytes")
    digits = math.floor(math.log10(most / factor)) if most else 0
    return Unit(name, factor, 0 if exact else max(0, 3 - digits))


def units(rows: Rows) -> dict[str, Unit]:
    """By probe, in the order of the columns."""
    names = dict.fromkeys(probe for records in rows.values() for probe in records)
    return {name: unit(records[name] for records in rows.values()) for name in names}


class Notes:
    """Footnotes: each sentence once, with the mark that leads to it."""

    def __init__(self) -> None:
        self.told = dict[str, str]()

    def mark(self, sentence: str, sign: str = "") -> str:
        """The mark of a sentence: its own sign, else the next number."""
        numbers = sum(mark.isdigit() for mark in self.told.values())
        return self.told.setdefault(sentence, sign or str(numbers + 1))


def notes(rows: Rows, held: Sequence[str]) -> tuple[Notes, dict[tuple[str, str], list[str]]]:
    """The notes of a table, and for each network and probe the marks of its own; a probe of "" is the network."""
    found, marks = Notes(), dict[tuple[str, str], list[str]]()
    for label, records in rows.items():
        if label in held:
            marks[label, ""] = [found.mark(HELD)]
        for probe, record in records.items():
            marks[label, probe] = [found.mark(*told) for told in _told(record)]
    return found, marks


def _told(record: Record) -> Iterable[tuple[str, str]]:
    """What is to be said of one measurement, each with its sign if it has one of its own."""
    if record.status != "ok":
        yield f"{record.probe}: {record.status}: {record.reason}", ""
        return
    details = record.details
    if record.probe in ESTIMATES:
        yield f"{record.probe}: {ESTIMATES[record.probe].format(device=details.get('device', 'a device'))}", "~"
    if heavy := details.get("uncounted_heavy"):
        yield f"{DAGGER.removeprefix('† ')}: {', '.join(heavy)}", "†"
    if told := counted(record):
        yield f"{record.probe} {told}", ""
    if busy := disturbed(record):
        yield f"{DOUBLE_DAGGER.removeprefix('‡ ')}: {'; '.join(spanned(busy))}", "‡"
    if "quality" in record.conditions:
        yield f"{record.probe}: {of_images(record)}", ""


def ways(rows: Rows) -> list[str]:
    """A line for each protocol: which probes were measured by it, and what it is; of what ran, on what machine."""
    by: dict[str, dict[str, None]] = {}
    machines = dict[str, None]()
    for records in rows.values():
        for probe, record in records.items():
            by.setdefault(record.protocol, {})[probe] = None
            if "execution" in record.conditions and record.status == "ok":
                machines[_machine(record)] = None
    lines = [f"{', '.join(names)}: protocol {way} ({protocols.find(way).title})" for way, names in by.items()]
    return lines + [f"run on {machine}" for machine in machines]


def _machine(record: Record) -> str:
    threads = record.details.get("threads")
    told = "" if threads is None else f", {threads} thread{'s' if threads != 1 else ''}"
    return f"{record.machine}{told}" if record.details.get("device") != "cuda" else record.machine


def sentences(rows: Rows, held: Sequence[str]) -> list[str]:
    """All that stands below a table, as text."""
    return [f"{mark}: {told}" for told, mark in notes(rows, held)[0].told.items()] + ways(rows)


def html(rows: Rows, held: Sequence[str]) -> str:
    """The table; figures in units that suit them, intervals small, marks that lead to notes."""
    shown, (found, marks) = units(rows), notes(rows, held)
    head = "".join(f"<th>{escape(u.heading(name))}</th>" for name, u in shown.items())
    body = "\n".join(
        f"<tr><td>{escape(label)}{_signs(marks.get((label, ''), []))}</td>"
        + "".join(_cell(records[name], u, marks[label, name]) for name, u in shown.items())
        + "</tr>"
        for label, records in rows.items()
    )
    below = [f"<sup>{escape(mark)}</sup> {escape(told)}" for told, mark in found.told.items()]
    return framed(f"<thead><tr><th>network</th>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>", below, ways(rows))


def framed(table: str, below: Sequence[str] = (), lines: Sequence[str] = ()) -> str:
    """A table with notes (HTML) and lines of text below it, for a page that has a frame of its own."""
    told = "\n".join(f"<p>{line}</p>" for line in (*below, *map(escape, lines)))
    notes = f'<div class="notes">\n{told}\n</div>\n' if told else ""
    return f'{STYLE}<div class="workbench">\n<table>\n{table}\n</table>\n{notes}</div>\n'


def plain(columns: Sequence[str], rows: Iterable[Sequence[str]], lines: Sequence[str] = ()) -> str:
    """A table of texts."""
    return framed(
        f"<thead><tr>{_row('th', columns)}</tr></thead>\n<tbody>\n"
        + "\n".join(f"<tr>{_row('td', row)}</tr>" for row in rows)
        + "\n</tbody>",
        lines=lines,
    )


def _row(kind: str, entries: Sequence[str]) -> str:
    return "".join(f"<{kind}>{escape(entry)}</{kind}>" for entry in entries)


def _cell(record: Record, unit: Unit, marks: Sequence[str]) -> str:
    known = value(record)
    if known is None:
        return f'<td title="{escape(str(record.reason or ""))}">–{_signs(marks)}</td>'
    low, high = map(unit.figure, record.details.get("interval", (known, known)))
    between = f" <small>[{low}, {high}]</small>" if "interval" in record.details else ""
    return f"<td>{escape(unit.figure(known))}{between}{_signs(marks)}</td>"


def _signs(marks: Sequence[str]) -> str:
    return f"<sup>{escape(' '.join(dict.fromkeys(marks)))}</sup>" if marks else ""
