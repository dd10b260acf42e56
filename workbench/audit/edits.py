"""Slips of the hand: which figures one slip away from a printed one would fit."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from .sheet import Entry, Sheet


def slips(printed: str) -> Iterator[tuple[str, str]]:
    """Every figure that one slip turns into the printed one, and what the slip is."""
    digits = [i for i, character in enumerate(printed) if character.isdigit()]
    for i in digits:
        for digit in "0123456789":
            if digit != printed[i]:
                yield printed[:i] + digit + printed[i + 1 :], "one digit"
    for i, j in pairwise(digits):
        if printed[i] != printed[j]:
            swapped = list(printed)
            swapped[i], swapped[j] = printed[j], printed[i]
            yield "".join(swapped), "two digits in each other's place"
    bare = printed.replace(".", "")
    for point in range(1, len(bare) + 1):
        moved = f"{bare[:point]}.{bare[point:]}".rstrip(".")
        if moved != printed:
            yield moved, "a point in another place"


def mended(sheet: Sheet, entry: Entry, near: float) -> tuple[str, str] | None:
    """The one slip that brings a figure within `near` spreads of what is expected, the nearest if there are several."""
    expected = sheet.expected[entry.place]
    found = [(abs(expected.off(float(text))), text, slip) for text, slip in slips(entry.printed)]
    distance, text, slip = min(found, default=(near + 1, "", ""))
    return (text, slip) if distance <= near else None
