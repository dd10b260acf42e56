"""A network taken apart, as text, as JSON and as a picture: shares of its parts, and the device's roof above them."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import store
from workbench.anatomy import BY, ORDERS, Anatomy, Part
from workbench.fits import sized

from .labels import place
from .plots import OKABE_ITO, STYLE, saved

if TYPE_CHECKING:
    import matplotlib.figure

FIRST = {
    "time": ("longest-running {kind}s", "the time"),
    "macs": ("{kind}s with the most multiply-adds", "the multiply-adds"),
    "bytes": ("{kind}s that move the most bytes", "the bytes"),
}
"""By the order of an anatomy: what its first parts are, and what the others have a share of."""

NAMED = 8
"""Most dots of a roofline that bear a name: the longest-running ones."""

SEEN = 1e-2
"""Least share of the time that an operator's dot must have: tiny calls lie far below the roof and would stretch it."""


def text(anatomy: Anatomy, by: str | None, top: int) -> str:
    """Totals, and the largest parts as aligned tables."""
    lines = totals(anatomy)
    for kind in BY if by is None else (by,):
        lines += ["", *_table(kind, anatomy, top)]
    return "\n".join(lines) + "\n"


def totals(anatomy: Anatomy) -> list[str]:
    """What is to be said of the network as a whole."""
    total = anatomy.total
    size = " x ".join(map(str, anatomy.shape))
    lines = [
        f"{anatomy.variant} under {anatomy.protocol} on {anatomy.device.title}, input {size}",
        f"{total.calls:,} calls that work, {_count(total.multiply_adds)} multiply-adds, {sized(total.bytes)} moved, "
        f"{total.intensity:.2f} operations per byte",
        _takes(anatomy),
        f"most memory alive: {sized(anatomy.peak)}, after {anatomy.peak_operator or 'the start'} in "
        f"{anatomy.peak_module}",
    ]
    if anatomy.host_calls:
        aside = (
            f"on the host: {anatomy.host_calls:,} calls, {sized(anatomy.host_bytes)} moved, about "
            f"{_time(anatomy.host_seconds)}"
        )
        lines.append(aside + (", longer than the device needs: host-bound" if anatomy.host_bound else ""))
    return lines


def _takes(anatomy: Anatomy) -> str:
    """The time, and what kind of figure it is: of a data sheet's rates a lower bound, of measured ones none."""
    launches = anatomy.device.launch * anatomy.total.calls / (anatomy.total.seconds or 1)
    parts = f"{launches:.0%} of it {'calls' if anatomy.device.measured else 'launches'}"
    if anatomy.total.seconds:
        parts += f", {1 - anatomy.total.compute_bound:.0%} in operators that memory bounds"
    if anatomy.device.measured:
        return (
            f"about {_time(anatomy.total.seconds)}, {parts}; an estimate and no bound, from rates "
            "that this CPU had just now beside whatever else ran; the network itself was not timed"
        )
    return f"at least {_time(anatomy.total.seconds)}, {parts}; an estimate from peak rates, nothing was measured"


def as_object(anatomy: Anatomy, by: str | None, top: int) -> dict[str, Any]:
    """The same for scripts, in base units."""
    fields = dataclasses.asdict(anatomy)
    for kind, key in zip(BY, ("modules", "operators"), strict=True):
        if by in (None, kind):
            fields[key] = [_object(p) for p in anatomy.parts(kind)[:top]]
        else:
            del fields[key]
    return fields | {"total": _object(anatomy.total), "host_bound": anatomy.host_bound, "estimate": True}


def draw(anatomy: Anatomy, by: str | None, top: int) -> matplotlib.figure.Figure:
    """Left, the shares of the largest parts in multiply-adds, bytes and time; right, every operator under the roof."""
    import matplotlib as mpl
    from matplotlib.figure import Figure as Canvas

    with mpl.rc_context(STYLE):
        shown = anatomy.parts(by or "module")[:top]
        canvas = Canvas(figsize=(12.5, max(4.6, 0.42 * len(shown) + 1.9)), layout="constrained")
        shares, roof = canvas.subplots(1, 2, width_ratios=(1, 1.15))
        size = "x".join(map(str, anatomy.shape[:-3:-1]))
        takes = "about" if anatomy.device.measured else "at least"
        rates = "measured" if anatomy.device.measured else "peak"
        canvas.suptitle(
            f"{anatomy.variant}, input {size}, {anatomy.protocol}, on {anatomy.device.title}: {takes} "
            f"{_time(anatomy.total.seconds)} (an estimate from {rates} rates)",
            x=0.01, ha="left", fontsize=11,
        )  # fmt: skip
        _bars(shares, shown, anatomy, by or "module")
        _roofline(roof, anatomy)  # last: names are placed in a layout that moves no more
        return canvas


