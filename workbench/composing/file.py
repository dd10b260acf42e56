"""A table of one's own, as a TOML file describes it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from workbench import described, own, papers, protocols
from workbench.described import Section
from workbench.own import references
from workbench.papers import names
from workbench.published import Column, Row, Table
from workbench.spec import UserError

from . import Composition, Line, changed, compose, networks, reported
from .columns import column, pick

T = TypeVar("T")

KEYS = ("caption", "protocol", "columns", "scales", "rows")
FORMS = {
    "from": ("from", "rows", "drop"),
    "csv": ("csv", "rows", "scale"),
    "model": ("label", "model", "scale", "arguments", "reported"),
    "label": ("label", "scale", "reported"),
}
"""The keys of each kind of row, by the key that makes it one."""

PLAIN = ("params", "macs", "planned-memory")
"""The columns of a table that names none and takes no rows of a published one."""


@dataclass(frozen=True)
class File:
    """What holds for all rows of such a file."""

    folder: Path
    table: Table
    chosen: bool
    """Whether the file names its protocol, so that printed figures have to be of the same."""
    timeout: float | None


def read(path: Path, timeout: float | None = None) -> Composition:
    """The table that a file describes; paths in it begin where it lies."""
    section = described.read(path, "a table", "docs/howto/your-table.md")
    section.only(*KEYS)
    entries = section.get("rows", list)
    if not entries:
        raise section.wrong("rows", "there are none; give a list: rows = ['esc-x4', {from = 'esc-table2'}]")
    source = next((_source(section, i, e) for i, e in enumerate(entries) if isinstance(e, dict) and "from" in e), None)
    named = section.line("protocol")
    protocol = section.made("protocol", lambda: protocols.find(named).name) if named else None
    caption = section.line("caption")
    table = Table(
        id=path.stem,
        title=caption or path.stem,
        paper=path.stem,
        source=" ".join(path.name.split()),
        protocol=protocol or (source.protocol if source else "esc"),
        columns=_columns(section, source),
        rows=(),
        reference=None,
        training=source.training if source else None,
        caption=caption,
    )
    for c in table.columns:
        section.made("columns", lambda c=c: protocols.find("+".join(filter(None, (table.protocol, c.modifier)))))  # type: ignore[misc]
    file = File(path.resolve().parent, table, protocol is not None, timeout)
    lines = [line for number, entry in enumerate(entries) for line in _lines(section, file, number, entry)]
    scales = _scales(section, lines)
    return compose(table, [line for line in lines if not scales or line.row.scale in scales])


def _columns(section: Section, source: Table | None) -> tuple[Column, ...]:
    words = section.lines("columns")
    if words is None:
        return source.columns if source else tuple(map(column, PLAIN))
    if not words:
        raise section.wrong("columns", f"there are none; leave it out, or name some: {', '.join(PLAIN)}")
    given = source.columns if source else ()
    return tuple(dict.fromkeys(section.made("columns", lambda w=w: pick(given, w)) for w in words))  # type: ignore[misc]


def _scales(section: Section, lines: list[Line]) -> set[int]:
    found, known = section.get("scales", list) or [], {line.row.scale for line in lines}
    for scale in found:
        if isinstance(scale, bool) or scale not in known:
            has = ", ".join(map(str, sorted(known)))
            raise section.wrong("scales", f"{described.shown(scale)} is no scale of its rows; they have {has}")
    return set(found)


def _source(section: Section, number: int, entry: Mapping[str, Any]) -> Table:
    inner = Section(section.file, section.text, f"rows[{number + 1}]", entry)
    name = inner.line("from") or ""
    return inner.made("from", lambda: papers.find_table(name))


def _lines(section: Section, file: File, number: int, entry: object) -> list[Line]:
    """The lines of one entry of `rows`."""
    if isinstance(entry, str):
        entry = {"model": entry}
    if not isinstance(entry, dict):
        raise section.wrong("rows", f"{described.shown(entry)} is no row; write 'esc-x4', or a table in {{}}")
    inner = Section(section.file, section.text, f"rows[{number + 1}]", entry)
    kind = next((key for key in FORMS if key in entry), None)
    if kind is None:
        inner.only(*dict.fromkeys(key for keys in FORMS.values() for key in keys))
        raise section.wrong("rows", f"rows[{number + 1}] has none of: {', '.join(FORMS)}; one of them says what it is")
    inner.only(*FORMS[kind])
    if kind == "from":
        return _printed(inner, file, _source(section, number, entry))
    return _read(inner, file) if kind == "csv" else [_own(inner, file)]


def _printed(inner: Section, file: File, source: Table) -> list[Line]:
    """Rows of a published table, which are judged as they are there."""
    if file.chosen and not _same(source.protocol, file.table.protocol):
        raise inner.wrong(
            "from",
            f"figures of {source.id} are of protocol {source.protocol}, which counts or feeds otherwise than "
            f"{file.table.protocol}; leave `protocol` out, or name networks without their printed figures: 'esc-x4'",
        )
    wanted, drop = inner.lines("rows"), inner.lines("drop") or []
    rows = source.rows
    if wanted is not None:
        picked = inner.made("rows", lambda: changed.dropped(source, wanted, rows))
        rows = tuple(next(r for r in rows if (r.method, r.scale) == place) for place in dict.fromkeys(picked))
    gone = inner.made("drop", lambda: changed.dropped(source, drop, rows))
    return [Line(row, source, row.method) for row in rows if (row.method, row.scale) not in gone]


def _read(inner: Section, file: File) -> list[Line]:
    """Rows of a CSV file, shown as reported."""
    path = file.folder / (inner.line("csv") or "")
    found = inner.made("csv", lambda: _told(lambda: reported.read(path, inner.get("scale", int))))
    if found.strange:
        raise inner.wrong("csv", f"nothing is known of the columns {', '.join(found.strange)} of {path}; rename them")
    wanted = inner.lines("rows")
    if wanted is not None:
        kept = inner.made("rows", lambda: changed.dropped(file.table, wanted, found.rows))
        found = replace(found, rows=tuple(r for r in found.rows if (r.method, r.scale) in kept))
    return changed.others(found, file.table, file.table.columns)


def _own(inner: Section, file: File) -> Line:
    """A network, or what is only reported of one."""
    label, scale, given = inner.line("label"), inner.get("scale", int), inner.inner("reported")
    if scale is not None and not 1 <= scale <= 64:
        raise inner.wrong("scale", f"{scale} is no scale; write a whole number from 1 to 64")
    name = inner.line("model")
    if name is None:
        if scale is None:
            raise inner.wrong("label", "a row without a model needs its scale: scale = 4")
        row = Row(str(label), scale, names.variant(str(label), scale), _reported(given, file))
        return Line(replace(row, variant=None), file.table)
    arguments = tuple(f"{key}={_literal(value)}" for key, value in (inner.get("arguments", dict) or {}).items())
    if arguments and not references.parse(name):
        raise inner.wrong("arguments", f"they are for a network of your own, and {name} is one of the catalogue")
    asked = own.Asked(scale, arguments, file.timeout)
    network = inner.made("model", lambda: _told(lambda: networks.find(name, asked, file.folder)))
    if scale not in (None, network.scale):
        raise inner.wrong("scale", f"{network.name} is of x{network.scale}")
    row = networks.row(network, label)
    return Line(replace(row, printed=_reported(given, file)), file.table, network=network)


def _reported(given: Section | None, file: File) -> dict[str, str]:
    """Figures by column: each has to be one that the table shows."""
    found = dict[str, str]()
    for key, value in given.values.items() if given else ():
        assert given
        shown = given.made(key, lambda key=key: pick(file.table.columns, key))  # type: ignore[misc]
        if shown not in file.table.columns:
            has = ", ".join(c.id for c in file.table.columns)
            raise given.wrong(key, f"the table does not show it; its columns: {has}")
        found[shown.id] = given.made(key, lambda v=value, c=shown: reported.typed(v, c))  # type: ignore[misc]
    return found


def _told(make: Callable[[], T]) -> T:
    """What `make` makes; its UserError says keys of a row where it advises options, `scale = 4` for `--scale 4`."""
    try:
        return make()
    except UserError as error:
        told = re.sub(r"--scale (\d+)", r"scale = \1", str(error))
        raise UserError(re.sub(r"--arg \w+=\.\.\.(?: --arg \w+=\.\.\.)*", _arguments, told)) from None


def _arguments(options: re.Match[str]) -> str:
    return "arguments = {" + ", ".join(f"{name} = ..." for name in re.findall(r"--arg (\w+)", options[0])) + "}"


def _literal(value: object) -> str:
    """A value of TOML as Python writes it."""
    return str(value) if not isinstance(value, str | list | dict) else repr(value)


def _same(one: str, other: str) -> bool:
    """Whether two protocols give the same costs: they feed, build and count alike."""
    a, b = protocols.find(one), protocols.find(other)
    return (a.input, a.build, a.counting, a.planning) == (b.input, b.build, b.counting, b.planning)
