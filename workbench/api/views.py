"""What trace and compare give back: frames to compute with, sentences, and pages for a notebook."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pandas

from workbench import anatomy, own
from workbench.anatomy import Anatomy
from workbench.report import roofline, taken
from workbench.spec import UserError, Variant

from . import asked
from .frames import Shown

TOP = 10
"""How many modules and operators are shown where nobody says."""


class Traced:
    """A network taken apart; everything that was found is its `anatomy`."""

    def __init__(self, found: Anatomy):
        self.anatomy = found

    @property
    def modules(self) -> Shown:
        """Every module, longest first; seconds are lower bounds, an estimate."""
        return self.top(max(1, len(self.anatomy.modules)), "module")

    @property
    def operators(self) -> Shown:
        """Every operator, longest first; seconds are lower bounds, an estimate."""
        return self.top(max(1, len(self.anatomy.operators)), "operator")

    def top(self, n: int = TOP, by: str = "module", sort: str = "time") -> Shown:
        """The parts that take longest, or have the most `macs` or `bytes`, in base units."""
        with asked.in_python():
            anatomy.check(by, n, sort)
        found = self.anatomy.ordered(sort)
        parts = found.parts(by)[:n]
        columns = [f.name for f in dataclasses.fields(anatomy.Part)][1:]
        frame = Shown(
            [[getattr(p, c) for c in columns] for p in parts],
            index=pandas.Index([p.name for p in parts], name=by),
            columns=columns,
        )
        frame.shown_as(taken.parts(found, by, n))
        return frame

    def picture(self, by: str = "module", top: int = TOP) -> Any:
        """The shares of the largest parts, and every operator under the roof of the device."""
        with asked.in_python():
            anatomy.check(by, top)
        return taken.picture(self.anatomy, by, top)

    def __repr__(self) -> str:
        return roofline.text(self.anatomy, None, TOP).rstrip("\n")

    def _repr_html_(self) -> str:
        return taken.anatomy(self.anatomy, TOP)


class Compared:
    """Networks that were timed in turns; `found` has everything, raw times included, as JSON has it."""

    def __init__(self, lines: list[str], found: Mapping[str, Any]):
        self.lines = lines
        """Sentences, conditions, and what disturbed the machine if anything did."""
        self.found = found

    def sentences(self) -> list[str]:
        """One for each ratio: which is faster, by how much, how sure."""
        return list(self.found["sentences"])

    @property
    def ratios(self) -> pandas.DataFrame:
        """How many times as fast one is as the other: median of the rounds, ends of its interval, share of rounds."""
        return pandas.DataFrame(list(self.found["ratios"])).set_index(["of", "over"])

    @property
    def seconds(self) -> pandas.DataFrame:
        """What each run took: a row for each round, a column for each network."""
        return pandas.DataFrame(self.found["seconds"], columns=self.found["entrants"])

    def __repr__(self) -> str:
        return "\n".join(self.lines)

    def _repr_html_(self) -> str:
        return taken.comparison(self.lines, self.found["ratios"])


def traced(variant: Variant, protocol: str, device: str | None, depth: int) -> Traced:
    """A network taken apart: somebody's file in a fresh process, else here."""
    how = (variant, protocol, device, depth)
    return Traced(anatomy.restored(_carried([variant], _dissected, *how)))


def compared(
    chosen: Mapping[str, Variant], base: Variant | None, protocol: str, precision: float, budget: float
) -> Compared:
    """Networks timed in turns: in a fresh process if any is somebody's file, else here."""
    every = [*chosen.values(), *([base] if base else [])]
    told = _carried(every, _timed, list(chosen.values()), base, protocol, precision, budget)
    return Compared(told["lines"], told["object"])


def _carried(every: list[Variant], work: Any, *how: Any) -> Any:
    files = [v.name for v in every if v.source and not v.held]
    held = [v.name for v in every if v.held]
    if files and held:
        raise UserError(
            f"{files[0]} is run in a fresh process, and {held[0]} exists in this one only. Give both as files, or both "
            "as networks that you made here."
        )
    if files:
        return own.inside(" and ".join(files), work, *how)
    if not held:
        return work(*how)
    from workbench.own import state

    with state.untouched():
        return work(*how)


def _dissected(*how: Any) -> dict[str, Any]:
    return dataclasses.asdict(anatomy.dissect(*how))


def _timed(names: list[Variant], vs: Variant | None, *how: Any) -> dict[str, Any]:
    from workbench import comparison

    found = comparison.compare(names, vs, *how)
    return {"object": found.as_object(), "lines": found.told()}
