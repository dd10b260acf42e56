"""What changed between two states of records beyond noise: exactly for what is counted, by a test for what is timed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from workbench import probes
from workbench.spec import Record

RATE = 0.05
"""The share of diffs of a thing with itself in which anything at all may be called slower or faster: Holm's correction
over all tests of a diff. On made times whose noise remembers up to 0.7 of the last run's it held for 30 runs and more
(300 diffs of 10 tests: 3 to 6 %), and without a margin not for 8 runs (15 %); with the margin of 5 % in all."""

MARGIN = 0.05
"""The fraction by which times of one network differ from one day to the next on a quiet machine, and nothing changed:
what is within a record does not tell it, so a change has to be larger. A guess, and an option."""

BLOCKS, FEW, LONG = 10, 3, 4
"""At most and at least as many consecutive parts are the runs of a record cut into: runs resemble their neighbours,
parts hardly do if they are `LONG` times as long as the resemblance lasts."""

FEWEST = 8
"""Runs below which nothing can be tested."""

HIGHER = {"decibels", "fraction"}
"""Units of which more is better."""

Kind = Literal["slower", "changed", "lost", "gone", "untested", "faster", "gained", "new", "same"]

KINDS: dict[Kind, str] = {
    "slower": "takes more, or is worse, beyond noise",
    "changed": "what has no noise is another figure",
    "lost": "had a value, and has none now",
    "gone": "only in the first",
    "untested": f"differs by more than the margin, with fewer than {FEWEST} runs on a side, so nothing was tested",
    "faster": "takes less, or is better, beyond noise",
    "gained": "had no value, and has one now",
    "new": "only in the second",
    "same": "no change beyond noise",
}

FAILING: tuple[Kind, ...] = ("slower", "changed", "lost", "gone")
"""What `--check` ends with exit code 3 for: what is gone is as lost as what failed."""


@dataclass(frozen=True)
class Change:
    """One thing in two states of the records."""

    kind: Kind
    before: Record | None
    after: Record | None
    ratio: float | None = None
    """Of the second to the first; None where there are no two values, or the first is 0."""
    p: float | None = None
    """Of the test, corrected for the number of tests; None where nothing was tested."""

    @property
    def record(self) -> Record:
        """Either, for what is the same of both."""
        found = self.after or self.before
        assert found is not None
        return found


def between(before: Mapping[str, Record], after: Mapping[str, Record], margin: float = MARGIN) -> list[Change]:
    """Every thing that either has, what is worst first. A figure of another machine is another thing."""
    found = [_change(before.get(i), after.get(i), margin) for i in dict.fromkeys([*before, *after])]
    found = holm(found)
    order = {kind: at for at, kind in enumerate(KINDS)}
    return sorted(found, key=lambda c: (order[c.kind], c.record.probe, c.record.variant, c.record.protocol))


def _change(a: Record | None, b: Record | None, margin: float) -> Change:
    if a is None or b is None:
        return Change("new" if a is None else "gone", a, b)
    if a.status != "ok" or b.status != "ok":
        kind: Kind = "same" if a.status == b.status else "lost" if a.status == "ok" else "gained"
        return Change("same" if kind == "gained" and b.status != "ok" else kind, a, b)
    ratio = b.value / a.value if a.value else None
    if a.values == b.values:
        return Change("same", a, b, ratio)
    if not _noisy(a):
        return Change("changed", a, b, ratio)
    if min(len(a.values), len(b.values)) < FEWEST or min(*a.values, *b.values) <= 0:
        apart = ratio is None or abs(math.log(ratio)) > math.log1p(margin) if (ratio or 1) > 0 else True
        return Change("untested" if apart else "same", a, b, ratio)
    worse = (b.value > a.value) != (a.unit in HIGHER)
    return Change("slower" if worse else "faster", a, b, ratio, test(a, b, margin))


def _noisy(record: Record) -> bool:
    """Whether a second measurement would give another figure; a probe that is not known here is taken for one."""
    known = probes.PROBES.get(record.probe)
    return known.timed if known else "machine" in record.conditions


def test(a: Record, b: Record, margin: float) -> float:
    """How likely two records would differ as much if nothing had changed by more than the margin.

    Welch's test on the logarithms of the blocks' medians (means, where the figure is one).
    """
    from scipy import special

    x, y = _blocks(a), _blocks(b)
    difference = abs(float(y.mean() - x.mean())) - math.log1p(margin)
    of_x, of_y = x.var(ddof=1) / len(x), y.var(ddof=1) / len(y)
    if difference <= 0:
        return 1.0
    if of_x + of_y == 0:
        return 0.0
    freedom = (of_x + of_y) ** 2 / (of_x**2 / (len(x) - 1) + of_y**2 / (len(y) - 1))
    return float(min(1.0, 2 * special.stdtr(freedom, -difference / math.sqrt(of_x + of_y))))


def _blocks(record: Record) -> NDArray[np.float64]:
    """Logarithms of the blocks' figures; the first few runs are left out where blocks of one length leave some over."""
    mean = record.conditions.get("timing", {}).get("statistic") == "mean"
    values = np.asarray(record.values, dtype=np.float64)
    number = _number(values)
    runs = values[len(values) % number :].reshape(number, -1)
    figures: NDArray[np.float64] = np.mean(runs, axis=1) if mean else np.median(runs, axis=1)
    return np.log(figures)


def _number(values: NDArray[np.float64]) -> int:
    """How many blocks: the fewer the more a run resembles the one before, by the correlation of their ranks."""
    n = len(values)
    ranks = values.argsort().argsort() - (n - 1) / 2
    alike = float((ranks[1:] * ranks[:-1]).sum() / (ranks**2).sum()) + 1 / math.sqrt(n)
    alike = min(max(alike, 0.0), 0.95)
    length = LONG * (1 + alike) / (1 - alike)
    return max(FEW, min(BLOCKS, n // 2, int(n / length)))


def holm(found: Sequence[Change], rate: float = RATE) -> list[Change]:
    """The changes with p corrected for all tests together; what is then not beyond noise is the same."""
    tested = sorted((c.p, at) for at, c in enumerate(found) if c.p is not None)
    corrected, least = dict[int, float](), 0.0
    for rank, (p, at) in enumerate(tested):
        least = max(least, min(1.0, p * (len(tested) - rank)))
        corrected[at] = least
    return [
        replace(c, p=corrected[at], kind=c.kind if corrected[at] <= rate else "same") if at in corrected else c
        for at, c in enumerate(found)
    ]
