"""A researcher's own claims of one network before they are published: which hold, under what, and what is left unsaid.

Nothing is measured here: what it takes is said as requests, and a claim is judged by the records that answer them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from workbench import execute, probes, protocols
from workbench.judge import Verdict
from workbench.spec import Record, UserError, Variant

from .stated import Stated

OPEN: tuple[Verdict, ...] = ("differs", "explained")
"""Verdicts on claims that do not hold as they are stated."""


@dataclass(frozen=True)
class Question:
    """What a claim does not state and a reviewer would ask."""

    condition: str
    """The key of the claim that would answer it."""
    asked: str
    effect: str = ""
    """By how much the answer changes the figure, where that can be said."""


@dataclass(frozen=True)
class Finding:
    """One claim, and what came of it."""

    claim: Stated
    verdict: Verdict
    why: str
    protocol: str = ""
    """Under which `value` was found."""
    value: float | None = None
    """In base units; of a ratio, how many times faster."""
    interval: tuple[float, float] | None = None
    fits: tuple[str, ...] = ()
    """The protocols that give the printed digits, if others were searched."""
    tried: int = 0
    questions: tuple[Question, ...] = ()
    same: tuple[str, ...] = ()
    """Conditions that are not stated either, and make no difference for this network."""


@dataclass(frozen=True)
class Alternative:
    """Another way to have come to a figure, for a reviewer to ask about."""

    condition: str
    asked: str
    ways: tuple[str, ...]
    """Modifiers, or for another counter the protocol in place of the first."""
    ours: bool = False
    """Whether only networks of the catalogue can be run so."""


Answer = Callable[[str], Record | None]
"""The record of a probe under a protocol of a name, if there is one."""


def request(network: Variant, probe: str, protocol: str) -> execute.Request:
    return execute.Request(network, protocols.find(protocol), probes.find(probe))


def answers(network: Variant, probe: str, known: Mapping[str, Record]) -> Answer:
    return lambda protocol: known.get(request(network, probe, protocol).identity)


def changed(protocol: str, way: str) -> str | None:
    """The protocol with one thing otherwise; None where that is said in it already, or at odds with it."""
    _, *modifiers = protocol.split("+")
    name = "+".join([way, *modifiers]) if way in protocols.PROTOCOLS else f"{protocol}+{way}"
    try:
        found = protocols.find(name).name
    except UserError:
        return None
    return None if found == protocols.find(protocol).name else found


def others(claim: Stated, network: Variant, known: Sequence[Alternative]) -> Iterator[tuple[Alternative, list[str]]]:
    """What a claim leaves open, and the protocols that it could mean as well."""
    for one in known:
        if one.condition not in claim.said and not (one.ours and network.source):
            yield one, [p for way in one.ways if (p := changed(claim.protocol, way))]


def asked(
    claim: Stated, network: Variant, alternatives: Sequence[Alternative], answer: Answer
) -> tuple[tuple[Question, ...], tuple[str, ...]]:
    """A question for each open condition that changes the figure, and the conditions that change nothing."""
    mine, found, same = answer(claim.protocol), list[Question](), list[str]()
    for one, ways in others(claim, network, alternatives):
        there = {way: r for way in ways if (r := answer(way)) is not None and r.status == "ok"}
        if mine is None or mine.status != "ok":
            found.append(Question(one.condition, one.asked))
            continue
        differing = [f"{way} gives {claim.shown(r.value)} ({_percent(r.value / mine.value - 1)})"
                     for way, r in there.items() if r.value != mine.value]  # fmt: skip
        if differing:
            first = f"taken as {claim.protocol}, {claim.shown(mine.value)}"
            found.append(Question(one.condition, one.asked, f"{first}; {', '.join(differing)}"))
        else:
            same.append(one.condition)
    return tuple(found), tuple(same)


def _percent(fraction: float) -> str:
    """With two decimals where it is little."""
    return f"{fraction:+.1%}" if abs(fraction) >= 0.1 else f"{fraction:+.2%}"
