"""Fields as text, as rows for scripts and as a picture: how far a network's centre looks, what a patch is made of."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import store

from .plots import OKABE_ITO, STYLE, saved

if TYPE_CHECKING:
    import matplotlib.figure

    from workbench.attention.fields import Fields, Figure

DECADES = 8
"""Of the receptive field that are drawn, down from its largest part."""

SHOWN = 3
"""Images whose attribution maps are drawn."""


def text(found: Fields) -> str:
    """The figures, each with its interval, and how far attributions miss their sum."""
    count = len(found.images)
    lines = [
        f"{found.title}, {count} image{'s' if count > 1 else ''} of {found.crop}x{found.crop} LR pixels",
        *(_line(f, found) for f in found.figures),
        f"attributions miss the change they explain by {100 * max(found.gaps):.1f} % at most; more --steps, less",
    ]
    return "\n".join(lines) + "\n"


def _line(figure: Figure, found: Fields) -> str:
    name, _, share = figure.measure.partition("-")
    told = {
        "area": f"{share} % of the centre's gradient energy lies in",
        "side": f"{share} % of it in a square around the centre of",
        "reach": f"{share} % of the gradient's norm, where energy is its square, in",
        "diffusion": "diffusion index of LAM",
    }[name]
    ends = "" if figure.low is None else f" [{figure.low:.4g}, {figure.high:.4g}]"
    part = f", {100 * figure.value / found.crop**2:.1f} % of the crop" if name in ("area", "reach") else ""
    return f"  {told} {figure.value:.4g}{ends} {figure.unit}{part}"


def rows(found: Fields) -> list[dict[str, Any]]:
    """One object for each figure."""
    return [{"variant": found.variant, "crop": found.crop} | dataclasses.asdict(f) for f in found.figures]


def write(found: Fields, path: Path) -> None:
    """The picture as the file's suffix says; the same findings give the same bytes."""
    store.replace(path, saved(draw(found), path.suffix.removeprefix(".")), "--picture")


def draw(found: Fields) -> matplotlib.figure.Figure:
    """The effective receptive field, then some images with what their middle patch is attributed to."""
    import matplotlib as mpl
    from matplotlib.figure import Figure as Canvas

    with mpl.rc_context(STYLE):
        shown = min(SHOWN, len(found.images))
        canvas = Canvas(figsize=(4.1 * (1 + shown), 4.5), layout="constrained")
        panels = canvas.subplots(1, 1 + shown, squeeze=False)[0]
        _field(canvas, panels[0], found)
        for k, panel in enumerate(panels[1:]):
            _attribution(panel, found, k)
        areas = ", ".join(f"{f.value:.0f} ({f.measure[5:]} %)" for f in found.figures if f.measure.startswith("area"))
        index = next(f.value for f in found.figures if f.measure == "diffusion")
        canvas.suptitle(
            f"{found.title}: LR pixels that hold the centre's gradient energy: {areas};"
            f"{chr(10) if shown < 2 else ' '}diffusion index {index:.1f}",
            x=0.01, ha="left", fontsize=11,
        )  # fmt: skip
        return canvas


def _field(canvas: Any, panel: Any, found: Fields) -> None:
    import numpy as np
    from matplotlib.colors import LogNorm

    most = float(found.energy.max()) or 1.0
    floor = most / 10**DECADES
    drawn = panel.imshow(
        np.maximum(found.energy / most, floor / most), cmap="cividis", norm=LogNorm(floor / most, 1.0),
        interpolation="nearest",
    )  # fmt: skip
    for figure in found.figures:
        if figure.measure.startswith("side"):
            centre, half = found.crop // 2, figure.value / 2
            box = [centre - half, centre + half]
            panel.plot(
                [box[0], box[1], box[1], box[0], box[0]], [box[0], box[0], box[1], box[1], box[0]],
                color="white" if figure.measure != "side-90" else "#bbbbbb", linewidth=0.9,
                linestyle={"20": "-", "50": "--", "90": ":"}[figure.measure[5:]],
            )  # fmt: skip
    panel.set_xlim(-0.5, found.crop - 0.5)
    panel.set_ylim(found.crop - 0.5, -0.5)
    panel.grid(False)
    panel.set_title("receptive field of the centre\nsquares hold 20 (–), 50 (- -), 90 % (···)", fontsize=9)
    canvas.colorbar(drawn, ax=panel, label="gradient energy, of the largest", shrink=0.7)


def _attribution(panel: Any, found: Fields, k: int) -> None:
    """The image in grey, and over it, the more opaque the more it takes part, what the patch is attributed to."""
    import matplotlib as mpl
    import numpy as np

    image = found.images[k].lr.mean(axis=2) / 255
    weight = np.abs(found.attributions[k])
    weight = (weight / (weight.max() or 1.0)) ** 0.5  # small parts are many, and would not be seen
    panel.imshow(0.35 + 0.5 * image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    layer = mpl.colormaps["cividis_r"](weight)
    layer[..., 3] = np.minimum(1.0, 1.6 * weight)
    panel.imshow(layer, interpolation="nearest")
    low, high = (found.crop - found.patch) / 2 - 0.5, (found.crop + found.patch) / 2 - 0.5
    panel.plot([low, high, high, low, low], [low, low, high, high, low], color=OKABE_ITO[1], linewidth=1.4)
    panel.set_xlim(-0.5, found.crop - 0.5)
    panel.set_ylim(found.crop - 0.5, -0.5)
    panel.grid(False)
    panel.set_xticks([])
    panel.set_yticks([])
    told = f"is attributed to, diffusion index {found.diffusions[k]:.1f}"
    panel.set_title(f"{found.images[k].name}: what the framed patch\n{told}", fontsize=9)
