"""What a table lets one expect in each of its cells: the others' figures, corrected for its method and its column.

Each column at each scale is predicted from every other one by a robust line over methods (Theil and Sen's median of
slopes), and the median of the predictions by the five columns that fit best is what is expected. Of fewer than
ENOUGH methods no slopes can be learnt, and differences between columns stand for them: the residual of a median polish.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .sheet import FEWEST, LAW, Expectation, Place, Sheet, measure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

ENOUGH = 10
"""Methods that slopes are learnt from at least; from 8, five times as many clean figures are flagged."""

BEST = 5
"""Columns that predict a column; two wrong ones among them do not move their median far."""

LEARNT = 3.0
"""What a line and the choice of the best columns take from the freedom of n figures."""

ALIKE = 0.7
"""The fraction of what a measure's columns usually spread, that each is taken to spread at least."""

LEAST = 2.0
"""Spread of image quality, in units of the last digit, that is taken for granted however well a table fits."""

LOOSE = 0.05
"""The same of costs, as a ratio: networks differ in what they do at every scale alike, upsamplers above all."""

NORMAL = 0.6745
"""Half of all normal deviates are within so many standard deviations."""

MANY = 40
"""Methods beyond which not every pair of them gives a slope."""


def median(a: Array, axis: int) -> Array:
    """numpy.nanmedian, a hundred times as fast on small arrays."""
    a = np.moveaxis(np.sort(a, axis=axis), axis, -1)  # nan goes last
    count = np.sum(~np.isnan(a), axis=-1)
    low = np.take_along_axis(a, np.maximum((count - 1) // 2, 0)[..., None], -1)[..., 0]
    high = np.take_along_axis(a, np.minimum(count // 2, a.shape[-1] - 1)[..., None], -1)[..., 0]
    found: Array = np.where(count > 0, (low + high) / 2, np.nan)
    return found


def expectations(sheet: Sheet) -> Mapping[Place, Expectation]:
    """What to expect in every place of which the table says enough."""
    found: dict[Place, Expectation] = {}
    if len(sheet.methods) < FEWEST:
        return found
    quality = [(scale, c.id) for scale in sheet.scales for c in sheet.table.columns if measure(c) in ("psnr", "ssim")]
    many = len(sheet.methods) >= ENOUGH
    groups = [quality] if many else [[s for s in quality if s[1].endswith(m)] for m in ("psnr", "ssim")]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for group in groups:
            if len(group) >= 3:
                values = _values(sheet, group)
                expected, spread = _fitted(values) if many else _polished(values)
                if many:
                    for m in ("psnr", "ssim"):
                        mine = [j for j, (_, column) in enumerate(group) if column.endswith(m)]
                        usual = ALIKE * median(spread[:, mine].ravel(), 0)
                        spread[:, mine] = np.fmax(spread[:, mine], usual)
                _keep(found, sheet, group, values, expected, spread)
        _temper(found, sheet, quality)
        for column in sheet.table.columns:
            if column.probe in LAW and len(sheet.scales) >= 3:
                group = [(scale, column.id) for scale in sheet.scales]
                values = np.log(_values(sheet, group))
                _keep(found, sheet, group, values, *_polished(values))
    return found


def _values(sheet: Sheet, group: list[tuple[int, str]]) -> Array:
    cells = [[sheet.at(m, scale, column) for scale, column in group] for m in sheet.methods]
    return np.array([[np.nan if c is None else c.value for c in row] for row in cells])


def _fitted(values: Array) -> tuple[Array, Array]:
    """Expected values and their spreads, by lines through each other column."""
    n, series = values.shape
    steps = range(1, n) if n <= MANY else range(1, 1 + MANY // 2)
    one, other = (np.concatenate(k) for k in zip(*((np.arange(n - s), np.arange(s, n)) for s in steps), strict=True))
    rises = values[one] - values[other]
    apart = np.where(rises == 0, np.nan, rises)
    expected, spread = np.full_like(values, np.nan), np.full_like(values, np.nan)
    for t in range(series):
        slope = median(rises[:, [t]] / apart, 0)
        shifted = values[:, [t]] - slope * values
        predicted = slope * values + median(shifted, 0)
        rest = values[:, [t]] - predicted
        loose = 1.4826 * median(np.abs(rest), 0)
        loose[(np.sum(~np.isnan(rest), 0) < ENOUGH - 2) | (np.arange(series) == t)] = np.nan
        best = [p for p in np.argsort(loose)[:BEST] if not np.isnan(loose[p])]
        if len(best) >= 3:
            expected[:, t] = median(predicted[:, best], 1)
            spread[:, t] = _spread(values[:, t] - expected[:, t]) * _reach(values[:, best], n) * n / (n - LEARNT)
    return expected, spread


def _reach(values: Array, n: int) -> Array:
    """How much less sure an expectation is for a method far from the others."""
    from_middle = np.abs(values - median(values, 0))
    usual = 1.4826 * median(from_middle, 0)
    far = median(from_middle / np.where(usual > 0, usual, np.nan), 1)
    found: Array = np.sqrt(1 + np.nan_to_num(far) ** 2 * 4 / n)
    return found


def _temper(found: dict[Place, Expectation], sheet: Sheet, quality: list[tuple[int, str]]) -> None:
    """Widen the spreads of a method that goes with the others nowhere: it is odd itself, and not its print."""
    for method in sheet.methods:
        entries = [e for scale, column in quality if (e := sheet.at(method, scale, column)) and e.place in found]
        offs = np.array([abs(found[e.place].off(e.value)) for e in entries])
        for i, entry in enumerate(entries):
            rest = np.delete(offs, i)
            usual = float(median(rest, 0)) / NORMAL if len(rest) >= 3 else 0.0
            found[entry.place] = replace(found[entry.place], spread=found[entry.place].spread * max(1.0, usual))


def _polished(values: Array) -> tuple[Array, Array]:
    """The same by differences: what is left is the residual of a median polish."""
    level = values - median(values, 0)
    expected = np.full_like(values, np.nan)
    for t in range(values.shape[1]):
        rest = np.delete(level, t, axis=1)
        enough = np.sum(~np.isnan(rest), axis=1) >= 2
        expected[:, t] = np.where(enough, median(values, 0)[t] + median(rest, 1), np.nan)
    left = values - expected
    left -= median(left, 0)
    alone = _spread(left.ravel())
    return expected, np.tile(np.maximum([_spread(c) for c in left.T], alone), (len(values), 1))


def _spread(rest: Array) -> Any:
    return 1.4826 * median(np.abs(rest), 0)


def _keep(
    found: dict[Place, Expectation],
    sheet: Sheet,
    group: list[tuple[int, str]],
    values: Array,
    expected: Array,
    spread: Array,
) -> None:
    for i, method in enumerate(sheet.methods):
        for j, (scale, column) in enumerate(group):
            entry = sheet.at(method, scale, column)
            if entry is None or not np.isfinite(expected[i, j]) or not np.isfinite(spread[i, j]):
                continue
            value, cost = float(expected[i, j]), entry.column.probe in LAW
            least = LOOSE if cost else LEAST * 10.0 ** -sheet.decimals[column]
            found[entry.place] = Expectation(np.exp(value) if cost else value, max(float(spread[i, j]), least), cost)
