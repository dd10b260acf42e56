"""Which network is faster, and by how much: runs in turns, ratios round by round, an interval for each."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench import building, environment, machine, models, protocols, timing, turns
from workbench.forecast import words
from workbench.passing import Say, unheard
from workbench.rounds import Rounds, play
from workbench.spec import Protocol, UserError, Variant
from workbench.timing import Clock, Sample

PRECISION, BUDGET = 0.02, 120.0
"""What is asked of the width of an interval, and seconds that it may take, where nobody says."""


@dataclass(frozen=True)
class Ratio:
    """How many times faster one entrant is than another: the other's time over its own."""

    of: str
    over: str
    median: float
    """Of the ratios of the rounds."""
    low: float
    high: float
    """Ends of the interval that holds the true ratio with `timing.LEVEL`."""
    probability: float
    """Share of rounds in which it took less time; a tie counts half."""

    @property
    def width(self) -> float:
        """The interval's, as a fraction."""
        return self.high / self.low - 1

    @property
    def equal(self) -> bool:
        """Whether the interval holds 1."""
        return self.low <= 1 <= self.high

    def sentence(self, precision: float, device: str) -> str:
        """`esc-x4 is 3.6x [3.5, 3.7] faster than hit-srf-x4 on a CPU`.

        That two are equally fast is a finding, which takes an interval as narrow as was asked; a wide one that holds 1
        found nothing.
        """
        if not self.equal:
            word, ends = "faster", (self.median, self.low, self.high)
            if self.median < 1:
                word, ends = "slower", (1 / self.median, 1 / self.high, 1 / self.low)
            middle, low, high = _rounded(*ends)
            return f"{self.of} is {middle}x [{low}, {high}] {word} than {self.over} on {device}"
        if self.width < precision:
            within = max(1 / self.low, self.high) - 1
            return f"{self.of} and {self.over} are equally fast within {within:.1%} on {device}"
        seen = f"{self.median:.2f} [{self.low:.2f}, {self.high:.2f}]"
        return f"no difference seen between {self.of} and {self.over} on {device}: ratio {seen}"


