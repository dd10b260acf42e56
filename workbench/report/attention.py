"""What attention repeats: text, CSV and JSON of pairs of layers, heatmaps, neighbour curves and offset profiles."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import store
from workbench.spec import standing

from .plots import FORMATS, OKABE_ITO, STYLE, keep

if TYPE_CHECKING:
    import matplotlib.figure

    from workbench.attention.reading import Table

COLOURS = "cividis"
"""Of heatmaps and profiles: even in lightness, so readable in grey, and the same to the colour-blind."""

NONE = "#e8e8e8"
"""Of pairs that cannot be compared."""

MANY = 32
"""More layers than this are not all named on an axis."""


def as_objects(tables: Sequence[Table]) -> list[dict[str, Any]]:
    """Every pair of layers of every measure, as JSON and CSV show it."""
    return [dataclasses.asdict(result) for table in tables for result in table.results()]


def as_csv(tables: Sequence[Table]) -> str:
    """One line per pair and measure."""
    rows = as_objects(tables)
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: "" if v is None else v for k, v in row.items()} for row in rows)
    return out.getvalue()


def text(tables: Sequence[Table], fed: str) -> str:
    """A line for each measure, and under it what is missing and why."""
    first = tables[0]
    lines = [f"{title(first)}, {fed}; mean [95 % interval over images]"]
    for table in tables:
        known = sum(math.isfinite(table.value[pair]) for pair in table.neighbours)
        what = f"{known} pairs of neighbours" if table.measure.pair else "layers"
        if table.mean is None:
            lines.append(f"  {table.measure.name:17} not defined: {_first_reason(table)}")
            continue
        unit = "" if table.measure.unit == "1" else f" {table.measure.unit}"
        mean, low, high = table.mean
        ends = "" if math.isnan(low) else f" [{low:.4g}, {high:.4g}]"
        lines.append(f"  {table.measure.name:17} {mean:.4g}{ends}{unit} over {what}{_extremes(table)}")
    missing = {name: why for table in tables for name, why in table.missing.items() if _without(table, name)}
    lines += [f"  left out: {name}: {why}" for name, why in missing.items()]
    return "\n".join(lines) + "\n"


def title(table: Table) -> str:
    """`swinir-light-x4, untrained`: the head of everything that is shown."""
    return f"{table.variant}, {standing(table.trained)}"


def _headed(table: Table, told: str) -> str:
    """A picture's head; the name of a network of one's own has a line for itself."""
    return f"{title(table)}:{chr(10) if table.trained is None else ' '}{told}"


def _first_reason(table: Table) -> str:
    if table.measure.pair and len(table.layers) == 1:
        return f"the network has one attention layer only, {table.layers[0].name}"
    return next((str(r.reason) for r in table.results() if r.reason), "nothing was measured")


def _without(table: Table, name: str) -> bool:
    """Whether a layer has no figure at all: CKA asks nothing of windows that another measure leaves a layer out for."""
    own = [table.value[i] for i, layer in enumerate(table.layers) if layer.name == name]
    return not any(math.isfinite(x) for row in own for x in row.flat)


def _extremes(table: Table) -> str:
    """Which neighbours are most and least alike."""
    known = [(float(table.value[i, j]), i, j) for i, j in table.neighbours if math.isfinite(table.value[i, j])]
    if len(known) < 2:
        return ""
    ends = (min(known), max(known))
    told = [f"{value:.4g} ({table.layers[i].label}, {table.layers[j].label})" for value, i, j in ends]
    return f", from {told[0]} to {told[1]}"


def lost(tables: Sequence[Table], results: Path) -> list[str]:
    """The measures of the CSV that lies there and `write` replaces, and that it will not have any more."""
    try:
        with _csv_of(tables[0], results).open(encoding="utf-8", newline="") as file:
            before = dict.fromkeys(row.get("measure") for row in csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error):
        return []  # none is there, or none of ours
    return [name for name in before if name and all(name != table.measure.name for table in tables)]


def _csv_of(table: Table, results: Path) -> Path:
    name = re.sub(r"[^a-zA-Z0-9.]+", "-", table.variant).strip("-.")
    return results / "tables" / f"attention-{name}-{'own' if table.trained is None else standing(table.trained)}.csv"


def write(tables: Sequence[Table], profiles: Any, results: Path) -> list[Path]:
    """CSV, and every picture in each format, under a folder of results; profiles are (L, S, S) or None.

    Where nothing is defined, nothing is written, and what an earlier run wrote stays.
    """
    if not (drawn := _drawable(tables)):
        return []
    paths = [_csv_of(tables[0], results)]
    stem = paths[0].stem
    store.replace(paths[0], as_csv(tables))
    for table in tables:
        if table.mean is None:
            continue
        if table.measure.pair and not _neighbours_only(table):
            paths += keep(_styled(heatmap, table), results / "figures" / f"{stem}-{table.measure.name}")
    paths += keep(_styled(curves, drawn), results / "figures" / f"{stem}-neighbours")
    if profiles is not None:
        paths += keep(_styled(offsets, tables[0], profiles), results / "figures" / f"{stem}-profiles")
    return paths


def sweep(written: Sequence[Path], results: Path) -> list[Path]:
    """Remove the pictures of an earlier run that `write` did not draw anew: they are of another CSV than lies there."""
    from workbench.attention.measures import MEASURES

    stem = written[0].stem
    kinds = (*MEASURES, "neighbours", "profiles")
    known = [results / "figures" / f"{stem}-{kind}.{format}" for kind in kinds for format in FORMATS]
    old = [path for path in known if path not in written and path.exists()]
    for path in old:
        path.unlink()
    return old


def _neighbours_only(table: Table) -> bool:
    """Whether so few pairs were measured that the curve shows them better than a matrix."""
    import numpy as np

    apart = table.value[~np.eye(len(table.layers), dtype=bool)]
    return table.measure.near and int(np.isfinite(apart).sum()) <= 2 * len(table.neighbours)


def _drawable(tables: Sequence[Table]) -> list[Table]:
    return [table for table in tables if table.mean is not None]


def _styled(draw: Callable[..., matplotlib.figure.Figure], *what: Any) -> matplotlib.figure.Figure:
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        return draw(*what)


def styled_heatmap(table: Table) -> matplotlib.figure.Figure:
    """`heatmap` in the style of all pictures."""
    return _styled(heatmap, table)


def styled_curves(tables: Sequence[Table]) -> matplotlib.figure.Figure:
    """`curves` of what has figures, in the style of all pictures."""
    return _styled(curves, _drawable(tables))


def heatmap(table: Table) -> matplotlib.figure.Figure:
    """Layer by layer; grey where two layers cannot be compared."""
    import matplotlib as mpl
    import numpy as np
    from matplotlib.figure import Figure as Canvas

    there = [i for i in range(len(table.layers)) if np.isfinite(table.value[i]).any()]
    shown = table.value[np.ix_(there, there)]
    labels = [table.layers[i].label for i in there]
    side = max(4.2, min(0.24 * len(there), 12.0) + 1.9)
    canvas = Canvas(figsize=(side + 0.9, side), layout="compressed")  # "constrained" cuts names off a square panel
    panel = canvas.subplots()
    colours = mpl.colormaps[COLOURS].with_extremes(bad=NONE)
    apart = shown[~np.eye(len(shown), dtype=bool)]
    scale = apart if np.isfinite(apart).any() else shown
    low, high = float(np.nanmin(scale)), float(np.nanmax(scale))
    drawn = panel.imshow(np.ma.masked_invalid(shown), cmap=colours, vmin=low, vmax=high)
    panel.grid(False)
    _names(panel.set_xticks, labels, rotation=90)
    _names(panel.set_yticks, labels)
    panel.tick_params(length=0, labelsize=7)
    same = table.measure.same
    beyond = "neither" if same is None or low <= same <= high else "max" if same > high else "min"
    canvas.colorbar(drawn, ax=panel, shrink=0.8, extend=beyond)
    canvas.suptitle(_headed(table, table.measure.title), x=0.01, ha="left", fontsize=10)
    grey = "grey: cannot be compared, or not asked for; " if np.isnan(shown).any() else ""
    panel.set_xlabel(f"{grey}the diagonal is {same:g}; {_images(table)}", fontsize=8)
    return canvas


def _names(put: Callable[..., Any], labels: Sequence[str], **how: Any) -> None:
    step = -(-len(labels) // MANY)
    at = range(0, len(labels), step)
    put(list(at), [labels[i] for i in at], **how)


def _images(table: Table) -> str:
    count = int(table.images.max()) if table.images.size else 0
    return f"{count} image" if count == 1 else f"{count} images"


def curves(tables: Sequence[Table]) -> matplotlib.figure.Figure:
    """One panel per measure: its value from each layer to the next, or of each layer, with the interval drawn."""
    from matplotlib.figure import Figure as Canvas

    layers = tables[0].layers
    rows = -(-len(tables) // 2)
    canvas = Canvas(figsize=(max(8.0, min(0.36 * len(layers), 16.0)), 2.5 * rows + 1.2), layout="constrained")
    panels = canvas.subplots(rows, 2, squeeze=False, sharex=True).flat
    for table, panel in zip(tables, panels, strict=False):
        for number, (sequence, ends) in enumerate(_sequences(table).items()):
            colour = OKABE_ITO[number % len(OKABE_ITO)]
            at = [i for i, _ in ends]
            y, low, high = ([float(x[e]) for _, e in ends] for x in (table.value, table.low, table.high))
            if not any(map(math.isnan, low)):
                panel.fill_between(at, low, high, color=colour, alpha=0.25, linewidth=0)
            panel.plot(at, y, marker="os^Dv"[number % 5], markersize=3, linewidth=1, color=colour, label=sequence)
        unit = "" if table.measure.unit == "1" else f", {table.measure.unit}"
        panel.set_title(f"{table.measure.title}{unit}", fontsize=8)
        _names(panel.set_xticks, [layer.label for layer in layers], rotation=90)
        panel.tick_params(labelsize=6)
        if len(_sequences(table)) > 1:
            panel.legend(fontsize=6)
    for panel in list(canvas.axes)[len(tables) :]:
        panel.set_axis_off()
    told = "each layer with the next that it can be compared with, drawn at the first of the two"
    band = f"\n{_images(tables[0])}" + ("" if _images(tables[0]) == "1 image" else "; band: the 95 % interval")
    canvas.suptitle(_headed(tables[0], f"{told}{band}"), x=0.01, ha="left", fontsize=10)
    return canvas


def _sequences(table: Table) -> dict[str, list[tuple[int, Any]]]:
    """Where each point of a curve stands and which entry it shows, by kind of attention and shift."""
    found: dict[str, list[tuple[int, Any]]] = {}
    entries = [(i, (i, j)) for i, j in table.neighbours] if table.measure.pair else [
        (i, (i,)) for i in range(len(table.layers))
    ]  # fmt: skip
    for i, entry in entries:
        if math.isfinite(table.value[entry]):
            layer = table.layers[i]
            if table.measure.name == "cka":
                found.setdefault("features", []).append((i, entry))
                continue
            kind = layer.geometry.kind + (f" {layer.geometry.window}" if layer.geometry.window else "")
            j = entry[-1]
            same = table.layers[j].geometry.shift == layer.geometry.shift
            shifted = " (shifted)" if layer.geometry.shift and same else ""
            found.setdefault(f"{kind}{shifted}", []).append((i, entry))
    return found


def offsets(table: Table, profiles: Any) -> matplotlib.figure.Figure:
    """Where each layer's attention goes, by offset: key minus query, in pixels; logarithmic colour, one scale."""
    import numpy as np
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure as Canvas

    there = [i for i in range(len(profiles)) if np.isfinite(profiles[i]).all()]
    shown = there[:48]
    columns = min(6, len(shown))
    rows = -(-len(shown) // columns)
    canvas = Canvas(figsize=(1.75 * columns + 0.9, 1.95 * rows + 0.6), layout="constrained")
    panels = canvas.subplots(rows, columns, squeeze=False)
    high = float(np.max(profiles[shown]))
    norm = LogNorm(vmin=high / 1000, vmax=high)
    drawn = None
    for panel, i in zip(panels.flat, shown, strict=False):
        window = table.layers[i].geometry.window or 1
        edge, middle = window - 0.5, profiles.shape[-1] // 2
        part = profiles[i][middle - window + 1 : middle + window, middle - window + 1 : middle + window]
        drawn = panel.imshow(np.maximum(part, high / 1000), cmap=COLOURS, norm=norm, extent=(-edge, edge, edge, -edge))
        panel.set_title(table.layers[i].label, fontsize=7, loc="center")
        panel.tick_params(labelsize=6)
        panel.grid(False)
    for panel in list(panels.flat)[len(shown) :]:
        panel.set_axis_off()
    assert drawn is not None
    canvas.colorbar(drawn, ax=panels, shrink=0.6, label="share of the attention")
    canvas.supxlabel("offset of the key from the query, pixels (on a grid: steps)", fontsize=8)
    more = f"; the first {len(shown)} of {len(there)} layers" if len(shown) < len(there) else ""
    told = _headed(table, f"offset profiles, mean over heads and {_images(table)}{more}")
    canvas.suptitle(told, x=0.01, ha="left", fontsize=10)
    return canvas
