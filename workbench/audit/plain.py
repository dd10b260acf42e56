"""Rules that need no statistics: what is impossible, what is written otherwise, what order and marks demand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations

from .sheet import Entry, Finding, Sheet, measure, of_images

POSSIBLE = {"psnr": (5.0, 80.0, "dB"), "ssim": (-1.0, 1.0, "")}
"""Least and most of a measure: noise against an image has over 5 dB, 8 bits and one wrong pixel in a million 108."""

AGREED = 0.85
"""The fraction of a measure's figures that have to be printed with as many decimals, for another number to be odd."""

GROWTH = 1.25
"""How much parameters may differ between scales: only the upsampler does; EDSR's, the largest of a small net, 1.14."""


def impossible(sheet: Sheet, others: Sequence[Sheet]) -> Iterator[Finding]:
    """Figures that no measurement gives: SSIM above 1, a cost that is not positive."""
    for entry in sheet.entries.values():
        low, high, unit = POSSIBLE.get(measure(entry.column), (None, None, ""))
        if low is None and not of_images(entry.column) and entry.value <= 0:
            yield Finding(entry.place, entry.printed, "impossible", "a cost is above 0", "certain")
        elif low is not None and high is not None and not low <= entry.value <= high:
            told = f"{measure(entry.column).upper()} is from {low:g} to {high:g} {unit}".rstrip()
            yield Finding(entry.place, entry.printed, "impossible", told, "certain")


def decimals(sheet: Sheet, others: Sequence[Sheet]) -> Iterator[Finding]:
    """Figures with more or fewer decimals than nearly all others of their measure."""
    by_measure: dict[str, list[Entry]] = {}
    for entry in sheet.entries.values():
        by_measure.setdefault(measure(entry.column), []).append(entry)
    for name, entries in by_measure.items():
        (usual, many), *_ = Counter(e.decimals for e in entries).most_common(1)
        if many == len(entries) or many < AGREED * len(entries):
            continue
        for entry in entries:
            if entry.decimals != usual:
                told = f"{entry.decimals} decimals, where {many} of {len(entries)} figures of {name} have {usual}"
                yield Finding(entry.place, entry.printed, "decimals", told, "weak")


def order(sheet: Sheet, others: Sequence[Sheet]) -> Iterator[Finding]:
    """Figures that rise with the scale where they have to fall: PSNR, SSIM and costs; parameters hardly change."""
    for method in sheet.methods:
        for column in sheet.columns.values():
            entries = [e for s in sheet.scales if (e := sheet.at(method, s, column.id)) is not None]
            wrong = [(one, other) for one, other in combinations(entries, 2) if _breaks(one, other)]
            while wrong:
                guilty = Counter(e for pair in wrong for e in pair)
                odd = max(guilty, key=lambda e: (guilty[e], sheet.off(e), _strange(sheet, e)))
                against = [one if other is odd else other for one, other in wrong if odd in (one, other)]
                wrong = [pair for pair in wrong if odd not in pair]
                told = "; ".join(f"x{e.place.scale} has {e.printed}" for e in against)
                rule = "grow slightly" if column.probe == "params" else "fall"
                told = f"{told}, and {column.title} should {rule} as the scale grows"
                where = tuple(e.place for e in against)
                timed = column.probe in ("latency", "memory")
                yield Finding(odd.place, odd.printed, "order", told, "weak" if timed else "strong", where)


def _breaks(one: Entry, other: Entry) -> bool:
    """Whether two scales of one thing, the smaller first, stand in no order that they can have."""
    if one.column.probe == "params":
        return not 1 / GROWTH <= other.value / max(one.value, 1e-9) <= GROWTH
    if measure(one.column) in ("psnr", "ssim"):
        return other.value >= one.value
    return one.column.probe in ("macs", "latency", "memory") and other.value > one.value


def _strange(sheet: Sheet, entry: Entry) -> float:
    """How far a figure is from the middle of its column, by the ratio; for tables too small for more."""
    column = sorted(e.value for e in sheet.down(entry.place.scale, entry.place.column))
    middle = column[len(column) // 2] or 1.0
    return max(abs(entry.value / middle), abs(middle / (entry.value or 1e-9)))


def best(sheet: Sheet, others: Sequence[Sheet]) -> Iterator[Finding]:
    """Cells marked as the best of their scale that are not, and best ones without a mark where others have it."""
    bold = sheet.table.bold
    for column in sheet.columns.values():
        for scale in sheet.scales:
            entries = sheet.down(scale, column.id)
            marked = [e for e in entries if (e.place.method, scale, column.id) in bold]
            if not marked:
                continue
            top = (max if column.best == "high" else min)(e.value for e in entries)
            tops = [e for e in entries if e.value == top]
            for entry in marked:
                if entry.value != top:
                    told = f"marked as the best, but {', '.join(e.place.method for e in tops)} has {tops[0].printed}"
                    yield Finding(
                        entry.place, entry.printed, "best mark", told, "certain", tuple(e.place for e in tops)
                    )
            for entry in tops:
                if entry not in marked and len(marked) < len(entries):
                    told = f"the best of its scale and not marked; {', '.join(e.place.method for e in marked)} is"
                    where = tuple(e.place for e in marked)
                    yield Finding(entry.place, entry.printed, "best mark", told, "certain", where)


def twins(sheet: Sheet, others: Sequence[Sheet]) -> Iterator[Finding]:
    """Two methods with the same figures of image quality all along a row."""
    quality = [c for c in sheet.columns.values() if of_images(c)]
    seen: dict[tuple[int, tuple[str, ...]], list[Entry]] = {}
    for method in sheet.methods:
        for scale in sheet.scales:
            row = [e for c in quality if (e := sheet.at(method, scale, c.id)) is not None]
            if len(row) < 4:
                continue
            first = seen.setdefault((scale, tuple(f"{e.place.column}={e.printed}" for e in row)), row)
            if first is not row:
                told = f"all {len(row)} figures of image quality are those of {first[0].place.method}"
                for entry, twin in zip(row, first, strict=True):
                    yield Finding(entry.place, entry.printed, "twins", told, "strong", (twin.place,))
