"""Measuring elsewhere: on the nodes of a Ray cluster, or as jobs of Slurm. Records come back, and are written here."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from workbench import environment, protocols, store
from workbench.execute import Request
from workbench.spec import Record, UserError, unknown
from workbench.sweep import Engine, Here, How

from . import node, places, reaching

if TYPE_CHECKING:
    from .onray import OnRay
    from .onslurm import OnSlurm

KINDS = ("local", "ray", "slurm")
"""What `--on` names: this machine; Ray, at an address or here; Slurm, a partition of it or the default one."""

LOCAL = "local"


@dataclass(frozen=True)
class Opened:
    """A cluster that is ready."""

    engine: Engine
    requests: list[Request]
    """What was asked for; of what is timed each says on which machine."""
    hands: Callable[[Sequence[Request]], float]
    """How many measurements of some requests run at once, most of the time; 0 where nobody knows."""


def kind(on: str) -> tuple[str, str]:
    """`ray://HOST:PORT` as what it is and where; a UserError where it is neither."""
    name, _, where = on.partition("://")
    if name not in KINDS:
        raise unknown("engine", on, KINDS, "")
    if (on != name and not where) or (name == LOCAL and where):
        raise UserError(f"--on was given {on!r}; give local, ray, ray://HOST:PORT, slurm or slurm://PARTITION.")
    if name == "ray" and where:
        reaching.checked(where)
    return name, where


@contextlib.contextmanager
def opened(
    on: str,
    wanted: Sequence[Request],
    known: Mapping[str, Record],
    how: How,
    folder: Path,
    timeout: float | None,
    logs: bool,
    tell: Callable[[str], None],
) -> Iterator[Opened]:
    """An engine, its nodes asked what they are, and the requests bound to them; closed at the end.

    Here, `how` measures, and each in its turn.
    """
    name, where = kind(on)
    if logs and name != "ray":
        raise UserError(
            f"--logs shows what Ray's nodes print, and this is --on {on}; add --on ray, or leave --logs out."
        )
    if name == LOCAL:
        placed(wanted, here=True)
        yield Opened(Here(how), list(wanted), lambda todo: 1)
        return
    if own := next((r.variant.source for r in wanted if r.variant.source), None):
        raise UserError(f"{own.reference} is not of the catalogue, so no node has its code; measure it without --on.")
    placed(wanted, here=False)
    with store.Writer(folder) as writer:
        writer.check()  # before anybody waits for a node
    if name == "ray":
        from .onray import OnRay

        opening: OnRay | OnSlurm = OnRay(where or None, timeout, logs, tell)
    else:
        from .onslurm import OnSlurm

        opening = OnSlurm(where or None, folder, timeout, tell)
    with opening as engine:
        files = sorted({path for r in wanted for path in node.files(r)})
        nodes = engine.roll(wanted, files)
        places.check(nodes, tell)
        yield Opened(engine, places.bind(wanted, nodes, known, tell), engine.hands)


def placed(wanted: Sequence[Request], here: bool) -> None:
    """What is to be timed on a GPU that is named is refused, before it becomes a figure of another one or of the CPU.

    Nothing in a record of a time says which GPU was named, so that nobody could tell it later.
    """
    for request in wanted:
        device = protocols.device(request.protocol) if request.probe.timed else None
        if device and here and not protocols.is_in(device, environment.machine()):
            raise UserError(
                f"{request} is to be timed on the GPU {device}, and this machine is: {environment.machine()}. Leave it "
                "out, or send it to nodes that have one: workbench measure ... --on ray, --on slurm."
            )
        if device and request.protocol.execution.device != "cuda":
            raise UserError(
                f"{request} is to be timed on the GPU {device}, and its protocol runs on the CPU. Add +cuda to the "
                "protocol, or leave the GPU out."
            )
