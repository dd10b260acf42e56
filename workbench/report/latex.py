"""A table as LaTeX (booktabs): printed figures grey, measured ones beside them, best bold, second underlined."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.judge import Cell, summary
from workbench.published import Column, Table

from . import times
from .layout import (
    DAGGER,
    DOUBLE_DAGGER,
    SECTION,
    by_row,
    disturbances,
    left_out,
    measured,
    obtained,
    printed,
    rank,
    split,
)

SPECIAL = {
    **{character: "\\" + character for character in "&%#_${}"},
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "–": "--",
    "†": r"$^\dagger$",
    "§": r"\S{}",
    "‡": r"$^\ddagger$",
    "≈": r"$\approx$",
    "~": r"$\sim$",
}
LATIN = 0x17F
"""The last character of the Latin alphabets that LaTeX knows in UTF-8 without a package."""

SET = "‘’“”„‚—…•€‰‹›"
"""What it knows beyond them, of punctuation."""

NEEDS = r"% Needs \usepackage{booktabs,xcolor}; wide: wrap it in \resizebox{\textwidth}{!}{...}."


def render(table: Table, cells: Sequence[Cell]) -> str:
    """A `tabular` to be input into a `table*`; its first lines say which packages it needs."""
    pairs, plain = split(table, cells)
    rows = by_row(cells)
    timed = [c for c in table.columns if any(cell.here for cell in cells if cell.column == c.id)]
    aligned = "ll" + "rr" * len(pairs) + "r" * len(plain + timed)
    groups = [rf"\multicolumn{{2}}{{c}}{{{_escape(_unit(c))}}}" for c in pairs] + [_escape(_unit(c)) for c in plain]
    groups += [_escape(times.beside(c, cells)[0]) for c in timed]
    kinds = [kind for c in pairs for kind in ("printed", obtained(c, cells)[0])] + [""] * len(plain + timed)
    rules = " ".join(rf"\cmidrule(lr){{{3 + 2 * i}-{4 + 2 * i}}}" for i in range(len(pairs)))
    marks = {name: "abcdefghijklmnopqrstuvwxyz"[i] for i, name in enumerate(_foreign(table, cells))}
    lines = [
        f"% {table.source}. {summary(table, cells)}",
        *(f"% {told}" for told in times.said(table, cells)),
        NEEDS,
        rf"\begin{{tabular}}{{{aligned}}}",
        r"\toprule",
        " & ".join(["Method", "Scale", *groups]) + r" \\",
        *([rules] if rules else []),
        " & ".join(["", "", *kinds]) + r" \\",
    ]
    scale = 0
    for row in rows:
        first = next(iter(row.values()))
        if first.scale != scale:
            lines.append(r"\midrule")
            scale = first.scale
        shown = [_escape(first.method), rf"$\times${scale}"]
        for column in pairs:
            cell = row[column.id]
            mark = f"$^{marks[cell.protocol]}$" if cell.verdict == "explained" and cell.protocol in marks else ""
            shown.append(_ranked(cell, column, rows, printed(cell), True))
            shown.append(_ranked(cell, column, rows, measured(cell), False) + mark)
        shown += [_ranked(row[c.id], c, rows, printed(row[c.id]), True) for c in plain]
        shown += [_escape(times.here(row[c.id])) for c in timed]
        lines.append(" & ".join(shown) + r" \\")
    said = [rf"$^{mark}$ {_escape(name)}" for name, mark in marks.items()]
    said += [_escape(DAGGER)] if left_out(cells) else []
    said += [_escape(DOUBLE_DAGGER)] if disturbances(cells) else []
    said += [_escape(SECTION)] if any(c.audit for c in cells) else []
    said += [r"$\sim$ an estimate, not measured"] if any(c.estimate is not None for c in cells) else []
    width = 2 + 2 * len(pairs) + len(plain + timed)
    foot = [rf"\multicolumn{{{width}}}{{l}}{{\footnotesize {'; '.join(said)}.}} \\"] if said else []
    whole = [*lines, r"\bottomrule", *foot, r"\end{tabular}"]
    floating = _floating(table.caption, whole) if table.caption else whole
    return "\n".join([*_unset(floating), *floating]) + "\n"


def _unset(lines: Sequence[str]) -> list[str]:
    """What has to be said of characters that pdflatex has no letters for; in comments they do no harm."""
    said = "".join(line for line in lines if not line.startswith("%"))
    if strange := sorted({c for c in said if ord(c) > LATIN and c not in SET}):
        return [f"% pdflatex cannot set {' '.join(strange)}; use XeLaTeX or LuaLaTeX, with a font that has them."]
    return []


def _floating(caption: str, tabular: Sequence[str]) -> list[str]:
    """A table with its caption, as wide as the page."""
    start = tabular.index(NEEDS)
    return [
        *tabular[:start],
        r"% Needs \usepackage{booktabs,xcolor,graphicx}.",
        r"\begin{table*}[t]",
        r"\centering",
        rf"\caption{{{_escape(caption)}}}",
        r"\resizebox{\textwidth}{!}{%",
        *tabular[start + 1 :],
        "}",
        r"\end{table*}",
    ]


def _foreign(table: Table, cells: Sequence[Cell]) -> list[str]:
    """Protocols other than the table's own that measured figures were obtained under."""
    return list(dict.fromkeys(c.protocol for c in cells if c.verdict == "explained" and c.protocol != table.protocol))


def _ranked(cell: Cell, column: Column, rows: Sequence[dict[str, Cell]], text: str, reported: bool) -> str:
    """Bold for the best of the scale, underlined for the second; printed figures stay grey."""
    shown = _escape(text)
    command = ("", r"\textbf", r"\underline")[rank(cell, column, rows, reported)]
    shown = f"{command}{{{shown}}}" if command else shown
    return _grey(shown) if reported else shown


def _unit(column: Column) -> str:
    return f"{column.title} ({column.unit})" if column.unit and column.unit != "dB" else column.title


def _grey(text: str) -> str:
    return rf"\textcolor{{gray}}{{{text}}}"


def _escape(text: str) -> str:
    return "".join(SPECIAL.get(character, character) for character in text)
