"""Variant + protocol + probe -> record: here, or in a process of its own; what is missing, and nothing twice."""

from __future__ import annotations

import contextlib
import json
import math
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import lru_cache
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from workbench import environment, interrupts, models, probes, protocols, store, timing
from workbench.spec import Build, Protocol, Record, Status, UserError, Variant, unknown

if TYPE_CHECKING:
    from torch import Tensor, nn

STANDING: tuple[Status, ...] = ("ok", "out-of-memory", "unsupported")
"""Outcomes that answer a request. A `failed` one is a defect, perhaps mended since, and after a `timeout` somebody may
have more patience: both are measured again."""


@dataclass(frozen=True)
class Request:
    """One measurement that somebody asked for."""

    variant: Variant
    protocol: Protocol
    probe: probes.Probe

    @property
    def conditions(self) -> Mapping[str, Any]:
        read = self.protocol.read(self.probe.reads, self.variant.scale)
        if self.probe.timed:
            read["machine"] = environment.machine()
        return read

    @property
    def identity(self) -> str:
        return store.identity(self.variant.name, self.probe.name, self.probe.version, self.conditions)

    def __str__(self) -> str:
        return f"{self.probe.name} of {self.variant.name} under {self.protocol.name}"


def requests(names: Sequence[str], probe_names: Sequence[str], protocol_names: Sequence[str]) -> list[Request]:
    """Resolve what was typed (names or globs of variants) into measurements, in the catalogue's order."""
    chosen_probes = [probes.find(p) for p in probe_names]
    chosen_protocols = [protocols.find(p) for p in protocol_names]
    return [
        Request(variant, protocol, probe)
        for variant in resolve(names)
        for protocol in chosen_protocols
        for probe in chosen_probes
    ]


def resolve(names: Sequence[str]) -> list[Variant]:
    """The variants that any of the names or globs picks; each must pick at least one."""
    picked: set[str] = set()
    for name in names:
        matches = [v for v in models.VARIANTS if fnmatchcase(v, name)]
        if not matches:
            raise unknown("variant", name, models.VARIANTS, "workbench variants")
        picked.update(matches)
    return [v for n, v in models.VARIANTS.items() if n in picked]


def missing(wanted: Iterable[Request], known: Mapping[str, Record], force: bool = False) -> list[Request]:
    """What has to be measured: each identity once, and none that a record already answers."""
    todo: dict[str, Request] = {}
    for request in wanted:
        record = known.get(request.identity)
        if force or record is None or record.status not in STANDING:
            todo.setdefault(request.identity, request)
    return list(todo.values())


def answer(request: Request, known: Mapping[str, Record]) -> Record:
    """The record that answers a request, under the protocol it was asked for: its conditions are the same."""
    return replace(known[request.identity], protocol=request.protocol.name)


def run(todo: Iterable[Request], writer: store.Writer, how: Callable[[Request], Record]) -> Iterator[Record]:
    """Measure one request after the other and store each before the next begins."""
    for request in todo:
        record = how(request)
        interrupts.check()  # what was interrupted has measured nothing, whatever it says
        writer.append([record])
        yield record


def measure(request: Request) -> Record:
    """One measurement in this process. Whatever goes wrong becomes a record that says so."""
    try:
        reading = _measure(request)
        if not reading.values or not all(map(math.isfinite, reading.values)):
            raise ValueError(f"the probe {request.probe.name} returned {reading.values}, which is no measurement")
    except UserError as error:
        return _record(request, "unsupported", reason=str(error))
    except MemoryError:
        return _record(request, "out-of-memory", reason="the machine's memory was exhausted")
    except Exception as error:
        status: Status = "out-of-memory" if type(error).__name__ == "OutOfMemoryError" else "failed"
        told = f"{type(error).__name__}: {error}"
        return _record(request, status, reason=told, details={"traceback": traceback.format_exc()})
    return _record(request, "ok", values=reading.values, details=reading.details)


def apart(timeout: float | None = None) -> Callable[[Request], Record]:
    """`measure` in a fresh process each time, given up after `timeout` seconds."""
    return lambda request: measure_apart(request, timeout)


