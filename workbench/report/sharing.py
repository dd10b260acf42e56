"""Sharing of attention maps as text, as rows for scripts and as a picture: what each pair loses, and a plan's curve."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import store

from .plots import OKABE_ITO, STYLE, saved

if TYPE_CHECKING:
    import matplotlib.figure

    from workbench.attention.shares import Outcome, Shares, Step

SHOWN = 20
"""Pairs that the text lists: those that change the output least."""

ALIKE = 140.0
"""dB to the untouched output from which nothing but rounding is left."""

NAMED = 30
"""Most layers whose names fit at a matrix."""

LONG, FLAT, ACROSS = 24, 6, 110
"""Characters of a name from which it is cut to what differs; layers whose names then stand upright below a matrix, if
there are more; characters of a title that fit above the picture."""


def text(found: Shares) -> str:
    """What is lost and saved, the pairs that change the output least first, then the plan."""
    rolled = sum(o.pair.rolled for o in found.outcomes)
    lines = [
        f"{found.title}: {len(found.outcomes)} legal pairs on {_counted(found)} of {found.crop}x{found.crop} LR pixels;"
        f" untouched it has {found.quality:.2f} dB",
    ]
    if rolled:
        lines.append(f"in {rolled} of them (~) one raster of windows is rolled: the map of window w goes to window w")
    if any(not o.pair.a.geometry.softmax for o in found.outcomes):
        lines.append(
            "correlations have no common scale: a map much smaller than the one it replaces is as good as none"
        )
    lines += [f"not tried: {n} pairs, {why}" for why, n in found.refused.items()]
    lines += [f"what is saved is not known: {found.unsaved}"] if found.unsaved else []
    lines += ["", *_pairs(found), "", *_plan(found)]
    return "\n".join(lines) + "\n"


def rows(found: Shares) -> list[dict[str, Any]]:
    """One object for each figure of each pair, and one for each step of the plan; base units and dB."""
    made: list[dict[str, Any]] = []
    for o in found.outcomes:
        figures: tuple[tuple[str, float, float | None, float | None], ...] = (
            ("psnr-to-untouched", o.psnr, None, None),
            ("loss", o.loss, o.low, o.high),
            ("multiply-adds-saved", o.saved.multiply_adds, None, None),
            ("seconds-saved", o.saved.seconds, None, None),
        )
        made += [_row(found, o, name, value, low, high) for name, value, low, high in figures]
    for k, step in enumerate(found.steps, start=1):
        figures = (
            ("plan-loss", step.loss, None, None),
            ("plan-multiply-adds-saved", step.saved.multiply_adds, None, None),
            ("plan-seconds-saved", step.saved.seconds, None, None),
        )
        for name, value, low, high in figures:
            kept = step in found.kept
            made.append(_row(found, step, name, value, low, high) | {"step": k, "within_bound": kept})
    return made


def _row(
    found: Shares, of: Outcome | Step, measure: str, value: float, low: float | None, high: float | None
) -> dict[str, Any]:
    return {
        "variant": found.variant,
        "layer_a": of.pair.a.name,
        "layer_b": of.pair.b.name,
        "rolled": of.pair.rolled,
        "measure": measure,
        "value": None if math.isnan(value) else value,
        "low": low,
        "high": high,
        "images": len(found.images),
        "trained": found.trained,
    }


def _counted(found: Shares) -> str:
    return f"{len(found.images)} image{'s' if len(found.images) > 1 else ''}"


def _pairs(found: Shares) -> list[str]:
    head = ("map of", "in place of that of", "", "dB lost", "95 % interval", "dB to untouched", "saves", "time >=")
    ordered = sorted(found.outcomes, key=lambda o: (-o.psnr, o.loss))
    table = [head]
    for o in ordered[:SHOWN]:
        ends = "" if o.low is None or o.high is None else f"{_db(o.low)} to {_db(o.high)}"
        table.append(
            (
                o.pair.a.label,
                o.pair.b.label,
                "~" if o.pair.rolled else "",
                _db(o.loss),
                ends,
                "alike" if o.psnr >= ALIKE else f"{o.psnr:.1f}",
                _part(o.saved.multiply_adds, found.total.multiply_adds),
                _part(o.saved.seconds, found.total.seconds),
            )
        )
    lines = _aligned(table)
    left = len(ordered) - SHOWN
    return [*lines, f"and {left} more, to {_db(max(o.loss for o in ordered))} dB lost"] if left > 0 else lines


def _plan(found: Shares) -> list[str]:
    kept = found.kept
    if kept:
        last = kept[-1]
        told = (
            f"sharing {len(kept)} of {len(found.layers)} layers loses {_db(last.loss)} dB of the {found.bound:g}"
            " allowed"
        )
        if not found.unsaved:
            told += (
                f" and saves {_part(last.saved.multiply_adds, found.total.multiply_adds)} of the multiply-adds,"
                f" {_part(last.saved.seconds, found.total.seconds)} of the time at least (an estimate)"
            )
    else:
        told = f"no sharing stays within {found.bound:g} dB"
    table = [("step", "map of", "in place of that of", "dB lost", "saves", "time >=")]
    table += [
        (
            str(k),
            s.pair.a.label,
            s.pair.b.label,
            _db(s.loss) + ("" if k <= len(kept) else " beyond the bound"),
            _part(s.saved.multiply_adds, found.total.multiply_adds),
            _part(s.saved.seconds, found.total.seconds),
        )
        for k, s in enumerate(found.steps, start=1)
    ]
    return [f"plan for {found.title}: {told}", *_aligned(table)]


def _aligned(table: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(e.ljust(w) for e, w in zip(row, widths, strict=True)).rstrip() for row in table]


def _db(loss: float) -> str:
    return f"{loss:.4f}" if abs(loss) < 0.01 else f"{loss:.2f}" if abs(loss) >= 1 else f"{loss:.3f}"


def _part(part: float, whole: float) -> str:
    if math.isnan(part):
        return "?"
    return f"{100 * part / whole:.2f} %" if whole else "0 %"


def write(found: Shares, path: Path) -> None:
    """The picture as the file's suffix says; the same findings give the same bytes."""
    store.replace(path, saved(draw(found), path.suffix.removeprefix(".")), "--picture")


