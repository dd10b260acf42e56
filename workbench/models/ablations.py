"""Ablations: networks of the catalogue with one of their papers' ideas turned down, up or off, to see what it costs.

Names alone, as in the catalogue. Nobody published such networks and nobody trained them: they have costs, no quality.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Point:
    """One setting on the axis of an ablation."""

    at: int
    """Where on the axis."""
    name: str
    """What follows the model in the variant's name: `window16`; empty where this is the official network."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Constructor arguments, beside those of the model."""


@dataclass(frozen=True)
class Ablation:
    """One idea of a network as a line of settings, everything else as it officially is."""

    model: str
    axis: str
    """What changes along it; ablations of one model and one axis share a panel of the picture."""
    line: str
    """What tells it from the others of its panel; empty where there is one."""
    points: tuple[Point, ...]
    """In the order of the axis."""
    fused: bool
    """Whether its networks have a fused attention kernel, flex, beside the plain one."""

    def model_at(self, point: Point) -> str:
        """The name of a point's network without its scale."""
        return f"{self.model}-{point.name}" if point.name else self.model


def _line(model: str, axis: str, setting: str, stem: str, official: int, values: tuple[int, ...]) -> Ablation:
    points = (Point(v, "" if v == official else f"{stem}{v}", {} if v == official else {setting: v}) for v in values)
    return Ablation(model, axis, "", tuple(points), fused=True)


def _laid_aside(model: str, sharing: bool) -> Ablation:
    """ASID's two ideas at once: channels laid aside along the axis, maps shared or not from line to line."""
    points = []
    for aside in (0, 4, 8, 12):
        names = [] if sharing else ["unshared"]
        settings: dict[str, Any] = {} if sharing else {"sharing": False}
        if aside != 12:
            names.append(f"aside{aside}" if aside else "undistilled")
            settings["aside"] = aside
        points.append(Point(aside, "-".join(names), settings))
    line = "maps shared" if sharing else "every group makes its own"
    return Ablation(model, "channels laid aside at each step", line, tuple(points), fused=False)


ABLATIONS = (
    _line("esc", "units of each block turned back into attention", "attentive", "attention", 0, (0, 1, 2, 3, 4, 5)),
    _line("esc", "side of the attention windows", "window", "window", 32, (8, 16, 32, 64)),
    _line("esc", "side of the shared kernel", "kernel", "kernel", 13, (3, 5, 7, 9, 13, 17, 21, 25, 31)),
    *(_laid_aside(model, sharing) for model in ("asid", "asid-d8") for sharing in (True, False)),
)

SETTINGS: dict[str, tuple[str, Mapping[str, Any]]] = {
    ablation.model_at(point): (ablation.model, point.settings)
    for ablation in ABLATIONS
    for point in ablation.points
    if point.name
}
"""By the name of an ablated network without its scale: the official model, and what is set otherwise."""
