"""Which trained weights a network is looked at with: those that were named, or those that this user has for it."""

from __future__ import annotations

from pathlib import Path

from workbench import models, weights
from workbench.spec import Variant
from workbench.weights import Weights

UNTRAINED = "untrained"
"""The name that asks for none where there are some."""


def choose(variant: str, asked: str | None, home: Path) -> Weights | None:
    """Weights by a name of `workbench weights list` or by a file; the user's own if nothing was asked; else None."""
    models.find(variant)
    if asked == UNTRAINED or (asked is None and not any(variant in w.variants for w in weights.held(home))):
        return None
    return weights.choose(variant, asked, home)


def chosen(variant: Variant, asked: str | None, home: Path) -> tuple[Weights | None, str]:
    """The same, and what is said of it; a network of one's own brings its weights itself."""
    if variant.source:
        return None, f"{variant.name} has weights as its code makes them"
    found = choose(variant.name, asked, home)
    return found, told(variant.name, found)


def told(variant: str, chosen: Weights | None) -> str:
    """What was chosen, in a line."""
    if chosen is None:
        return f"{variant} is untrained: no weights were named; those that there are: workbench weights list"
    return f"{variant} has the weights {chosen.name}, trained on {chosen.trained_on} ({chosen.file})"
