"""Places of a cluster: which nodes there are, what a request takes of one, and on which machine what is timed is timed.

A timed figure is one of a machine, so a request for one is bound to a kind of machine before it is looked up: that of
the cluster's kinds which has answered most already, else that which most places are on. So all that one sweep asks of a
device comes from machines that are the same in words, and a second run of the sweep asks for the same. Two GPUs of
different kinds in one machine are not told apart.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from workbench import protocols
from workbench.execute import STANDING, Request
from workbench.spec import Record, UserError

from .node import differences, versions

Takes = Literal["core", "node", "gpu"]
"""What a measurement has to itself: one core, a whole node, or one GPU and its share of the node's cores."""

SKEW = 60.0
"""Seconds by which a node's clock may differ from ours, with the way of a record, before it is not believed."""


@dataclass(frozen=True)
class Node:
    """One node, as it was when it was asked."""

    name: str
    """Its address."""
    key: str
    """What the engine calls it."""
    machine: str
    cores: int
    gpus: int
    types: str
    """What the engine says of its GPUs, in words."""
    versions: Mapping[str, str]
    clock: float
    """How many seconds its clock is ahead of ours."""
    lacks: tuple[str, ...] = ()
    """Files that were asked for and are not there."""

    def has(self, device: str | None) -> bool:
        """Whether it has a GPU, of that name if there is one: `rtx-4090` is in `NVIDIA GeForce RTX 4090`."""
        return self.gpus > 0 and (device is None or protocols.is_in(device, f"{self.machine} {self.types}"))


def node(told: Mapping[str, Any], asked: float, name: str, key: str, cores: int, gpus: int, types: str = "") -> Node:
    """A node of an engine, by what it told of itself; `asked` at what time of ours, between which and now it did."""
    ahead = min(told["clock"] - asked, 0.0) + max(told["clock"] - time.time(), 0.0)
    return Node(name, key, told["machine"], cores, gpus, types, told["versions"], ahead, tuple(told["lacks"]))


def takes(request: Request, gpus: bool = False) -> Takes:
    """What of a node a request has to itself; images are judged on GPUs where there are any."""
    if request.probe.timed:
        return "gpu" if request.protocol.execution.device == "cuda" else "node"
    return "gpu" if request.probe.images and gpus else "core"


def check(nodes: Sequence[Node], tell: Callable[[str], None]) -> None:
    """A node with other code or versions is refused, with both; one whose clock is off is told."""
    for there in nodes:
        if differing := differences(there.versions, versions()):
            raise UserError(
                f"The node {there.name} would measure something else: {differing}. Install the same on all nodes."
            )
        if there.lacks:
            raise UserError(
                f"The node {there.name} lacks {len(there.lacks)} of the files that are judged or judge, "
                f"{there.lacks[0]} the first. Keep weights and test sets where all nodes see them under one "
                "path: --data."
            )
        if abs(there.clock) > SKEW:
            ahead = "ahead of" if there.clock > 0 else "behind"
            tell(f"The clock of node {there.name} is {abs(there.clock):.0f} s {ahead} ours; records are dated by ours.")


def bind(
    wanted: Sequence[Request], nodes: Sequence[Node], known: Mapping[str, Record], tell: Callable[[str], None]
) -> list[Request]:
    """The same requests; of what is timed each says on which kind of machine."""
    groups: dict[tuple[Takes, str | None], list[Request]] = {}
    for request in wanted:
        if request.probe.timed:
            groups.setdefault((takes(request), protocols.device(request.protocol)), []).append(request)
    chosen = {kind: _machine(kind, asked, nodes, known, tell) for kind, asked in groups.items()}
    return [replace(r, machine=chosen[takes(r), protocols.device(r.protocol)]) if r.probe.timed else r for r in wanted]


def _machine(
    kind: tuple[Takes, str | None],
    asked: Sequence[Request],
    nodes: Sequence[Node],
    known: Mapping[str, Record],
    tell: Callable[[str], None],
) -> str:
    """The machine that requests of one kind are timed on."""
    what, device = kind
    fitting = [n for n in nodes if what == "node" or n.has(device)]
    if not fitting:
        there = "; ".join(sorted({n.machine for n in nodes}))
        lacks = f"the GPU {device}, which {asked[0].protocol.name!r} names" if device else "a GPU"
        mend = "" if device else ", or measure with +cpu"
        raise UserError(f"No node has {lacks}, for {asked[0]}. There are: {there}. Add such a node{mend}.")
    count = Counter[str]()
    for each in fitting:
        count[each.machine] += each.gpus if what == "gpu" else 1
    answered = {
        m: sum(
            (record := known.get(replace(r, machine=m).identity)) is not None and record.status in STANDING
            for r in asked
        )
        for m in count
    }
    best = max(sorted(count), key=lambda m: (answered[m], count[m]))
    if others := sorted(count.keys() - {best}):
        tell(f"Timed on: {best}. These would do as well, and are not mixed in: {'; '.join(others)}.")
    return best


def dated(fields: dict[str, Any], adopted: bool = False) -> dict[str, Any]:
    """A record's fields, dated by our clock where the node's is off; what the node's said is kept in the details.

    An adopted one may have waited for us, so that only a date in the future is wrong.
    """
    now = datetime.now(UTC)
    ahead = (datetime.fromisoformat(fields["recorded_at"]) - now).total_seconds()
    if ahead <= SKEW and (adopted or ahead >= -SKEW):
        return fields
    stamp = now.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return fields | {"recorded_at": stamp, "details": {**fields["details"], "clock": fields["recorded_at"]}}
