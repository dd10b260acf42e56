"""Claims of latency: a ratio to another network, held against one that was timed here."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench import ratios
from workbench.digits import left_open
from workbench.judge import Verdict
from workbench.papers.printed import LATENCY
from workbench.spec import Record, Variant

from . import Finding, Question, answers
from .stated import Stated

ALONE = (
    "a time is its machine's own and gets no verdict; state how many times faster it is than a network that others can "
    "run: vs = 'esc-x4', ratio = '1.7x faster'"
)
WIDEST = 0.25
"""The width of an interval, as a fraction, above which one that holds a stated ratio holds too much else."""

UNSAID = {
    "device": "The device is not named",
    "warmup": "The number of runs before the first that counts is not stated",
    "runs": "The number of runs is not stated",
    "statistic": "Whether it is the mean or the median of them is not stated",
    "compile": "Whether the networks were compiled is not stated",
}


@dataclass(frozen=True)
class Timed:
    """How many times faster a network was seen to be than another one."""

    ratio: float
    low: float
    high: float
    where: str
    """Machine, protocol and how often, in words."""
    effects: Mapping[str, str]
    """By condition: what another choice of it would have given."""


def of_comparison(told: Mapping[str, Any]) -> Timed:
    """What `workbench compare` found, as JSON has it."""
    (ratio,) = told["ratios"]
    mine, its = zip(*told["seconds"], strict=True)
    effects = _effects(mine, its)
    first, _ = told["warmup"]
    if first["runs"]:
        each = first["seconds"] / first["runs"] / statistics.median(mine)
        effects["warmup"] = f"here {first['runs']} runs, each {each:.2f} times as long as those that count"
    where = f"on {told['device']}, protocol {told['protocol']}, {len(mine)} rounds in turns"
    where += f"; disturbed: {'; '.join(told['state']['why'])}" if told["state"]["why"] else ""
    return Timed(ratio["median"], ratio["low"], ratio["high"], where, effects)


def of_records(claim: Stated, network: Variant, base: Variant, known: Mapping[str, Record]) -> Timed | None:
    """The same of two records of this machine, if there are both."""
    mine, its = (answers(one, "latency", known)(claim.protocol) for one in (network, base))
    if mine is None or its is None or mine.status != "ok" or its.status != "ok" or not mine.value:
        return None
    found = ratios.ratio(base.name, mine, its)
    where = (
        f"on {mine.machine}, protocol {claim.protocol}, from the records of {len(mine.values)} and {len(its.values)}"
    )
    return Timed(1 / found.measured, 1 / found.high, 1 / found.low, f"{where} runs", _effects(mine.values, its.values))


def judge(claim: Stated, timed: Timed | None, needs: str) -> Finding:
    """The stated ratio against what was seen here; `needs` says what it takes where nothing was."""
    effects = timed.effects if timed else {}
    questions = tuple(
        Question(key, asked, effects.get(key, "")) for key, asked in UNSAID.items() if key not in claim.said
    )
    if claim.vs is None:
        return Finding(claim, "not measured", ALONE, claim.protocol, questions=questions)
    if timed is None:
        return Finding(claim, "not measured", needs, claim.protocol, questions=questions)
    seen, low, high = timed.ratio, timed.low, timed.high
    if claim.slower:
        seen, low, high = 1 / seen, 1 / high, 1 / low
    word, open_ = "slower" if claim.slower else "faster", left_open(claim.printed)
    said = float(claim.printed)
    told = (
        f"{seen:.3g} times {word} than {claim.vs} [{low:.3g}, {high:.3g}] {timed.where}; {seen / said - 1:+.1%} of it"
    )
    told += f", and the tolerance is {LATENCY.tolerance:.0%}"
    near = (low <= said + open_ and said - open_ <= high) or abs(seen / said - 1) <= LATENCY.tolerance
    if near and high / low - 1 > WIDEST:
        why = f"undecided, since the interval is too wide to confirm it: {told}; give it more time: --budget"
        return Finding(claim, "not measured", why, claim.protocol, seen, (low, high), questions=questions)
    verdict: Verdict = "reproduced" if near else "differs"
    return Finding(claim, verdict, told, claim.protocol, seen, (low, high), questions=questions)


def _effects(mine: Sequence[float], its: Sequence[float]) -> dict[str, str]:
    """What the mean would have given, and what the first tenth of the runs."""
    mean = statistics.fmean(its) / statistics.fmean(mine)
    few = max(1, len(mine) // 10)
    start = statistics.median(its[:few]) / statistics.median(mine[:few])
    middle = statistics.median(its) / statistics.median(mine)
    return {
        "statistic": f"here the ratio of the medians is {middle:.3g}, that of the means {mean:.3g}",
        "runs": f"here the ratio of the medians of the first {few} is {start:.3g}, of all {len(mine)} {middle:.3g}",
    }