def measure_apart(request: Request, timeout: float | None = None) -> Record:
    """One measurement in a fresh process, so that nothing measured before it can be felt, and no crash is ours."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    names = (request.variant.name, request.protocol.name, request.probe.name)
    child = context.Process(target=_child, args=(theirs, *names))
    try:
        _start(child)
        theirs.close()
        if not ours.poll(timeout):
            return _record(request, "timeout", reason=f"no result after {timeout:g} s")
        answer = ours.recv_bytes()
    except EOFError:
        child.join()
        return _record(request, *_died(child.exitcode))
    finally:
        if child.pid is not None:
            child.kill()
            child.join()
        ours.close()
    return store.parse(answer)


def _start(child: multiprocessing.process.BaseProcess) -> None:
    """Start a process deaf to Ctrl-C, which reaches both: the parent answers it, and ends its child."""
    resource_tracker.ensure_running()  # the first start does that, and would let Ctrl-C through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # inherited by the child, from its first moment
    try:
        child.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _died(exitcode: int | None) -> tuple[Status, str]:
    if exitcode == -9:
        return "out-of-memory", "its process was killed, as the kernel does when memory runs out"
    if exitcode is not None and exitcode < 0:
        return "failed", f"its process died of signal {-exitcode}"
    return "failed", f"its process ended with exit code {exitcode} and no result"


def _child(pipe: Connection, variant: str, protocol: str, probe: str) -> None:
    os.dup2(sys.stderr.fileno(), 1)  # whatever a model prints must not mix with the parent's output
    request = Request(models.find(variant), protocols.find(protocol), probes.find(probe))
    answer = json.dumps(store.to_json(measure(request))).encode()
    with contextlib.suppress(BrokenPipeError):  # the parent was killed, and nobody waits for an answer
        pipe.send_bytes(answer)


def _measure(request: Request) -> probes.Reading:
    import torch

    if request.probe.across:
        return _search(request, probes.find(request.probe.across))
    if request.probe.real:
        return request.probe.measure(*real(request.variant, request.protocol), request.protocol)
    model = _network(request.variant.name, request.protocol.build)
    batch, dtype = request.protocol.input.batch, getattr(torch, request.protocol.input.dtype)
    x = torch.empty(batch, 3, *request.protocol.input.lr(request.variant.scale), device="meta", dtype=dtype)
    return request.probe.measure(model, x, request.protocol)


def real(variant: Variant, protocol: Protocol) -> tuple[nn.Module, Tensor]:
    """A network and its input on the device where they are to run, weights and values drawn from a fixed seed."""
    import torch

    device = timing.device(protocol.execution).type
    torch.manual_seed(0)
    model = _built(variant.name, protocol.build, device)
    dtype = getattr(torch, protocol.input.dtype)
    x = torch.rand(protocol.input.batch, 3, *protocol.input.lr(variant.scale), device=device, dtype=dtype)
    return model.to(dtype), x


def _search(request: Request, probe: probes.Probe) -> probes.Reading:
    """A probe's value under every protocol that could have made a printed figure, and is not a simpler one in effect.

    A modifier that changes nothing for this network (a scan's price where nothing is scanned) makes no protocol of
    its own; one that the network refuses (fused attention where there is none) is left out.
    """
    asked, values, own = request.protocol.input, dict[str, float](), dict[str, float]()
    uncounted: dict[str, list[str]] = {}
    space = protocols.space(probe.name)
    for protocol in space:
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


@lru_cache(maxsize=4)
def _network(variant: str, build: Build) -> nn.Module:
    """The networks last made are kept: several probes and protocols read the same ones."""
    return _built(variant, build, "meta")


def _built(variant: str, build: Build, device: str) -> nn.Module:
    model = models.create(variant, device=device, attention=build.attention, forward=build.forward)
    if not build.shifted:
        shifting = [m for m in model.modules() if getattr(m, "shift", 0)]
        if not shifting:
            raise UserError(f"{variant} shifts no window, so there is nothing that +unshifted could leave out.")
        for module in shifting:
            module.shift = 0  # type: ignore[assignment]  # a number, neither tensor nor module
    return model.train(build.mode == "train")


def _record(
    request: Request,
    status: Status,
    reason: str | None = None,
    values: tuple[float, ...] = (),
    details: Mapping[str, Any] | None = None,
) -> Record:
    return Record(
        variant=request.variant.name,
        protocol=request.protocol.name,
        probe=request.probe.name,
        probe_version=request.probe.version,
        conditions=request.conditions,
        unit=request.probe.unit,
        values=values,
        status=status,
        reason=reason,
        recorded_at=datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        machine=environment.machine(),
        details=details or {},
        environment=environment.capture(),
    )
