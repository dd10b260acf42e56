"""What the ablations of a network cost along their axes: what has to be measured for that, and what records say."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from workbench import execute, here, models, protocols, ratios
from workbench.models.ablations import ABLATIONS, Ablation
from workbench.spec import Record, UserError, unknown

FAMILIES = tuple(dict.fromkeys(models.FAMILY_OF[ablation.model].name for ablation in ABLATIONS))
"""Those that have ablations."""

SCALE, PROTOCOL = 4, "esc"
"""Of the curves that are drawn where nobody says which."""

ANYWHERE = "cpu"
"""The protocol whose latencies stand here where there is none of the asked one: it needs no particular device."""


@dataclass(frozen=True)
class Cost:
    """One quantity of every network of a curve."""

    id: str
    title: str
    unit: str
    probe: str
    factor: float
    """One unit in base units."""
    flex: bool = False
    """Whether through flex attention: the networks' fused kernel."""


COSTS = (
    Cost("params", "Params", "K", "params", 1e3),
    Cost("macs", "MACs", "G", "macs", 1e9),
    Cost("planned", "planned memory", "MiB", "planned-memory", 2**20),
    Cost("planned_flex", "planned with flex", "MiB", "planned-memory", 2**20, flex=True),
    Cost("latency", "latency", "ms", "latency", 1e-3),
)
"""Multiply-adds are counted with plain attention: no counter has a price for flex. Memory is planned, an estimate."""


@dataclass(frozen=True)
class Network:
    """One network of a curve and what is known of its costs, in the units of COSTS."""

    variant: str
    at: int
    official: bool
    costs: Mapping[str, float]
    times: Mapping[str, float]
    """The same as multiples of the official network's."""
    interval: tuple[float, float] | None
    """Ends of that of its latency, in the same unit."""
    disturbed: bool
    """Whether the machine was kept from its best while it was timed."""
    missing: frozenset[str] = frozenset()
    """Costs that no record speaks of, as those that an interrupted run did not come to."""

    @property
    def saved(self) -> float | None:
        """How many times less memory is planned with flex attention than with plain."""
        plain, fused = self.costs.get("planned"), self.costs.get("planned_flex")
        return plain / fused if plain and fused else None


@dataclass(frozen=True)
class Curve:
    """An ablation at one scale under one protocol."""

    ablation: Ablation
    scale: int
    protocol: str
    timed: str
    """The protocol of its latencies."""
    networks: tuple[Network, ...]
    without: tuple[str, ...]
    """Why something has no value though it was tried."""

    @property
    def command(self) -> str:
        """What measures all that it shows."""
        words = ["workbench ablate", models.FAMILY_OF[self.ablation.model].name]
        words += [] if self.scale == SCALE else [f"--scale {self.scale}"]
        words += [] if self.protocol == PROTOCOL else [f"--protocol {self.protocol}"]
        return " ".join([*words, *(["--latency"] if any("latency" in n.costs for n in self.networks) else [])])


def family(name: str) -> tuple[Ablation, ...]:
    """The ablations of a family, or a UserError that names those which have some."""
    if name not in FAMILIES:
        raise unknown("ablations of", name, FAMILIES, "workbench variants --ablations")
    return tuple(a for a in ABLATIONS if models.FAMILY_OF[a.model].name == name)


def scales(asked: Sequence[int]) -> tuple[int, ...]:
    """The scales that were asked for, in order and each once."""
    for scale in asked:
        if scale not in models.SCALES:
            raise UserError(f"--scale was given {scale}; the networks have {', '.join(map(str, models.SCALES))}.")
    return tuple(sorted(set(asked)))


