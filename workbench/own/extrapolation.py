"""A count for a large input from counts for small ones: exactly where it is a polynomial of the sides, else not at all.

Of a network without global attention every count grows with the height and with the width in a straight line, if sides
are compared that leave the same rest by its window; with global attention, with their squares. So small inputs are
taken whose sides leave the rest that the large one's leave, a polynomial is laid through their counts, and another,
larger input has to lie on it. A network that works in windows of more than 64, or whose work goes by content, fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

Count = Callable[[int, int], float]
"""What was counted for an input of some height and width."""

LEAST = 16
"""Pixels: the shortest side that is tried."""

TRIES = ((32, 1), (32, 2), (64, 1), (64, 2))
"""The step between sides, and the degree of the polynomial in each of them."""


@dataclass(frozen=True)
class Extrapolated:
    """A count that was not made."""

    value: float
    counted: tuple[tuple[int, int], ...]
    """Height and width of the inputs that the polynomial goes through."""
    checked: tuple[int, int]
    """The input that it was checked on, and whose count lay on it."""
    degree: int


def extrapolate(
    count: Count, height: int, width: int, tolerance: float = 0.0, largest: int = 2**62
) -> Extrapolated | None:
    """The count for a large input, or None where no polynomial holds; `tolerance`: how far the check may lie off it,
    as a fraction. No input of more than `largest` pixels is counted."""
    known: dict[tuple[int, int], float] = {}

    def counted(size: tuple[int, int]) -> float:
        if size not in known:
            known[size] = count(*size)
        return known[size]

    for step, degree in TRIES:
        rows, columns = (list(_sides(full, step, degree + 2)) for full in (height, width))
        check = rows.pop(), columns.pop()
        if check[0] * check[1] > largest:
            continue
        grid = tuple(product(rows, columns))
        values = {size: Fraction(counted(size)) for size in grid}
        expected = _laid(values, rows, columns, *check)
        if abs(expected - Fraction(counted(check))) <= Fraction(tolerance) * abs(expected):
            return Extrapolated(float(_laid(values, rows, columns, height, width)), grid, check, degree)
    return None


def _sides(full: int, step: int, count: int) -> Iterator[int]:
    """The shortest sides that leave the rest that `full` leaves."""
    first = full % step
    while first < LEAST:
        first += step
    yield from range(first, first + count * step, step)


def _laid(values: dict[tuple[int, int], Fraction], rows: list[int], columns: list[int], y: int, x: int) -> Fraction:
    """Lagrange's polynomial through values on a grid, at another place."""
    return sum(
        (value * _weight(rows, row, y) * _weight(columns, column, x) for (row, column), value in values.items()),
        start=Fraction(0),
    )


def _weight(places: list[int], place: int, at: int) -> Fraction:
    weight = Fraction(1)
    for other in places:
        if other != place:
            weight *= Fraction(at - other, place - other)
    return weight
