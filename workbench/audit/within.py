"""Rules that look at one table, for figures that do not go with the others of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .edits import mended
from .sheet import LAW, Entry, Finding, Sheet, measure, test_set

FAR = 10.0
"""Spreads from what is expected that hardly any clean figure comes to: of heavy tails the far end."""

ODD = 6.0
"""Spreads that a few clean figures in a thousand come to; enough only with a second sign: a slip of the hand explains
it."""

NEAR = 2.0
"""Spreads within which a figure with its slip undone counts as one that fits."""

TOGETHER = 0.25
"""The fraction of a figure's distance that its twin by the other measure has to be off, to bear it out."""

APART = 0.6
"""The fraction of the methods that a rank by PSNR and one by SSIM differ by at least, to be in conflict."""


def outliers(sheet: Sheet, others: Sequence[Sheet]) -> Iterator[Finding]:
    """Figures far from what the other columns, scales and methods lead one to expect."""
    for entry in sheet.entries.values():
        off = sheet.off(entry)
        if off < ODD or _borne_out(sheet, entry) or _level(sheet, entry):
            continue
        slip = mended(sheet, entry, NEAR)
        if off < FAR and (entry.column.probe in LAW or not slip):
            continue
        told = f"{_about(sheet, entry)} is what its method and its column lead one to expect, {_times(off)} away"
        if slip:
            told += f"; {slip[0]} would fit ({slip[1]})"
        yield Finding(entry.place, entry.printed, "outlier", told, "strong" if off >= FAR else "weak")


def _borne_out(sheet: Sheet, entry: Entry) -> bool:
    """Whether PSNR and SSIM are off together: then the method is odd there, and the print is right."""
    other = {"psnr": "ssim", "ssim": "psnr"}.get(measure(entry.column), "")
    twin = sheet.at(entry.place.method, entry.place.scale, f"{test_set(entry.column)}_{other}")
    if twin is None or twin.place not in sheet.expected:
        return False
    mine, its = (sheet.expected[e.place].off(e.value) for e in (entry, twin))
    return mine * its > 0 and abs(its) >= TOGETHER * abs(mine)


def _level(sheet: Sheet, entry: Entry) -> bool:
    """Whether a cost is the same at every scale, as of networks that work on an image upscaled before."""
    row = {e.value for s in sheet.scales if (e := sheet.at(entry.place.method, s, entry.column.id)) is not None}
    return entry.column.probe in LAW and len(row) == 1


def copies(sheet: Sheet, others: Sequence[Sheet]) -> Iterator[Finding]:
    """Figures that stand a second time in their row, or at another scale, where they do not fit."""
    for entry in sheet.entries.values():
        if measure(entry.column) not in ("psnr", "ssim") or sheet.off(entry) < ODD:
            continue
        place = entry.place
        twins = [
            other
            for other in sheet.entries.values()
            if other.printed == entry.printed
            and other.place.method == place.method
            and (other.place.scale == place.scale) != (other.place.column == place.column)
            and measure(other.column) == measure(entry.column)
            and sheet.off(other) < sheet.off(entry)
        ]
        for twin in twins[:1]:
            told = f"{twin.place} has the same; {_about(sheet, entry)} is what one expects"
            yield Finding(place, entry.printed, "copy", told, "strong", (twin.place,))


def ranks(sheet: Sheet, others: Sequence[Sheet]) -> Iterator[Finding]:
    """Methods that PSNR places among the best of a column and SSIM among the last, or the other way round."""
    for psnr in (c for c in sheet.columns.values() if measure(c) == "psnr"):
        ssim = psnr.id.replace("_psnr", "_ssim")
        for scale in sheet.scales:
            pairs = [(e, sheet.at(e.place.method, scale, ssim)) for e in sheet.down(scale, psnr.id)]
            both = [(one, other) for one, other in pairs if other is not None]
            for one, other in both:
                places = [_rank(e, [pair[k] for pair in both]) for k, e in enumerate((one, other))]
                if abs(places[0] - places[1]) < APART * len(both) or max(map(sheet.off, (one, other))) < ODD:
                    continue
                odd, rest = sheet.oddest(one, other)
                told = (
                    f"of {len(both)} methods it is number {places[0]:g} by PSNR ({one.printed}) and {places[1]:g} by "
                    f"SSIM ({other.printed})"
                )
                yield Finding(
                    odd.place, odd.printed, "ranks", told, "strong" if sheet.off(odd) >= FAR else "weak", rest
                )


def _rank(entry: Entry, column: Sequence[Entry]) -> float:
    """Its place from the best, 1; ties share the middle of theirs."""
    better = sum(e.value > entry.value for e in column)
    return better + (1 + sum(e.value == entry.value for e in column)) / 2


def _about(sheet: Sheet, entry: Entry) -> str:
    return f"about {sheet.expected[entry.place].value:.{sheet.decimals[entry.column.id]}f}"


def _times(off: float) -> str:
    return f"{min(off, 999):.0f}{' or more' if off > 999 else ''} times the usual distance"
