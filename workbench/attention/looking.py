"""One network looked at on a few images: what the attention notebook shows, measured when it is first asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from workbench.models.parts.windows import partition
from workbench.spec import UserError, standing

from . import choosing, fields, measures, pictures, reading, shares, study, trials
from .capture import Geometry, Layer, watch
from .pictures import Crop, Picture

if TYPE_CHECKING:
    from .trials import Image, Network

RASTERS = ("window", "permuted", "correlation")
"""Kinds whose queries are the pixels of a window, so that a pixel of the image has one query and its keys have places.
"""

STEPS = 8
"""Of attribution maps; fewer than those of `workbench field`, whose gap is told beneath them."""


@dataclass(frozen=True)
class Looking:
    """A network, the images that it is given, and where what is measured is kept."""

    name: str
    images: Sequence[str] = ()
    """As `--images` takes them; photographs of scikit-image if there are none."""
    wanted: Sequence[str] = ()
    """Measures; the usual ones if there are none."""
    weights: str | None = None
    """As `--weights` takes them."""
    crop: int | None = None
    records: Path = Path("records")
    home: Path = Path("data")

    @cached_property
    def subject(self) -> study.Subject:
        return study.subject(self.name, choosing.choose(self.name, self.weights, self.home))

    @cached_property
    def net(self) -> Network:
        return trials.network(self.name, choosing.choose(self.name, self.weights, self.home))

    @property
    def title(self) -> str:
        return f"{self.name}, {standing(self.subject.trained)}"

    @cached_property
    def side(self) -> int:
        """LR pixels a side of what is fed."""
        side = self.crop or measures.side(self.subject.layers)
        measures.check(self.name, self.subject.layers, side, side)
        return side

    @cached_property
    def found(self) -> list[Picture]:
        return pictures.find(self.images, self.home, self.net.variant.scale)

    @property
    def fed(self) -> str:
        return pictures.fed(self.found, self.side)

    @cached_property
    def crops(self) -> list[Crop]:
        return list(pictures.crops(self.found, self.side))

    @cached_property
    def tables(self) -> list[reading.Table]:
        wanted = measures.find(self.wanted or measures.DEFAULT)
        answers = study.run(self.subject, self.crops, wanted, self.records, tell=lambda told: None)
        return reading.tables(self.subject, answers, self.records)

    def table(self, measure: str) -> reading.Table:
        return next(table for table in self.tables if table.measure.name == measure)

    @cached_property
    def drawable(self) -> list[Layer]:
        """Layers of which the map of one query can be drawn over the image."""
        left = measures.fitting(self.subject.layers, self.side, self.side)
        return [x for x in self.subject.layers if x.geometry.kind in RASTERS and x.name not in left]

    def query(self, image: int, layers: Sequence[Layer], head: int, at: tuple[int, int]) -> list[NDArray[np.float64]]:
        """Where the attention of the pixel `at` (row, column) goes in some layers: (H, W) for each, its sum that of
        the row; NaN outside of its window."""
        seen = {x.name: torch.empty(0) for x in layers}
        watch(
            self.net.model,
            study.input_of(self.subject, self.crops[image]),
            lambda layer, attn: seen.update({layer.name: attn.clone()}),
            only=list(dict.fromkeys(layers)),
        )
        return [placed(seen[x.name][:, min(head, x.geometry.heads - 1)], x.geometry, self.side, at) for x in layers]

    @cached_property
    def middles(self) -> list[Image]:
        scale = self.net.variant.scale
        found = pictures.find(self.images, self.home, scale, hr=True, default=pictures.LARGE)
        return trials.middles(found, max(self.side, shares.crop(self.subject.layers)), scale)

    @cached_property
    def shares(self) -> shares.Shares:
        """Sharing among the layers of the first group; all pairs of a network take `workbench share`."""
        first = self.subject.layers[0].name.partition(".")[0]
        group = [x.name for x in self.subject.layers if x.name.partition(".")[0] == first]
        named = group if len(group) > 1 else [x.name for x in self.subject.layers]
        return shares.Study(self.net, self.middles[:1], named).run(self.records, bound=0.1)

    @cached_property
    def fields(self) -> fields.Fields:
        return fields.study(self.net, self.middles[:1], self.records, STEPS)


def placed(rows: torch.Tensor, geometry: Geometry, side: int, at: tuple[int, int]) -> NDArray[np.float64]:
    """One query's row of a map (windows, N, M) of a square image, each key where its pixels are.

    A key of several pixels gives each of them an equal part.
    """
    if not (0 <= at[0] < side and 0 <= at[1] < side):
        raise UserError(f"There is no pixel {at} in a crop of {side}x{side}; rows and columns begin with 0.")
    assert geometry.window is not None
    pixels = torch.arange(side * side).view(1, side, side, 1)
    there = partition(pixels.roll((-geometry.shift, -geometry.shift), (1, 2)), geometry.window)[..., 0]  # (windows, N)
    window, token = (there == at[0] * side + at[1]).nonzero()[0].tolist()
    keys, cell = geometry.window // geometry.cell, geometry.cell
    row = rows[window, token].double().view(keys, 1, keys, 1).expand(keys, cell, keys, cell) / cell**2
    drawn = torch.full((side * side,), torch.nan, dtype=torch.float64)
    drawn[there[window]] = row.reshape(-1)
    return drawn.view(side, side).numpy()