@dataclass(frozen=True)
class Comparison:
    """A finished comparison, and under what it was made."""

    entrants: tuple[Variant, ...]
    ratios: tuple[Ratio, ...]
    rounds: Rounds
    protocol: Protocol
    settings: dict[str, Any]
    """torch's switches, as `timing.set_up` says them."""
    device: str
    """The hardware that ran, in words."""
    precision: float
    budget: float
    seed: int
    """Of the orders; drawn from the system's entropy."""
    state: dict[str, Any]
    """Of the machine, before and after, and what disturbed it, as `machine.Watch` says it."""

    def sentences(self) -> Iterator[str]:
        """One for each ratio, with the hardware named; what was not reached is said."""
        count, reached = len(self.rounds.seconds), self.rounds.ended == "precise"
        for ratio in self.ratios:
            told = ratio.sentence(self.precision, self.device)
            told += ";" if ratio.equal and ratio.width >= self.precision else ":"
            told += f" {ratio.of} took less time in {ratio.probability:.0%} of {count} rounds"
            if not reached and ratio.width >= self.precision:
                after = f"after {self._spent(count)} its interval is"
                told += f"; {after} still {' wide, not '.join(_apart(ratio.width, self.precision))}"
            yield told

    def _spent(self, count: int) -> str:
        if self.rounds.ended != "budget":
            return f"{count} rounds{', interrupted,' if self.rounds.ended == 'interrupted' else ''}"
        if count > timing.FLOOR or self.rounds.took < 1.1 * self.budget:
            return f"{self.budget:g} s"
        return f"{words(self.rounds.took)} (the budget was {self.budget:g} s, but {count} rounds are the least)"

    def conditions(self) -> str:
        """`protocol steady: HR 256x256, float32, batch 1, naive attention, lean forward, cpu, 2 threads`."""
        given, build = self.protocol.input, self.protocol.build
        lr = sorted(
            {e.scale: f"{'x'.join(map(str, given.lr(e.scale)[::-1]))} at x{e.scale}" for e in self.entrants}.items()
        )
        parts = [
            f"HR {given.hr[1]}x{given.hr[0]} (LR {', '.join(text for _, text in lr)})",
            given.dtype,
            f"batch {given.batch}",
            *((f"{build.attention} attention", f"{build.forward} forward") if self._ours else ()),
            self.settings["device"],
            f"{self.settings['threads']} thread{'s' if self.settings['threads'] > 1 else ''}",
        ]
        if self.settings["compile"] != "none":
            parts.append({"compile": "torch.compile", "graph": "CUDA graph"}[self.settings["compile"]])
        return f"protocol {self.protocol.name}: {', '.join(parts)}"

    @property
    def _ours(self) -> bool:
        """Whether any of them is of the catalogue, and so has forms to choose from."""
        return any(e.source is None for e in self.entrants)

    def disturbed(self) -> str | None:
        """What kept the machine from its best, if anything did, and whether ratios can be trusted beside that.

        Whoever works on the cores of one thread takes his share of every run. Several threads wait for the slowest of
        them, and how often a network makes them wait is its own: then ratios move, and no interval knows by how much.
        """
        if not (why := "; ".join(self.state["why"])):
            return None
        if self.settings["device"] != "cpu" or self.settings["threads"] == 1:
            return f"disturbed: {why}; that met all alike, and widens the intervals"
        return (
            f"disturbed: {why}; networks in {self.settings['threads']} threads do not slow down alike, so ratios move "
            "too, by more than the intervals say: repeat it on a quiet machine, or with "
            f"--protocol {self.protocol.name}+one-thread"
        )

    def told(self) -> list[str]:
        """Everything in words: sentences, conditions, what disturbed the machine."""
        return [line for line in (*self.sentences(), self.conditions(), self.disturbed()) if line]

    def as_object(self) -> dict[str, Any]:
        """Everything, raw times included, as JSON has it."""
        return {
            "sentences": list(self.sentences()),
            "ratios": [vars(r) | {"equal": r.equal and r.width < self.precision} for r in self.ratios],
            "level": timing.LEVEL,
            "protocol": self.protocol.name,
            "conditions": {e.name: self.protocol.read(("input", "build", "execution"), e.scale) for e in self.entrants},
            "settings": self.settings,
            "device": self.device,
            "machine": environment.machine(),
            "environment": environment.capture(),
            "precision": self.precision,
            "budget": self.budget,
            "seed": self.seed,
            "state": self.state,
            "ended": self.rounds.ended,
            "took": self.rounds.took,
            "entrants": [e.name for e in self.entrants],
            "warmup": [vars(w) for w in self.rounds.warmup],
            "seconds": self.rounds.seconds,
            "order": self.rounds.order,
        }


def compare(
    names: Sequence[str | Variant],
    vs: str | Variant | None = None,
    protocol: str = "steady",
    precision: float = PRECISION,
    budget: float = BUDGET,
    clock: Clock = time.perf_counter,
    say: Say = unheard,
    keep: bool = False,
) -> Comparison:
    """Time networks in turns in this process: the first against each other one, or each against `vs`.

    With `keep`, Ctrl-C ends the rounds and what was played stands; too few to say anything are a UserError.
    The same name twice is two networks of one kind, whose ratio should be 1: a test of the machine.
    """
    for option, given, such in (("--precision", precision, PRECISION), ("--budget", budget, BUDGET)):
        if not given > 0:
            raise UserError(f"{option} {given:g} was given; it must be above 0, such as {such:g}.")
    if precision > 1:
        raise UserError(
            f"--precision {precision:g} was given, which is {precision:.0%}; give a fraction, such as 0.02."
        )
    entrants, pairs = _matched([models.find(n) for n in names], None if vs is None else models.find(vs))
    way, seed = protocols.find(protocol), secrets.randbits(64)
    watch = machine.Watch(way.execution.device)
    timing.device(way.execution)  # refused before the first network is built, and what cannot be built before it waits
    for entrant in entrants:
        building.check(entrant, way)
    with ExitStack() as stack:
        stack.enter_context(turns.turn(way.execution.device))
        settings = stack.enter_context(timing.set_up(way.execution))
        runs = []
        for entrant in entrants:
            say(f"building {entrant.name}")
            runs.append(_run(entrant, way, clock))
        watch.begin(settings["threads"])
        rounds = play(runs, pairs, precision, budget, np.random.default_rng(seed), clock, say, keep)
        state = watch.end()
    if len(rounds.seconds) < timing.FLOOR:
        raise too_early(len(rounds.seconds))
    ratios = tuple(ratio(rounds, entrants[a].name, entrants[b].name, a, b) for a, b in pairs)
    device = _device(way.execution.device)
    return Comparison(entrants, ratios, rounds, way, settings, device, precision, budget, seed, state)


