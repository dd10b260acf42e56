"""Boards and changes in every format. Names may come from elsewhere: each format escapes them."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from html import escape
from typing import Any

from workbench.changes import KINDS, Change
from workbench.here import disturbed
from workbench.leaders import Board, Figure
from workbench.spec import Record, unknown

from . import answers
from .answers import figure
from .frame import page
from .latex import SPECIAL

UNITS = {
    "latency": ("Latency (ms)", 1e3),
    "memory": ("Memory (MB)", 1e-6),
    "energy": ("Energy (mJ)", 1e3),
    "params": ("Params (K)", 1e-3),
    "macs": ("MACs (G)", 1e-9),
    "quality": ("PSNR (dB)", 1.0),
    "ssim": ("SSIM", 1.0),
}
"""Heading and factor of a column, by probe."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a text begins that a spreadsheet would compute."""

DISTURBED = "‡ the machine was disturbed"


def render(boards: Sequence[Board], format: str) -> str:
    """Boards in one of FORMATS."""
    if format not in FORMATS:
        raise unknown("format", format, FORMATS, "workbench leaderboard --help")
    return FORMATS[format](boards)


def _title(board: Board) -> str:
    return f"{board.device}, protocol {board.protocol}{', ' + board.scale if board.scale else ''}"


def _columns(board: Board) -> list[str]:
    return [probe for probe in UNITS if any(probe in place.figures for place in board.places)]


def _shown(figure: Figure | None, probe: str) -> str:
    if figure is None:
        return "–"
    factor = UNITS[probe][1]
    told = _digits(figure.value * factor)
    if figure.low is not None and figure.high is not None:
        told += f" [{_digits(figure.low * factor)}, {_digits(figure.high * factor)}]"
    return f"{told}{' ‡' if figure.disturbed else ''}"


def _digits(value: float) -> str:
    """Four digits, zeros at the end too, as a column has them; of what is larger all before the point."""
    if abs(value) < 1000:
        return f"{value:#,.4g}".rstrip(".")
    return f"{value:,.0f}" if abs(value) < answers.LONG else f"{value:.4g}"


def _rows(board: Board) -> list[list[str]]:
    columns = _columns(board)
    return [[str(p.rank), p.variant, *(_shown(p.figures.get(c), c) for c in columns)] for p in board.places]


def _marked(boards: Sequence[Board]) -> bool:
    return any(f.disturbed for b in boards for p in b.places for f in p.figures.values())


def _markdown(boards: Sequence[Board]) -> str:
    lines = ["# Leaderboard", ""]
    for board in boards:
        head = ["Rank", "Network", *(UNITS[c][0] for c in _columns(board))]
        lines += [f"## {_md(_title(board))}", "", _line(head), _line(["---:", "---", *["---:"] * (len(head) - 2)])]
        lines += [_line([rank, _md(name), *figures]) for rank, name, *figures in _rows(board)] + [""]
    lines += [f"{DISTURBED}.", ""] if _marked(boards) else []
    return "\n".join([*lines, SHARED_RANK]) + "\n"


SHARED_RANK = "Who shares a rank cannot be told apart; of two devices nothing is compared."


def _md(text: str) -> str:
    for character in "\\|`*_[]":
        text = text.replace(character, "\\" + character)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _line(entries: Sequence[str]) -> str:
    return "| " + " | ".join(entries) + " |"


def _objects(boards: Sequence[Board]) -> list[dict[str, Any]]:
    return [
        {"device": b.device, "protocol": b.protocol, "scale": b.scale, "rank": p.rank, "variant": p.variant}
        | {f"{c}{what}": v for c in UNITS if c in _columns(b) for what, v in _parts(p.figures.get(c))}
        for b in boards
        for p in b.places
    ]


def _parts(figure: Figure | None) -> list[tuple[str, Any]]:
    found = figure or Figure(float("nan"))
    value = None if figure is None else found.value
    return [
        ("", value),
        ("_low", found.low),
        ("_high", found.high),
        ("_disturbed", found.disturbed if figure else None),
    ]


def _csv(boards: Sequence[Board]) -> str:
    rows = _objects(boards)
    names = list(dict.fromkeys(["device", "protocol", "scale", "rank", "variant", *(n for row in rows for n in row)]))
    return _table(names, rows)


