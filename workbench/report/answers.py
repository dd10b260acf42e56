"""What one measurement found, on a line: its figure, its marks, and what the marks mean."""

from __future__ import annotations

from collections.abc import Iterable

from workbench import here, scores
from workbench.spec import Record

from .layout import DAGGER, DOUBLE_DAGGER, spanned

LONG = 1e15
"""From here on a figure is written as a power of ten."""

HOW = {"fake": " (on fake tensors)", "real": " (on real tensors)", "real+extrapolated": " (extrapolated)"}
"""What stands behind the figure of somebody's own network that was not counted on meta tensors."""


def answer(record: Record) -> str:
    """`esc-x4   latency   steady   0.5062‡ seconds [0.501, 0.513] of 20 runs; interval 2.4% wide`."""
    return f"{record.variant:22} {record.probe:14} {record.protocol:18} {_told(record)}"


def disturbed(records: Iterable[Record]) -> str:
    """What the mark of disturbed figures means, and what disturbed them; nothing where none is marked."""
    why = spanned([why for record in records if record.status == "ok" for why in here.disturbed(record)])
    return f"{DOUBLE_DAGGER}: {'; '.join(why)}." if why else ""


def remarks(records: Iterable[Record]) -> list[str]:
    """What the marks of figures mean, and how those were counted that took more than shapes; each sentence once."""
    sound = [record for record in records if record.status == "ok"]
    told = [why] if (why := disturbed(sound)) else []
    left = dict.fromkeys(str(op) for record in sound for op in record.details.get("uncounted_heavy", ()))
    told += [f"{DAGGER}; left out: {', '.join(left)}."] if left else []
    told += [f"{r.probe} of {r.variant}: {how}" for r in sound if (how := counted(r))]
    return list(dict.fromkeys(told))


def counted(record: Record) -> str:
    """On which tensors somebody's own network was counted, and why not on the cheapest; nothing if on those."""
    how = record.details.get("how", "meta")
    if how == "meta":
        return ""
    why = "; ".join(f"on {kind} tensors it said: {said}" for kind, said in record.details.get("why", {}).items())
    return f"counted on {how.replace('+', ' tensors, ')}{'' if '+' in how else ' tensors'}: {why}"


def _told(record: Record) -> str:
    if record.status != "ok":
        return f"{record.status}: {record.reason}"
    if "quality" in record.conditions:
        return of_images(record)
    mark = ("†" if record.details.get("uncounted_heavy") else "") + ("‡" if here.disturbed(record) else "")
    if "interval" in record.details:
        return f"{_of_runs(record, mark)}{_doubts(record)}"
    told = f"{record.value:,}{mark}" if record.unit == "count" else f"{figure(record)}{mark} {record.unit}"
    return (
        told + (" (an estimate)" if "estimate" in record.details else "") + HOW.get(record.details.get("how", ""), "")
    )


def figure(record: Record, digits: int = 4) -> str:
    """Whole numbers as they are, others to the digits that mean something."""
    whole = float(record.value).is_integer() and abs(record.value) < LONG
    return f"{record.value:,.0f}" if whole else f"{record.value:.{digits}g}"


def _of_runs(record: Record, mark: str) -> str:
    low, high = record.details["interval"]
    return f"{record.value:.4g}{mark} {record.unit} [{low:.4g}, {high:.4g}] of {len(record.values)} runs"


def _doubts(record: Record) -> str:
    """What else speaks against a timed figure: that its runs had not settled, or leave much open."""
    low, high = record.details["interval"]
    warmup, told = record.details.get("warmup", {}), ""
    if warmup.get("steady") is False:
        runs = "1 run" if warmup["runs"] == 1 else f"{warmup['runs']} runs"
        told += f"; warm-up cut short after {runs}, not yet steady"
    if record.details.get("precise") is False and record.value:
        told += f"; interval {(high - low) / record.value:.1%} wide"
    return told


def of_images(record: Record) -> str:
    """The mean over a test set, and whose it is; of an incomplete set it is said to be one of some images only."""
    images, name = record.details.get("images", ()), record.details.get("weights", {}).get("name", "?")
    digits, unit = (3, " dB") if record.unit == "decibels" else (4, "")
    value = f"{record.value:.{digits}f}{unit}"
    if record.details.get("complete"):
        return f"{value}, the mean over {len(images)} images, with {name}"
    why = "; ".join(scores.lacking(record)) or "the images are not the whole set, or not its own"
    return f"no mean of {record.details.get('set')}: {len(images)} images of it have {value} with {name}; {why}"
