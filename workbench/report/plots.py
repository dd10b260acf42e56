"""Pictures, one style for all: readable in grey and by the colour-blind, the same bytes from the same cells."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from workbench import store
from workbench.digits import left_open
from workbench.judge import Cell
from workbench.published import Figure, Table
from workbench.spec import Record, UserError

from . import looks
from .labels import settle, settled

if TYPE_CHECKING:
    import matplotlib.figure

STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "svg.hashsalt": "workbench",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}
OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
MARKERS = ("o", "s", "D", "^")


FORMATS = ("pdf", "png", "svg")
"""The formats a drawing is kept in; the last one goes into pages."""

UNSAID = {"pdf": ("CreationDate", "Creator", "Producer"), "png": ("Software",), "svg": ("Date", "Creator")}
"""What a format would say of when and by what it was made: it would make other bytes of the same cells."""

DPI = 160
"""Of what has pixels."""

NONE: Mapping[str, Record] = MappingProxyType({})


def draw(
    figure: Figure, table: Table, cells: Sequence[Cell], known: Mapping[str, Record] = NONE
) -> matplotlib.figure.Figure:
    """A figure of a paper's cells; a `resolution`, which goes beyond them, of the newest records."""
    import matplotlib as mpl

    from . import bars, bubbles, fronts, resolutions

    with mpl.rc_context(STYLE):
        drawings: dict[str, Callable[..., matplotlib.figure.Figure]] = {
            "agreement": _agreement,
            "bubble": bubbles.draw,
            "bars": bars.draw,
            "front": fronts.draw,
            "resolution": partial(resolutions.draw, known=known),
        }
        return drawings[figure.kind](figure, table, cells)


def png(figure: Figure, table: Table, cells: Sequence[Cell], known: Mapping[str, Record] = NONE) -> bytes:
    """A figure for a page that wants its bytes."""
    return saved(draw(figure, table, cells, known), "png")


def write(
    figure: Figure, table: Table, cells: Sequence[Cell], folder: Path, known: Mapping[str, Record] = NONE
) -> list[Path]:
    """A figure as PDF, PNG and SVG."""
    return keep(draw(figure, table, cells, known), folder / figure.id)


def keep(drawn: matplotlib.figure.Figure, stem: Path) -> list[Path]:
    """A drawing in every format, in their order; each file whole or not at all."""
    paths = [stem.with_name(f"{stem.name}.{format}") for format in FORMATS]
    for path, format in zip(paths, FORMATS, strict=True):
        store.replace(path, saved(drawn, format))
    return paths


def check(path: Path, option: str) -> None:
    """Refuse a picture that could not be written in the end, before anything is measured or drawn."""
    if path.suffix.removeprefix(".") not in FORMATS:
        known = " or ".join(f".{format}" for format in FORMATS)
        raise UserError(f"{option} was given {path}; give a name that ends in {known}.")
    store.check_file(path, option)


def saved(drawn: matplotlib.figure.Figure, format: str) -> bytes:
    """A drawing as the bytes of a file, the same for the same drawing.

    Its canvas writes it and not `savefig`, which draws all of it to lay it out first: that is done once for all.
    """
    import matplotlib as mpl
    from matplotlib.backend_bases import get_registered_canvas_class

    out, shown = io.BytesIO(), (drawn.canvas, drawn.dpi)
    with mpl.rc_context(STYLE):
        if not settled(drawn):
            settle(drawn)
        try:
            canvas: Any = get_registered_canvas_class(format)(drawn)
            drawn.dpi = DPI
            getattr(canvas, f"print_{format}")(out, metadata=dict.fromkeys(UNSAID[format]))
        finally:
            drawn.canvas, drawn.dpi = shown
    return out.getvalue()


def _agreement(figure: Figure, table: Table, cells: Sequence[Cell]) -> matplotlib.figure.Figure:
    """One panel per scale, one line per method: how far each measured figure is from the printed one, in per cent."""
    from matplotlib.figure import Figure as Canvas

    columns = [c for c in table.columns if c.id in figure.columns]
    costs = [c for c in cells if c.printed is not None and c.column in figure.columns]
    found = {c.scale for c in costs if c.difference is not None}
    every = looks.scales(figure, table)
    scales = [s for s in every if s in found] or list(every)
    methods = list(dict.fromkeys(r.method for r in table.rows))
    canvas = Canvas(figsize=(max(2.6 * len(scales) + 1.7, 6.9), 0.27 * len(methods) + 2.0), layout="constrained")
    panels = canvas.subplots(1, len(scales), sharey=True, sharex=True, squeeze=False)[0]
    at = {m: len(methods) - 1 - i for i, m in enumerate(methods)}
    for panel, scale in zip(panels, scales, strict=True):
        panel.axvline(0, color="#888888", linewidth=0.8)
        for k, column in enumerate(columns):
            for cell in cells:
                if (cell.scale, cell.column) == (scale, column.id) and cell.difference is not None:
                    _point(panel, cell, at[cell.method] + 0.16 * (len(columns) - 1 - 2 * k), k)
        panel.set_title(f"×{scale}")
        panel.set_yticks(list(at.values()), list(at))
        panel.set_ylim(-0.7, len(methods) - 0.3)
        panel.tick_params(length=0)
        panel.set_xscale("symlog", linthresh=0.1, linscale=1)
        panel.set_xlabel("difference, % of printed")
    low, high = panels[0].get_xlim()
    edge = max(abs(low), abs(high), 0.2)
    panels[0].set_xlim(-edge, edge)
    panels[0].xaxis.set_major_formatter(lambda value, _: f"{value:g}".replace("-", "−"))
    told = looks.agreement([c for c in costs if c.scale in every]) or ["nothing of it was found here yet"]
    if found and (without := [f"×{s}" for s in every if s not in found]):
        told.append(f"nothing was found at {', '.join(without)}")
    looks.foot(canvas, _legend(columns), told, each=2.3)
    looks.headed(canvas, figure.title)
    return canvas


def _point(panel: Any, cell: Cell, y: float, k: int) -> None:
    """One cell: a grey bar over what the printed digits leave open, and where the measured figure is."""
    reported, difference = cell.reported or 0.0, cell.difference or 0.0
    half = 100 * left_open(cell.printed or "0") / reported
    panel.plot([-half, half], [y, y], color="#bbbbbb", linewidth=4, solid_capstyle="butt", zorder=2)
    marker = "x" if cell.verdict in ("differs", "contradicted", "suspect") else MARKERS[k]
    face = OKABE_ITO[k] if cell.verdict in ("reproduced", "planned") else "white"
    panel.plot(
        100 * difference, y, marker, color=OKABE_ITO[k], markersize=5.5, markerfacecolor=face,
        markeredgewidth=1.2, clip_on=False, zorder=3,
    )  # fmt: skip


def _legend(columns: Sequence[Any]) -> list[Any]:
    from matplotlib.lines import Line2D

    entries = [
        Line2D([], [], marker=MARKERS[k], linestyle="", color=OKABE_ITO[k], label=column.title)
        for k, column in enumerate(columns)
    ]
    grey: dict[str, Any] = {"linestyle": "", "color": "#555555"}
    entries += [
        Line2D([], [], color="#bbbbbb", linewidth=4, label="what the printed digits leave open"),
        Line2D([], [], marker="o", label="reproduced, or planned near enough", **grey),
        Line2D([], [], marker="o", markerfacecolor="white", label="explained", **grey),
        Line2D([], [], marker="x", label="differs, contradicted or suspect", **grey),
    ]
    return entries
