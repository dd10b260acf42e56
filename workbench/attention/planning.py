"""How far sharing goes: layers share one after another, as long as what all of them lose stays within a bound."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from .capture import Layer
from .sharing import Pair


def settled(steps: Sequence[Pair]) -> list[Pair]:
    """Whose map each layer works with after all steps.

    Of a layer that gave its map and takes another's by a later step, those that took its own take that other one too:
    what is used is always the map of a layer that makes one.
    """
    giver: dict[Layer, Layer] = {}
    for step in steps:
        giver = {b: step.a if a == step.b else a for b, a in giver.items()} | {step.b: step.a}
    return [Pair(a, b) for b, a in giver.items()]


def plan(order: Sequence[Pair], loss: Callable[[Sequence[Pair]], float], bound: float) -> list[tuple[Pair, float]]:
    """The steps that stay within a bound, each with the loss of all up to it; at the end the least one beyond it.

    `loss` is of settled pairs. A pair that loses too much is tried again once others share, since losses do not add
    up; the plan ends when every pair that is left was tried on top of all that share. A layer that takes a map is not
    asked for it: who could take that map from it could take it from the layer that makes it.
    """
    steps: list[tuple[Pair, float]] = []
    left = deque((pair, -1, 0.0) for pair in order)
    beyond: list[tuple[Pair, float]] = []
    while left:
        pair, tried, lost = left.popleft()
        replaced = {step.b for step, _ in steps}
        if pair.a in replaced or pair.b in replaced:
            continue
        if tried == len(steps):
            beyond.append((pair, lost))
            continue
        lost = loss(settled([*(step for step, _ in steps), pair]))
        if lost <= bound:
            steps.append((pair, lost))
        else:
            left.append((pair, len(steps), lost))
    return [*steps, *sorted(beyond, key=lambda b: b[1])[:1]]
