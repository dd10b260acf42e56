"""How long what is left will take: as long as it took before, or as long as its like takes now."""

from __future__ import annotations

import statistics
from collections import defaultdict, deque
from collections.abc import Collection, Iterable

from workbench import environment
from workbench.execute import Request
from workbench.spec import Record


class Forecast:
    """What records of this machine say of the time that measurements take; a guess, and called one."""

    def __init__(self, records: Iterable[Record] = (), hands: float = 1, machines: Collection[str] = ()):
        """`machines`: whose records tell as well, where it is not this machine that measures. `hands`: how many do; 0
        where nobody knows."""
        self._hands = hands
        self._took = defaultdict[tuple[str, ...], deque[float]](lambda: deque(maxlen=25))
        self._now, self._noted = 0.0, 0
        ours = {environment.machine(), *machines}
        for record in records:
            if record.machine in ours:
                self._learn(record)

    def note(self, record: Record) -> None:
        """One that was measured just now: of those after it whose like was never measured, it is all we know."""
        self._learn(record)
        if record.took is not None:
            self._now += record.took
            self._noted += 1

    def _learn(self, record: Record) -> None:
        if record.took is not None and record.status == "ok":  # a failure says nothing of how long success takes
            kind = (record.probe, record.protocol, record.variant)
            for known in (kind, kind[:2], kind[:1]):
                self._took[known].append(record.took)

    def seconds(self, request: Request) -> float | None:
        """Of the same before, else of the same probe under the same protocol, else of the probe; the median of each."""
        kind = (request.probe.name, request.protocol.name, request.variant.name)
        for known in (kind, kind[:2], kind[:1]):
            if known in self._took:
                return statistics.median(self._took[known])
        return self._now / self._noted if self._noted else None

    def told(self, left: Iterable[Request]) -> str:
        """`about 5 min` for all of them; `at least` where of some nothing is known, and no words where of none is."""
        seconds, known, number = 0.0, 0, 0
        for request in left:
            guess = self.seconds(request)
            seconds, known, number = seconds + (guess or 0.0), known + (guess is not None), number + 1
        return (
            f"{'about' if known == number else 'at least'} {words(seconds / self._hands)}"
            if known and self._hands
            else ""
        )


def of_rounds(played: int, each: float, before: float, budget: float, least: int) -> str:
    """`round 3, 12 s each: about 1 min more at most`; the least number of rounds may be over the budget, in seconds."""
    spent = before + played * each
    more = max(budget - spent, (least - played) * each, 0)
    over = f", over the budget, since {least} rounds are the least" if spent + more > budget + each else ""
    return f"round {played}, {each:.2g} s each: about {words(more)} more at most{over}"


def words(seconds: float) -> str:
    """A length of time as roughly as it is known."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
