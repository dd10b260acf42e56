"""What a sweep would do: what is done, what is missing, how long that takes, and what does not fit into its device."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from workbench import environment, execute, probes, protocols
from workbench.devices import DEVICES
from workbench.execute import Request
from workbench.forecast import Forecast, words
from workbench.spec import Record

CONTEXT = 500_000_000
"""Bytes of a GPU that the driver and CUDA's libraries take before the first tensor: an estimate, as in `fits`."""


@dataclass(frozen=True)
class Row:
    """The requests of one probe under one protocol."""

    probe: str
    protocol: str
    asked: int
    done: int
    missing: int
    left_out: int
    seconds: float | None
    """What is missing takes about this long, one after the other; None where nothing is known of it."""
    peak: int | None
    """The most memory that is planned for any of the missing, in bytes; None where none is planned."""


@dataclass(frozen=True)
class Plan:
    """A sweep that was not begun."""

    asked: tuple[Request, ...]
    missing: tuple[Request, ...]
    left_out: Mapping[str, str]
    """By identity of a request that is not to be measured, why."""
    rows: tuple[Row, ...]
    unknown: int
    """Of how many that are missing no record tells how long they take."""

    @property
    def done(self) -> int:
        return len(self.asked) - len(self.missing) - len(self.left_out)

    @property
    def seconds(self) -> float:
        return sum(r.seconds or 0.0 for r in self.rows)

    def as_object(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        out = [_named(r) | {"why": self.left_out[r.identity]} for r in self.asked if r.identity in self.left_out]
        return {
            "asked": len(self.asked),
            "done": self.done,
            "missing": [_named(r) for r in self.missing],
            "left_out": out,
            "seconds": self.seconds,
            "unknown": self.unknown,
            "rows": [asdict(row) for row in self.rows],
        }

    def sentences(self) -> list[str]:
        """What it says in words, what is left out first."""
        named = {r.identity: str(r) for r in self.asked}
        out = [f"left out: {named[identity]}: {why}" for identity, why in self.left_out.items()]
        many = f"{len(self.asked)} measurement{'s' * (len(self.asked) != 1)}"
        told = f"{many}: {self.done} done, {len(self.missing)} missing"
        told += f", {len(self.left_out)} left out" if self.left_out else ""
        if self.unknown < len(self.missing):
            told += f"; {'at least' if self.unknown else 'about'} {words(self.seconds)} one after the other"
        elif self.missing:
            told += "; no record of the like tells how long they take"
        return [*out, told + "."]


def bound(asked: Sequence[Request], machines: Iterable[str]) -> list[Request]:
    """The same requests; what is to be timed on a GPU that is named, and not here, is looked up under a machine of
    `machines` that has it: that of the latest."""
    here, there = environment.machine(), list(machines)
    found = []
    for request in asked:
        device = protocols.device(request.protocol) if request.probe.timed else None
        away = device and not protocols.is_in(device, here)
        known = [m for m in there if device and protocols.is_in(device, m)]
        found.append(replace(request, machine=known[-1] if known else f"a machine with {device}") if away else request)
    return found


def room(request: Request) -> int | None:
    """Bytes that a request may take on the GPU that its protocol names; None where none is named, or none is used."""
    name = protocols.device(request.protocol)
    runs = request.probe.real and not request.probe.images and request.protocol.execution.device == "cuda"
    return DEVICES[name].memory - CONTEXT if name and runs else None


def peaks(requests: Iterable[Request]) -> list[Request]:
    """The requests whose records say what the given ones need of their GPU, each once."""
    probe = probes.find("planned-memory")
    planned = (Request(r.variant, r.protocol, probe) for r in requests if room(r) is not None)
    return list({p.identity: p for p in planned}.values())


def make(
    asked: Sequence[Request], known: Mapping[str, Record], records: Iterable[Record], insist: bool = False
) -> Plan:
    """Divide what is asked; `known` should answer `peaks(asked)`. With `insist` nothing is left out."""
    missing = execute.missing(asked, known)
    need = {r.identity: _need(r, known) for r in missing}
    left_out = {} if insist else {r.identity: why for r in missing if (why := _beyond(r, need[r.identity]))}
    missing = [r for r in missing if r.identity not in left_out]
    forecast = Forecast(records, machines={r.machine for r in asked if r.machine})
    took = {r.identity: forecast.seconds(r) for r in missing}
    groups: dict[tuple[str, str], list[Request]] = {}
    for request in asked:
        groups.setdefault((request.probe.name, request.protocol.name), []).append(request)
    rows = tuple(_row(requests, took, left_out, need) for requests in groups.values())
    return Plan(tuple(asked), tuple(missing), left_out, rows, sum(t is None for t in took.values()))


def _named(request: Request) -> dict[str, str]:
    return {"variant": request.variant.name, "probe": request.probe.name, "protocol": request.protocol.name}


def _row(
    requests: Sequence[Request],
    took: Mapping[str, float | None],
    left_out: Mapping[str, Any],
    need: Mapping[str, int | None],
) -> Row:
    out = sum(r.identity in left_out for r in requests)
    missing = [r.identity for r in requests if r.identity in took]
    guesses = [guess for m in missing if (guess := took[m]) is not None]
    sizes = [size for m in missing if (size := need[m]) is not None]
    done = len(requests) - len(missing) - out
    first = requests[0]
    return Row(
        first.probe.name,
        first.protocol.name,
        len(requests),
        done,
        len(missing),
        out,
        sum(guesses) if guesses else None,
        max(sizes, default=None),
    )


def _need(request: Request, known: Mapping[str, Record]) -> int | None:
    """The planned peak, where it plays a part and is known."""
    found = [known.get(planned.identity) for planned in peaks([request])]
    return next((int(record.values[0]) for record in found if record and record.status == "ok"), None)


def _beyond(request: Request, need: int | None) -> str | None:
    """Why it does not fit into its GPU, if it does not."""
    most = room(request)
    if need is None or most is None or need <= most:
        return None
    name = protocols.device(request.protocol)
    return f"planned to need {need / 1e9:.1f} GB, where {name} has {most / 1e9:.1f} GB; --insist measures it"
