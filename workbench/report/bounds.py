"""Printed latencies beside lower bounds of the time: an estimate that may rank a table's methods, never a measurement.

Every figure is read from records of the roofline probe; nothing here computes one, and nothing imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import devices, probes, protocols, store
from workbench.published import Row, Table
from workbench.ratios import rank_correlation
from workbench.spec import Record, unknown

from . import looks
from .labels import halo, place_all
from .plots import MARKERS, OKABE_ITO, STYLE, keep

if TYPE_CHECKING:
    import matplotlib.figure

TITLE = "Printed latencies beside a lower bound of the time, an estimate"

HEAD = ("Method", "Scale", "printed, ms", "at least, ms", "printed / at least", "memory-bound", "launches", "")


@dataclass(frozen=True)
class Bounded:
    """One method at one scale: what is printed, and what it takes at least."""

    method: str
    scale: int
    printed: float
    """Seconds, as printed."""
    bound: float
    """Seconds at least; an estimate."""
    memory: float
    """Share of the bound in calls that memory bounds."""
    launch: float
    """Share of the bound that is launches."""
    host_bound: bool
    """Whether the host's work takes longer than the bound, by an estimate: the bound says little then."""

    flops: float | None = None
    """What is printed as FLOPs, in multiply-adds; for comparison."""

    @property
    def ratio(self) -> float:
        return self.printed / self.bound


def protocol(table: Table, row: Row, device: str) -> str:
    """The protocol whose roofline record stands beside a row's printed latency."""
    latency = next((c.id for c in table.columns if c.probe == "latency"), "")
    return f"{row.protocols.get(latency, table.protocol)}+{device}"


def read(table: Table, known: Mapping[str, Record], device: str = "a100") -> list[Bounded]:
    """The rows that have both, in the table's order; known are the newest records, by identity."""
    probe, found = probes.find("roofline"), []
    devices.profile(device)
    columns = [c for c in table.columns if c.probe == "latency"]
    counted = next((c for c in table.columns if c.probe == "macs"), None)
    for row in table.rows:
        for column in columns:
            if row.variant is None or column.id not in row.printed:
                continue
            conditions = protocols.find(protocol(table, row, device)).read(probe.reads, row.scale)
            record = known.get(store.identity(row.variant, probe.name, probe.version, conditions))
            if record is None or record.status != "ok":
                continue
            of, flops = record.details, row.printed.get(counted.id) if counted else None
            found.append(
                Bounded(
                    row.method, row.scale, float(row.printed[column.id]) * column.factor, record.value,
                    of["memory_bound_share"], of["launch_share"], of["host_bound"],
                    float(flops) * counted.factor if counted and flops else None,
                )
            )  # fmt: skip
    return found


def correlations(
    rows: Sequence[Bounded], of: Callable[[Bounded], float | None] = lambda r: r.bound
) -> dict[int, tuple[float | None, float | None]]:
    """For each scale, the rank correlation of printed latency and bound: of all rows, and of those not host-bound.

    `of` puts another figure in the bound's place; rows that lack it are left out.
    """
    rows = [r for r in rows if of(r) is not None]
    found = {}
    for scale in sorted({r.scale for r in rows}):
        every = [r for r in rows if r.scale == scale]
        device = [r for r in every if not r.host_bound]
        both = [rank_correlation([r.printed for r in some], [of(r) or 0.0 for r in some]) for some in (every, device)]
        found[scale] = (both[0], both[1])
    return found


def render(table: Table, known: Mapping[str, Record], device: str, format: str) -> str:
    """As Markdown or as a fragment of HTML."""
    formats = {"md": markdown, "html": html}
    if format not in formats:
        raise unknown("format of bounds", format, formats, "workbench table --help")
    devices.profile(device)
    return formats[format](table, known, device)


def markdown(table: Table, known: Mapping[str, Record], device: str = "a100") -> str:
    """The rows and the correlations as Markdown."""
    rows = read(table, known, device)
    if not rows:
        return _missing(table, device) + "\n"
    lines = ["| " + " | ".join(HEAD) + " |", "| --- |" + " ---: |" * (len(HEAD) - 2) + " --- |"]
    lines += ["| " + " | ".join(e.replace("|", "\\|") for e in _entries(r)) + " |" for r in rows]
    lines += ["", *(f"- {line}" for line in _said(rows)), "", _note(device)]
    return "\n".join(lines) + "\n"


def html(table: Table, known: Mapping[str, Record], device: str = "a100") -> str:
    """The same as a fragment for a page with a style of its own."""
    rows = read(table, known, device)
    if not rows:
        return f"<p>{escape(_missing(table, device))}</p>\n"
    body, scale = [], 0
    for r in rows:
        entries = "".join(f"<td>{escape(e)}</td>" for e in _entries(r))
        body.append(f"<tr{' class=first' if r.scale != scale else ''}>{entries}</tr>")
        scale = r.scale
    head = "".join(f"<th>{escape(h)}</th>" for h in HEAD)
    said = "".join(f"<li>{escape(line)}</li>" for line in _said(rows))
    table_ = f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(body) + "\n</tbody>\n</table>"
    return f'<div class="wide">\n{table_}\n</div>\n<ul>{said}</ul>\n<p class="summary">{escape(_note(device))}</p>\n'


def write(table: Table, known: Mapping[str, Record], results: Path, device: str = "a100") -> list[Path]:
    """The table as Markdown and the picture as PNG and SVG, in the folders of results; the SVG comes last."""
    text = results / "tables" / f"{table.id}-bounds.md"
    title = f"# {table.source}: {TITLE[0].lower()}{TITLE[1:]}"
    store.replace(text, f"{title}\n\n{markdown(table, known, device)}")
    return [text, *keep(picture(table, known, device), results / "figures" / f"{table.id}-bounds")]


