"""Which axis of somebody's attention map is what: to (rows, heads, N, M), and back to the shape that their code has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Axes:
    """How the leading axes of a map are to be read; the last two are queries and keys."""

    heads: int | None = None
    """The axis of heads; None where no axis is."""
    folded: int = 1
    """Heads that lie in the last leading axis, behind what else is in it, as in nn.MultiheadAttention."""

    def arranged(self, attn: Tensor) -> Tensor:
        """(rows, heads, N, M): a view where the map's memory allows one."""
        if self.heads is not None:
            return attn.movedim(self.heads, -3).flatten(0, -4)
        return attn.reshape(-1, self.folded, *attn.shape[-2:])

    def back(self, arranged: Tensor, shape: Sequence[int]) -> Tensor:
        """The inverse, to the shape that the map had."""
        if self.heads is None:
            return arranged.reshape(tuple(shape))
        others = [n for axis, n in enumerate(shape[:-2]) if axis != self.heads]
        return arranged.reshape(*others, *arranged.shape[1:]).movedim(-3, self.heads)


@dataclass(frozen=True)
class Foreign:
    """What is known of an attention in code that knows of no map points."""

    axes: Axes
    numbers: int
    """Of its map for the image that was surveyed."""
    pixels: int | None
    """Tokens of its block's features there; None where the block puts out none."""
    place: int = 1
    """Which of the attentions of its block it is: first ones and second ones are two sequences. 0 where all have one
    block, and follow each other there."""
    unknown: str = ""
    """Why nobody knows where its queries lie."""


@dataclass(frozen=True)
class Read:
    """Axes as they were guessed, and what has to be said of the guess."""

    axes: Axes
    rows: int
    heads: int
    note: str = ""


def read(shape: Sequence[int], pixels: int, told: int | None = None) -> Read:
    """The axes of a map for one image of so many pixels; `told` is a number of heads that is known.

    Where every pixel asks once, the sizes say which axis is the heads': the one without which rows x queries are the
    pixels. Of several that fit, the last is taken, and where none fits too; both are told.
    """
    *leading, queries, _ = shape
    count = math.prod(leading)
    if told and len(leading) == 1:
        return Read(Axes(None, told), count // told, told)
    fits = [k for k in reversed(range(len(leading))) if count // leading[k] * queries == pixels]
    if len(leading) > 1 and fits:
        also = " and ".join(map(str, sorted(fits)))
        note = f"axes {also} of {_plain(shape)} could be the heads; {fits[0]} was taken" if len(fits) > 1 else ""
        return Read(Axes(fits[0]), count // leading[fits[0]], leading[fits[0]], note)
    if len(leading) > 1:
        taken = len(leading) - 1
        note = f"axis {taken} of {_plain(shape)} was taken for the heads"
        return Read(Axes(taken), count // leading[taken], leading[taken], note if count > leading[taken] else "")
    heads, left = divmod(count * queries, pixels)
    if heads > 1 and not left and count % heads == 0:
        note = f"the first axis of {_plain(shape)} was taken for {count // heads} rows x {heads} heads"
        return Read(Axes(None, heads), count // heads, heads, note)
    return Read(Axes(), count, 1)


def _plain(shape: Sequence[int]) -> str:
    return f"({', '.join(map(str, shape))})"
