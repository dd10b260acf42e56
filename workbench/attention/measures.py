"""What can be said of attention maps and features: which measures there are, and for which layers each is defined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

from workbench.spec import UserError, unknown

from .axes import Foreign
from .capture import Geometry, Layer

VERSION = 1
"""Raised when the same maps would give another value; older records are stale from then on."""


@dataclass(frozen=True)
class Measure:
    """One quantity, of a pair of layers or of a layer."""

    name: str
    title: str
    unit: str
    pair: bool = True
    """Whether it compares two layers; else it is a property of one."""
    same: float | None = 1.0
    """Its value for a layer and itself."""
    near: bool = False
    """Whether it is taken of neighbours only unless all pairs are asked for, because of what it costs."""


MEASURES: dict[str, Measure] = {
    m.name: m
    for m in (
        Measure("cosine", "cosine of the maps, query by query", "1"),
        Measure("averaged", "cosine of the maps averaged over windows, query by query", "1"),
        Measure("profile", "cosine of the relative-offset profiles", "1"),
        Measure("cka", "linear CKA of the features, debiased", "1"),
        Measure("js", "Jensen-Shannon distance of the maps, query by query", "1", same=0.0, near=True),
        Measure("cosine-matched", "cosine of the maps, heads matched", "1"),
        Measure("averaged-matched", "cosine of the maps averaged over windows, heads matched", "1"),
        Measure("js-matched", "Jensen-Shannon distance of the maps, heads matched", "1", same=0.0, near=True),
        Measure("entropy", "entropy of a query's map", "nats", pair=False, same=None),
        Measure("distance", "mean distance of a query from what it attends to", "pixels", pair=False, same=None),
        Measure("diagonal", "share of its attention that a query keeps to its own place", "1", pair=False, same=None),
    )
}

DEFAULT = ("cosine", "averaged", "profile", "cka", "js", "entropy", "distance", "diagonal")
"""What is measured where nothing is named."""

SPATIAL = ("window", "grid", "permuted", "correlation")
"""Kinds whose queries lie in the raster of a window or of a grid group, so that places in it mean something."""


def find(names: Sequence[str]) -> list[Measure]:
    """The measures of these names, each once."""
    for name in names:
        if name not in MEASURES:
            raise unknown("measure", name, MEASURES, "")
    return [MEASURES[name] for name in dict.fromkeys(names)]


def why_not(measure: Measure, a: Layer, b: Layer) -> str | None:
    """Why a measure of two layers (of one, given twice) is not defined; None where it is."""
    if measure.name == "cka":
        return _features(a, b)
    if measure.pair and (a.name == b.name or _made(a) == _made(b)):  # one map: equal to itself, if it can be at all
        b = a
    kind = measure.name.removesuffix("-matched")
    if not a.geometry.softmax and kind not in ("cosine", "averaged"):
        return f"the rows of {a.name} are correlations without a softmax, no distributions"
    if kind in ("profile", "distance", "diagonal") and a.geometry.kind not in SPATIAL:
        return f"{_kind(a)} has no places in a window"
    if kind in ("cosine", "js"):
        return _rows(a, b)
    if kind == "averaged":
        return _averaged(a, b)
    return _profiles(a, b) if kind == "profile" else None


def _features(a: Layer, b: Layer) -> str | None:
    """Of networks that are not ours: their features may be of another size, or none."""
    for layer in (a, b):
        if layer.foreign and layer.foreign.pixels is None:
            return f"the block of {layer.name} puts out no features that could be compared"
    if a.foreign and b.foreign and a.foreign.pixels != b.foreign.pixels:
        return f"the features of {a.name} are {a.foreign.pixels} tokens, those of {b.name} {b.foreign.pixels}"
    return None


def _made(layer: Layer) -> str:
    return layer.shares or layer.name


def _kind(layer: Layer) -> str:
    if layer.foreign and layer.foreign.unknown:
        return f"{layer.name}, whose places nobody knows ({layer.foreign.unknown}; --window says them),"
    told = {"dictionary": "to a dictionary", "category": "within categories", "channel": "among channels"}
    return f"{layer.name}, attention {told.get(layer.geometry.kind, f'of kind {layer.geometry.kind}')},"


def _shape(geometry: Geometry) -> tuple[object, ...]:
    return geometry.kind, geometry.window, geometry.heads, geometry.rows, geometry.columns


def _differ(a: Layer, b: Layer) -> str | None:
    """Why maps of two layers have no common shape or meaning."""
    if a.geometry.kind != b.geometry.kind:
        return f"{a.name} attends by {a.geometry.kind}, {b.name} by {b.geometry.kind}"
    if a.foreign and b.foreign and (_shape(a.geometry), a.foreign.numbers) != (_shape(b.geometry), b.foreign.numbers):
        return f"the maps of {_sized(a, a.foreign)} and {_sized(b, b.foreign)} are of two shapes"
    if _shape(a.geometry) != _shape(b.geometry):
        return (
            f"windows of {a.geometry.window} pixels ({a.name}) and of {b.geometry.window} ({b.name}) hold other queries"
        )
    return None


def _sized(layer: Layer, foreign: Foreign) -> str:
    g = layer.geometry
    each = g.heads * (g.rows or 1) * g.columns
    return f"{layer.name} ({foreign.numbers // each} times {g.heads} heads of {g.rows}x{g.columns})"


def _rows(a: Layer, b: Layer) -> str | None:
    """Row by row: the same query and the same keys, one by one."""
    if a is b:
        return None
    if why := _differ(a, b):
        return why
    kind = a.geometry.kind
    if kind == "channel":
        return "channels of one layer have no counterpart in another"
    if kind == "category":
        return "each layer sorts the pixels into categories of its own"
    if kind == "dictionary" and a.block.rpartition(".")[0] != b.block.rpartition(".")[0]:
        return f"{a.name} and {b.name} attend to dictionaries of two groups"
    if a.geometry.shift != b.geometry.shift:
        return f"the windows of {a.label} and {b.label} hold other pixels; `averaged` and `profile` compare them"
    return None


def _averaged(a: Layer, b: Layer) -> str | None:
    """By place in the window, whatever pixels lie there: a shift does not matter."""
    if a.geometry.kind not in (*SPATIAL, "ngram"):
        return f"{_kind(a)} has no windows that an average could be taken over"
    return None if a is b else _differ(a, b)


def _profiles(a: Layer, b: Layer) -> str | None:
    """By offset in pixels: window sizes and shifts do not matter; a grid's offsets are in other steps."""
    if b.geometry.kind not in SPATIAL or not b.geometry.softmax:
        return why_not(MEASURES["profile"], b, b)
    grids = [layer.geometry.kind == "grid" for layer in (a, b)]
    if grids[0] != grids[1]:
        names = (a.name, b.name) if grids[0] else (b.name, a.name)
        return f"offsets on the grid of {names[0]} are steps across the image, those of {names[1]} are pixels"
    return None


