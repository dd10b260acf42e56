"""From what was summed for each image to its figures: heads matched, HSIC divided into CKA."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from .measures import Measure

Values = NDArray[np.float64]


def settled(measure: Measure, arrays: Values) -> Values:
    """Figures of each image (images, L, L): heads matched, HSIC divided into CKA; others as they are.

    Heads are matched once for all images, since which head does what is the network's: the assignment that is best
    for the mean over images.
    """
    if measure.name == "cka":
        return cka(arrays)
    return matched(arrays, smallest=measure.same == 0.0) if measure.name.endswith("-matched") else arrays


def cka(hsic: Values) -> Values:
    """(.., L, L) of HSIC to CKA: each over the root of those of its two layers with themselves."""
    own = hsic.diagonal(axis1=1, axis2=2)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio: Values = hsic / np.sqrt(own[:, :, None] * own[:, None, :])
    return ratio


def matched(by_head: Values, smallest: bool = False) -> Values:
    """(images, L, L, h, h) to (images, L, L): the mean over heads, each with its partner in the best assignment."""
    from scipy.optimize import linear_sum_assignment

    out = np.full(by_head.shape[:3], np.nan)
    with warnings.catch_warnings(action="ignore"):
        mean = np.nanmean(by_head, axis=0)
    for i, j in np.ndindex(*mean.shape[:2]):
        there = np.isfinite(mean[i, j])
        if not there.any():
            continue
        rows, columns = np.flatnonzero(there.any(1)), np.flatnonzero(there.any(0))
        own, partner = linear_sum_assignment(mean[i, j][np.ix_(rows, columns)], maximize=not smallest)
        out[:, i, j] = by_head[:, i, j, rows[own], columns[partner]].mean(-1)
    return out
