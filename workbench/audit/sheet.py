"""What the rules look at: a table as entries with figures, and what a rule finds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Literal

from workbench import protocols
from workbench.published import Column, Table

Strength = Literal["certain", "strong", "weak"]
STRENGTHS: dict[Strength, str] = {
    "certain": "the figures contradict each other or what is possible",
    "strong": "rarer among clean figures than a misprint is",
    "weak": "odd, and in a clean table not rare",
}
Kind = Literal["suspect", "contradicted"]

FEWEST = 4
"""Methods without which a table says nothing of what to expect in it."""

LAW = {"macs": "FLOPs", "params": "parameters"}
"""Probes whose figures follow from the network alone, and change from scale to scale by a law."""


@dataclass(frozen=True)
class Place:
    """A cell of a published table."""

    table: str
    method: str
    scale: int
    column: str

    def __str__(self) -> str:
        return f"{self.method} x{self.scale}, {self.column}"


@dataclass(frozen=True)
class Entry:
    """A printed figure in its place."""

    place: Place
    printed: str
    value: float
    column: Column

    @property
    def decimals(self) -> int:
        """How many digits are printed behind the point."""
        return len(self.printed.partition(".")[2])

    @property
    def unit(self) -> float:
        """One in the last printed digit."""
        return float(10.0**-self.decimals)


@dataclass(frozen=True)
class Finding:
    """One thing that speaks against a printed figure."""

    place: Place
    printed: str
    rule: str
    evidence: str
    strength: Strength
    others: tuple[Place, ...] = ()
    """Cells that the evidence compares it with."""
    kind: Kind = "suspect"
    """`contradicted` where another print of the same thing differs, without a word on which is right."""


OF_IMAGES = ("quality", "ssim", "perception")
"""Probes of columns whose figures are about images, and no costs."""


def of_images(column: Column) -> bool:
    """Whether a column says how good images are."""
    return column.probe in OF_IMAGES


def measure(column: Column) -> str:
    """What a column's figures are figures of: `psnr`, `ssim`; of costs the probe."""
    return column.id.partition("+")[0].rpartition("_")[2] if of_images(column) else column.probe


def test_set(column: Column) -> str:
    """The images that a quality was measured on."""
    return column.id.rpartition("_")[0]


@dataclass(frozen=True)
class Expectation:
    """What the other figures of a table let one expect in a place."""

    value: float
    spread: float
    """How far figures of that column usually are from what is expected, robustly: a standard deviation."""
    ratio: bool
    """Whether figures are compared by their ratio, as costs are; then `spread` is one of the logarithm."""

    def off(self, value: float) -> float:
        """How many spreads a figure is above what is expected."""
        if not self.ratio:
            return (value - self.value) / self.spread
        return math.log(value / self.value) / self.spread if value > 0 else -math.inf


class Sheet:
    """A table's printed figures by place, and what each of them leads one to expect of the others."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.columns: Mapping[str, Column] = {c.id: c for c in table.columns}
        self.methods = tuple(dict.fromkeys(r.method for r in table.rows))
        self.scales = tuple(sorted({r.scale for r in table.rows}))
        self.hr = protocols.find(table.protocol).input.hr if table.protocol else None
        """The output size of its costs; None if that is not told."""
        self.entries: dict[tuple[str, int, str], Entry] = {}
        for row in table.rows:
            for column, text in row.printed.items():
                place = Place(table.id, row.method, row.scale, column)
                plain = f"{Decimal(text):f}" if "E" in text else text  # of a figure that was put in another unit
                self.entries[row.method, row.scale, column] = Entry(place, plain, float(text), self.columns[column])

    def at(self, method: str, scale: int, column: str) -> Entry | None:
        """The figure in a place, if one is printed there."""
        return self.entries.get((method, scale, column))

    def down(self, scale: int, column: str) -> list[Entry]:
        """A column at one scale."""
        found = (self.at(method, scale, column) for method in self.methods)
        return [entry for entry in found if entry is not None]

    @cached_property
    def decimals(self) -> Mapping[str, int]:
        """How many decimals most figures of a column have."""
        columns = {c: [e.decimals for e in self.entries.values() if e.column.id == c] for c in self.columns}
        return {c: statistics.mode(found) for c, found in columns.items() if found}

    @cached_property
    def expected(self) -> Mapping[Place, Expectation]:
        """What the rest of the table lets one expect in each place, where it is large enough to."""
        from .pattern import expectations

        return expectations(self)

    def off(self, entry: Entry) -> float:
        """How many spreads a figure is from what the table lets one expect; 0 where it says nothing."""
        expected = self.expected.get(entry.place)
        return abs(expected.off(entry.value)) if expected else 0.0

    def oddest(self, *entries: Entry) -> tuple[Entry, tuple[Place, ...]]:
        """Of figures that cannot all be right the one that fits its table least, and the places of the others."""
        odd = max(entries, key=self.off)
        return odd, tuple(e.place for e in entries if e is not odd)
