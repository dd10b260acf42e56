"""Claims of what is counted: parameters and multiply-adds."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from workbench import execute, protocols
from workbench.digits import cuts_to, rounds_to, search
from workbench.judge import Verdict
from workbench.spec import Record, Variant

from . import Alternative, Finding, answers, asked, others, request
from .stated import Stated

PARAMS = (Alternative("counter", "Which parameters are counted is not stated", ("trainable", "hooks")),)
FLOPS = (
    Alternative("counter", "The counter is not named", ("torch", "hooks")),
    Alternative("hr", "The size of the output is not stated", ("hr1080p",)),
    Alternative("lr", "How the side of the LR input is rounded, or that input, is not stated", ("ceil",)),
    Alternative("counts", "Whether a multiply-add is one operation or two is not stated", ("twice",)),
    Alternative("padding", "Whether pixels that the network adds are counted is not stated", ("unpadded",)),
    Alternative("attention", "The attention implementation is not stated", ("sdpa",), ours=True),
    Alternative("mode", "Whether the network stood as for inference is not stated", ("train",)),
    Alternative("layer-norm", "Whether layer norms are counted is not stated", ("no-layer-norm",)),
    Alternative("scan", "Whether selective scans are counted is not stated", ("scan",)),
)


def _alternatives(claim: Stated) -> tuple[Alternative, ...]:
    return PARAMS if claim.of == "params" else FLOPS


def requests(claim: Stated, network: Variant) -> list[execute.Request]:
    """The figure under the stated protocol, and under those that it could mean as well."""
    ways = [way for _, ways in others(claim, network, _alternatives(claim)) for way in ways]
    return [request(network, claim.probe, way) for way in (claim.protocol, *ways)]


def searches(claim: Stated, network: Variant, known: Mapping[str, Record]) -> list[execute.Request]:
    """A search among all known protocols, where the stated one does not give the figure."""
    record = answers(network, claim.probe, known)(claim.protocol)
    if record is None or record.status != "ok" or rounds_to(_value(record, claim), claim.printed):
        return []
    size = _size(claim)
    return [] if size is None else [request(network, f"{claim.probe}-search", "+".join(["fvcore", *size]))]


def judge(claim: Stated, network: Variant, known: Mapping[str, Record]) -> Finding:
    """The claim against the stated protocol first, then against all that were searched."""
    answer = answers(network, claim.probe, known)
    record, name = answer(claim.protocol), claim.protocol
    if record is None:
        return Finding(claim, "not measured", "no record yet", name)
    if record.status != "ok":
        return Finding(claim, "not measured", f"{record.status}: {record.reason}", name)
    questions, same = asked(claim, network, _alternatives(claim), answer)
    left = ", ".join(record.details.get("uncounted_heavy", ()))
    own = f"{name} gives {record.value:,}{f', with {left} not counted' if left else ''}"
    value = _value(record, claim)
    if rounds_to(value, claim.printed):
        why = f"{own}, which rounds to the printed digits"
        return Finding(claim, "reproduced", why, name, record.value, questions=questions, same=same)
    (asked_for,) = searches(claim, network, known) or (None,)
    searched = known.get(asked_for.identity) if asked_for else None
    if searched is None or searched.status != "ok":
        verdict: Verdict = "explained" if cuts_to(value, claim.printed) else "differs"
        why = f"{own}; other protocols could not be searched"
        return Finding(claim, verdict, why, name, record.value, questions=questions, same=same)
    looked = search(searched, claim.printed, claim.factor)
    tried, size = looked.tried, _size(claim) or []
    fits = tuple(_sized(name, size) for name in looked.fits)
    if cuts_to(value, claim.printed):
        why = f"{own}, which was cut off and not rounded: {claim.shown(record.value)}"
        return Finding(claim, "explained", why, name, record.value, None, fits, tried, questions, same)
    value_of = {_sized(name, size): value for name, value in looked.values.items()}
    best = fits[0] if fits else _sized(looked.nearest, size)
    found = f"{best} gives {value_of[best]:,}"
    if fits:
        how = "rounds to the printed digits" if looked.rounded else "was cut off, not rounded"
        why = f"{own}; {found}, which {how}; {looked}"
        return Finding(claim, "explained", why, best, value_of[best], None, fits, tried, questions, same)
    near = f"nearest is {best} with {value_of[best]:,}" if value_of[best] != record.value else f"{name} is nearest"
    why = f"{own}; none of {tried} protocols ({looked.distinct} distinct figures) gives it; {near}"
    return Finding(claim, "differs", why, name, record.value, None, (), tried, questions, same)


def _size(claim: Stated) -> list[str] | None:
    """The modifier of the stated output, if it takes one; None of a size that no modifier names."""
    size = protocols.find(claim.protocol).input.hr
    if size == protocols.find("fvcore").input.hr:
        return []
    return next(([name] for name, hr in protocols.SIZES.items() if hr == size), None)


def _sized(name: str, size: list[str]) -> str:
    return protocols.find("+".join([name, *size])).name


def _value(record: Record, claim: Stated) -> Decimal:
    return Decimal(record.value) / Decimal(claim.factor)
