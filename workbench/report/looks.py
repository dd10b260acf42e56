"""How a method looks in every figure: a colour and a mark for what it is, told apart in grey as well."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.judge import Cell
from workbench.papers import names
from workbench.published import Figure, Table


@dataclass(frozen=True)
class Look:
    """A colour and a mark."""

    colour: str
    mark: str


LOOKS = {
    "proposed": Look("#D55E00", "o"),
    "CNN": Look("#56B4E9", "s"),
    "Transformer": Look("#0072B2", "^"),
    "state space": Look("#F0E442", "D"),
    "not known": Look("#bbbbbb", "P"),
}
"""Colours of Okabe and Ito; in grey they are 46, 62, 34 and 84 % bright."""

EDGE = "#333333"


def kind(method: str, figure: Figure) -> str:
    """A key of LOOKS."""
    return "proposed" if method in figure.proposed else names.architecture(method) or "not known"


def by_method(figure: Figure, cells: Iterable[Cell], scale: int) -> dict[str, dict[str, Cell]]:
    """The cells of a figure's methods at a scale, by method and column."""
    found: dict[str, dict[str, Cell]] = {}
    for cell in cells:
        if cell.scale == scale and (not figure.methods or cell.method in figure.methods):
            found.setdefault(cell.method, {})[cell.column] = cell
    return found


def scales(figure: Figure, table: Table) -> tuple[int, ...]:
    """The scales that a figure shows."""
    return figure.scales or tuple(sorted({row.scale for row in table.rows}))


def misprint(cell: Cell) -> bool:
    """Whether the rest of its table speaks against a printed figure, so that a picture of it would mislead."""
    return any(f.kind == "suspect" and f.strength != "weak" and f.rule != "best mark" for f in cell.audit)


def entries(kinds: Collection[str]) -> list[Any]:
    """The entries of a legend for the kinds that a figure shows."""
    from matplotlib.lines import Line2D

    return [
        Line2D(
            [], [], marker=look.mark, linestyle="", color=look.colour, markeredgecolor=EDGE, markeredgewidth=0.7,
            markersize=7, label=name,
        )
        for name, look in LOOKS.items()
        if name in kinds
    ]  # fmt: skip


def told(left_out: Sequence[Cell]) -> list[str]:
    """Why a figure leaves cells out, a sentence for each."""
    return [
        f"left out: {c.method} ×{c.scale}, printed {c.printed} {c.unit}, which looks like a misprint" for c in left_out
    ]


def headed(canvas: Any, title: str) -> None:
    """The title of a figure, in as many lines as its width needs."""
    wide = canvas.get_size_inches()[0]
    canvas.suptitle(textwrap.fill(title, int(12 * wide), break_on_hyphens=False), x=0.01, ha="left", fontsize=11)


def decades(axis: Any) -> None:
    """Round figures along a logarithmic axis, 1, 2 and 5 of every decade, all written alike."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}")
    axis.set_minor_formatter(NullFormatter())


def foot(canvas: Any, handles: Sequence[Any], sentences: Iterable[str], each: float = 1.6) -> None:
    """The legend at the foot of a figure, and above its entries what has to be said of where the figures come from.

    `each` is how wide an entry is, in inches.
    """
    wide = canvas.get_size_inches()[0]
    lines = textwrap.wrap("; ".join(sentences), int(17 * wide), break_on_hyphens=False)
    columns = max(1, min(len(handles), int(wide / each)))
    canvas.legend(
        handles=handles, loc="outside lower left", ncols=columns, fontsize=8, handletextpad=0.4, alignment="left",
        title="\n".join(lines), title_fontsize=7.5,
    )  # fmt: skip


def spread(off: Sequence[float]) -> str:
    """From the lowest difference to the highest: `−0.8 % to +0.3 %`; once where both are written alike."""
    ends = dict.fromkeys(f"{0.0 if abs(end) < 5e-4 else end:+.1%}" for end in (min(off), max(off)))
    return " to ".join(ends).replace("-", "−").replace("%", " %")


def agreement(shown: Sequence[Cell]) -> list[str]:
    """How many printed figures were counted, measured or planned here too, and how far off that is."""
    off = [c.difference for c in shown if c.difference is not None]
    if not off:
        return []
    return [
        f"of {len(shown)} costs {len(off)} {'was' if len(off) == 1 else 'were'} found here too, by their verdicts' "
        f"protocols: {spread(off)} of printed"
    ]
