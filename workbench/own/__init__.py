"""Networks that are not of the catalogue: somebody's module, found by a reference and measured in fresh processes.

Nothing of it is ever imported here: this file asks a process of its own, which imports, constructs and tries it. What
that process is told, and by whom, `fresh` says. A network that reads files beside its source when it is made or run
(a configuration, weights) has them not in its digest: edit those and measure with --force.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workbench import fresh
from workbench.spec import Source, UserError, Variant

from . import references

PATIENCE = 1800.0
"""Seconds that a look or a measurement may take where nobody gives a number; as for every probe apart."""

IMPORTS = ("torch", "workbench.execute", "torch._dynamo", "workbench.own.looking", "workbench.own.walking")
"""What the server of fresh processes has imported, where a network of one's own is the first to need it."""

DOING = {
    "": "it was waited for",
    "import": "it was imported",
    "construct": "it was constructed",
    "run": "it ran on a small input",
}


@dataclass(frozen=True)
class Asked:
    """What was typed beside the names of networks."""

    scale: int | None = None
    arguments: Sequence[str] = ()
    """Each as `name=value`."""
    timeout: float | None = None
    """Seconds for each look and each measurement."""


def find(name: str, asked: Asked, folder: Path | None = None) -> Variant | None:
    """The variant that a reference gives, looked at in a fresh process; None for what is no reference at all."""
    reference = references.parse(name)
    if reference is None:
        return None
    given = references.told(asked.arguments)
    if given and reference.arguments and given != reference.arguments:
        raise UserError(f"{name} has arguments and --arg gives others; keep one of them.")
    if reference.scale and asked.scale not in (None, reference.scale):
        raise UserError(f"{name} and --scale {asked.scale} ask for two scales; keep one of them.")
    reference = replace(reference, arguments=reference.arguments or given)
    source = Source(reference.text, str((folder or Path.cwd()).resolve()), reference.arguments)
    seen = _look(source, reference.scale or asked.scale, asked.timeout or PATIENCE)
    found = replace(source, digest=seen["digest"], files=tuple((p, h) for p, h in seen["files"]), seen=seen["seen"])
    for sentence in noted(found):
        print(f"workbench: {sentence}", file=sys.stderr)
    scale = int(seen["scale"])
    return Variant(references.written(reference, scale), reference.text, "own", scale, "your own", found)


def noted(source: Source) -> Iterator[str]:
    """What a first look saw that its user may not know of; variables of the environment are left to the records."""
    name, seen = source.reference, source.seen
    if told := _switched(seen.get("switched", {})):
        yield f"{name} switches for its whole process: {told}. That is put back before it is measured."
    if told := _switched(seen.get("switched in forward", {})):
        yield f"{name} switches in its forward, for its whole process: {told}. It is measured with that."
    if hosts := seen.get("asked the network"):
        yield f"{name} asked the network for {', '.join(hosts)} while it was looked at."


def _switched(switched: Mapping[str, str]) -> str:
    return ", ".join(f"{what} {told}" for what, told in switched.items() if not what.startswith("$"))


def _look(source: Source, scale: int | None, timeout: float) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile(prefix="workbench-") as stage:
        try:
            seen: dict[str, Any] = fresh.call(_looked, source, scale, stage.name, timeout=timeout, imports=IMPORTS)
        except fresh.NoAnswerError as died:
            doing = DOING[Path(stage.name).read_text()]
            raise UserError(_unanswered(source.reference, died, f"while {doing}")) from None
    if "mend" in seen:
        raise UserError(seen["mend"])
    return seen


def _looked(source: Source, scale: int | None, stage: str) -> dict[str, Any]:
    from . import looking

    return looking.look(source, scale, stage)


def inside(
    who: str, work: Callable[..., Any], *arguments: Any, timeout: float | None = None, heard: bool = False
) -> Any:
    """What `work` returns in a fresh process, as JSON has it; a UserError there is one here. `heard` as in `fresh`."""
    try:
        told = fresh.call(_carried, work, arguments, timeout=timeout or PATIENCE, imports=IMPORTS, heard=heard)
    except fresh.NoAnswerError as died:
        raise UserError(_unanswered(who, died, "while it was measured")) from None
    if "mend" in told:
        raise UserError(told["mend"])
    return told["answer"]


def _carried(work: Callable[..., Any], arguments: Sequence[Any]) -> dict[str, Any]:
    try:
        return {"answer": work(*arguments)}
    except UserError as error:
        return {"mend": str(error)}


def _unanswered(who: str, died: fresh.NoAnswerError, when: str) -> str:
    if died.status == "timeout":
        return f"{who}: {died.reason}, {when}. Look for what never ends there, or give more time: --timeout SECONDS."
    return f"{who}: {died.reason}, {when}."