def _table(names: Sequence[str], rows: Sequence[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=names, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows({k: _harmless(v) for k, v in row.items()} for row in rows)
    return out.getvalue()


def _harmless(value: Any) -> Any:
    """A text that no spreadsheet takes for a formula."""
    return "" if value is None else f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _json(boards: Sequence[Board]) -> str:
    return json.dumps([asdict(b) for b in boards], indent=1, ensure_ascii=False) + "\n"


def _html(boards: Sequence[Board]) -> str:
    parts = ["<h1>Leaderboard</h1>\n"]
    for board in boards:
        head = "<th class=rank>Rank</th><th class=name data-sort=text>Network</th>" + "".join(
            f"<th>{UNITS[c][0]}</th>" for c in _columns(board)
        )
        body = "\n".join(
            f"<tr><td class=rank>{escape(rank)}</td><td class=name>{escape(name)}</td>"
            f"{''.join(f'<td>{escape(e)}</td>' for e in figures)}</tr>"
            for rank, name, *figures in _rows(board)
        )
        table = f'<table class="sortable">\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>'
        parts.append(f'<section>\n<h2>{escape(_title(board))}</h2>\n<div class="wide">\n{table}\n</div>\n</section>\n')
    told = f"{DISTURBED}. " if _marked(boards) else ""
    return page("Leaderboard", "".join(parts) + f'<p class="summary">{told}{SHARED_RANK}</p>\n')


def _tex(boards: Sequence[Board]) -> str:
    lines = [r"% Needs \usepackage{booktabs}; a tabular for each device and protocol."]
    for board in boards:
        columns = _columns(board)
        lines += [f"% {_title(board)}".replace("\n", " "), rf"\begin{{tabular}}{{rl{'r' * len(columns)}}}", r"\toprule"]
        width = 2 + len(columns)
        lines.append(rf"\multicolumn{{{width}}}{{l}}{{{_latex(_title(board))}}} \\")
        lines += [" & ".join(["", "Network", *(UNITS[c][0] for c in columns)]) + r" \\", r"\midrule"]
        lines += [" & ".join(map(_latex, row)) + r" \\" for row in _rows(board)]
        lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [
        rf"\par {{\small {_latex(told)}}}" for told in ([f"{DISTURBED}."] if _marked(boards) else []) + [SHARED_RANK]
    ]
    return "\n".join(lines) + "\n"


def _latex(text: str) -> str:
    return "".join(SPECIAL.get(character, character) for character in text)


FORMATS: dict[str, Callable[[Sequence[Board]], str]] = {
    "md": _markdown,
    "csv": _csv,
    "tex": _tex,
    "html": _html,
    "json": _json,
}


EXACT = 17
"""Digits that tell any two numbers apart."""

GONE = 10
"""Of what is only in the first, how many are named: another machine's store lacks all that is timed here."""


def changes(found: Sequence[Change], margin: float, rate: float) -> str:
    """What changed, a line each, worst first; then how many of each kind, and what the test promises."""
    counted = Counter(c.kind for c in found)
    lines, gone = list[str](), 0
    for c in found:
        gone += c.kind == "gone"
        if c.kind not in ("same", "new") and (c.kind != "gone" or gone <= GONE):
            one = c.record
            lines.append(f"{c.kind}: {one.probe} of {one.variant} under {one.protocol}{_on(c)}: {_told(c)}")
        elif c.kind == "gone" and gone == counted["gone"]:
            lines.append(f"gone: and {gone - GONE} more")
    told = [f"{counted[kind]} {kind}" for kind in KINDS if counted[kind]]
    lines.append(f"{len(found)} compared: {', '.join(told) or 'nothing on either side'}.")
    if tests := sum(c.p is not None for c in found):
        lines.append(
            f"{tests} test{'s' if tests != 1 else ''} of times: where none changed by more than {margin:.0%}, at most "
            f"{rate:.0%} of diffs call any of them slower or faster (Welch on blocks of runs, Holm over all)."
        )
    times = [r for c in found if c.p is not None for r in (c.before, c.after) if r]
    if why := answers.disturbed(times):
        number = sum(bool(disturbed(r)) for r in times)
        lines.append(f"{why} {number} of {len(times)} times that were tested; what differs may be that.")
    return "\n".join(lines) + "\n"


def _on(change: Change) -> str:
    machine = change.record.conditions.get("machine")
    return f" on {machine}" if machine else ""


def _told(change: Change) -> str:
    a, b = change.before, change.after
    assert a is not None
    there = [r for r in (a, b) if r]
    figures, sound = _figures(there), all(r.status == "ok" for r in there)
    if not sound:
        figures = [f"{f} {r.unit}" if r.status == "ok" else f for f, r in zip(figures, there, strict=True)]
    told = f"{' to '.join(figures)}{f' {a.unit}' if sound else ''}{'' if b else ', only in the first'}"
    if change.ratio is not None and change.ratio != 1:
        by = change.ratio - 1
        told += f", {by:+.1%}" if abs(by) >= 0.0005 else f", {100 * by:+.1g}%"
    return f"{told}, p {change.p:.2g}" if change.p is not None else told


def _figures(records: Sequence[Record]) -> list[str]:
    """What records say, with digits that mean something; with more, where two that differ would read alike."""

    def told(digits: int) -> list[str]:
        return [
            figure(r, digits) + ("‡" if disturbed(r) else "") if r.status == "ok" else f"{r.status} ({r.reason})"
            for r in records
        ]

    alike = len({r.value for r in records if r.status == "ok"}) < 2
    return next((t for t in map(told, range(4, EXACT)) if alike or len(set(t)) > 1), told(EXACT))


def change_object(change: Change) -> dict[str, Any]:
    """A change as JSON shows it."""
    a, b, one = change.before, change.after, change.record
    return {
        "kind": change.kind,
        "variant": one.variant,
        "probe": one.probe,
        "protocol": one.protocol,
        "machine": one.conditions.get("machine"),
        "unit": one.unit,
        "before": a.value if a and a.status == "ok" else None,
        "after": b.value if b and b.status == "ok" else None,
        "ratio": change.ratio,
        "p": change.p,
        "disturbed": [bool(r and r.status == "ok" and disturbed(r)) for r in (a, b)],
        "recorded": [a and a.recorded_at, b and b.recorded_at],
        "commits": [a and a.environment.get("commit"), b and b.environment.get("commit")],
    }
