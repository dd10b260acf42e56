"""Networks run in turns, round by round, until the ratios of their times are known well enough or time is spent."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from workbench import timing
from workbench.forecast import of_rounds
from workbench.passing import Say, unheard
from workbench.timing import Clock, Sample, Warmup

FIRST_LOOK = 40
"""Rounds before the intervals are looked at for the first time: an early look is wrong most often."""

ROUNDS = 10_000
"""Rounds after which it ends, whatever the budget."""

Ended = Literal["precise", "budget", "rounds", "interrupted"]


@dataclass(frozen=True)
class Rounds:
    """What was timed: in each round one run of each entrant, in an order drawn anew."""

    seconds: tuple[tuple[float, ...], ...]
    """By round, then by entrant."""
    order: tuple[tuple[int, ...], ...]
    """By round, the entrants as they ran."""
    warmup: tuple[Warmup, ...]
    """By entrant."""
    ended: Ended
    """Why there was no further round."""
    took: float
    """Seconds in sum, warm-up included."""


def play(
    runs: Sequence[Callable[[], Sample]],
    pairs: Sequence[tuple[int, int]],
    precision: float,
    budget: float,
    generator: np.random.Generator,
    clock: Clock = time.perf_counter,
    say: Say = unheard,
    keep: bool = False,
) -> Rounds:
    """Rounds of one run each, in random order, until each pair's interval is narrow enough or the time is spent.

    What a machine does to all alike (a clock that sinks, a neighbour that works) is in both times of a round and not
    in their ratio. Warm-up takes a quarter of the budget at most. At least `timing.FLOOR` rounds are played, and at
    least `FIRST_LOOK` before an interval is found narrow. With `keep`, Ctrl-C ends them, however few they are.
    """
    start = clock()
    warmup = []
    seconds, order = list[tuple[float, ...]](), list[tuple[int, ...]]()
    look = FIRST_LOOK
    ended: Ended = "rounds"
    try:
        for number, run in enumerate(runs, start=1):
            say(f"warming up the {len(runs)} networks: {number}")
            warmup.append(timing.warm(run, 0, budget / 4 / len(runs), clock))
        begun = clock()
        while len(seconds) < ROUNDS:
            turns = tuple(int(i) for i in generator.permutation(len(runs)))
            times = {i: runs[i]().seconds for i in turns}
            order.append(turns)
            seconds.append(tuple(times[i] for i in range(len(runs))))
            say(of_rounds(len(seconds), (clock() - begun) / len(seconds), begun - start, budget, timing.FLOOR))
            if len(seconds) == look:
                if all(_narrow(seconds, a, b, precision) for a, b in pairs):
                    ended = "precise"
                    break
                look = timing.next_look(look)
            if len(seconds) >= timing.FLOOR and clock() - start >= budget:
                ended = "budget"
                break
    except KeyboardInterrupt:
        if not keep:
            raise
        ended = "interrupted"
    return Rounds(tuple(seconds), tuple(order[: len(seconds)]), tuple(warmup), ended, clock() - start)


def _narrow(seconds: Sequence[Sequence[float]], a: int, b: int, precision: float) -> bool:
    low, high = timing.interval([math.log(t[b] / t[a]) for t in seconds])
    return math.expm1(high - low) < precision
