"""What a shell completes: names that commands take, without an import that a reader at the keyboard would notice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import get_type_hints

from .options import Commands

VARIABLE = "_WORKBENCH_COMPLETE"
"""What a shell sets when it asks."""

Names = Callable[[str], Iterable[str]]
"""What may stand where a word was begun; what begins otherwise is left out by typer."""


def variants(incomplete: str) -> Iterable[str]:
    """The catalogue; ablations once something of theirs was typed."""
    from workbench.models import ABLATED, VARIANTS

    fit = [name for name in VARIANTS if name.startswith(incomplete)]
    return fit or ABLATED


def probes(incomplete: str) -> Iterable[str]:
    from workbench.probes import PROBES

    return PROBES


def protocols(incomplete: str) -> Iterable[str]:
    """A protocol, or behind a plus what changes one: each modifier once."""
    from workbench.protocols import MODIFIERS, PROTOCOLS

    before, plus, _ = incomplete.rpartition("+")
    if not plus:
        return PROTOCOLS
    return [f"{before}+{name}" for name in MODIFIERS if name not in before.split("+")]


def tables(incomplete: str) -> Iterable[str]:
    from workbench.papers import TABLES

    return TABLES


def figures(incomplete: str) -> Iterable[str]:
    from workbench.papers import FIGURES

    return FIGURES


def devices(incomplete: str) -> Iterable[str]:
    from workbench.devices import CPU, DEVICES

    return [*DEVICES, CPU]


def families(incomplete: str) -> Iterable[str]:
    from workbench.curves import FAMILIES

    return FAMILIES


def weights(incomplete: str) -> Iterable[str]:
    from workbench.weights import WEIGHTS

    return WEIGHTS


def sets(incomplete: str) -> Iterable[str]:
    from workbench.testsets import SETS

    return SETS


PLACES: dict[str, Names] = {
    "probe": probes,
    "protocol": protocols,
    "device": devices,
    "bounds": devices,
    "variant": variants,
    "vs": variants,
    "model": variants,
    **{f"{command} names": variants for command in ("measure", "compare")},
    **{f"{command} name": variants for command in ("trace", "fits", "attention", "share", "field")},
    **{f"{command} name": tables for command in ("table", "explain", "audit")},
    "figure name": figures,
    "ablate family": families,
    "weights fetch names": weights,
    "data fetch names": sets,
}
"""By what an option or argument is called in the code, its command before it where that alone does not tell."""


def attach(commands: Commands, path: str = "") -> None:
    """Have every parameter of commands, and of those within one, complete the names that belong there."""
    for name, command in commands.items():
        where = f"{path} {name}".strip()
        if isinstance(command, Mapping):
            attach(command, where)
            continue
        for parameter, hint in get_type_hints(command, include_extras=True).items():
            names = PLACES.get(f"{where} {parameter}") or PLACES.get(parameter)
            for told in getattr(hint, "__metadata__", ()) if names else ():
                told.autocompletion = names
                command.__annotations__[parameter] = hint
