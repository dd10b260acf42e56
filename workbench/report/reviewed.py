"""A review of somebody's own claims, as text and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from workbench.judge import VERDICTS
from workbench.review import Finding

from .layout import MARKS

KEYS = {"flops": "FLOPs"}


def text(name: str, file: str, findings: Sequence[Finding]) -> str:
    """Claim by claim: whether it holds, under what, and what a reviewer would ask."""
    lines = [f"{name}, as {file} claims it"]
    for one in findings:
        claim = one.claim
        against = f" than {claim.vs}" if claim.vs else ""
        lines.append(
            f"{MARKS[one.verdict]} {KEYS.get(claim.of, claim.of)} {claim.text}{against}: {one.verdict}. {one.why}."
        )
        lines += [f"    ? {q.asked}{f': {q.effect}' if q.effect else ''}." for q in one.questions]
        if one.same:
            lines.append(f"    makes no difference here: {', '.join(one.same)}")
    counted = Counter(one.verdict for one in findings)
    told = ", ".join(f"{counted[v]} {v}" for v in VERDICTS if counted[v])
    asked = sum(len(one.questions) for one in findings)
    return "\n".join([*lines, "", f"{_number(len(findings), 'claim')}: {told}; {_number(asked, 'question')}."]) + "\n"


def as_object(one: Finding) -> dict[str, Any]:
    """A finding as JSON shows it; `value` in base units, of a ratio how many times faster or slower."""
    return {
        "claim": one.claim.of,
        "printed": one.claim.text,
        "vs": one.claim.vs,
        "verdict": one.verdict,
        "why": one.why,
        "protocol": one.protocol,
        "value": one.value,
        "interval": one.interval,
        "protocols": list(one.fits),
        "tried": one.tried,
        "questions": [vars(q) for q in one.questions],
        "no_difference": list(one.same),
    }


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