def write(anatomy: Anatomy, by: str | None, top: int, path: Path) -> None:
    """The picture as the file's suffix says; the same anatomy gives the same bytes."""
    store.replace(path, saved(draw(anatomy, by, top), path.suffix.removeprefix(".")), "--picture")


def _object(part: Part) -> dict[str, Any]:
    return dataclasses.asdict(part) | {"intensity": part.intensity}


def _table(kind: str, anatomy: Anatomy, top: int) -> list[str]:
    table = rows(kind, anatomy, top)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = []
    for name, *figures, bound in table:
        aligned = [f.rjust(w) for f, w in zip(figures, widths[1:-1], strict=True)]
        lines.append("  ".join([name.ljust(widths[0]), *aligned, bound]))
    return lines + rest(kind, anatomy, top)


def rows(kind: str, anatomy: Anatomy, top: int) -> list[tuple[str, ...]]:
    """The largest parts as texts, a heading first."""
    parts, total = anatomy.parts(kind), anatomy.total
    takes = "time ~" if anatomy.device.measured else "time >="
    return [
        (kind, "calls", "multiply-adds", "", "bytes", "", takes, "", "bound by"),
        *(
            (
                p.name,
                f"{p.calls:,}",
                _count(p.multiply_adds),
                _share(p.multiply_adds, total.multiply_adds),
                sized(p.bytes),
                _share(p.bytes, total.bytes),
                _time(p.seconds),
                _share(p.seconds, total.seconds),
                "arithmetic" if p.compute_bound > 0.5 else "memory",
            )
            for p in parts[:top]
        ),
    ]


def rest(kind: str, anatomy: Anatomy, top: int) -> list[str]:
    """A line on those that are not shown, if there are any."""
    left, field = anatomy.parts(kind)[top:], ORDERS[anatomy.order]
    share = _share(sum(getattr(p, field) for p in left), getattr(anatomy.total, field))
    return [f"and {len(left)} more, {share} of {FIRST[anatomy.order][1]}"] if left else []


def _bars(panel: Any, shown: Sequence[Part], anatomy: Anatomy, kind: str) -> None:
    total = anatomy.total
    of: tuple[tuple[str, Callable[[Part], float]], ...] = (
        ("multiply-adds", lambda p: p.multiply_adds / (total.multiply_adds or 1)),
        ("bytes moved", lambda p: p.bytes / (total.bytes or 1)),
        ("time" if anatomy.device.measured else "time, at least", lambda p: p.seconds / (total.seconds or 1)),
    )
    for k, (label, share) in enumerate(of):
        at = [len(shown) - 1 - i + 0.26 * (1 - k) for i in range(len(shown))]
        panel.barh(at, [100 * share(p) for p in shown], 0.24, color=OKABE_ITO[k], label=label)
    panel.set_xlim(0, 1.35 * panel.get_xlim()[1])  # room for the legend beside the longest bar
    panel.set_yticks(range(len(shown)), [_short(p.name) for p in reversed(shown)])
    panel.set_ylim(-0.6, len(shown) - 0.4)
    panel.tick_params(axis="y", length=0)
    panel.grid(visible=False, axis="y")
    panel.set_xlabel("% of the network")
    first = FIRST[anatomy.order][0].format(kind=kind)
    panel.set_title(f"Shares of the {len(shown)} {first}" if len(shown) > 1 else f"Share of its {kind}")
    panel.legend(loc="lower right", fontsize=8)


