"""Costs as bars: the printed figure of each method, and beside it what was measured or planned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from workbench.judge import Cell
from workbench.published import Figure, Table

from . import layout, looks
from .looks import EDGE, LOOKS

if TYPE_CHECKING:
    import matplotlib.figure

THIN = 0.36
HATCHES = {"proposed": "", "CNN": "xxx", "Transformer": "///", "state space": "..."}
"""A second sign of what a method is, for those who see no colour."""


def draw(figure: Figure, table: Table, cells: Sequence[Cell]) -> matplotlib.figure.Figure:
    """A row of panels for each scale, a panel for each column, in the table's order of methods."""
    from matplotlib.figure import Figure as Canvas

    columns = [c for c in table.columns if c.id in figure.columns]
    scales = looks.scales(figure, table)
    methods = [m for m in dict.fromkeys(r.method for r in table.rows) if not figure.methods or m in figure.methods]
    canvas = Canvas(
        figsize=(3.3 * len(columns) + 1.2, (0.42 * len(methods) + 1.0) * len(scales) + 0.9), layout="constrained"
    )
    rows = canvas.subplots(len(scales), len(columns), squeeze=False, sharey=True)
    kinds, here, shown = {looks.kind(m, figure) for m in methods}, False, list[Cell]()
    for panels, scale in zip(rows, scales, strict=True):
        found = looks.by_method(figure, cells, scale)
        for panel, column in zip(panels, columns, strict=True):
            longest = 0.0
            for at, method in enumerate(reversed(methods)):
                cell = found.get(method, {}).get(column.id)
                if cell is None:
                    continue
                kind = looks.kind(method, figure)
                mine = cell.estimate if cell.measured is None else cell.measured
                for up, value, colour, hatch in (
                    (at + THIN / 2, cell.reported, LOOKS[kind].colour, HATCHES.get(kind, "")),
                    (at - THIN / 2, mine, "white", ""),
                ):
                    if value is None:
                        continue
                    panel.barh(up, value, THIN, color=colour, hatch=hatch, edgecolor=EDGE, linewidth=0.7, clip_on=False)
                    text = str(cell.printed) if colour != "white" else layout.measured(cell)
                    panel.annotate(
                        text, (value, up), (3, 0), textcoords="offset points", va="center", fontsize=7.5,
                    )  # fmt: skip
                    longest = max(longest, value)
                here |= mine is not None
                shown += [cell] if cell.printed is not None else []
            panel.set(xlim=(0, 1.18 * longest or 1), title=f"×{scale}: {column.title}, {column.unit}")
            panel.set_yticks(range(len(methods)), methods[::-1])
            panel.set_ylim(-0.6, len(methods) - 0.4)
            panel.tick_params(axis="y", length=0)
            panel.grid(axis="y", visible=False)
    looks.headed(canvas, figure.title)
    looks.foot(canvas, _entries(kinds, here), [f"printed in {table.source}", *looks.agreement(shown)])
    return canvas


def _entries(kinds: set[str], here: bool) -> list[Any]:
    from matplotlib.patches import Patch

    drawn: dict[str, Any] = {"edgecolor": EDGE, "linewidth": 0.7}
    entries = [
        Patch(facecolor=look.colour, hatch=HATCHES.get(name, ""), label=f"{name}, printed", **drawn)
        for name, look in LOOKS.items()
        if name in kinds
    ]
    return [*entries, Patch(facecolor="white", label="found here (~: planned)", **drawn)] if here else entries
