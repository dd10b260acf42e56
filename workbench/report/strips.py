"""The comparison strip as a picture: the image with its region marked, and the region as everything makes it."""

from __future__ import annotations

import io
import math
import textwrap
from pathlib import Path
from typing import Any

from workbench import store
from workbench.crops import Panel, Strip
from workbench.spec import UserError

SUFFIXES = (".png", ".svg")
MARK = "#d62728"
HEIGHT = 1.75
"""Inches of a row of panels."""

CHARACTERS = 14
"""Of a caption, that an inch has room for."""

LINE = 0.15
"""Inches of a line of it."""


def check(out: Path) -> None:
    """Refuse a file that is no picture we can draw, before anything is computed."""
    if out.suffix.lower() not in SUFFIXES:
        raise UserError(f"-o was given {out}; give a file that ends in {' or '.join(SUFFIXES)}.")
    store.check_file(out, "-o")


def write(strip: Strip, out: Path) -> None:
    """Draw a strip into a PNG or SVG file; the same strip gives the same bytes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    kind = out.suffix.lower()[1:]
    with matplotlib.rc_context({"svg.hashsalt": "workbench", "svg.fonttype": "none", "font.size": 8}):
        figure = _drawn(strip)
        content = io.BytesIO()
        figure.savefig(content, format=kind, dpi=200, metadata={"Date": None} if kind == "svg" else None)
        pyplot.close(figure)
    store.replace(out, content.getvalue(), "-o")


def _drawn(strip: Strip) -> Any:
    """The image at the left, the panels in one row or two beside it."""
    from matplotlib import pyplot
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.patches import Rectangle

    x, y, width, height = strip.region
    rows = 1 if len(strip.panels) <= 4 else 2
    columns = math.ceil(len(strip.panels) / rows)
    tall, wide = strip.original.shape[:2]
    aspect = [max(wide / tall * rows * 1.05, 1.0), *[min(max(width / height, 0.6), 3.0)] * columns]
    told = f"{strip.name}, x{strip.scale}. PSNR (dB) / SSIM on Y, of the whole image"
    below = textwrap.wrap(told, int(CHARACTERS * HEIGHT * aspect[0]))
    more = LINE * max(0, len(below) - 2)
    size = (HEIGHT * sum(aspect) + 0.08 * columns, (HEIGHT + 0.42) * rows + 0.3 + more)
    figure = pyplot.figure(
        figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.1, wspace=0.01, hspace=0.01)
    )
    grid = figure.add_gridspec(rows, columns + 1, width_ratios=aspect)
    whole = figure.add_subplot(grid[:, 0])
    whole.imshow(strip.original, interpolation="antialiased")
    whole.add_patch(
        Rectangle((x - 0.5, y - 0.5), width, height, fill=False, edgecolor=MARK, linewidth=1.5, clip_on=False)
    )
    whole.set_xlabel("\n".join(below))
    for i, panel in enumerate(strip.panels):
        axes = figure.add_subplot(grid[i // columns, 1 + i % columns])
        axes.imshow(panel.image, interpolation="nearest")
        axes.set_xlabel(caption(panel))
    for axes in figure.axes:
        for drawn in (*axes.images, *axes.patches):
            drawn.set_clip_on(False)  # nothing leaves its panel, and an SVG's clip paths get another name each time
        axes.set_xticks([])
        axes.set_yticks([])
    return figure


def caption(panel: Panel) -> str:
    """What stands below a panel."""
    told = "original" if panel.psnr is None else f"{panel.psnr:.2f} / {panel.ssim:.4f}"
    return f"{panel.name}\n{told}"
