"""A changed table as it is typed: options in words, networks looked at, files read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from workbench import models, own, papers
from workbench.own import references
from workbench.spec import UserError, Variant

from . import Composition, changed, networks, reported


@dataclass(frozen=True)
class Typed:
    """What was typed beside the name of a published table; of lists, each word may hold several by commas."""

    add: Sequence[tuple[str | None, str]] = ()
    """Labels, and what networks they are of."""
    drop: Sequence[str] = ()
    only: Sequence[str] = ()
    columns: Sequence[str] = ()
    reported: Path | None = None


def compose(name: str, typed: Typed, asked: own.Asked) -> tuple[Composition, list[str]]:
    """The table, and what has to be said of it.

    A network that may be of any scale is of the one that is shown, where one is.
    """
    table, only = papers.find_table(name), scales(typed.only)
    wanted = changed.Changes((), _words(typed.drop, "--drop"), (), _words(typed.columns, "--columns"))
    if typed.add or typed.reported:
        changed.change(table, wanted)  # a slip in a word is told before anybody waits for a network
    found = list[tuple[str | None, Variant]]()
    for label, network in typed.add:
        fixed = network in models.VARIANTS or network in models.ABLATED or _scaled(network)
        scale = asked.scale or (only[0] if len(only) == 1 and not fixed else None)
        found.append((label, networks.find(network, replace(asked, scale=scale))))
    figures = None
    if typed.reported:
        shown = {v.scale for _, v in found} or set(only)
        figures = reported.read(typed.reported, asked.scale or (shown.pop() if len(shown) == 1 else None))
    composition, kept = changed.change(table, replace(wanted, add=found, only=only, reported=figures))
    told = [f"of {figures.file} not looked at: {', '.join(figures.strange)}"] if figures and figures.strange else []
    if kept:
        told.append(f"shown as {table.id} prints them, not as {typed.reported} reports them: {', '.join(kept)}")
    return composition, told


def _scaled(network: str) -> bool:
    reference = references.parse(network)
    return reference is not None and reference.scale is not None


def _words(given: Iterable[str], option: str) -> list[str]:
    """The words of an option; one without any is most often a shell's variable that is not set."""
    found = [[word.strip() for word in text.split(",") if word.strip()] for text in given]
    if [] in found:
        raise UserError(f"{option} was given nothing; name something, or leave {option} out.")
    return [word for words in found for word in words]


def scales(given: Iterable[str]) -> list[int]:
    """Scales as they are typed: `x4`, `4`, `x2,x3`."""
    found = []
    for word in _words(given, "--only"):
        digits = re.fullmatch(r"[x×]?([1-9]\d?)", word.casefold())
        if not digits:
            raise UserError(f"--only {word!r} is no scale; write x4, or several: --only x2,x3.")
        found.append(int(digits[1]))
    return found