def neighbours(measure: Measure, layers: Sequence[Layer]) -> list[tuple[Layer, Layer]]:
    """Every layer with the next one that the measure can compare it with and whose kind of attention is the same."""
    if measure.name == "cka":  # features are those of blocks, whatever attention is in them
        blocks = list({layer.block: layer for layer in reversed(layers)}.values())[::-1]
        return [(a, b) for a, b in pairwise(blocks) if why_not(measure, a, b) is None]
    pairs = []
    for i, a in enumerate(layers):
        for b in layers[i + 1 :]:
            if _alike(a, b) and why_not(measure, a, b) is None and why_not(measure, a, a) is None:
                pairs.append((a, b))
                break
    return pairs


def compared(measure: Measure, layers: Sequence[Layer], every: bool = False) -> list[tuple[Layer, Layer]]:
    """The pairs of maps behind all neighbours, or behind every pair: layers that share a map have it of its maker."""
    order = {layer.name: k for k, layer in enumerate(layers)}
    pairs = combinations(layers, 2) if every else neighbours(measure, layers)
    made = {tuple(sorted((order[_made(a)], order[_made(b)]))) for a, b in pairs}
    maps = [(layers[i], layers[j]) for i, j in sorted(made) if i != j]
    return [(a, b) for a, b in maps if why_not(measure, a, b) is None]


def _alike(a: Layer, b: Layer) -> bool:
    """Whether two layers are of one sequence: ELAN's windows of three sizes are three, side by side."""
    apart = a.block != b.block or bool(a.foreign and not a.foreign.place)
    return a.geometry.kind == b.geometry.kind and _role(a) == _role(b) and apart


def _role(layer: Layer) -> str:
    if layer.foreign:
        return str(layer.foreign.place)
    last = layer.name.rpartition(".")[2]
    return "" if last[0] in "gb" and last[1:].isdigit() else last


def fitting(layers: Sequence[Layer], height: int, width: int) -> Mapping[str, str]:
    """The layers that cannot be measured on a crop of this size, each with the reason.

    A crop that windows do not fill would be extended by mirroring, and mirrored pixels are no image. Of windows side
    by side in a block, the largest decides to what it is extended.
    """
    left = {}
    whole: dict[str, int] = {}
    for layer in layers:
        if layer.geometry.kind != "channel":
            whole[layer.block] = max(whole.get(layer.block, 1), layer.geometry.window or 1)
    for layer in layers:
        side = layer.geometry.window
        if side is None or layer.geometry.kind == "channel":
            continue
        if min(height, width) < 2 * side:
            left[layer.name] = f"two of its windows of {side} pixels do not fit into {height}x{width}"
        elif height % whole[layer.block] or width % whole[layer.block]:
            left[layer.name] = f"its windows of {side} pixels do not fill {height}x{width}"
    return left


def side(layers: Sequence[Layer], least: int = 64, most: int = 192) -> int:
    """Side in pixels of the crop on which most layers can be measured, and of those the smallest."""
    sides = range(least, most + 1, 16)
    return min(sides, key=lambda s: (len(fitting(layers, s, s)), s))


def check(name: str, layers: Sequence[Layer], height: int, width: int) -> None:
    """Refuse a crop that shows no layer of a network two windows."""
    left = fitting(layers, height, width)
    if len(left) == len(layers):
        first, why = next(iter(left.items()))
        best = side(layers)
        raise UserError(
            f"No attention of {name} can be measured on {height}x{width} pixels: of {first}, {why}. Take a crop that"
            f" windows fill, such as --crop {best}, of images that are at least as large."
        )
