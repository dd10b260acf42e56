"""Ratios of times: how many times as long as a reference a network takes, as printed and as measured.

Milliseconds are a machine's own; what they are divided by shares the machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from workbench import timing
from workbench.digits import left_open
from workbench.spec import Record


@dataclass(frozen=True)
class Ratio:
    """A time over that of a reference, both measured on one machine; and the same of the printed figures."""

    to: str
    """The reference, as the paper names it."""
    measured: float
    low: float
    high: float
    """Ends of the interval that holds the measured ratio with `timing.LEVEL`; what changed between the two
    measurements of it (a clock that sank, another neighbour) is not in it."""
    protocol: str
    """The one that the network was timed under; the reference's may differ in the attention implementation."""
    printed: float | None = None
    """None where one of the two is not printed."""
    printed_low: float | None = None
    printed_high: float | None = None
    """Ends of what the printed digits leave open."""
    disturbed: bool = False
    """Whether the machine was, while one of the two was timed."""

    @property
    def difference(self) -> float | None:
        """Measured against printed, as a fraction of the printed."""
        return None if self.printed is None else self.measured / self.printed - 1

    def agrees(self, tolerance: float) -> bool:
        """Whether the interval holds a ratio that the printed digits leave open, or the two differ by no more."""
        if self.difference is None or self.printed_low is None or self.printed_high is None:
            return False
        return (self.low <= self.printed_high and self.printed_low <= self.high) or abs(self.difference) <= tolerance

    def told(self, tolerance: float) -> str:
        """`3.10 times ESC's [3.00, 3.20], printed 11.66, -73.4%; the tolerance is 10%`."""
        told = f"{self.measured:.3g} times {self.to}'s [{self.low:.3g}, {self.high:.3g}]"
        if self.printed is None or self.difference is None:
            return told
        return f"{told}, printed {self.printed:.3g}, {self.difference:+.1%}; the tolerance is {tolerance:.0%}"


def interval(record: Record) -> tuple[float, float]:
    """Ends of the interval of a timed record's figure, from its runs."""
    return _ends(_drawn(record))


def ratio(to: str, mine: Record, its: Record, printed: str | None = None, its_printed: str | None = None) -> Ratio:
    """The ratio of two records' figures, its interval from the runs of both, and that of the printed figures.

    The draws of the two are paired with a shift, since the same draw would pick the same runs of both.
    """
    measured, drawn = mine.value / its.value, _drawn(mine) / np.roll(_drawn(its), 1)
    low, high = _ends(drawn)
    if itself := (mine.variant, mine.conditions) == (
        its.variant,
        its.conditions,
    ):  # whatever its runs were, it takes as long as itself
        low = high = 1.0
    if printed is None or its_printed is None:
        return Ratio(to, measured, low, high, mine.protocol)
    a, b, da, db = float(printed), float(its_printed), left_open(printed), left_open(its_printed)
    ends = (1.0, 1.0) if itself else ((a - da) / (b + db), (a + da) / (b - db))
    return Ratio(to, measured, low, high, mine.protocol, a / b, *ends)


def _ends(drawn: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(drawn, [(1 - timing.CAUTIOUS) / 2, (1 + timing.CAUTIOUS) / 2])
    return float(low), float(high)


def _drawn(record: Record) -> NDArray[np.float64]:
    statistic: Literal["median", "mean"] = record.conditions.get("timing", {}).get("statistic", "median")
    return _resampled(record.values, statistic)


@lru_cache(maxsize=512)
def _resampled(values: tuple[float, ...], statistic: Literal["median", "mean"]) -> NDArray[np.float64]:
    """Kept: a table is judged several times in one command, and its reference once for each row."""
    return timing.resampled(values, statistic)


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Spearman's: the correlation of ranks, equal values sharing the mean of theirs; None where it is not defined."""
    if len(a) != len(b):
        raise ValueError(f"{len(a)} values cannot be ranked against {len(b)}")
    x, y = _ranks(a), _ranks(b)
    mean = (len(a) + 1) / 2
    spread = sum((r - mean) ** 2 for r in x) * sum((r - mean) ** 2 for r in y)
    if not spread:
        return None
    together = sum((r - mean) * (s - mean) for r, s in zip(x, y, strict=True))
    return float(together / spread**0.5)


def _ranks(values: Sequence[float]) -> list[float]:
    """From 1 for the smallest."""
    return [sum(v < value for v in values) + (sum(v == value for v in values) + 1) / 2 for value in values]