def requests(chosen: Iterable[Ablation], at: Sequence[int], protocol: str, timed: bool) -> list[execute.Request]:
    """What has to be known for the curves of ablations; latencies only if they are wanted."""
    asked: dict[str, execute.Request] = {}
    attention = protocols.find(protocol).build.attention
    for ablation, scale in itertools.product(chosen, at):
        if attention not in (known := models.supported(f"{ablation.model}-x{scale}")):
            raise UserError(
                f"No ablations of {ablation.model} under {protocol}: it has no attention {attention!r}. Known for it:"
                f" {', '.join(known)}; name a protocol with one of these."
            )
        ways = [(c.probe, _way(c, protocol)) for c in _costs(ablation, protocol) if c.probe != "latency"]
        ways += [("latency", clock(protocol))] if timed else []
        for name in _names(ablation, scale):
            for probe, way in ways:
                asked |= {r.identity: r for r in execute.requests([name], [probe], [way])}
    return list(asked.values())


def read(
    known: Mapping[str, Record],
    protocol: str,
    chosen: Iterable[Ablation] | None = None,
    at: Sequence[int] = models.SCALES,
) -> list[Curve]:
    """The curves of which a record says something, of those chosen or of all, in the order of the ablations.

    The official network is in tables of papers too, and known alone it makes no curve.
    """
    curves = []
    for ablation in ABLATIONS if chosen is None else chosen:
        for scale in at:
            curve = _curve(ablation, scale, protocol, known)
            if any(network.costs for network in curve.networks if not network.official) or curve.without:
                curves.append(curve)
    return curves


def clock(protocol: str) -> str:
    """The protocol under which networks are timed when curves under another one are asked for.

    It is that one itself if it names the device to be timed on as the CPU and says how long; else that of any machine.
    """
    return protocol if protocol.partition("+")[0] in (ANYWHERE, "steady") else ANYWHERE


def _curve(ablation: Ablation, scale: int, protocol: str, known: Mapping[str, Record]) -> Curve:
    names, without = _names(ablation, scale), dict[str, None]()
    timed = next((p for p in (protocol, clock(protocol)) if _timed(names, scale, p, known)), clock(protocol))

    def answers(name: str) -> tuple[dict[str, Record], frozenset[str]]:
        found, missing = {}, set()
        for cost in _costs(ablation, protocol):
            record = here.answer(
                name, scale, cost.probe, timed if cost.id == "latency" else _way(cost, protocol), known
            )
            if record is not None and record.status == "ok":
                found[cost.id] = record
            elif record is not None:
                without[f"{cost.probe} of {name}: {record.status}: {record.reason}"] = None
            else:
                missing.add(cost.id)
        return found, frozenset(missing)

    base, _ = answers(f"{ablation.model}-x{scale}")
    networks = []
    for point, name in zip(ablation.points, names, strict=True):
        mine, missing = answers(name)
        networks.append(
            Network(
                name,
                point.at,
                not point.name,
                {c.id: mine[c.id].value / c.factor for c in COSTS if c.id in mine},
                {id: r.value / base[id].value for id, r in mine.items() if id in base},
                _interval(mine.get("latency")),
                "latency" in mine and bool(here.disturbed(mine["latency"])),
                missing,
            )
        )
    return Curve(ablation, scale, protocol, timed, tuple(networks), tuple(without))


def _interval(record: Record | None) -> tuple[float, float] | None:
    if record is None:
        return None
    (factor,) = (c.factor for c in COSTS if c.id == "latency")
    low, high = ratios.interval(record)
    return low / factor, high / factor


def _names(ablation: Ablation, scale: int) -> list[str]:
    return [f"{ablation.model_at(point)}-x{scale}" for point in ablation.points]


def _costs(ablation: Ablation, protocol: str) -> list[Cost]:
    """What a curve has: with flex attention only where that is an alternative to what the protocol names."""
    alternative = ablation.fused and protocols.find(protocol).build.attention == "naive"
    return [c for c in COSTS if alternative or not c.flex]


def _way(cost: Cost, protocol: str) -> str:
    return f"{protocol}+flex" if cost.flex else protocol


def _timed(names: Iterable[str], scale: int, protocol: str, known: Mapping[str, Record]) -> bool:
    found = (here.answer(name, scale, "latency", protocol, known) for name in names)
    return any(record is not None and record.status == "ok" for record in found)
