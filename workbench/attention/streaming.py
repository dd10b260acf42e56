"""Measures of all pairs of layers on one crop, in as many forward passes as a bound on memory makes necessary."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from . import similarity
from .capture import Layer, watch
from .measures import MEASURES, Measure, compared, fitting, why_not
from .passes import BOUND, OF_AVERAGES, beside, plan
from .rows import Rows

Values = NDArray[np.float64]


@dataclass
class Found:
    """What one crop gave."""

    layers: tuple[Layer, ...]
    values: dict[str, Values]
    """By measure: (L, L), of a measure of one layer (L), of a matched one (L, L, h, h), of `cka` (L, L) of HSIC. NaN
    where there is none."""
    profiles: Values | None = None
    """(L, S, S), mean over heads, NaN where there is none; only with the measure `profile`."""
    broken: dict[str, str] = field(default_factory=dict)
    """Layers whose map is not finite, and what is in it."""
    left: Mapping[str, str] = field(default_factory=dict)
    """Layers that cannot be measured on such a crop, and why."""
    passes: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    """What single measures took, where that is told to the user."""


def measure(
    model: nn.Module,
    x: Tensor,
    layers: Sequence[Layer],
    wanted: Sequence[Measure],
    all_pairs: bool = False,
    bound: int = BOUND,
    rows: Rows | None = None,
) -> Found:
    """Every measure that is wanted of every pair of layers, for one crop x (1, 3, H, W).

    Whoever measures several crops saves a tenth of the time with `rows` that they have in common.
    """
    height, width = x.shape[-2:]
    count = len(layers)
    found = Found(tuple(layers), {}, left=fitting(layers, height, width))
    useful = [layer for layer in layers if layer.name not in found.left]
    for m in wanted:
        heads = max(layer.geometry.heads for layer in layers)
        shape = (count,) * (1 + m.pair) + ((heads, heads) if m.name.endswith("-matched") else ())
        found.values[m.name] = np.full(shape, np.nan)
    names = {m.name for m in wanted}
    streams = _Streams(found, names, (height, width), rows or Rows())
    spent = beside(useful, names, height, width)
    for number, held in enumerate(plan(wanted, useful, height, width, bound - spent)):
        first = number == 0
        streams.begin(held)
        _one_pass(model, x, useful if first else (), held, streams, first and "cka" in names)
        found.passes += 1
        _pairs(found, streams, held, wanted, all_pairs)
        if first:
            streams.finish()
    _share(found)
    return found


def _one_pass(
    model: nn.Module, x: Tensor, streamed: Sequence[Layer], held: Collection[Layer], streams: _Streams, cka: bool
) -> None:
    def on_map(layer: Layer, attn: Tensor) -> None:
        if layer in streamed:
            streams.take(layer, attn)
        if layer in held:
            streams.hold(layer, attn)

    features = streams.features_of if cka else None
    watch(model, x, on_map, features, in_parts=not streams.whole)  # all of it: every pass takes the same sums


@dataclass
class _Kept:
    """What is kept of one layer's map while it passes."""

    windows: int = 0
    numbers: int = 0
    bad: int = 0
    """Numbers that are not finite."""
    nan: bool = False
    inner: int = 0
    """Windows that averages are taken over; see `similarity.inside`."""
    total: Tensor | None = None
    """Their sum, (heads, N, M)."""
    entropy: float = 0.0
    """The sum of their entropies."""


