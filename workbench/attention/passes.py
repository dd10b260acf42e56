"""How many forward passes a bound on memory makes necessary, and which layers' maps each of them holds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence, Set
from itertools import combinations

from workbench.fits import sized
from workbench.spec import UserError

from . import similarity
from .capture import Layer
from .measures import Measure, why_not

BOUND = 2**30
"""Bytes that measuring may take beside what the forward pass takes."""

OF_AVERAGES = ("averaged", "averaged-matched", "profile", "distance", "diagonal")
"""Measures of what is linear in a map, and so of its average over windows."""

OF_PAIRS = ("cosine", "cosine-matched", "js", "js-matched")
"""Measures that need whole maps of two layers at once."""


def size(layer: Layer, height: int, width: int) -> int:
    """Bytes of a layer's map in float32 for an image of this size."""
    g, side = layer.geometry, layer.geometry.window or 1
    if layer.foreign:
        return 4 * layer.foreign.numbers
    windows = -(-height // side) * -(-width // side)
    if g.kind == "ngram":  # of every four that touch, in both directions
        return 8 * 4 * windows * g.heads * (g.rows or 0) * g.columns
    return 4 * windows * side**2 * g.heads * g.columns  # every pixel asks once


def plan(
    wanted: Sequence[Measure], layers: Sequence[Layer], height: int, width: int, bound: int
) -> list[tuple[Layer, ...]]:
    """Which layers' maps are held in each forward pass, so that every pair that is wanted is held together once.

    A sequence of layers too large for the bound is cut into blocks, and each pair of blocks has a pass. One layer
    cannot be cut: a bound below two maps is refused.
    """
    pairwise = [m for m in wanted if m.name in OF_PAIRS]
    groups: list[list[Layer]] = []
    for layer in layers if pairwise else ():
        if layer.shares:
            continue
        for group in groups:
            if any(why_not(m, group[0], layer) is None for m in pairwise):
                group.append(layer)
                break
        else:
            if any(why_not(m, layer, layer) is None for m in pairwise):
                groups.append([layer])
    passes: list[tuple[Layer, ...]] = []
    room = bound
    for group in sorted(groups, key=len):
        if len(group) == 1:
            continue
        each = size(group[0], height, width)
        if each * len(group) <= bound:
            if not passes or each * len(group) > room:
                passes.append(())
                room = bound
            passes[-1] += tuple(group)
            room -= each * len(group)
            continue
        block = bound // (2 * each)
        if block < 1:
            raise UserError(
                f"Two maps of {group[0].name} on {height}x{width} pixels take {sized(2 * each)}, more than"
                f" the {sized(max(bound, 0))} that are left for maps; take a smaller --crop."
            )
        blocks = [tuple(group[i : i + block]) for i in range(0, len(group), block)]
        passes += [a + b for a, b in combinations(blocks, 2)]
        room = 0
    return passes or [()]


def beside(layers: Sequence[Layer], names: Set[str], height: int, width: int, channels: int = 64) -> int:
    """Bytes that are held or worked on beside whole maps: features, averages and copies of them, the largest step."""
    makers = [layer.geometry for layer in layers if not layer.shares]
    shapes = Counter((g.heads, g.rows or 0, g.columns) for g in makers)
    numbers = {shape: math.prod(shape) for shape in shapes}
    step = max([similarity.CHUNK, *(numbers[shape] * count for shape, count in shapes.items())])
    total = 3 * 4 * step
    if names & set(OF_AVERAGES):
        total += 4 * sum(numbers[shape] * count for shape, count in shapes.items())
    if "cka" in names:
        blocks = len({layer.block for layer in layers})
        total += 4 * blocks * (height * width * channels + 4 * similarity.BATCH**2)
    return total
