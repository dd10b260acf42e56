"""Variant + protocol + probe -> record: here, or in a process of its own; what is missing, and nothing twice."""

from __future__ import annotations

import itertools
import json
import math
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workbench import (
    building,
    counted,
    environment,
    evaluate,
    fresh,
    machine,
    models,
    probes,
    protocols,
    store,
    timing,
    turns,
)
from workbench.spec import Build, Protocol, Record, Status, UserError, Variant

STANDING: tuple[Status, ...] = ("ok", "out-of-memory", "unsupported")
"""Outcomes that answer a request. A `failed` one is a defect, perhaps mended since, and after a `timeout` somebody may
have more patience: both are measured again."""

PATIENCE = 1800.0
"""Seconds for a measurement that wants a process of its own, where nobody gives a number: none may hang a sweep."""

EXHAUSTED = (
    "Cannot allocate memory",
    "failed to map segment from shared object",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "std::bad_alloc",
)
"""What is said in errors of other names when memory runs out: by the C library, its loader, and torch."""


@dataclass(frozen=True)
class Outcome:
    """What came of one measurement."""

    status: Status
    reason: str | None = None
    values: tuple[float, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """One measurement that somebody asked for."""

    variant: Variant
    protocol: Protocol
    probe: probes.Probe
    subject: evaluate.Subject | None = None
    """Weights and images, where the probe judges images."""
    machine: str | None = None
    """Whose time it is, in words, if not this machine's; nothing but what is timed asks for one."""

    @property
    def conditions(self) -> Mapping[str, Any]:
        read = self.protocol.read(self.probe.reads, self.variant.scale)
        if self.probe.timed:
            read["machine"] = self.machine or environment.machine()
        read |= {"source": self.variant.source.conditions} if self.variant.source else {}
        return read | (self.subject.conditions if self.subject else {})

    @property
    def identity(self) -> str:
        return store.identity(self.variant.name, self.probe.name, self.probe.version, self.conditions)

    def __str__(self) -> str:
        return f"{self.probe.name} of {self.variant.name} under {self.protocol.name}"


def requests(names: Sequence[str | Variant], probe_names: Sequence[str], ways: Sequence[str]) -> list[Request]:
    """Resolve what was typed (names or globs of variants) into measurements, in the catalogue's order; others last.

    A form that somebody's own network lacks is refused here: a probe that reads no form has one record for all of them.
    """
    chosen_probes = [probes.find(p) for p in probe_names]
    chosen_protocols = [protocols.find(p) for p in ways]
    chosen = resolve(names)
    for variant, protocol in itertools.product(chosen, chosen_protocols):
        counted.check(variant, protocol)
    return [
        Request(variant, protocol, probe)
        for variant in chosen
        for protocol in chosen_protocols
        for probe in chosen_probes
    ]


def with_subjects(wanted: Sequence[Request], weights: str | None, home: Path) -> list[Request]:
    """The same requests; where images are judged, with the weights and images of a user's folder."""
    if untrained := next((r for r in wanted if r.probe.images and r.variant.source), None):
        raise UserError(
            f"{untrained} cannot be judged: images are those of the catalogue's networks and their weights. "
            f"Leave --probe {untrained.probe.name} out for a network of your own."
        )
    return [
        replace(r, subject=evaluate.subject(r.variant.name, r.protocol, weights, home)) if r.probe.images else r
        for r in wanted
    ]


def resolve(names: Sequence[str | Variant]) -> list[Variant]:
    """The variants that any of the names or globs picks; each must pick at least one."""
    own = {v.name: v for v in names if isinstance(v, Variant)}
    picked = {match for name in names if isinstance(name, str) for match in models.matching(name)}
    return [*(v for n, v in (models.VARIANTS | models.ABLATED).items() if n in picked), *own.values()]


def missing(wanted: Iterable[Request], known: Mapping[str, Record], force: bool = False) -> list[Request]:
    """What has to be measured: each identity once, and none that a record already answers."""
    todo: dict[str, Request] = {}
    for request in wanted:
        record = known.get(request.identity)
        if force or record is None or not _stands(record, request):
            todo.setdefault(request.identity, request)
    return list(todo.values())


def _stands(record: Record, request: Request) -> bool:
    """Whether a record answers, value or not.

    Records of before say of probes that read no form of a network, as `params`, that it lacks the form (`+sdpa`) which
    another protocol named: that is no answer to this one.
    """
    if record.status == "unsupported" and not (request.probe.images or "build" in request.probe.reads):
        return record.protocol == request.protocol.name
    return record.status in STANDING


def answer(request: Request, known: Mapping[str, Record]) -> Record:
    """The record that answers a request, under the protocol it was asked for: its conditions are the same."""
    return replace(known[request.identity], protocol=request.protocol.name)


def measure(request: Request) -> Record:
    """One measurement in this process, or in one of its own if its probe wants that. What goes wrong is recorded."""
    if (request.probe.apart or request.variant.source) and not request.variant.held:
        return measure_apart(request, PATIENCE)
    if request.probe.real:
        import torch  # noqa: F401
    else:
        from workbench import tracing

        tracing.ready()  # only the first one would pay for imports, and tell nothing of how long others take
    with _turn(request):
        start = time.monotonic()
        outcome = _outcome(request)
        return _record(request, outcome, time.monotonic() - start)


def apart(timeout: float | None = None) -> Callable[[Request], Record]:
    """`measure` in a fresh process each time, given up after `timeout` seconds."""
    return lambda request: measure_apart(request, timeout)


def measure_apart(request: Request, timeout: float | None = None) -> Record:
    """One measurement in a fresh process, so that nothing measured before it can be felt, and no crash is ours."""
    with _turn(request) as held:
        start = time.monotonic()
        try:
            told = fresh.call(_child, request, timeout=timeout, imports=imports(), held=held)
            outcome = Outcome(**told | {"values": tuple(told["values"])})
        except fresh.NoAnswerError as died:
            outcome = Outcome(died.status, died.reason)
        return _record(request, outcome, time.monotonic() - start)


def _turn(request: Request) -> AbstractContextManager[Sequence[int]]:
    """What is timed has its device to itself; what is counted waits for nobody. No timeout runs while it waits."""
    return turns.turn(request.protocol.execution.device) if request.probe.timed else nullcontext(())


def _child(request: Request) -> dict[str, Any]:
    return asdict(_outcome(request))


def imports() -> list[str]:
    """What a fresh process finds imported: torch, every probe and every network."""
    return [
        "torch",
        "workbench.execute",
        *(p.module for p in probes.PROBES.values() if p.module),
        *(f"workbench.models.{family.name}" for family in models.FAMILIES),
    ]


def _outcome(request: Request) -> Outcome:
    """Measure here; whatever goes wrong says so. What fails in somebody's own network is theirs to mend, no defect."""
    try:
        reading = _measure(request)
        if not reading.values or not all(map(math.isfinite, reading.values)):
            raise ValueError(f"the probe {request.probe.name} returned {reading.values}, which is no measurement")
        json.dumps(reading.details, allow_nan=False)  # which the store would refuse, and the sweep would end
    except UserError as error:
        return Outcome("unsupported", str(error))
    except MemoryError:
        return Outcome("out-of-memory", "the machine's memory was exhausted")
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
        if type(error).__name__ == "OutOfMemoryError" or any(sign in told for sign in EXHAUSTED):
            return Outcome("out-of-memory", told)
        return Outcome(
            "unsupported" if request.variant.source else "failed", told, details={"traceback": traceback.format_exc()}
        )
    return Outcome("ok", None, reading.values, reading.details)


def _measure(request: Request) -> probes.Reading:
    import torch

    if request.probe.across:
        return _search(request, probes.find(request.probe.across))
    if request.probe.images:
        if request.subject is None:
            raise UserError(f"{request} needs weights and images: execute.with_subjects finds a user's.")
        return evaluate.measure(request.variant.name, request.subject, request.protocol, request.probe.name)
    counted.check(request.variant, request.protocol)
    if request.probe.real:
        return _run(request)
    if request.variant.source:
        return counted.measure(request.variant, request.protocol, request.probe)
    build = request.protocol.build if "build" in request.probe.reads else Build()  # else a form it lacks is no matter
    model = building.kept(request.variant.name, build)
    batch, dtype = request.protocol.input.batch, getattr(torch, request.protocol.input.dtype)
    x = torch.empty(batch, 3, *request.protocol.input.lr(request.variant.scale), device="meta", dtype=dtype)
    return request.probe.measure(model, x, request.protocol)


def _run(request: Request) -> probes.Reading:
    """A probe's value of the network at work, and the state the machine was in."""
    execution = request.protocol.execution
    watch = machine.Watch(execution.device)
    timing.device(execution)
    with timing.set_up(execution) as settings:
        model, x = building.real(request.variant, request.protocol)
        watch.begin(settings["threads"])
        reading = request.probe.measure(model, x, request.protocol)
        return probes.Reading(reading.values, settings | reading.details | {"state": watch.end()})


def _search(request: Request, probe: probes.Probe) -> probes.Reading:
    """A probe's value under every protocol that could have made a printed figure, and is not a simpler one in effect.

    A modifier that changes nothing for this network (a scan's price where nothing is scanned) makes no protocol of
    its own. One that builds the network in another way and by itself changes nothing, or that the network refuses
    (fused attention where there is none), is not tried in combination.
    """
    asked, values, own = request.protocol.input, dict[str, float](), dict[str, float]()
    uncounted: dict[str, list[str]] = {}
    space = protocols.space(probe.name)
    for protocol in space:
        _, *modifiers = protocol.name.split("+")
        alone = {name.partition("+")[2] for name in own}
        if len(modifiers) > 1 and any(protocols.MODIFIERS[m].part == "build" and m not in alone for m in modifiers):
            continue
        at = replace(protocol, input=replace(protocol.input, hr=asked.hr, batch=asked.batch))
        try:
            reading = _measure(Request(request.variant, at, probe))
        except UserError:
            continue
        (value,) = reading.values
        values[protocol.name] = value
        if all(value != values.get(name) for name in protocols.simpler(protocol.name)):
            own[protocol.name] = value
            if left := reading.details.get("uncounted_heavy"):
                uncounted[protocol.name] = left
    details = {"protocols": list(own), "tried": len(space), "uncounted_heavy": uncounted}
    return probes.Reading(tuple(own.values()), details)


def unmeasured(request: Request, outcome: Outcome) -> Record:
    """The record of a measurement that ended elsewhere without an answer: all that is known of it is known here."""
    return replace(_record(request, outcome), machine=request.machine or environment.machine())


def _record(request: Request, outcome: Outcome, took: float | None = None) -> Record:
    return Record(
        variant=request.variant.name,
        protocol=request.protocol.name,
        probe=request.probe.name,
        probe_version=request.probe.version,
        conditions=request.conditions,
        unit=request.probe.unit,
        values=outcome.values,
        status=outcome.status,
        reason=outcome.reason,
        recorded_at=datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        machine=environment.machine(),
        details={**outcome.details, **({"own": request.variant.source.seen} if request.variant.source else {})},
        environment=environment.capture(),
        took=took,
    )
