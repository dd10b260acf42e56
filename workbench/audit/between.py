"""Rules that look beyond one table: other prints of the same thing, and what texts derive from tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

from workbench.digits import cuts_to, rounds_to
from workbench.papers import CLAIMS, names

from .sheet import LAW, Entry, Finding, Sheet, measure, of_images


def papers(sheet: Sheet, others: Sequence[Sheet]) -> Iterator[Finding]:
    """Figures of one method that another table prints otherwise, for the same scale, output size and training set."""
    sources = {other.table.id: other.table.source for other in others}
    for entry in sheet.entries.values():
        differing: dict[str, list[Entry]] = {}
        for other in others:
            for twin in _same(sheet, entry, other):
                if not _equal(entry, twin):
                    differing.setdefault(twin.printed, []).append(twin)
        for printed, twins in differing.items():
            where = dict.fromkeys(f"{twin.place.method} in {sources[twin.place.table]}" for twin in twins)
            told = f"another print of the same has {printed}: {'; '.join(where)}"
            places = tuple(twin.place for twin in twins)
            yield Finding(entry.place, entry.printed, "other print", told, "strong", places, kind="contradicted")


def _same(sheet: Sheet, entry: Entry, other: Sheet) -> Iterator[Entry]:
    """What another table prints of the same thing; times and memory are compared inside one paper only."""
    one, two = sheet.table, other.table
    quality = of_images(entry.column)
    if not entry.column.factor:  # whose unit nobody told
        return
    if quality and (one.training is None or one.training != two.training):
        return
    if not quality and entry.column.probe != "params" and (sheet.hr is None or sheet.hr != other.hr):
        return
    if not quality and entry.column.probe not in LAW and one.paper != two.paper:
        return
    method = names.key(entry.place.method)
    columns = [c for c in two.columns if (c.id == entry.column.id if quality else measure(c) == measure(entry.column))]
    for name in (m for m in other.methods if names.key(m) == method):
        for column in columns:
            twin = other.at(name, entry.place.scale, column.id)
            if twin is not None:
                yield twin


def _equal(one: Entry, other: Entry) -> bool:
    """Whether two prints agree in the digits that the coarser one has, rounded or cut off."""
    fine, coarse = sorted((one, other), key=lambda e: e.unit * e.column.factor)
    value = Decimal(fine.printed) * Decimal(fine.column.factor) / Decimal(coarse.column.factor)
    return rounds_to(value, coarse.printed) or cuts_to(value, coarse.printed)


def claims(sheet: Sheet, others: Sequence[Sheet]) -> Iterator[Finding]:
    """Figures of a text that do not follow from the table they are derived from."""
    rows = {r.variant: r for r in sheet.table.rows if r.variant}
    for claim in CLAIMS.values():
        sides = [s for s in (claim.of, claim.over) if s and s.variant in rows and not s.protocol]
        if claim.table != sheet.table.id or claim.relation not in ("ratio", "difference") or len(sides) < 2:
            continue
        one, other = (sheet.at(rows[s.variant].method, rows[s.variant].scale, s.column) for s in sides)
        if one is None or other is None:
            continue
        low, high = _range(one, other, claim.relation)
        half = Decimal(1).scaleb(int(Decimal(claim.printed).as_tuple().exponent)) / 2
        if not low - half <= Decimal(claim.printed) <= high + half:
            told = f"the text says {claim.sentence}; {one.printed} and {other.printed} give {low:.3f} to {high:.3f}"
            yield Finding(one.place, one.printed, "claim", told, "certain", (other.place,))


def _range(one: Entry, other: Entry, kind: str) -> tuple[Decimal, Decimal]:
    """What a derived figure can be, by what the rounding of the printed ones leaves open."""
    ends = [(Decimal(e.printed) - Decimal(e.unit) / 2, Decimal(e.printed) + Decimal(e.unit) / 2) for e in (one, other)]
    (a, b), (c, d) = ends
    if kind == "difference":
        return a - d, b - c
    return a / d, b / max(c, Decimal(other.unit) / 1000)
