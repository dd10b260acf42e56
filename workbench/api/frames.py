"""Frames of pandas that a notebook shows as this house shows tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pandas

from workbench import cluster, execute, judge, papers, progress, report, store
from workbench.probes import Probe
from workbench.published import Table
from workbench.report import html
from workbench.report import measured as tables
from workbench.spec import Record, Variant

from . import asked


class Plain(pandas.DataFrame):
    """A DataFrame whose TeX has the digits that it has, and whose labels are text: pandas pads and escapes nothing."""

    @property
    def _constructor(self) -> type[pandas.DataFrame]:
        return Plain

    def to_latex(self, buf: Any = None, **options: Any) -> str | None:  # type: ignore[override]  # of pandas, two dozen
        """As pandas writes it, whose options have their meaning; a dash where there is no value."""
        usual = {"float_format": _digits, "escape": True, "na_rep": "--"}
        tex: str | None = super().to_latex(buf, **(usual | options))  # type: ignore[call-overload]
        return tex


class Shown(Plain):
    """A DataFrame with a page of its own. What is computed from it is a plain one, and shown as such.

    Changed in place, it is shown as pandas shows it: the page would tell what it was.
    """

    _metadata = ["_page", "_was"]  # noqa: RUF012  # as pandas wants it
    _page = ""
    _was: pandas.DataFrame | None = None

    @property
    def _constructor(self) -> type[pandas.DataFrame]:
        return pandas.DataFrame

    def shown_as(self, page: str) -> None:
        """Have a notebook show this HTML."""
        self._page, self._was = page, pandas.DataFrame(self, copy=True)

    def _repr_html_(self) -> str | None:
        if self._was is not None and self._was.equals(pandas.DataFrame(self)):
            return self._page
        plain: str | None = pandas.DataFrame(self)._repr_html_()  # type: ignore[operator]  # pandas leaves it bare
        return plain


class Measured(Shown):
    """Networks by probes, in base units (`attrs["units"]`); NaN where there is no value, and a note why.

    `notes` is what stands below the table: what has no value, how something was counted, protocols, the machine.
    `records` has by network and probe the whole record: every repetition, every detail.
    """

    _metadata = [*Shown._metadata, "records", "notes"]  # noqa: RUF012
    records: Mapping[str, Mapping[str, Record]] = {}
    notes: Sequence[str] = ()

    def scaled(self) -> pandas.DataFrame:
        """A plain frame in the units that its page shows, named in the headings: for a paper's table.

        Each figure has four digits, or all before its point: the unit is that of the largest of its column.
        """
        units = tables.units(self.records)
        return Plain({u.heading(n): (self[n] / u.factor).map(_four) for n, u in units.items()}, index=self.index)


def measured(
    chosen: Mapping[str, Variant], probes: Sequence[Probe], protocol: str | Mapping[str, str] | None, at: asked.Store
) -> Measured:
    """What is known of each network by now, or is measured."""
    ways = {p.name: asked.way(p, protocol, probes) for p in probes}
    places, wanted = list[tuple[str, str]](), list[execute.Request]()
    for label, variant in chosen.items():
        places += [(label, p.name) for p in probes]
        wanted += [r for p in probes for r in execute.requests([variant], [p.name], [ways[p.name]])]
    cluster.placed(wanted, here=True)
    found = _records(execute.with_subjects(wanted, at.weights, at.data), at)
    rows: dict[str, dict[str, Record]] = {label: {} for label in chosen}
    for (label, probe), record in zip(places, found, strict=True):
        rows[label][probe] = record
    held = [label for label, variant in chosen.items() if variant.held]
    frame = Measured(
        {p.name: [_number(rows[label][p.name]) for label in rows] for p in probes},
        index=pandas.Index(list(rows), name="network"),
    )
    frame.attrs = {"units": {p.name: p.unit for p in probes}, "protocols": ways}
    frame.records, frame.notes = rows, tables.sentences(rows, held)
    frame.shown_as(tables.html(rows, held))
    return frame


def _records(
    wanted: Sequence[execute.Request], at: asked.Store, contents: store.Contents | None = None
) -> list[Record]:
    """The record of each request: from the store, or measured and appended to it; of what is here only, measured."""
    known: MutableMapping[str, Record] = {}
    if stored := [r for r in wanted if not r.variant.held]:
        contents = contents or store.read(at.records).told()
        known = contents.newest()
        todo = execute.missing(stored, known, at.force)
        known.update({d.request.identity: d.record for d in progress.run(todo, at.records, since=contents)})
    return [_here(r) if r.variant.held else execute.answer(r, known) for r in wanted]


def _here(request: execute.Request) -> Record:
    from workbench.own import state

    with state.untouched():
        return execute.measure(request)


def _four(value: float) -> float:
    """A figure with four digits, or with all before its point if those are more."""
    return round(value, max(0, 3 - math.floor(math.log10(abs(value))))) if value and math.isfinite(value) else value


def _digits(value: float) -> str:
    """A figure without a power of ten, and without zeros that say nothing."""
    return numpy.format_float_positional(value, trim="-")


def _number(record: Record) -> float:
    value = tables.value(record)
    return math.nan if value is None else value


def published(name: str, folder: Path) -> Shown:
    """A published table, judged by a folder of records."""
    table = papers.find_table(name)
    return _cells(name, table, judge.judge(table, store.read(folder).told().newest()))


def changed(
    name: str, added: Mapping[str, Variant], drop: Sequence[str], only: Sequence[int], columns: Sequence[str],
    at: asked.Store,
) -> Shown:  # fmt: skip
    """The same with other rows and columns; of networks that are added what can be counted or planned is measured."""
    from workbench.composing.changed import Changes, change

    wanted = Changes([(None if not v.held and v.name == label else label, v) for label, v in added.items()], drop, only)
    composition, _ = change(papers.find_table(name), replace(wanted, columns=columns))
    requests, contents = composition.requests(), store.read(at.records).told()
    found = zip(requests, _records(requests, at, contents), strict=True)
    known = dict(contents.newest()) | {request.identity: record for request, record in found}
    return _cells(name, composition.table, composition.judged(known))


def _cells(name: str, table: Table, cells: Sequence[judge.Cell]) -> Shown:
    frame = Shown([report.as_object(cell) for cell in cells])
    frame.attrs = {"table": name, "title": table.title, "source": table.source}
    frame.shown_as(html.fragment(table, cells))
    return frame
