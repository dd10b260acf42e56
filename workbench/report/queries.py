"""Where the attention of one pixel goes, drawn over the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .plots import OKABE_ITO, STYLE

if TYPE_CHECKING:
    import matplotlib.figure
    import numpy as np
    from numpy.typing import NDArray

    from workbench.attention.capture import Layer
    from workbench.attention.pictures import Crop


def over(
    title: str, crop: Crop, layers: Sequence[Layer], maps: Sequence[NDArray[np.float64]], head: int, at: tuple[int, int]
) -> matplotlib.figure.Figure:
    """The image in grey, over it each layer's map of one query, in one scale of colours; the query is framed.

    Where there is no colour the query cannot look: it is outside of its window.
    """
    import matplotlib as mpl
    import numpy as np
    from matplotlib.figure import Figure as Canvas

    with mpl.rc_context(STYLE):
        canvas = Canvas(figsize=(4.4 * len(layers) + 0.9, 4.9), layout="constrained")
        panels = canvas.subplots(1, len(layers), squeeze=False)[0]
        low = min(0.0, *(float(np.nanmin(m)) for m in maps))
        high = max(float(np.nanmax(m)) for m in maps)
        what = "attention" if layers[0].geometry.softmax else "correlation"
        grey = crop.pixels.mean(axis=2) / 255
        drawn: Any = None
        for panel, layer, map in zip(panels, layers, maps, strict=True):
            panel.imshow(0.3 + 0.6 * grey, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            drawn = panel.imshow(
                np.ma.masked_invalid(map), cmap="cividis", vmin=low, vmax=high, alpha=0.8, interpolation="nearest"
            )
            y, x = at
            panel.plot(
                [x - 0.5, x + 0.5, x + 0.5, x - 0.5, x - 0.5], [y - 0.5, y - 0.5, y + 0.5, y + 0.5, y - 0.5],
                color=OKABE_ITO[1], linewidth=1.6,
            )  # fmt: skip
            panel.grid(False)
            panel.set_xticks([])
            panel.set_yticks([])
            heads = layer.geometry.heads
            panel.set_title(f"{layer.label}, head {min(head, heads - 1)} of {heads}")
        canvas.colorbar(drawn, ax=panels, shrink=0.75, label=what)
        canvas.suptitle(
            f"{title}: what the framed pixel (row {at[0]}, column {at[1]} of {crop.name}) attends to",
            x=0.01, ha="left", fontsize=11,
        )  # fmt: skip
        return canvas
