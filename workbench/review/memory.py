"""Claims of peak memory, held against the estimate that is made without a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from workbench import execute
from workbench.digits import rounds_to
from workbench.papers.printed import MEMORY
from workbench.spec import Record, Variant

from . import Alternative, Finding, Question, answers, asked, others, request
from .stated import Stated

ALTERNATIVES = (
    Alternative("hr", "The size of the output is not stated", ("hr1080p",)),
    Alternative("lr", "How the side of the LR input is rounded, or that input, is not stated", ("ceil",)),
    Alternative("attention", "The attention implementation is not stated", ("sdpa", "flex"), ours=True),
    Alternative("forward", "Whether the code keeps the official order of work is not stated", ("lean",), ours=True),
)
PEAK = Question(
    "peak",
    "Which peak it is is not stated (peak = ...)",
    "torch.cuda.max_memory_allocated is taken; nvidia-smi shows more: CUDA's context and what is reserved",
)
DEVICE = Question("device", "The device is not named", "workspaces differ by device; +hopper is planned apart")


def requests(claim: Stated, network: Variant) -> list[execute.Request]:
    """The estimate under the stated protocol, and under those that it could mean as well."""
    ways = [way for _, ways in others(claim, network, ALTERNATIVES) for way in ways]
    return [request(network, claim.probe, way) for way in (claim.protocol, *ways)]


def judge(claim: Stated, network: Variant, known: Mapping[str, Record]) -> Finding:
    """Planned within the tolerance under the stated protocol; explained under one that it could mean as well."""
    answer = answers(network, claim.probe, known)
    record = answer(claim.protocol)
    if record is None or record.status != "ok":
        why = "no record yet" if record is None else f"no estimate: {record.status}: {record.reason}"
        return Finding(claim, "not measured", why, claim.protocol)
    questions, same = asked(claim, network, ALTERNATIVES, answer)
    questions += tuple(q for q in (PEAK, DEVICE) if q.condition not in claim.said)
    tolerance = f"the tolerance of an estimate is {MEMORY.tolerance:.0%}"
    own = f"{claim.protocol} is planned at {claim.shown(record.value)}, {_off(claim, record):+.1%}; {tolerance}"
    if _near(claim, record):
        return Finding(claim, "planned", own, claim.protocol, record.value, questions=questions, same=same)
    ways = [way for _, names in others(claim, network, ALTERNATIVES) for way in names]
    there = {way: r for way in ways if (r := answer(way)) is not None and r.status == "ok"}
    fits = tuple(way for way, r in there.items() if _near(claim, r))
    if fits:
        best = there[fits[0]]
        why = f"{own}; {fits[0]} is planned at {claim.shown(best.value)}, {_off(claim, best):+.1%}"
        return Finding(claim, "explained", why, fits[0], best.value, None, fits, len(there) + 1, questions, same)
    told = f"{own}; none of {len(there) + 1} protocols tried comes near"
    return Finding(claim, "differs", told, claim.protocol, record.value, None, (), len(there) + 1, questions, same)


def _off(claim: Stated, record: Record) -> float:
    return record.value / (float(claim.printed) * claim.factor) - 1


def _near(claim: Stated, record: Record) -> bool:
    value = Decimal(record.value) / Decimal(claim.factor)
    return abs(_off(claim, record)) <= MEMORY.tolerance or rounds_to(value, claim.printed)
