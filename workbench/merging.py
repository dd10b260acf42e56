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
from workbench.store.places import SUFFIX, own_name

Instant = tuple[str, str, str]
"""Identity, machine and time: one measurement."""

AHEAD, WRONG = timedelta(minutes=5), timedelta(days=1)
"""By how much another clock may be ahead of this one before that is told, and before its records are not taken: until
that day they would stand before whatever is measured here. They are in the bundle still, so nothing is lost."""


@dataclass(frozen=True)
class Merged:
    """What came of an import."""

    came: Mapping[str, int]
    """New records by machine."""
    known: int
    """Those that were here already."""
    conflicts: tuple[tuple[Record, Record], ...]
    """What is here and what came of one measurement, where the two differ: what is here stays."""
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

    Of one measurement (thing, machine, time) two different records are a conflict, and so is a record with the clock
    here if it is of another day to come: then nothing is taken, or with `skip` what is in no conflict.
    """
    place = store.at(folder)
    here: dict[Instant, list[tuple[bytes, Record]]] = {}
    for record in store.read(folder).records:
        here.setdefault(_instant(record), []).append((line(record), record))
    new, known, conflicts = list[bytes](), 0, list[tuple[Record, Record]]()
    came, now = Counter[str](), datetime.now(UTC)
    ahead, wrong, strange = list[Record](), list[Record](), list[Record]()
    for record in bundle.records:
        told, there = line(record), here.setdefault(_instant(record), [])
        if any(told == its for its, _ in there):
            known += 1
        elif there:
            conflicts.append((there[0][1], record))
        elif (early := datetime.fromisoformat(record.recorded_at) - now) > WRONG:
            wrong.append(record)
        else:
            there.append((told, record))
            new.append(told + b"\n")
            came[record.machine] += 1
            if early > AHEAD:
                ahead.append(record)
            if record.probe not in (*probes.PROBES, *probes.STUDIES):
                strange.append(record)
    if conflicts and not skip:
        mine, its = conflicts[0]
        raise UserError(
            f"{len(conflicts)} of {len(bundle.records)} records say something else than is known here of the same "
            f"measurement, and nothing was taken; the first: {mine.probe} of {mine.variant} on {mine.machine} at "
            f"{mine.recorded_at} {differing(mine, its)}. Take the others: --skip-conflicts"
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
    told = store.identity(record.variant, record.probe, record.probe_version, record.conditions)
    return told, record.machine, record.recorded_at


def differing(mine: Record, its: Record) -> str:
    """In what two records of one measurement differ: their values, or where those agree the names of fields."""
    if (mine.values, mine.status) != (its.values, its.status):
        return f"is {_values(mine)} here and {_values(its)} there"
    a, b = store.to_json(mine), store.to_json(its)
    return f"has the same values, and differs in its {', '.join(f for f in a if a[f] != b[f])}"


def _values(record: Record) -> str:
    """The first few values, or why there are none."""
    shown = ", ".join(f"{v:.12g}" for v in record.values[:3])
    return f"{shown}, ..." if len(record.values) > 3 else shown or record.status
