"""What fits into a GPU, in sentences; and a table of what occupies the memory at the peak."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from workbench.fits import Answer
from workbench.planner import Look


def sentences(answer: Answer) -> str:
    """An answer in two or three lines."""
    scale = answer.hr[0] // answer.whole.lr[0]
    head = (
        f"{answer.variant} under {answer.protocol}, {_mb(answer.room.free)} of {_mb(answer.room.gpu)} "
        f"({_mb(answer.room.context)} kept for CUDA's context, an estimate)"
    )
    if answer.more is not None:
        lines = [
            f"largest input {_side(answer.whole.lr)}, output {_side(answer.hr)}: {_need(answer.whole)}",
            f"one pixel more does not fit: {_side(answer.more.lr)} {_need(answer.more)}",
        ]
    elif answer.tiles is None:
        lines = [f"{_side(answer.whole.lr)} fits whole, output {_side(answer.hr)}: {_need(answer.whole)}"]
    else:
        tiles = answer.tiles
        lines = [
            f"{_side(answer.whole.lr)} does not fit whole: {_need(answer.whole)}",
            f"{tiles.columns * tiles.rows} tiles ({tiles.columns} across, {tiles.rows} down) of "
            f"{_side(tiles.tile.lr)} (width x height) fit, {tiles.overlap} pixels shared: {_need(tiles.tile)}; "
            f"each gives {_side((tiles.tile.lr[0] * scale, tiles.tile.lr[1] * scale))}",
            f"multiply-adds of all tiles: {1 + tiles.extra:.3f} times those of the whole image",
        ]
    return "\n  ".join([head, *lines])


def occupants(look: Look, largest: Iterable[Mapping[str, Any]]) -> str:
    """A table of the largest tensors at the peak."""
    rows = [("MB", "share", "shape", "made by", "in")]
    for held in largest:
        shape = "x".join(map(str, held["shape"])) if held["shape"] else "-"
        made = held["role"] if held["role"] != "made" else held["op"].rpartition(".")[2]
        share = f"{held['bytes'] / look.peak:.1%}"
        rows.append((f"{held['bytes'] / 1e6:.1f}", share, shape, made, held["module"] or "the network itself"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(entry.ljust(w) for entry, w in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n  ".join([f"at the peak of {_side(look.lr)}, {_mb(look.peak)}:", *lines])


def _need(look: Look) -> str:
    return f"{_mb(look.peak)} planned" if look.exact else f"{_mb(look.peak)} estimated (--exact plans it)"


def _side(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"


def _mb(size: int) -> str:
    return f"{math.ceil(size / 1e6):,} MB"