def too_early(rounds: int) -> UserError:
    """What is said of an interrupt before the rounds say anything."""
    return UserError(
        f"Interrupted: {rounds} round{'' if rounds == 1 else 's'} had been played, and {timing.FLOOR} are the least "
        "that say something. A comparison stores nothing, so run again it begins anew."
    )


def _matched(named: Sequence[Variant], base: Variant | None) -> tuple[tuple[Variant, ...], list[tuple[int, int]]]:
    """Who runs, and whose ratio to whom is asked for."""
    if base is None:
        entrants, pairs = tuple(named), [(0, i) for i in range(1, len(named))]
    else:
        others = list(named)
        if base in others and len(others) > 1:  # else it is timed beside itself
            others.remove(base)
        entrants, pairs = (*others, base), [(i, len(others)) for i in range(len(others))]
    if not pairs:
        (alone,) = entrants
        other = f"{'rfdn' if alone.model == 'imdn' else 'imdn'}-x{alone.scale}"
        raise UserError(
            f"A comparison takes two networks, and 1 was named: {alone.name}. Name another one: "
            f"workbench compare {alone.name} {other}"
        )
    return entrants, pairs


def _run(variant: Variant, protocol: Protocol, clock: Clock) -> Callable[[], Sample]:
    """A network on its device, as a run that is timed; an output that is not finite is refused."""
    model, x = building.real(variant, protocol)
    call = timing.prepared(model, x, protocol.execution)
    try:
        timing.checked(call())
    except ValueError as error:
        raise UserError(f"{variant.name} cannot be compared: {error}. Compare it without, or mend it.") from error
    return lambda: timing.sample(call, protocol.execution.device, clock)


def _device(kind: str) -> str:
    if kind == "cpu":
        seen = environment.capture()
        return f"{seen['cpu']}, {seen['cores']} cores"
    import torch

    return str(torch.cuda.get_device_name())


def ratio(rounds: Rounds, of: str, over: str, a: int, b: int) -> Ratio:
    """What the rounds say of one pair, in logarithms, so that it is the same read from either side."""
    logs = np.log([t[b] / t[a] for t in rounds.seconds])
    low, high = timing.interval(list(logs))
    probability = float(np.mean(logs > 0) + np.mean(logs == 0) / 2)
    return Ratio(of, over, math.exp(float(np.median(logs))), math.exp(low), math.exp(high), probability)


def _apart(width: float, asked: float) -> tuple[str, str]:
    """Two widths in per cent, in digits that tell them from nothing and from each other."""
    first, second = max(1, -_power(width) - 2), max(1, -_power(asked) - 2)
    while first < 9 and f"{width:.{first}%}" == f"{asked:.{second}%}":
        first, second = first + 1, second + 1
    return f"{width:.{first}%}", f"{asked:.{second}%}"


def _power(number: float) -> int:
    return math.floor(math.log10(max(number, 1e-9)))


def _rounded(middle: float, low: float, high: float) -> tuple[str, str, str]:
    """As many digits as the interval bears, and at least so many that an end above 1 does not read as 1."""
    decimals = max(1, math.ceil(-math.log10(max(high - low, 1e-6))))
    while decimals < 6 and float(f"{low:.{decimals}f}") <= 1:
        decimals += 1
    return f"{middle:.{decimals}f}", f"{low:.{decimals}f}", f"{high:.{decimals}f}"
