"""What one forward pass is made of, by module and by operator: multiply-adds, bytes moved, and time at least."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from workbench import counted, devices, models, protocols
from workbench.devices import Device
from workbench.spec import Protocol, UserError, Variant, unknown

if TYPE_CHECKING:
    from torch import Tensor, nn

    from workbench.probes.roofline import Cost
    from workbench.tracing import Trace

BY = ("module", "operator")

ORDERS = {"time": "seconds", "macs": "multiply_adds", "bytes": "bytes"}
"""What parts can be ordered by, and the field of a part that says it; the longest-running first if nobody asks."""


@dataclass(frozen=True)
class Part:
    """The calls of one module or one operator together. A call is one that works; views are not among them."""

    name: str
    calls: int
    multiply_adds: int
    operations: int
    """Floating operations; a multiply-add is two."""
    bytes: int
    """Bytes read and written."""
    seconds: float
    """A lower bound, launches included; an estimate."""
    compute_bound: float
    """Share of the time in calls that arithmetic bounds rather than memory."""

    @property
    def intensity(self) -> float:
        """Floating operations per byte."""
        return self.operations / self.bytes if self.bytes else 0.0

    @property
    def attained(self) -> float:
        """Floating operations per second, at most."""
        return self.operations / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Anatomy:
    """One network under one protocol on one device, taken apart."""

    variant: str
    protocol: str
    device: Device
    shape: tuple[int, ...]
    """Of the network's input."""
    roof: float
    """The fastest rate that its products may reach on the device, in floating operations per second."""
    depth: int
    """How many names of a module's path are kept."""
    total: Part
    modules: tuple[Part, ...]
    """Largest first, by what `order` names."""
    operators: tuple[Part, ...]
    """Likewise."""
    peak: int
    """Most bytes alive at once, parameters and input included."""
    peak_module: str
    peak_operator: str
    host_calls: int
    """Calls on the host's tensors; they are in no sum."""
    host_bytes: int
    host_seconds: float
    """What they take at `devices.HOST_BANDWIDTH`; an estimate."""
    order: str = "time"
    """A name of `ORDERS`."""

    def parts(self, by: str) -> tuple[Part, ...]:
        return self.modules if by == "module" else self.operators

    def ordered(self, order: str) -> Anatomy:
        """The same with other parts first; those that are equal stay the longest-running first."""

        def largest(parts: tuple[Part, ...]) -> tuple[Part, ...]:
            return tuple(sorted(parts, key=lambda p: (-getattr(p, ORDERS[order]), -p.seconds)))

        return replace(self, modules=largest(self.modules), operators=largest(self.operators), order=order)

    @property
    def host_bound(self) -> bool:
        """Whether the host's work takes longer than the device's at least does."""
        return self.host_seconds > self.total.seconds


def dissect(variant: str | Variant, protocol: str = "esc", device: str | None = None, depth: int = 2) -> Anatomy:
    """Walk a network once over meta tensors and sum its calls; the device is the protocol's if none is named."""
    way, found = protocols.find(protocol), models.find(variant)
    if depth < 1:
        raise UserError(f"--depth was given {depth}; modules are told apart by at least 1 name of their path.")
    named = protocols.device(way)
    if device is not None and named not in (None, device):
        raise UserError(f"--device {device} and protocol {way.name} name two devices; keep one of them.")
    at = devices.find(way.bound.device if device is None else device)
    import torch

    from workbench.tracing import traced

    way = replace(way, bound=replace(way.bound, device=at.name))

    def look(network: nn.Module, x: Tensor) -> Anatomy:
        return read(traced(network, x), way, at, found.name, x.shape, depth)

    if found.source:
        return counted.walk(found, way, *way.input.lr(found.scale), look)
    network = models.create(
        found, device="meta", attention=way.build.attention, forward=way.build.forward
    ).train(way.build.mode == "train")  # fmt: skip
    dtype = getattr(torch, way.input.dtype)
    return look(network, torch.empty(way.input.batch, 3, *way.input.lr(found.scale), device="meta", dtype=dtype))


def read(seen: Trace, protocol: Protocol, device: Device, name: str, shape: Iterable[int], depth: int) -> Anatomy:
    """The anatomy of a trace."""
    from workbench.probes import roofline

    priced, aside = roofline.costs(seen, device, protocol.bound), roofline.host(seen)
    if device.name == devices.CPU:
        aside = roofline.Host(0, 0, 0)  # all of it is the device's own work
    top = seen.calls[seen.peak_call] if seen.peak_call >= 0 else None
    return Anatomy(
        name,
        protocol.name,
        device,
        tuple(shape),
        max([roofline.rate(c.call, c.multiply_adds, device, protocol.bound) for c in priced], default=device.float32),
        depth,
        _part("total", priced),
        _parts(priced, lambda c: roofline.cut(c.call.module, depth)),
        _parts(priced, lambda c: c.call.name),
        seen.peak,
        (top.module or "(network)") if top else "(input)",
        top.name if top else "",
        aside.calls,
        aside.bytes,
        aside.seconds,
    )


def restored(fields: Mapping[str, Any]) -> Anatomy:
    """An anatomy whose `dataclasses.asdict` came back from another process."""
    parts = {kind: tuple(Part(**p) for p in fields[kind]) for kind in ("modules", "operators")}
    one = {"device": Device(**fields["device"]), "shape": tuple(fields["shape"]), "total": Part(**fields["total"])}
    return Anatomy(**{**fields, **parts, **one})


def check(by: str | None, top: int, order: str = "time") -> None:
    """Refuse what cannot be shown, before anything is walked."""
    if by is not None and by not in BY:
        raise unknown("view of a trace", by, BY, "workbench trace --help")
    if order not in ORDERS:
        raise unknown("order of a trace", order, ORDERS, "workbench trace --help")
    if top < 1:
        raise UserError(f"--top was given {top}; at least 1 line can be shown.")


def _parts(priced: Iterable[Cost], key: Callable[[Cost], str]) -> tuple[Part, ...]:
    groups: dict[str, list[Cost]] = {}
    for cost in priced:
        groups.setdefault(key(cost), []).append(cost)
    parts = [_part(name, group) for name, group in groups.items()]
    return tuple(sorted(parts, key=lambda p: -p.seconds))


def _part(name: str, priced: list[Cost]) -> Part:
    def total(of: Callable[[Cost], Any]) -> Any:
        return sum(map(of, priced))

    seconds = total(lambda c: c.seconds)
    bound = total(lambda c: c.seconds if c.compute_bound else 0.0)
    return Part(
        name,
        len(priced),
        total(lambda c: c.multiply_adds),
        total(lambda c: c.operations),
        total(lambda c: c.bytes),
        seconds,
        bound / seconds if seconds else 0.0,
    )
