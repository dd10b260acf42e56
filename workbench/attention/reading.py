"""Records of many images to one figure for each pair of layers, with its interval; no network is needed for that."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workbench import sidefiles
from workbench.spec import Record

from . import study
from .capture import Layer
from .measures import MEASURES, Measure, neighbours, why_not
from .settling import cka, settled

LEVEL = 0.95
"""Of the intervals."""

RESAMPLES = 2000
"""Drawn for an interval."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Result:
    """One measure of one pair of layers, or of one layer, which then is both."""

    layer_a: str
    layer_b: str
    measure: str
    value: float | None
    low: float | None
    """Lower end of the 95 % bootstrap interval over images; None where there is one image."""
    high: float | None
    images: int
    """Images that the value is of."""
    trained: bool | None
    reason: str | None = None
    """Why there is no value."""


@dataclass(frozen=True)
class Table:
    """One measure of a network."""

    variant: str
    measure: Measure
    layers: tuple[Layer, ...]
    value: Values
    """(L, L), or (L) of a measure of single layers; NaN where there is none."""
    low: Values
    high: Values
    images: NDArray[np.int64]
    """How many images each value is of."""
    neighbours: tuple[tuple[int, int], ...]
    """Indices of layers; empty where the measure is of single layers."""
    mean: tuple[float, float, float] | None
    """The mean over neighbours, or layers, with its interval; None where nothing is defined."""
    trained: bool | None
    missing: dict[str, str]
    """Layers without figures, and why."""

    def results(self) -> list[Result]:
        """One result for each pair, the second layer never before the first."""
        found = []
        for i, a in enumerate(self.layers):
            for j, b in enumerate(self.layers[i:], start=i) if self.measure.pair else ((i, a),):
                at = (i, j) if self.measure.pair else (i,)
                value, low, high = (_number(x[at]) for x in (self.value, self.low, self.high))
                why = None if value is not None else self._why(a, b)
                images = int(self.images[at])
                found.append(Result(a.name, b.name, self.measure.name, value, low, high, images, self.trained, why))
        return found

    def _why(self, a: Layer, b: Layer) -> str:
        for layer in (a, b):
            if self.measure.name != "cka" and (why := self.missing.get(layer.shares or layer.name)):
                return f"{layer.name}: {why}"
        if why := why_not(self.measure, a, b):
            return why
        if self.missing:
            return "; ".join(f"{name}: {why}" for name, why in list(self.missing.items())[:1])
        return "taken of neighbours only; ask for --all-pairs"


def _number(x: float) -> float | None:
    return float(x) if np.isfinite(x) else None


def tables(subject: study.Subject, answers: Sequence[Sequence[Record]], folder: Path) -> list[Table]:
    """Every measure over all images; `answers` are the records of each image, all in one order of measures."""
    return [_table(subject, records, folder) for records in zip(*answers, strict=True)]


def profiles(answers: Sequence[Sequence[Record]], folder: Path) -> Values | None:
    """The offset profiles of all layers (L, S, S), mean over images; None where they were not asked for."""
    names = [r.details["profiles"] for records in answers for r in records if "profiles" in r.details]
    if not names:
        return None
    mean: Values = np.mean([sidefiles.get(folder, name) for name in names], axis=0, dtype=np.float64)
    return mean


def _table(subject: study.Subject, records: Sequence[Record], folder: Path) -> Table:
    measure = MEASURES[records[0].conditions["measure"]]
    arrays = np.stack([study.values(r, folder) for r in records])
    low_arrays = settled(measure, arrays)
    weights = _weights(len(records))
    near = neighbours(measure, subject.layers) if measure.pair else []
    index = {layer.name: i for i, layer in enumerate(subject.layers)}
    at = tuple((index[a.name], index[b.name]) for a, b in near)
    with warnings.catch_warnings(action="ignore"):  # means of nothing are NaN, as they should be
        value, *drawn = (_combined(measure, arrays, low_arrays, w) for w in (weights[:1], weights[1:]))
        low, high = _interval(drawn[0], len(records))
        series = [x[:, [i for i, _ in at], [j for _, j in at]] if measure.pair else x for x in (value, drawn[0])]
        mean, means = (np.nanmean(x, axis=1) if x.size else np.full(1, np.nan) for x in series)
        ends = _interval(means, len(records))
    missing: dict[str, str] = {}
    for record in records:
        missing |= study.reasons(record)
    return Table(
        subject.variant,
        measure,
        subject.layers,
        value[0],
        low,
        high,
        np.isfinite(low_arrays).sum(axis=0),
        at,
        (float(mean[0]), float(ends[0]), float(ends[1])) if np.isfinite(mean[0]) else None,
        subject.trained,
        missing,
    )


def _weights(images: int) -> Values:
    """How often each image counts: once in the figure itself (row 0), as drawn in the resamples."""
    draws = np.random.default_rng(0).integers(images, size=(RESAMPLES, images))
    counts = np.stack([(draws == i).sum(axis=1) for i in range(images)], axis=1)
    return np.concatenate([np.ones((1, images)), counts])


def _combined(measure: Measure, arrays: Values, each: Values, weights: Values) -> Values:
    """The figure of weighted images, (weights, ...): the mean, or for CKA the ratio of sums."""
    source = arrays if measure.name == "cka" else each
    there = np.isfinite(source)
    flat = np.where(there, source, 0.0).reshape(len(source), -1)
    total = (weights @ flat).reshape(-1, *source.shape[1:])
    if measure.name == "cka":
        total[~(weights @ there.reshape(len(source), -1) > 0).reshape(total.shape)] = np.nan
        return cka(total)
    count = (weights @ there.reshape(len(source), -1).astype(float)).reshape(total.shape)
    mean: Values = np.where(count > 0, total / count, np.nan)
    return mean


def _interval(drawn: Values, images: int) -> tuple[Values, Values]:
    """Percentiles of the resamples; of one image there is no interval."""
    if images < 2:
        return np.full(drawn.shape[1:], np.nan), np.full(drawn.shape[1:], np.nan)
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.nanpercentile(drawn, [tail, 100 - tail], axis=0)
    return low, high
