"""Records of elsewhere come into a store: by content, none twice, and none against what is known here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from workbench import probes, store
from workbench.bundles import Bundle, line
from workbench.sidefiles import FOLDER
from workbench.spec import Record, UserError
from workbench.store.lines import key
from workbench.store.places import SUFFIX, own_name

Instant = tuple[str, str, str]
"""Identity, machine and time: one measurement."""

AHEAD, WRONG = timedelta(minutes=5), timedelta(days=1)
"""By how much another clock may be ahead of this one before that is told, and before its records are not taken: until
that day they would stand before whatever is measured here. They are in the bundle still, so nothing is lost."""

SURE = 2.0**53
"""Whole numbers below it are written out: a float has all their digits."""


@dataclass(frozen=True)
class Merged:
    """What came of an import."""

    came: Mapping[str, int]
    """New records by machine."""
    known: int
    """Those that were here already."""
    conflicts: tuple[tuple[Record, Record], ...]
    """What is here and what came of one measurement or one count, where the two differ: what is here stays."""
    sides: int
    """New side files."""
    ahead: tuple[Record, ...]
    """New records that are dated later than now by this machine's clock, by a day at most."""
    wrong: tuple[Record, ...]
    """Those that are by more than a day, and were left out."""
    strange: tuple[Record, ...]
    """New records of probes that are not known here, as of a newer version: they are kept, and nothing reads them."""


def merge(bundle: Bundle, folder: Path, skip: bool = False) -> Merged:
    """Add what a bundle holds and the store does not, in one new file that appears whole.

    Of one measurement (thing, machine, time) two different records are a conflict, of what is counted any two values,
    whenever and wherever it was; and so is a record with the clock here if it is of another day to come: then nothing
    is taken, or with `skip` what is in no conflict.
    """
    place, contents = store.at(folder), store.read(folder)
    here: dict[Instant, list[tuple[bytes, Record]]] = {}
    for record in contents.records:
        here.setdefault(_instant(record), []).append((line(record), record))
    counts = {identity: record for identity, record in contents.newest().items() if _counted(record)}
    new, known, conflicts = list[bytes](), 0, list[tuple[Record, Record]]()
    came, now = Counter[str](), datetime.now(UTC)
    ahead, wrong, strange = list[Record](), list[Record](), list[Record]()
    for record in bundle.records:
        content, there = line(record), here.setdefault(_instant(record), [])
        if any(content == its for its, _ in there):
            known += 1
        elif there:
            conflicts.append((there[0][1], record))
        elif _counted(record) and counts.setdefault(key(record), record).values != record.values:
            conflicts.append((counts[key(record)], record))
        elif (early := datetime.fromisoformat(record.recorded_at) - now) > WRONG:
            wrong.append(record)
        else:
            there.append((content, record))
            new.append(content + b"\n")
            came[record.machine] += 1
            if early > AHEAD:
                ahead.append(record)
            if record.probe not in (*probes.PROBES, *probes.STUDIES):
                strange.append(record)
    if conflicts and not skip:
        mine, its = conflicts[0]
        raise UserError(
            f"{len(conflicts)} of {len(bundle.records)} records say something else than is known here of the same "
            f"measurement, and nothing was taken; the first: {differing(mine, its)}. Take the others: --skip-conflicts"
        )
    if wrong and not skip:
        raise UserError(
            f"{len(wrong)} of {len(bundle.records)} records are dated more than a day later than now by this machine's "
            f"clock, up to {max(r.recorded_at for r in wrong)}, and nothing was taken: until then they would stand "
            "before what is measured here. Mend the clock that is wrong, and measure again; take the others: "
            "--skip-conflicts"
        )
    try:
        if new or bundle.sides:
            place.check()
        sides = [name for name in bundle.sides if not place.there(f"{FOLDER}/{name}.npy.gz")]
        for name in sides:
            place.put(f"{FOLDER}/{name}.npy.gz", bundle.sides[name])
        if new:
            place.put(f"{own_name()}{SUFFIX}", b"".join(new))
    except OSError as error:
        raise UserError(
            f"Cannot write the records into {folder}: {error.strerror}. None of them was taken. Name a writable folder"
            " with --records."
        ) from None
    return Merged(came, known, tuple(conflicts), len(sides), tuple(ahead), tuple(wrong), tuple(strange))


def _instant(record: Record) -> Instant:
    return key(record), record.machine, record.recorded_at


def _counted(record: Record) -> bool:
    """Whether it has the one value that there can be of its thing; a failure contradicts none."""
    probe = probes.PROBES.get(record.probe)
    return probe is not None and probe.exact and record.status == "ok"


def differing(mine: Record, its: Record) -> str:
    """In what two records differ that cannot both be true: their values, or where those agree the names of fields."""
    what = f"{mine.probe} of {mine.variant}"
    if _instant(mine) != _instant(its):
        here, there = (f"{_values(r)} (on {r.machine} at {r.recorded_at})" for r in (mine, its))
        return f"{what} is {here} here and {there} there, and a count is the same everywhere"
    at = f"{what} on {mine.machine} at {mine.recorded_at}"
    if (mine.values, mine.status) != (its.values, its.status):
        return f"{at} is {_values(mine)} here and {_values(its)} there"
    a, b = store.to_json(mine), store.to_json(its)
    return f"{at} has the same values, and differs in its {', '.join(f for f in a if a[f] != b[f])}"


def _values(record: Record) -> str:
    """The first few values, or why there are none."""
    shown = ", ".join(f"{v:.0f}" if float(v).is_integer() and abs(v) < SURE else f"{v:.12g}" for v in record.values[:3])
    return f"{shown}, ..." if len(record.values) > 3 else shown or record.status
