"""Sharing over images: what each legal pair of layers costs in quality and saves, and how far sharing can go."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workbench import interrupts, models, store
from workbench.images import metrics
from workbench.spec import Record, UserError

from . import planning, sharing, trials
from .capture import Layer, find, layers
from .saving import Closed, Ledger, Saved
from .sharing import Bench, Pair, Untouched
from .tapping import Tapped
from .trials import Image, Network, Trial

Books = Ledger | Closed

VERSION = 1
PLAN = 2
"""As VERSION, of plans."""
ALIKE = 140.0
"""dB from which outputs are called alike, and where their PSNR ends: float32 knows no more."""

USUAL = 64
"""LR pixels a side of a crop, where the windows are not so large that two of them need more."""

PART = 0.6
"""Of a plain pass, what a pass with one map exchanged takes, blocks before it left out: an estimate."""


@dataclass(frozen=True)
class Outcome:
    """What came of one pair."""

    pair: Pair
    psnr: float
    """Of the output against the untouched one, in dB, mean over images; all colours, not rounded."""
    loss: float
    """dB of PSNR against the original that are lost, mean over images; on Y, of eight bits."""
    low: float | None
    """Lower end of the loss's 95 % interval, of images drawn anew; None where there is one image."""
    high: float | None
    saved: Saved


@dataclass(frozen=True)
class Step:
    """One more pair shared, on top of all steps before."""

    pair: Pair
    loss: float
    saved: Saved
    """Of all pairs up to this one together."""


@dataclass(frozen=True)
class Shares:
    """What was found of one network."""

    title: str
    variant: str
    trained: bool | None
    images: tuple[str, ...]
    crop: int
    quality: float
    """PSNR of the untouched network, in dB, mean over images."""
    layers: tuple[Layer, ...]
    outcomes: tuple[Outcome, ...]
    refused: Mapping[str, int]
    """How many pairs were not tried, by reason."""
    total: Saved
    """What the whole network computes."""
    bound: float
    steps: tuple[Step, ...]
    """In order; the last may be the one that went beyond the bound."""
    unsaved: str = ""
    """Why it is not known what is saved, which then is NaN; empty where it is known."""

    @property
    def kept(self) -> tuple[Step, ...]:
        """The plan: the steps up to the last before the bound was passed."""
        within = [k for k, s in enumerate(self.steps) if s.loss <= self.bound]
        return self.steps[: within[-1] + 1] if within else ()


def crop(found: Sequence[Layer]) -> int:
    """LR pixels a side that hold two windows of every layer, each way."""
    return max([USUAL, *(2 * (layer.geometry.window or 0) for layer in found)])


def check(net: Network, found: Sequence[Layer], side: int, named: Sequence[str]) -> tuple[Layer, ...]:
    """The layers that are to be paired; refused is what has no attention, and a crop without two windows."""
    if not found:
        raise UserError(f"{net.variant.name} has no attention; with attention: {', '.join(models.attentive())}.")
    chosen = tuple(found) if not named else tuple(find(name, found) for name in dict.fromkeys(named))
    if len(found) < 2:
        raise UserError(
            f"{net.variant.name} has one attention layer only, {found[0].name}; a map is shared by two layers."
        )
    if len(chosen) < 2:
        raise UserError(
            f"A map is shared by two layers, and one was named: {chosen[0].name}. Name another one with --layer, or"
            " none for all."
        )
    widest = max(chosen, key=lambda layer: layer.geometry.window or 0)
    window = widest.geometry.window or 0
    if side < 2 * window:
        raise UserError(
            f"A crop of {side}x{side} LR pixels is smaller than two windows of {widest.label}, which are {window} wide;"
            f" take --crop {2 * window}, or name layers with smaller windows: --layer."
        )
    return tuple(layer for layer in found if layer in chosen)


