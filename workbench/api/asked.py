"""What a caller in Python means: networks by their labels, probes, a store; and errors in the words of Python."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workbench import execute, models, own, store, testsets
from workbench import probes as known
from workbench.spec import UserError, Variant, unknown

TAKES = "give an nn.Module, a name such as 'esc-x4', a reference such as './net.py:Net', or a list or dict of these"

OPTIONS = "add drop only columns scale probe records weights data force protocol device depth precision budget"
"""Options of commands that are called the same in Python."""


@dataclass(frozen=True)
class Store:
    """Where records lie, and what is asked of them."""

    records: Path
    weights: str | None
    data: Path
    force: bool

    @classmethod
    def of(cls, records: str | Path | None, weights: str | None, data: str | Path | None, force: bool) -> Store:
        return cls(folder(records), weights, testsets.default() if data is None else _path(data, "data"), force)


def folder(records: str | Path | None) -> Path:
    """A folder of records; the workbench's own if none is named."""
    if isinstance(records, str) and "://" in records:
        return store.where(records)
    return store.default() if records is None else _path(records, "records")


def table(name: object) -> str:
    """The name of a published table; a network is none."""
    if not isinstance(name, str):
        raise UserError(
            f"{type(name).__name__} was given where a table belongs; give the name of a published one, such as "
            "'esc-table2' (workbench tables). A row of your own: wb.table('esc-table2', add=net)"
        )
    return name


def scales(only: object) -> list[int]:
    """The scales that are to be shown, of one or of several: whole numbers, or as they are typed."""
    from workbench.composing import typed

    found = list[int]()
    for one in only if isinstance(only, Iterable) and not isinstance(only, str) else [only]:
        if isinstance(one, bool) or not isinstance(one, int | str):
            raise UserError(f"only was given {one!r}; give a scale such as 4, or several: only=[2, 4].")
        found += [one] if isinstance(one, int) else typed.scales([one])
    return found


def words(given: object, option: str, such: str) -> list[str]:
    """The words of an option, one or several."""
    found = list[str]()
    for one in given if isinstance(given, Iterable) and not isinstance(given, str) else [given]:
        if not isinstance(one, str) or not one.strip():
            raise UserError(f"{option} was given {one!r}; give a name such as {such!r}, or several in a list.")
        found.append(one)
    return found


def _path(given: str | Path, what: str) -> Path:
    if not isinstance(given, str | Path) or not str(given):
        raise UserError(f"{what} was given {given!r}; name a folder, or leave {what} out for the default.")
    return Path(given).expanduser()


@contextlib.contextmanager
def in_python() -> Iterator[None]:
    """Say errors as a caller in Python reads them: `--scale 4` is `scale=4` there."""
    try:
        yield
    except UserError as error:
        told = re.sub(r"--protocol ([a-z][\w+-]*)", r"protocol='\1'", str(error))
        told = re.sub(rf"--({OPTIONS.replace(' ', '|')}) (\d[\d.]*\d|\d)", r"\1=\2", told)
        raise UserError(re.sub(rf"--({OPTIONS.replace(' ', '|')})\b", r"\1", told)) from error.__cause__


def probes(names: str | Sequence[str] | None) -> list[known.Probe]:
    """The probes of those names; all that count if none is named."""
    if names is None:
        return [p for p in known.PROBES.values() if not p.across and not p.real]
    chosen = [known.find(name) for name in dict.fromkeys([names] if isinstance(names, str) else names)]
    if not chosen:
        raise UserError("No probe was named; leave probes out for all that count, or see: workbench probes")
    return chosen


def way(probe: known.Probe, protocol: str | Mapping[str, str] | None, asked: Sequence[known.Probe]) -> str:
    """The protocol of a probe: the one that was named for it, or for all, or else the one that suits its kind."""
    if isinstance(protocol, Mapping):
        names = [p.name for p in asked]
        if strange := [name for name in protocol if name not in names]:
            raise unknown("probe among those asked for", strange[0], names, "workbench probes")
        protocol = protocol.get(probe.name)
    return protocol or ("quality" if probe.images else "steady" if probe.real else "esc")


def networks(meant: Any, scale: int | None, twice: bool = False) -> dict[str, Variant]:
    """By label, in order, the networks that were meant; what was named twice is there `twice`, or once."""
    if scale is not None and (isinstance(scale, bool) or not isinstance(scale, int) or scale < 1):
        raise UserError(f"scale was given {scale!r}; give a whole number such as 4, or leave it out.")
    found = dict[str, Variant]()
    if isinstance(meant, Mapping):
        for label, one in meant.items():
            if not str(label).strip():
                raise UserError(f"A network has the empty label {label!r}; give it a name, such as {{'Ours': model}}.")
            if str(label) in found:
                raise UserError(f"Two networks are labelled {str(label)!r}; give each a label of its own.")
            found[str(label)] = _labelled(str(label), network(one, scale))
    else:
        for one in meant if _several(meant) else [meant]:
            for variant in _meant(one, scale):
                if twice or variant.held or found.get(variant.name) != variant:
                    label = _free(variant.name, found)
                    found[label] = _labelled(label, variant)
    if not found:
        raise UserError(f"No network was named; {TAKES}.")
    return found


def network(meant: Any, scale: int | None) -> Variant:
    """The one network that was meant."""
    if isinstance(meant, list | tuple | dict):
        raise UserError(f"{len(meant)} networks were given where one belongs; give one after the other.")
    found = _meant(meant, scale)
    if len(found) > 1:
        raise UserError(f"{meant!r} names {len(found)} networks, and one was asked for: {found[0].name}, ...")
    return found[0]


def base(meant: Any, chosen: Mapping[str, Variant], scale: int | None) -> Variant:
    """The network that others are compared with: one of theirs if it is the same."""
    for variant in chosen.values():
        if variant.source and variant.source.held is not None and variant.source.held is meant:
            return variant
    found = network(meant, scale)
    return _labelled(_free(found.name, chosen), found) if found.held else found


def _several(meant: Any) -> bool:
    return isinstance(meant, Iterable) and not isinstance(meant, str | Variant) and not _module(meant)


def _meant(one: Any, scale: int | None) -> list[Variant]:
    """The variants that a model picks: several of a glob."""
    if _module(one):
        from workbench.own import holding

        return [holding.hold(one, scale)]
    if isinstance(one, Path):
        one = str(one)
    if isinstance(one, type):
        raise UserError(f"{one.__name__} is a class, and a network of it was asked for; give one: {one.__name__}(...)")
    if not isinstance(one, str | Variant):
        raise UserError(f"{type(one).__name__} was given where a network belongs; {TAKES}.")
    if isinstance(one, str) and own.references.parse(one):
        return [models.find(one, own.Asked(scale))]
    found = execute.resolve([one])
    if strange := [v.name for v in found if scale not in (None, v.scale)]:
        raise UserError(f"{strange[0]} was named and scale={scale} given; the catalogue's have it in their name.")
    return found


def _module(one: Any) -> bool:
    """Whether it is an nn.Module, which nothing can be where torch was not imported."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(one, torch.nn.Module)


def _labelled(label: str, variant: Variant) -> Variant:
    """Called by its label, if that is all that it is called by."""
    return replace(variant, name=label) if variant.held else variant


def _free(name: str, taken: Mapping[str, Variant]) -> str:
    """A label that nobody has yet: `Net-x4 (2)`."""
    number = 2
    label = name
    while label in taken:
        label, number = f"{name} ({number})", number + 1
    return label
