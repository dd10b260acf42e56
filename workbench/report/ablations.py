"""The curves of ablations: text, Markdown, CSV, JSON and pictures."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import store
from workbench.curves import COSTS, Cost, Curve, Network

from . import looks
from .plots import MARKERS, OKABE_ITO, STYLE, keep
from .times import conditions

if TYPE_CHECKING:
    import matplotlib.figure

TITLE = "Ablations without training: what ideas cost"

NOTE = (
    "In parentheses, multiples of the official network. Nobody trained these networks, so nothing is said of their "
    "quality. Planned memory is an estimate; multiply-adds are counted with plain attention, pixels included that "
    "windows add at the edges."
)


TOLD = 3
"""Reasons that stand below a curve."""


def as_objects(curves: Sequence[Curve]) -> list[dict[str, Any]]:
    """One object for each network of each curve; the unit of a cost is in its key."""
    return [
        {
            "model": curve.ablation.model,
            "axis": curve.ablation.axis,
            "line": curve.ablation.line,
            "at": network.at,
            "variant": network.variant,
            "official": network.official,
            "scale": curve.scale,
            "protocol": curve.protocol,
            **{f"{c.id}_{c.unit}": network.costs.get(c.id) for c in COSTS},
            **{f"{c.id}_times": network.times.get(c.id) for c in COSTS},
            "plain_over_flex": network.saved,
            "latency_low_ms": network.interval and network.interval[0],
            "latency_high_ms": network.interval and network.interval[1],
            "latency_protocol": curve.timed if "latency" in network.costs else None,
            "latency_disturbed": network.disturbed if "latency" in network.costs else None,
        }
        for curve in curves
        for network in curve.networks
    ]


def as_csv(curves: Sequence[Curve]) -> str:
    """The same as lines."""
    out, rows = io.StringIO(), as_objects(curves)
    writer = csv.DictWriter(out, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: "" if v is None else v for k, v in row.items()} for row in rows)
    return out.getvalue()


def text(curves: Sequence[Curve]) -> str:
    """A table for each curve, aligned."""
    lines = []
    for curve in curves:
        rows = [_head(curve), *(_row(curve, network) for network in curve.networks)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines += [f"{_name(curve)}, protocol {curve.protocol}"]
        lines += ["  " + "  ".join(e.ljust(w) for e, w in zip(r, widths, strict=True)).rstrip() for r in rows]
        lines += [*(f"  {why}" for why in _without(curve)), ""]
    return "\n".join([*lines, NOTE, *_clocks(curves), ""])


def markdown(curves: Sequence[Curve]) -> str:
    """The same as Markdown."""
    lines = [f"# {TITLE}", "", NOTE, ""]
    for told in _clocks(curves):
        lines += [told, ""]
    for curve in curves:
        head = _head(curve)
        lines += [f"## {_name(curve)}, protocol `{curve.protocol}`", "", "| " + " | ".join(head) + " |"]
        lines += ["| ---: | --- |" + " ---: |" * (len(head) - 2)]
        lines += ["| " + " | ".join(_row(curve, network)) + " |" for network in curve.networks]
        why = _without(curve)
        lines += ["", *(f"- {one}" for one in why), *([""] if why else [])]
    return "\n".join(lines).rstrip("\n") + "\n"


def write(every: Sequence[Curve], shown: Sequence[Curve], results: Path) -> list[Path]:
    """The tables of every curve that is known, and pictures of those shown: PNG and SVG for each family and scale.

    Curves under another protocol than that of the tables have files of their own.
    """
    protocol = every[0].protocol
    end = "" if protocol == "esc" else f"-{protocol}"
    stem = results / "tables" / f"ablations{end}"
    paths = [stem.with_name(f"{stem.name}.md"), stem.with_name(f"{stem.name}.csv")]
    for path, content in zip(paths, (markdown(every), as_csv(every)), strict=True):
        store.replace(path, content)
    panels: dict[tuple[str, int], list[Curve]] = {}
    for curve in shown:
        panels.setdefault((curve.ablation.model.partition("-")[0], curve.scale), []).append(curve)
    for (name, scale), some in panels.items():
        paths += keep(draw(some), results / "figures" / f"ablations-{name}-x{scale}{end}")
    return paths


def draw(curves: Sequence[Curve]) -> matplotlib.figure.Figure:
    """A row of panels for each model and axis, a column for each quantity; flex attention beside plain, dashed."""
    import matplotlib as mpl
    from matplotlib.figure import Figure as Canvas

    rows: dict[tuple[str, str], list[Curve]] = {}
    for curve in curves:
        rows.setdefault((curve.ablation.model, curve.ablation.axis), []).append(curve)
    costs = [c for c in COSTS if not c.flex and any(c.id in n.costs for curve in curves for n in curve.networks)]
    with mpl.rc_context(STYLE):
        canvas = Canvas(figsize=(3.1 * max(2, len(costs)) + 0.4, 2.35 * len(rows) + 0.7), layout="constrained")
        parts = canvas.subfigures(len(rows), 1, squeeze=False)[:, 0]
        for part, ((model, axis), some) in zip(parts, rows.items(), strict=True):
            panels = part.subplots(1, max(1, len(costs)), squeeze=False)[0]
            for panel, cost in zip(panels, costs, strict=False):
                _panel(panel, some, cost)
            part.suptitle(f"{model}: {axis}", x=0.012, ha="left", fontsize=9, fontweight="bold")
        scale, protocol = curves[0].scale, curves[0].protocol
        told = f"What ideas cost at ×{scale}, protocol {protocol}; filled: the official network"
        told += "; ‡: the machine was disturbed" if any(n.disturbed for c in curves for n in c.networks) else ""
        canvas.suptitle(told, x=0.01, ha="left", fontsize=11)
        return canvas


def _panel(panel: Any, curves: Sequence[Curve], cost: Cost) -> None:
    """One quantity of the curves of one axis; who is who is said in the first that has several lines."""
    for k, curve in enumerate(curves):
        _line(panel, curve, cost.id, k, dashed=False, label=curve.ablation.line or "plain attention")
        if cost.id == "planned":
            _line(panel, curve, "planned_flex", len(curves) + k, dashed=True, label="flex attention")
    panel.set_title(f"{cost.title}, {cost.unit}{f' ({curves[0].timed})' if cost.id == 'latency' else ''}", fontsize=9)
    _axes(panel, curves)
    if len(panel.get_legend_handles_labels()[1]) > 1 and cost.id == ("params" if len(curves) > 1 else "planned"):
        panel.legend(fontsize=7.5)


def _line(panel: Any, curve: Curve, cost: str, k: int, dashed: bool, label: str) -> None:
    known = [n for n in curve.networks if cost in n.costs]
    if not known:
        return
    style: Any = {"color": OKABE_ITO[k % 4], "marker": MARKERS[k % 4], "markersize": 5, "markeredgewidth": 1.2}
    panel.plot(
        [n.at for n in known], [n.costs[cost] for n in known], linestyle="--" if dashed else "-", linewidth=1.2,
        markerfacecolor="white", label=label, **style,
    )  # fmt: skip
    for network in known:
        if cost == "latency" and network.interval:
            panel.plot([network.at] * 2, network.interval, color=style["color"], linewidth=1, alpha=0.6)
            if network.disturbed:
                top = (network.at, network.interval[1])
                panel.annotate("‡", top, (0, 2), textcoords="offset points", ha="center", fontsize=7.5)
        if network.official:
            panel.plot(network.at, network.costs[cost], linestyle="", zorder=3, **style)


def _axes(panel: Any, curves: Sequence[Curve]) -> None:
    """Ticks where the settings are, doubling ones evenly spread; from zero, or by powers where one dwarfs the rest."""
    at = sorted({n.at for curve in curves for n in curve.networks})
    if len(at) > 2 and all(b == 2 * a for a, b in itertools.pairwise(at)):
        panel.set_xscale("log", base=2)
    panel.set_xticks(at, [str(a) for a in at])
    panel.set_xticks([], minor=True)
    values = [y for line in panel.get_lines() for y in line.get_ydata()]
    if values and max(values) > 8 * min(values):
        panel.set(yscale="log", ylim=(min(values) / 1.5, max(values) * 1.5))
        looks.decades(panel.yaxis)
    else:
        panel.set_ylim(0, 1.08 * max(values, default=1.0))
        panel.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")


def _name(curve: Curve) -> str:
    line = f" ({curve.ablation.line})" if curve.ablation.line else ""
    return f"{curve.ablation.model} x{curve.scale}: {curve.ablation.axis}{line}"


def _shown(curve: Curve) -> list[str]:
    """The quantities of which one network at least has a value."""
    return [c.id for c in COSTS if any(c.id in n.costs for n in curve.networks)]


def _head(curve: Curve) -> list[str]:
    titles = [f"{c.title}, {c.unit}" for c in COSTS if c.id in _shown(curve)]
    return ["at", "network", *titles, *(["plain / flex"] if "planned_flex" in _shown(curve) else [])]


def _row(curve: Curve, network: Network) -> list[str]:
    entries = [str(network.at), f"{network.variant}{' (official)' if network.official else ''}"]
    for cost in _shown(curve):
        value, times = network.costs.get(cost), network.times.get(cost)
        mark = "‡" if cost == "latency" and network.disturbed else ""
        told = "" if times is None or network.official else f" ({times:.2f}×)"
        entries.append("–" if value is None else f"{value:,.1f}{mark}{told}")
    if "planned_flex" in _shown(curve):
        entries.append("–" if network.saved is None else f"{network.saved:.1f}")
    return entries


def _without(curve: Curve) -> list[str]:
    """Why something has no value; of many reasons, which most often are one, the first. Then what was not tried yet."""
    more = len(curve.without) - TOLD
    told = [*curve.without[:TOLD], *([f"and {more} more without a value"] if more > 0 else [])]
    shown = set(_shown(curve))
    names = [n.variant for n in curve.networks if n.missing & shown]
    if names:
        rest = f" and {len(names) - TOLD} more" if len(names) > TOLD else ""
        told.append(f"not measured yet, or not all: {', '.join(names[:TOLD])}{rest}; the rest: {curve.command}")
    return told


def _clocks(curves: Sequence[Curve]) -> list[str]:
    """Under which protocol latencies were taken, or how they are."""
    timed = sorted({c.timed for c in curves if "latency" in _shown(c)})
    marked = " ‡: the machine was disturbed." if any(n.disturbed for c in curves for n in c.networks) else ""
    scales = sorted({c.scale for c in curves})
    told = [
        f"Latency of this machine, {conditions(name, scales)}. Where that is another input than that of the other "
        f"columns, windows wider than it are mostly edge.{marked}"
        for name in timed
    ]
    return told or ["No latency of these networks was measured on this machine: workbench ablate ... --latency."]