def _roofline(panel: Any, anatomy: Anatomy) -> None:
    """Log-log: each operator at its intensity and the rate it attains at most; area is time."""
    device, roof = anatomy.device, anatomy.roof
    dots = [p for p in anatomy.ordered("time").operators if p.operations and p.seconds >= SEEN * anatomy.total.seconds]
    ridge = roof / device.bandwidth
    low = min([0.05, *(p.intensity / 2 for p in dots)])
    high = max([8 * ridge, *(2 * p.intensity for p in dots)])
    panel.set(xscale="log", yscale="log", xlim=(low, high))
    floor = min([low * device.bandwidth, *(p.attained for p in dots)])
    panel.set_ylim(floor / 2, roof * 3)
    panel.plot([low, ridge, high], [low * device.bandwidth, roof, roof], color="#555555", linewidth=1.2, zorder=2)
    if plain := device.float32 < roof:
        start = device.float32 / device.bandwidth
        panel.plot([start, high], [device.float32] * 2, "--", color="#555555", linewidth=1.2, zorder=2)
    most = max([p.seconds for p in dots], default=1.0)
    areas = [max(12.0, 420 * p.seconds / most) for p in dots]
    for p, area in zip(dots, areas, strict=True):
        panel.scatter(
            p.intensity, p.attained, s=area, zorder=3, alpha=0.75, linewidths=0.8, edgecolors="white",
            color=OKABE_ITO[1] if p.compute_bound > 0.5 else OKABE_ITO[0],
        )  # fmt: skip
    panel.set_xlabel("floating operations per byte moved")
    panel.set_ylabel(f"floating operations per second, {'about' if device.measured else 'at most'}")
    panel.set_title(f"Operators under the roof of {device.name}; area is time")
    _legend(panel)
    for rate in (roof, device.float32) if plain else (roof,):
        panel.annotate(
            _rate(anatomy, rate),
            (high, rate),
            (-3, 3),
            textcoords="offset points",
            ha="right",
            fontsize=8,
            color="#555555",
        )
    x = _widest(low, ridge, [p.intensity for p in dots])
    panel.annotate(
        f"{device.bandwidth / 1e9:,.0f} GB/s", (x, x * device.bandwidth), (-14, -4), textcoords="offset points",
        rotation=45, rotation_mode="anchor", transform_rotates_text=True, fontsize=8, color="#555555", va="bottom",
    )  # fmt: skip
    lines = [[(low, low * device.bandwidth), (ridge, roof), (high, roof)]]
    if plain:
        lines.append([(device.float32 / device.bandwidth, device.float32), (high, device.float32)])
    named = [
        (p.intensity, p.attained, p.name, math.sqrt(area) / 2)
        for p, area in zip(dots[:NAMED], areas, strict=False)
    ]  # fmt: skip
    place(panel, named, lines)


def _rate(anatomy: Anatomy, rate: float) -> str:
    device = anatomy.device
    kinds = {device.float16: "half", device.tf32: "TF32", device.float32: "float32"}
    return f"{rate / 1e12:.4g} TFLOP/s, {kinds.get(rate, 'products')}"


def _widest(low: float, high: float, taken: Sequence[float]) -> float:
    """The middle of the widest gap between intensities, on a logarithmic scale."""
    edges = sorted([low, high, *(t for t in taken if low < t < high)])
    a, b = max(itertools.pairwise(edges), key=lambda gap: gap[1] / gap[0])
    return math.sqrt(a * b)


def _legend(panel: Any) -> None:
    from matplotlib.lines import Line2D

    entries = [
        Line2D([], [], marker="o", linestyle="", color=OKABE_ITO[0], label="bound by memory"),
        Line2D([], [], marker="o", linestyle="", color=OKABE_ITO[1], label="bound by arithmetic"),
    ]
    panel.legend(handles=entries, loc="lower right", fontsize=8)


def _short(name: str, most: int = 30) -> str:
    return name if len(name) <= most else "…" + name[1 - most :]


def _count(number: float) -> str:
    for factor, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "K")):
        if number >= factor:
            return f"{number / factor:.2f} {unit}"
    return f"{number:.0f}"


def _time(seconds: float) -> str:
    for factor, unit in ((1.0, "s"), (1e-3, "ms")):
        if seconds >= factor:
            return f"{seconds / factor:.2f} {unit}"
    return f"{seconds * 1e6:.1f} us"


def _share(part: float, total: float) -> str:
    return f"{part / total:.1%}" if total else "-"
