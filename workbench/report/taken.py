"""A network taken apart, and networks compared, as tables of a notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workbench.anatomy import BY, Anatomy

from . import roofline
from .measured import framed, plain
from .plots import saved


def parts(anatomy: Anatomy, by: str, top: int) -> str:
    """The longest-running modules or operators, and how much is left out."""
    head, *body = roofline.rows(by, anatomy, top)
    return plain(head, body, roofline.rest(by, anatomy, top))


def anatomy(found: Anatomy, top: int) -> str:
    """What is to be said of the whole, and both tables."""
    told = framed("", lines=roofline.totals(found))
    return told + "<br>".join(parts(found, by, top) for by in BY)


def picture(found: Anatomy, by: str, top: int) -> Any:
    """Its drawing, for a notebook."""
    from IPython.display import Image

    return Image(data=saved(roofline.draw(found, by, top), "png"), width=900)


def comparison(lines: Sequence[str], ratios: Sequence[Mapping[str, Any]]) -> str:
    """The ratios with their intervals, and below them each in a sentence."""
    head = ("network", "over", "times as fast", "95 % interval", "took less time")
    body = [
        (r["of"], r["over"], f"{r['median']:.3f}", f"[{r['low']:.3f}, {r['high']:.3f}]", f"{r['probability']:.0%}")
        for r in ratios
    ]
    return plain(head, body, lines)