class Study:
    """A network, the layers of it that are paired, and the images that they are judged on."""

    def __init__(self, net: Network, images: Sequence[Image], named: Sequence[str] = ()):
        self.net = net
        self.images = tuple(images)
        self.found = layers(net.model)
        self.chosen = check(net, self.found, images[0].lr.shape[0], named)
        self.bench = Bench(net.model, self.found)
        settings = {"layers": "all" if len(self.chosen) == len(self.found) else [c.name for c in self.chosen]}
        self.trial = Trial("sharing", VERSION, "decibels", settings)

    def run(self, folder: Path, bound: float, force: bool = False) -> Shares:
        """Measure what no record answers yet, then plan."""
        if not bound > 0:
            raise UserError(f"--bound was given {bound:g} dB; a loss that is allowed is above 0, such as 0.1.")
        records = trials.each(self.trial, self.net, self.images, folder, self._measure, force)
        by_name = {layer.name: layer for layer in self.found}
        legal = [Pair(by_name[a], by_name[b]) for a, b, *_ in records[0].details["pairs"]]
        trials.tell("what sharing saves: reading the network's trace")
        ledger, unsaved = self._ledger()
        saved = {b: ledger.saved({by_name[b].path}) for b in dict.fromkeys(p.b.name for p in legal)}
        outcomes = _outcomes(records, legal, saved)
        steps = self._plan(outcomes, ledger, folder, bound, force)
        quality = float(np.mean([r.values[0] for r in records]))
        names = tuple(i.name for i in self.images)
        return Shares(
            self.net.title, self.net.variant.name, self.net.trained, names, self.images[0].lr.shape[0], quality,
            self.chosen, tuple(outcomes), records[0].details["refused"], ledger.total, bound, tuple(steps), unsaved,
        )  # fmt: skip

    def _ledger(self) -> tuple[Books, str]:
        """What a sharing saves, or why that is not known: somebody's network may not bear tensors without content."""
        if not isinstance(self.net.model, Tapped):
            return Ledger(self.net.variant), ""
        try:
            return Ledger(self.net.variant, tapped=self.net.model), ""
        except Exception as error:  # whatever somebody's code raises there
            return Closed(), f"it cannot be walked on tensors without content ({str(error).splitlines()[0][:200]})"

    def _measure(self, image: Image) -> tuple[Sequence[float], Mapping[str, Any]]:
        x = self.net.given(image)
        own = self.bench.untouched(x, image.name)
        start = time.perf_counter()
        with torch.inference_mode():
            self.net.model(x)
        plain = time.perf_counter() - start
        legal, refused = sharing.pairs(self.chosen, own.shapes)
        if not legal:  # nor on another image: what is legal is a matter of shapes
            told = "; ".join(f"{why}: {n}" for why, n in refused.items())
            raise UserError(
                f"No two of these layers of {self.net.variant.name} could share a map ({told}). Name layers of one kind"
                " and window with --layer, or none for all."
            )
        guess = plain * len(legal) * (1 if isinstance(self.net.model, Tapped) else PART)
        told = f"about {guess:.0f} s (an estimate from one pass of {plain:.2f} s)"
        trials.tell(f"{image.name}: {len(legal)} pairs, {told}")
        figures = []
        for first, group in _by_source(legal):
            given = self.bench.maps(x, [first])
            for pair in group:
                interrupts.check()
                y = self.bench.shared(x, [pair], own, given)
                figures.append([pair.a.name, pair.b.name, *self._compared(y, own, image)])
        return [self._quality(own.output, image)], {"pairs": figures, "refused": dict(Counter(refused))}

    def _quality(self, y: Tensor, image: Image) -> float:
        """PSNR against the original, as tables of papers have it."""
        found = metrics.psnr(self.net.seen(y), image.hr, self.net.variant.scale)
        return min(found, ALIKE)

    def _compared(self, y: Tensor, own: Untouched, image: Image) -> tuple[float, float]:
        """PSNR against the untouched output, and against the original."""
        black, white = self.net.range
        border = self.net.variant.scale
        inner = ((y - own.output) / (white - black))[..., border:-border, border:-border]
        error = float(inner.double().square().mean())
        if not math.isfinite(error):
            raise UserError(
                f"With maps exchanged, the output of {self.net.variant.name} on {image.name} is not finite, so nothing"
                " can be said of its quality. Leave the image out, or choose other layers: --layer."
            )
        return min(-10 * math.log10(error), ALIKE) if error else ALIKE, self._quality(y, image)

    def _plan(self, outcomes: Sequence[Outcome], ledger: Books, folder: Path, bound: float, force: bool) -> list[Step]:
        """Share the most redundant layers one after another, within the bound: those whose pair changes least first.

        What changes least is told by the untouched output; of small losses against the original some are gains by
        chance, which are not there any more in the next step. Single losses do not add up, so each step runs the
        network with all pairs so far; what is found is a good plan, not the best.
        """
        order = [o.pair for o in sorted(outcomes, key=lambda o: (-o.psnr, o.loss))]
        names = [[p.a.name, p.b.name] for p in order]
        trial = Trial("sharing-plan", PLAN, "decibels", {**self.trial.settings, "bound": bound})
        known = {} if force else store.read(folder).newest()
        record = trials.answered(trial, self.net, self.images, known)
        if record is None or record.details["order"] != names:
            found = planning.plan(order, self._loss(order, bound), bound)
            details = {"pairs": [[p.a.name, p.b.name] for p, _ in found], "order": names}
            record = trials.record(trial, self.net, self.images, [loss for _, loss in found], details)
            with store.Writer(folder) as writer:
                writer.append([record])
        by_name = {layer.name: layer for layer in self.found}
        pairs = [Pair(by_name[a], by_name[b]) for a, b in record.details["pairs"]]
        return [
            Step(pair, loss, ledger.saved({p.b.path for p in pairs[: k + 1]}))
            for k, (pair, loss) in enumerate(zip(pairs, record.values, strict=True))
        ]

    def _loss(self, order: Sequence[Pair], bound: float) -> Callable[[Sequence[Pair]], float]:
        """How to try a plan: the network with all of its pairs, on every image."""
        trials.tell(f"plan: {len(order)} pairs, one on top of another, as long as {bound:g} dB are not lost")
        own = []
        with torch.inference_mode():
            for image in self.images:
                x = self.net.given(image)
                own.append((image, x, self._quality(self.net.model(x), image)))

        def lost(chosen: Sequence[Pair]) -> float:
            interrupts.check()
            return float(np.mean([q - self._quality(self.bench.shared(x, chosen), image) for image, x, q in own]))

        return lost


def _by_source(legal: Sequence[Pair]) -> list[tuple[Layer, list[Pair]]]:
    """Pairs by the layer whose map they use, so that one layer's maps are held at a time."""
    groups: dict[Layer, list[Pair]] = {}
    for pair in legal:
        groups.setdefault(pair.a, []).append(pair)
    return list(groups.items())


def _outcomes(records: Sequence[Record], legal: Sequence[Pair], saved: Mapping[str, Saved]) -> list[Outcome]:
    own = np.array([r.values[0] for r in records])
    figures: NDArray[np.float64] = np.array([[row[2:] for row in r.details["pairs"]] for r in records])
    losses = own[:, None] - figures[:, :, 1]
    count = len(records)
    resampled = losses[trials.draws(count)].mean(1) if count > 1 else losses
    outcomes = []
    for k, pair in enumerate(legal):
        low, high = trials.interval(resampled[:, k], count)
        psnr, loss = float(figures[:, k, 0].mean()), float(losses[:, k].mean())
        outcomes.append(Outcome(pair, psnr, loss, low, high, saved[pair.b.name]))
    return outcomes
