"""The nouns of what papers print: Table with its columns and rows, Figure, Claim."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from workbench.spec import Source


@dataclass(frozen=True)
class Column:
    """One column of a printed table and the probe that fills it."""

    id: str
    title: str
    unit: str
    """Unit as printed: `K`, `G`, `ms`, `MB`, `dB`."""
    probe: str
    """The probe whose records answer this column."""
    factor: float
    """One printed unit in base units: 1e9 for G."""
    best: Literal["low", "high"]
    needs: str
    """What this workbench needs before it can measure the column, when no record is there."""
    estimate: str | None = None
    """The probe that says, without the device, what `probe` would measure there."""
    tolerance: float = 0.02
    """The fraction by which an estimate, or a ratio, may differ from the printed figure and still account for it."""
    ratio: bool = False
    """Whether its figures are a machine's own, so that only ratios to the table's reference can be judged."""
    here: str | None = None
    """The protocol that gives a figure of any machine beside the printed one; nothing is concluded from that."""
    modifier: str = ""
    """What is added to the protocol of a row for this column: `set14`."""
    within: float = 0.0
    """By how much, in the printed unit, a measured mean over images may differ and still be the printed one."""


@dataclass(frozen=True)
class Row:
    """One printed row: a method at a scale, as the paper names it, and what it printed."""

    method: str
    scale: int
    variant: str | None
    """The variant that is this row; None if the paper's method is not one of ours."""
    printed: Mapping[str, str]
    """Column id to the printed text, digit for digit; absent where the paper prints nothing."""
    protocols: Mapping[str, str] = field(default_factory=dict)
    """Column id to the protocol under which this row was measured, where it is not the table's."""
    source: Source | None = None
    """Of a network of somebody's own, whose records have it among their conditions."""


@dataclass(frozen=True)
class Table:
    """A published table: its columns, its rows, and the protocols under which its cells are judged."""

    id: str
    title: str
    paper: str
    source: str
    """Paper and place in words."""
    protocol: str
    """The default protocol of its cells."""
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    reference: str | None = None
    """The method whose figure divides those of its scale, in columns that are judged by ratios."""
    training: str | None = None
    """What its networks were trained on, where one thing was: image quality of weights that were trained on anything
    else is no answer to its cells, and not compared with them."""
    bold: frozenset[tuple[str, int, str]] = frozenset()
    """Cells printed as the best of their scale: (method, scale, column); empty if its marks are not held."""
    caption: str | None = None
    """What stands over a table of one's own."""


@dataclass(frozen=True)
class Figure:
    """A picture drawn from a table's cells."""

    id: str
    title: str
    table: str
    kind: Literal["agreement", "bubble", "bars", "front", "resolution"]
    """Which drawing of `report` makes it."""
    columns: tuple[str, ...]
    """Of a `bubble` across, up and area; of a `front` costs, and last what they buy; else one panel or mark each."""
    scales: tuple[int, ...] = ()
    """Those that it shows; empty: all of its table."""
    proposed: tuple[str, ...] = ()
    """The methods that are the paper's own."""
    methods: tuple[str, ...] = ()
    """Those that it shows; empty: all of its table."""
    modifiers: tuple[str, ...] = ()
    """What a `resolution` adds to the protocol of each cell, one for each output size; "" for the protocol's own."""


@dataclass(frozen=True)
class Side:
    """One side of a claim: a network in a column of a table."""

    variant: str
    column: str
    protocol: str = ""
    """Where it is not that of the table's own cell; what is printed there is then no answer."""


@dataclass(frozen=True)
class Claim:
    """A quantitative sentence of a paper's abstract, in a form that can be computed."""

    id: str
    paper: str
    sentence: str
    """What the paper says, in our words."""
    printed: str
    """The figure in it, digit for digit; how exact it is meant, its digits say."""
    relation: Literal["ratio", "difference", "about", "least", "more"]
    """`of` over `over`; `of` minus `over`; `of` itself, within 5 %; `of` below every other of its scale, in any
    table that is held; or `of` above `over`, by a factor that the paper does not say."""
    unit: str
    """Of the figure: `x` for a ratio, else as its column prints it."""
    table: str
    """The table whose column, rows and protocols it speaks of."""
    of: Side | None = None
    """None where no column of ours shows what is claimed."""
    over: Side | None = None
    apart: tuple[str, ...] = ()
    """Methods that `least` leaves out: those of the same authors."""
    needs: str = ""
    """What it takes to answer it, where no column shows it."""
    note: str = ""
    """What the paper leaves open, and how it is taken here."""