class _Streams:
    """What is kept of maps and features: averages, entropies, features; maps only while a pass holds them."""

    def __init__(self, found: Found, names: Set[str], size: tuple[int, int], rows: Rows):
        """`size`: height and width of the crop."""
        self.found = found
        self.size = size
        self.rows = rows
        self.names = names
        self.index = {layer.name: i for i, layer in enumerate(found.layers)}
        self.maps: dict[str, list[Tensor]] = {}
        self.kept: dict[str, _Kept] = {}
        self.features: dict[str, Tensor] = {}
        self.room: Tensor | None = None
        """All features, (blocks, pixels, C); None where they are not all of one size."""

    @property
    def whole(self) -> bool:
        """Whether maps are held as they are, for distances; for cosines their unit rows do."""
        return bool(self.names & {"js", "js-matched"})

    def begin(self, held: Sequence[Layer]) -> None:
        """A pass begins that holds the maps of some layers."""
        self.maps.clear()
        self.rows.begin([] if self.whole else list(_alike(MEASURES["cosine"], held)), *self.size)

    def hold(self, layer: Layer, attn: Tensor) -> None:
        """A map passes that is held until the end of the pass."""
        if self.whole:
            self.maps.setdefault(layer.name, []).append(attn)  # no forward writes over a map once it has passed
        else:
            self.rows.take(layer, attn)

    def take(self, layer: Layer, attn: Tensor) -> None:
        """A map passes, or some windows of it. Layers that share one have one, so the first speaks for them."""
        if layer.shares:
            return
        kept = self.kept.setdefault(layer.name, _Kept())
        geometry, first = layer.geometry, kept.windows
        kept.windows += len(attn)
        kept.numbers += attn.numel()
        placed = geometry.rows is not None and geometry.kind not in ("channel", "category")
        inner = similarity.inside(geometry, *self.size, first, len(attn)) if placed else [slice(None)]
        if not inner:
            return
        total = similarity.summed(attn, inner) if placed else attn.sum(dtype=torch.float64)
        if not math.isfinite(total.sum()) and not torch.isfinite(total).all():  # one sum is cheaper than a look at all
            bad = attn[~torch.isfinite(attn)]
            kept.bad += len(bad)
            kept.nan |= bool(bad.isnan().any())
        if kept.bad:
            what = "NaN" if kept.nan else "infinite numbers"
            self.found.broken[layer.name] = f"{what} in {kept.bad} of the {kept.numbers} numbers of its map"
            return
        inner_windows = sum(len(attn[part]) for part in inner)
        if placed and self.names & set(OF_AVERAGES):
            kept.total = total if kept.total is None else kept.total.add_(total)
        if "entropy" in self.names and geometry.softmax:
            kept.entropy += sum(similarity.entropy(attn[part]) * len(attn[part]) for part in inner)
        kept.inner += inner_windows

    def features_of(self, layer: Layer, before: Tensor, after: Tensor) -> None:
        if layer.block in self.features:
            return
        if not self.features:
            blocks = len({layer.block for layer in self.found.layers})
            self.room = self.rows.features(blocks, *after.shape[1:])
        if self.room is not None and after.shape[1:] != self.room.shape[1:]:
            self.room = None
        to = torch.empty_like(after[0]) if self.room is None else self.room[len(self.features)]
        self.features[layer.block] = to.copy_(after[0])

    def finish(self) -> None:
        """What the first pass has gathered becomes values."""
        layers, values = self.found.layers, self.found.values
        if self.features:
            blocks = list(self.features)
            features = list(self.features.values()) if self.room is None else self.room
            there = [k for k, layer in enumerate(layers) if layer.block in blocks]
            at = [blocks.index(layers[k].block) for k in there]
            values["cka"][np.ix_(there, there)] = similarity.independences(features).numpy()[np.ix_(at, at)]
            self.features.clear()
        kept = {name: one for name, one in self.kept.items() if name not in self.found.broken and one.inner}
        self.kept.clear()
        averages = {name: one.total / one.inner for name, one in kept.items() if one.total is not None}
        for layer in layers if "entropy" in values else ():
            if layer.name in kept and layer.geometry.softmax:
                values["entropy"][self.index[layer.name]] = kept[layer.name].entropy / kept[layer.name].inner
        known = [layer for layer in layers if layer.name in averages]
        for name in ("distance", "diagonal") if averages else ():
            for layer in known if name in values else ():
                if why_not(MEASURES[name], layer, layer) is None:
                    one = getattr(similarity, name)(averages[layer.name], layer.geometry)
                    values[name][self.index[layer.name]] = one
        self._averaged([layer for layer in known if why_not(MEASURES["averaged"], layer, layer) is None], averages)
        if "profile" in values:
            self._profiles([x for x in known if why_not(MEASURES["profile"], x, x) is None], averages)

    def _averaged(self, known: Sequence[Layer], averages: Mapping[str, Tensor]) -> None:
        names = [n for n in ("averaged", "averaged-matched") if n in self.found.values]
        for group in _alike(MEASURES["averaged"], known) if names else ():
            by_head = similarity.averaged([averages[layer.name] for layer in group])
            _fill(self.found.values, "averaged", [self.index[layer.name] for layer in group], by_head)

    def _profiles(self, known: Sequence[Layer], averages: Mapping[str, Tensor]) -> None:
        profiles = {x.name: similarity.profile(averages[x.name].mean(0, keepdim=True), x.geometry)[0] for x in known}
        self._keep(profiles)
        for group in _alike(MEASURES["profile"], known):
            at = [self.index[layer.name] for layer in group]
            self.found.values["profile"][np.ix_(at, at)] = similarity.profile_cosines(
                [profiles[layer.name] for layer in group]
            ).numpy()

    def _keep(self, profiles: Mapping[str, Tensor]) -> None:
        """All profiles in one array, the smaller ones surrounded by zeros."""
        if not profiles:
            return
        side = max(p.shape[-1] for p in profiles.values())
        kept = np.full((len(self.index), side, side), np.nan)
        for layer in self.found.layers:
            if (p := profiles.get(layer.shares or layer.name)) is not None:
                kept[self.index[layer.name]] = similarity.surrounded(p, side).numpy()
        self.found.profiles = kept


