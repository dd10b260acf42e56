"""A researcher's own table, read from a CSV file: which columns are what, by their names or as told."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from workbench import papers
from workbench.digits import COUNTS, moved, split
from workbench.papers import names
from workbench.papers.printed import FLOPS, LATENCY, MEMORY, PARAMS, SETS
from workbench.published import Column, Row, Table
from workbench.spec import UserError

LONGEST = 1000
"""Rows of a table that anybody printed; what has more is some other file."""

WIDEST = 200
LARGEST = 2**22
"""Bytes of a file that is read at all."""

EMPTY = {"", "-", "–", "—", "n/a", "na", "nan", "none", "/"}
SEPARATORS = ",;\t|"
COSTS = {
    r"param": PARAMS,
    r"flop|macs?\b|multi? ?adds?": FLOPS,
    r"latency|runtime|time": LATENCY,
    r"mem": MEMORY,
}
MEASURES = {"psnr": ("dB", "quality"), "ssim": ("", "ssim")}
"""Unit and probe."""
UNITS: Mapping[str, Mapping[str, tuple[str, float]]] = {
    "latency": {"s": ("s", 1.0), "sec": ("s", 1.0), "us": ("us", 1e-6), "µs": ("us", 1e-6)},
    "memory": {"kb": ("KB", 2**10), "kib": ("KB", 2**10), "gb": ("GB", 2**30), "gib": ("GB", 2**30)},
}
"""By probe, what a heading may name in place of its column's own unit: ms, MB."""
FACTORS = {"k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}
METHOD, SCALE = r"(method|model|network|name)s?", r"(up)?scale( factor)?|factor"


def training(told: str) -> str:
    """The training set of that name as papers print it; one that none of theirs is would compare with nothing."""
    known = {t.training.casefold(): t.training for t in papers.TABLES.values() if t.training}
    if told.casefold() not in known:
        listed = " and ".join(sorted(known.values()))
        raise UserError(
            f"No paper here has networks trained on {told!r}, so image quality would be compared with none; known: "
            f"{listed}. Leave --training out."
        )
    return known[told.casefold()]


def read(
    path: Path,
    columns: Mapping[str, str] | None,
    scale: int | None = None,
    training: str | None = None,
    protocol: str = "",
    fewest: int = 2,
) -> tuple[Table, list[str]]:
    """A table, and the headings that are not looked at since nothing says what they are.

    `columns` says of a heading what it is: `method`, `scale`, `params`, `flops`, `latency`, `memory`, or a test set
    with a measure (`set5_psnr`); None where that cannot be told, and headings have to say it. `scale` is that of
    all rows where no column has it. Image quality is compared with other prints only where `training` is told,
    multiply-adds where `protocol` is. Bold figures (`**38.35**`, `\\textbf{38.35}`) are marks of the best. Counts
    whose heading names no unit (K, M, G, T) have a factor of 0, which compares them with no other print. A file
    with less than `fewest` rows is refused.
    """
    head, lines = _lines(path, fewest)
    untold, columns = columns is None, columns or {}

    def mend(kind: str) -> str:
        return f"head it {kind!r}" if untold else f"name it: --column 'NAME={kind}'"

    if strange := [name for name in columns if name not in head]:
        raise UserError(f"{path} has no column {strange[0]!r}; it has: {', '.join(head)}.")
    meant = {name: what for name in head if (what := _meaning(columns.get(name, name), name in columns))}
    twice = [what for what in meant.values() if list(meant.values()).count(what) > 1]
    if twice:
        both = " and ".join(repr(n) for n, what in meant.items() if what == twice[0])
        which = "rename one of them" if untold else "say what one of them is: --column 'NAME=set5_psnr'"
        raise UserError(f"In {path}, {both} are the same thing; {which}.")
    kinds = {what if isinstance(what, str) else what.id: name for name, what in meant.items()}
    if "method" not in kinds:
        raise UserError(f"{path} has no column of methods among {', '.join(head)}; {mend('method')}.")
    if "scale" not in kinds and scale is None:
        raise UserError(f"{path} has no column of scales; {mend('scale')}, or give one: --scale 4")
    figures = [c for c in meant.values() if isinstance(c, Column)]
    if not figures:
        known = "set5_psnr, urban100_ssim, params, flops, latency, memory"
        how = "head one as it is known" if untold else "say what one is: --column 'NAME=...'"
        raise UserError(f"No column of {path} is one to check; {how}: {known}.")
    named = [(number, dict(zip(head, line, strict=True))) for number, line in lines]
    by_kind = [(number, {kind: line[name] for kind, name in kinds.items()}) for number, line in named]
    bare = {c.id for c in figures if not c.factor}
    figures = [_united(c, [fields[c.id] for _, fields in by_kind]) if c.id in bare else c for c in figures]
    written = {c.id for c in figures if c.id in bare and c.factor}
    rows, bold = _rows(path, by_kind, {c.id: c for c in figures}, scale, written)
    title = f"{len(rows)} rows, {len(figures)} columns"
    table = Table(path.name, title, path.name, str(path), protocol, tuple(figures), rows, training=training, bold=bold)
    return table, [name for name in head if name not in meant]


def _lines(path: Path, fewest: int) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The headings, and the lines below them with their numbers."""
    try:
        if path.stat().st_size > LARGEST:
            raise UserError(f"{path} has over {LARGEST >> 20} MiB; a printed table is smaller; name another file.")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(
            f"Cannot read {path}: {error.strerror}. Give a CSV file, or a table of: workbench tables"
        ) from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text in UTF-8 (byte {error.start}); save it as a CSV file in UTF-8.") from None
    first = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(SEPARATORS, key=first.count)
    if separator not in first:
        what = "is empty" if not first else f"begins with {first[:40]!r}, which has one column"
        raise UserError(f"{path} {what}; the first line has to name the columns: method,scale,set5_psnr,...")
    try:
        read = csv.reader(text.splitlines(), delimiter=separator, strict=True, skipinitialspace=True)
        lines = [(read.line_num, [field.strip() for field in line]) for line in read if any(f.strip() for f in line)]
    except csv.Error as error:
        raise UserError(f"{path} is no CSV file: {error}; check its quotes.") from None
    if separator == "|":  # of Markdown: borders and a ruler
        lines = [(n, line[1:-1] if line[0] == line[-1] == "" else line) for n, line in lines]
        lines = [(n, line) for n, line in lines if not all(re.fullmatch(":?-{2,}:?", f) for f in line)]
    (_, head), *rest = lines
    if all(_number(field) is not None for field in head if field) or sum(_number(f) is not None for f in head) > 1:
        raise UserError(f"{path} has no line of headings: its first is {first[:40]!r}; name the columns there.")
    if len(set(head)) < len(head):
        again = next(name for name in head if head.count(name) > 1)
        raise UserError(f"{path} names column {again!r} twice; give each a name of its own.")
    if len(rest) > LONGEST or len(head) > WIDEST:
        raise UserError(
            f"{path} has {len(rest):,} rows and {len(head)} columns; "
            f"a printed table has at most {LONGEST:,} and {WIDEST}."
        )
    if len(rest) < fewest:
        if not rest:
            raise UserError(f"{path} has no row below its headings; there is no figure in it.")
        raise UserError(f"{path} has 1 row below its headings; a figure is checked against those of others.")
    for number, line in rest:
        if len(line) != len(head):
            raise UserError(f"Line {number} of {path} has {len(line)} fields, and there are {len(head)} headings.")
    return head, rest


def _meaning(name: str, told: bool) -> Column | str | None:
    """What a heading says its column is; None if it says nothing that is known."""
    plain = re.sub(r"[\s_/:,#.-]+", " ", re.sub(r"[\[\](){}]", " ", name)).strip().casefold()
    if re.fullmatch(METHOD, plain):
        return "method"
    if re.fullmatch(SCALE, plain):
        return "scale"
    measure = re.search(r"\b(psnr|ssim)\b", plain)
    if measure:
        where = re.sub(r"\b(psnr|ssim|db|y|on)\b", "", plain).replace(" ", "") or "images"
        where = {"bsd100": "b100", "bsds100": "b100"}.get(where, where)
        title = f"{SETS.get(where, where)} {measure[0].upper()}"
        return Column(f"{where}_{measure[0]}", title, *MEASURES[measure[0]], 1, "high", "")
    for pattern, column in COSTS.items():
        if re.search(pattern, plain):
            unit = re.search(r"\b([kmgt])(flops?|macs?)?\b", plain)
            if column in (PARAMS, FLOPS):
                return replace(column, unit=unit[1].upper() if unit else "", factor=FACTORS[unit[1]] if unit else 0)
            known = UNITS.get(column.probe, {})
            told_unit = next((known[word] for word in plain.split() if word in known), None)
            return replace(column, unit=told_unit[0], factor=told_unit[1]) if told_unit else column
    if told:
        raise UserError(
            f"--column cannot be told that something is {name!r}; known: method, scale, params, flops, latency, "
            "memory, or a test set with psnr or ssim, such as set5_psnr."
        )
    return None


def _rows(
    path: Path,
    lines: Iterable[tuple[int, dict[str, str]]],
    figures: Mapping[str, Column],
    scale: int | None,
    written: Collection[str],
) -> tuple[tuple[Row, ...], frozenset[tuple[str, int, str]]]:
    """Rows by the kinds of their columns, and which of their figures are bold.

    In columns that are `written` with units behind their figures, each has to have one.
    """
    rows: dict[tuple[str, int], Row] = {}
    bold = set()
    for number, fields in lines:
        method = _bare(fields["method"])[0]
        if not method:
            raise UserError(f"Line {number} of {path} names no method; each row needs one.")
        digits = re.fullmatch(r"[x×]?\s*(\d+)\s*[x×]?", fields.get("scale", str(scale)).casefold())
        if not digits or not 1 <= int(digits[1]) <= 64:
            raise UserError(f"Line {number} of {path} has scale {fields['scale']!r}; write a whole number: 4 or x4.")
        at = int(digits[1])
        if (method, at) in rows:
            raise UserError(f"Line {number} of {path} has {method} x{at} a second time; give each row its own name.")
        printed = {}
        for name, column in figures.items():
            whole, marked = _bare(fields[name])
            text, factor = split(whole, column.probe)
            if text.casefold() in EMPTY:
                continue
            if _number(text) is None:
                raise UserError(
                    f"Line {number} of {path}, {column.title}: {whole[:40]!r} is no figure; write one figure in "
                    "digits, or - for none."
                )
            if column.id in written and factor is None:
                raise UserError(
                    f"Line {number} of {path}, {column.title}: {whole[:40]!r} has no unit, and others of its "
                    "column have one; write it there too, or in the heading."
                )
            plain = text.replace(",", ".")
            printed[column.id] = plain if factor is None else moved(plain, factor, column.factor)
            if marked:
                bold.add((method, at, column.id))
        rows[method, at] = Row(method, at, names.variant(method, at), printed)
    return tuple(rows.values()), frozenset(bold)


def _united(column: Column, fields: Iterable[str]) -> Column:
    """A column whose heading names no unit in that of its first figure that has one."""
    for text in fields:
        factor = split(_bare(text)[0], column.probe)[1]
        if factor is not None:
            return replace(column, unit=next(u for u, f in COUNTS.items() if f == factor), factor=factor)
    return column


def _bare(text: str) -> tuple[str, bool]:
    """A field without its bold, and whether it was bold."""
    match = re.fullmatch(r"\*\*(.*)\*\*|\\textbf\{(.*)\}|<b>(.*)</b>", text)
    return ((match[1] or match[2] or match[3] or "").strip(), True) if match else (text, False)


def _number(text: str) -> float | None:
    """A figure in plain digits, with a point or a comma; None if it is none."""
    return float(text.replace(",", ".")) if re.fullmatch(r"-?\d{1,15}([.,]\d{1,12})?", text) else None