def draw(found: Shares) -> matplotlib.figure.Figure:
    """Left, what each pair loses; right, what a plan loses for what it saves."""
    import matplotlib as mpl
    from matplotlib.figure import Figure as Canvas

    with mpl.rc_context(STYLE):
        canvas = Canvas(figsize=(12.5, 5.8), layout="constrained")
        matrix, curve = canvas.subplots(1, 2, width_ratios=(1.25, 1))
        _matrix(canvas, matrix, found)
        _curve(curve, found)
        title = f"{found.title}: attention maps shared, on {_counted(found)} of {found.crop}×{found.crop} LR pixels"
        canvas.suptitle(textwrap.fill(title, ACROSS), x=0.01, ha="left", fontsize=11)
        return canvas


def _matrix(canvas: Any, panel: Any, found: Shares) -> None:
    """Rows give their map, columns take it. Losses go over decades; below a tenth of the bound the scale is linear."""
    import matplotlib as mpl
    from matplotlib.colors import SymLogNorm

    sources = {o.pair.a.name for o in found.outcomes} | {o.pair.b.name for o in found.outcomes}
    shown = [layer for layer in found.layers if layer.name in sources]
    at = {layer.name: k for k, layer in enumerate(shown)}
    grid = [[math.nan] * len(shown) for _ in shown]
    for o in found.outcomes:
        grid[at[o.pair.a.name]][at[o.pair.b.name]] = o.loss
    norm = SymLogNorm(found.bound / 10, vmin=0.0, vmax=max(found.bound, *(o.loss for o in found.outcomes)))
    colours = mpl.colormaps["cividis_r"].with_extremes(bad="white")
    drawn = panel.imshow(grid, cmap=colours, norm=norm, interpolation="nearest")
    panel.grid(False)
    step = -(-len(shown) // NAMED)
    ticks = list(range(0, len(shown), step))
    names, of = brief([layer.label for layer in shown])
    upright = len(ticks) > FLAT or any(len(name) > LONG // 2 for name in names)
    panel.set_xticks(ticks, [names[k] for k in ticks], rotation=90 if upright else 0, fontsize=7)
    panel.set_yticks(ticks, [names[k] for k in ticks], fontsize=7)
    panel.tick_params(length=2)
    panel.set_xlabel("layer that takes it")
    panel.set_ylabel("layer whose map is used")
    panel.set_title("loss of each pair alone; white: not tried" + (f"\nlayers {of}" if of else ""))
    canvas.colorbar(drawn, ax=panel, label="dB of PSNR lost; gains as 0", shrink=0.85)


def brief(names: Sequence[str]) -> tuple[list[str], str]:
    """Names as they fit beside a matrix, and what was cut: where one is long, the parts that all have in common."""
    parts = [name.split(".") for name in names]
    if max(map(len, names)) < LONG or len(names) < 2:
        return list(names), ""
    least = min(map(len, parts)) - 1  # a part of each is left
    head = next((k for k in range(least) if len({p[k] for p in parts}) > 1), least)
    least -= head
    tail = next((k for k in range(least) if len({p[-1 - k] for p in parts}) > 1), least)
    of = ".".join([*parts[0][:head], "*", *parts[0][len(parts[0]) - tail :]])
    return [".".join(p[head : len(p) - tail]) for p in parts], of if head or tail else ""


def _curve(panel: Any, found: Shares) -> None:
    saved_share = [0.0, *(100 * s.saved.multiply_adds / found.total.multiply_adds for s in found.steps)]
    if found.unsaved:
        saved_share = [float(k) for k in range(len(found.steps) + 1)]
    losses = [0.0, *(s.loss for s in found.steps)]
    panel.plot(saved_share, losses, "-", color=OKABE_ITO[0], linewidth=1.2, zorder=2)
    within = len(found.kept) + 1
    panel.plot(
        saved_share[:within], losses[:within], "o", color=OKABE_ITO[0], markersize=5, label="shared one after another"
    )
    panel.plot(
        saved_share[within:], losses[within:], "o", color=OKABE_ITO[0], markerfacecolor="white", markersize=5,
        label="beyond the bound",
    )  # fmt: skip
    panel.axhline(found.bound, color="#555555", linewidth=1, linestyle="--", label=f"bound, {found.bound:g} dB")
    if found.kept:
        told = "1 layer" if within == 2 else f"{within - 1} layers"
        left = saved_share[within - 1] < max(saved_share) / 5  # there the axis is where the text would be
        panel.annotate(
            told, (saved_share[within - 1], losses[within - 1]), xytext=(7, -9) if left else (-6, 8),
            textcoords="offset points", ha="left" if left else "right", fontsize=8,
        )  # fmt: skip
    saved = "multiply-adds saved, % of the network at HR 1280×720"
    panel.set_xlabel("layers that share; what that saves is not known" if found.unsaved else saved)
    if found.unsaved:
        panel.xaxis.get_major_locator().set_params(integer=True)
    panel.set_ylabel("dB of PSNR lost")
    panel.set_title("plan: least change of the output first")
    panel.legend(loc="best", fontsize=8)