def _alike(measure: Measure, layers: Sequence[Layer]) -> Iterator[list[Layer]]:
    """Layers in groups in which every two can be compared."""
    rest = list(layers)
    while rest:
        group = [b for b in rest if why_not(measure, rest[0], b) is None]
        yield group
        rest = [b for b in rest if b not in group]


def _fill(values: dict[str, Values], name: str, at: Sequence[int], by_head: Tensor) -> None:
    """Put what all heads of all layers (L, h, L, h) gave into the plain and the matched measure."""
    if name in values:
        values[name][np.ix_(at, at)] = similarity.over_heads(by_head).numpy()
    if (matched := f"{name}-matched") in values:
        heads = by_head.shape[1]
        values[matched][np.ix_(at, at, range(heads), range(heads))] = by_head.transpose(1, 2).numpy()


def _pairs(found: Found, streams: _Streams, held: Sequence[Layer], wanted: Sequence[Measure], all_pairs: bool) -> None:
    """What needs the maps of two layers, of those that this pass held."""
    maps = {name: parts[0] if len(parts) == 1 else torch.cat(parts) for name, parts in streams.maps.items()}
    streams.maps.clear()
    sound = [layer for layer in held if layer.name not in found.broken]
    names = [m.name for m in wanted]
    by_head = "cosine-matched" in names
    grams = {} if streams.whole else streams.rows.cosines(by_head)
    if streams.whole and {"cosine", "cosine-matched"} & set(names):
        groups = map(tuple, _alike(MEASURES["cosine"], sound))
        grams = {group: similarity.cosines([maps[x.name] for x in group], by_head) for group in groups}
    for group, gram in grams.items():
        good = [k for k, layer in enumerate(group) if layer in sound]
        at = [streams.index[group[k].name] for k in good]
        if by_head:
            _fill(found.values, "cosine", at, gram[good][:, :, good])
        else:
            found.values["cosine"][np.ix_(at, at)] = gram[good][:, good].numpy()
    for m in wanted:
        if m.name not in ("js", "js-matched"):
            continue
        start = time.perf_counter()
        for a, b in compared(m, found.layers, all_pairs):
            i, j = streams.index[a.name], streams.index[b.name]
            if a in sound and b in sound:
                one = similarity.jensen_shannon(maps[a.name], maps[b.name], m.name == "js-matched").numpy()
                found.values[m.name][i, j], found.values[m.name][j, i] = one, one.T
        found.seconds[m.name] = found.seconds.get(m.name, 0.0) + time.perf_counter() - start


def _share(found: Found) -> None:
    """Layers that share a map have all of its figures, and with themselves what the measure has for equal maps."""
    index = {layer.name: i for i, layer in enumerate(found.layers)}
    source = [index[layer.shares or layer.name] for layer in found.layers]
    for name, values in found.values.items():
        measure = MEASURES[name]
        if name == "cka":  # features are each layer's own
            continue
        for i, layer in enumerate(found.layers):
            there = layer.name not in found.left and (layer.shares or layer.name) not in found.broken
            if measure.pair and there and why_not(measure, layer, layer) is None and np.isnan(values[i, i]).all():
                values[i, i] = measure.same
        spread = values[np.ix_(source, source)] if measure.pair else values[source]
        found.values[name] = spread