def picture(table: Table, known: Mapping[str, Record], device: str = "a100") -> matplotlib.figure.Figure:
    """Printed latency over the bound, log-log, one panel per scale; on a slanting line the ratio is the same."""
    import matplotlib as mpl
    from matplotlib.figure import Figure as Canvas

    rows = read(table, known, device)
    scales = sorted({r.scale for r in rows}) or [1]
    with mpl.rc_context(STYLE):
        canvas = Canvas(figsize=(max(4.3 * len(scales) + 0.6, 7.2), 4.9), layout="constrained")
        panels = canvas.subplots(1, len(scales), sharex=True, sharey=True, squeeze=False)[0]
        low = 1e3 * min([r.bound for r in rows], default=1e-3) / 1.6
        right = 1e3 * max([r.bound for r in rows], default=1.0) * 1.8
        high = 1e3 * max([r.printed for r in rows], default=1.0) * 1.6
        bottom = min(low, 1e3 * min([r.printed for r in rows], default=1e-3) / 1.3)
        panels[0].set(xscale="log", yscale="log", xlim=(low, right), ylim=(bottom, high))
        panels[0].set_ylabel("printed latency, ms")
        agreed, named = correlations(rows), []
        for k, (panel, scale) in enumerate(zip(panels, scales, strict=True)):
            lines = _ratios(panel, low, right, bottom, high)
            here = [r for r in rows if r.scale == scale]
            for r in here:
                face = "white" if r.host_bound else OKABE_ITO[k % 4]
                panel.plot(
                    1e3 * r.bound, 1e3 * r.printed, MARKERS[k % 4], color=OKABE_ITO[k % 4], markerfacecolor=face,
                    markersize=6, markeredgewidth=1.2, zorder=3,
                )  # fmt: skip
            both = agreed.get(scale, (None, None))
            panel.set_title(f"×{scale}: rank correlation {_r(both[0])}, {_r(both[1])} without host-bound", fontsize=9)
            panel.set_xlabel("at least, ms (an estimate)")
            for axis in (panel.xaxis, panel.yaxis):
                looks.decades(axis)
            named.append((panel, [(1e3 * r.bound, 1e3 * r.printed, r.method, 3.5) for r in here], lines))
        title = devices.find(device).title
        looks.headed(canvas, f"{table.source}: printed latency over a lower bound on {title}")
        _legend(canvas)
        place_all(canvas, named, size=7.5)
        return canvas


def _ratios(panel: Any, low: float, right: float, bottom: float, high: float) -> list[list[tuple[float, float]]]:
    """Slanting lines of one ratio each, named at their upper end; their corners, for names to keep off."""
    lines = []
    for ratio in (1, 3, 10, 30):
        a, b = max(low, bottom / ratio), min(right, high / ratio)
        if a >= b:
            continue
        panel.plot([a, b], [a * ratio, b * ratio], color="#999999", linewidth=0.9 if ratio == 1 else 0.6, zorder=1)
        panel.annotate(
            f"{ratio}×", (b, b * ratio), (-3, -3), textcoords="offset points", ha="right", va="top", fontsize=7.5,
            color="#777777", path_effects=halo(),
        )  # fmt: skip
        lines.append([(a, a * ratio), (b, b * ratio)])
    return lines


def _legend(canvas: matplotlib.figure.Figure) -> None:
    from matplotlib.lines import Line2D

    grey: dict[str, Any] = {"linestyle": "", "color": "#555555", "marker": "o"}
    entries = [
        Line2D([], [], label="one method", **grey),
        Line2D([], [], markerfacecolor="white", label="host-bound: its masks are made on the host", **grey),
        Line2D([], [], color="#999999", linewidth=0.9, label="printed / at least"),
    ]
    canvas.legend(handles=entries, loc="outside lower left", ncols=len(entries), fontsize=8)


def _entries(r: Bounded) -> list[str]:
    return [
        r.method, f"x{r.scale}", f"{1e3 * r.printed:.1f}", f"{1e3 * r.bound:.1f}", f"{r.ratio:.1f}",
        f"{r.memory:.0%}", f"{r.launch:.0%}", "host-bound" if r.host_bound else "",
    ]  # fmt: skip


def _said(rows: Sequence[Bounded]) -> list[str]:
    told, flops = [], correlations(rows, lambda r: r.flops)
    for scale, (every, device) in correlations(rows).items():
        here = [r for r in rows if r.scale == scale]
        left = sum(not r.host_bound for r in here)
        told.append(
            f"x{scale}: rank correlation of printed latency and bound {_r(every)} over {len(here)} rows, {_r(device)} "
            f"over the {left} that are not host-bound"
            + (f", where that of printed FLOPs is {_r(flops[scale][1])}" if scale in flops else "")
        )
    return told


def _note(device: str) -> str:
    return (
        f"A lower bound for {devices.find(device).title}, from its data sheet and one trace of each network: an "
        "estimate and no measurement, so it fills no cell. What is printed may have been timed on another device; it "
        "is the order of methods that can be compared. A printed time below the bound was not of this device, or its "
        "kernels were fused or fed from a cache."
    )


def _missing(table: Table, device: str) -> str:
    return (
        f"No record of the roofline probe stands beside a printed latency of {table.id}: "
        f"workbench measure '*' --probe roofline --protocol {table.protocol}+{device}; for methods timed with flex "
        f"attention --protocol {table.protocol}+flex+{device}; workbench reproduce measures all that is needed"
    )


def _r(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}".replace("-", "−")
