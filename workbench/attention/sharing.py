"""Sharing put to the test: a network runs with one layer's attention map in the place of another's."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from workbench.models.parts.attention import MapPoint
from workbench.models.parts.shift import shift_mask
from workbench.spec import UserError

from .capture import Layer
from .tapping import Tapped

ROUNDING = 1e-4
"""Of the largest number in an output: how far two passes may differ, one with its fused attention taken apart."""

Shapes = Mapping[str, tuple[tuple[int, ...], ...]]
"""Of every layer by name, the shapes of the maps that it made in one pass: two for HiT-SNG's n-gram context, else one.
"""


@dataclass(frozen=True)
class Pair:
    """A layer that could work with the map of an earlier one."""

    a: Layer
    """Whose map is used."""
    b: Layer
    """Whose own map is not."""

    @property
    def rolled(self) -> bool:
        """Whether the windows of the two are other pixels: one raster is rolled, the other not."""
        return self.a.geometry.shift != self.b.geometry.shift

    def __str__(self) -> str:
        return f"{self.a.label} for {self.b.label}"


def pairs(found: Sequence[Layer], shapes: Shapes) -> tuple[list[Pair], Counter[str]]:
    """The legal pairs in order of execution, and how many were refused for which reason.

    Legal are two layers that make their own maps, of one kind, window and shape. The map of window w goes to window w,
    also where one of the two rasters is rolled by half a window: those windows hold other pixels, though their
    neighbours, and what the map then says is which offsets to look at. Refused is what would say nothing: maps of
    another shape, or whose columns are other things in each layer (entries of another group's dictionary, tokens in
    the order of another layer's categories). HiT-SR's correlations are no distributions, may be of another magnitude in
    each group (1e4 apart with the published weights), and are not scaled: a map that is much smaller than the one it
    replaces leaves little more than no map at all would.
    """
    legal: list[Pair] = []
    refused: Counter[str] = Counter()
    for k, b in enumerate(found):
        for a in found[:k]:
            why = _why_not(a, b, shapes)
            if why is None:
                legal.append(Pair(a, b))
            else:
                refused[why] += 1
    legal.sort(key=lambda p: (found.index(p.a), found.index(p.b)))
    return legal, refused


def _why_not(a: Layer, b: Layer, shapes: Shapes) -> str | None:
    if a.shares or b.shares:
        return "one of the two makes no map of its own"
    if a.geometry.kind != b.geometry.kind:
        return "maps of two kinds"
    if _unlike(a, b) or shapes[a.name] != shapes[b.name]:
        return "maps of two shapes"
    if a.geometry.kind == "category":
        return "tokens in the order of each layer's own categories"
    if a.geometry.kind == "dictionary" and a.name.partition(".")[0] != b.name.partition(".")[0]:
        return "entries of two groups' dictionaries"
    return None


def _unlike(a: Layer, b: Layer) -> bool:
    axes = [layer.foreign.axes if layer.foreign else None for layer in (a, b)]
    return replace(a.geometry, shift=0) != replace(b.geometry, shift=0) or axes[0] != axes[1]


@dataclass
class Untouched:
    """One pass of the network as it is: its output, its maps' shapes, and what later passes need not compute again."""

    output: Tensor
    shapes: dict[str, tuple[tuple[int, ...], ...]] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    """What every block with attention in it returned, and every module around such blocks, by path."""


class Bench:
    """A network under test, which lends itself to passes with maps exchanged.

    A map is exchanged where it passes its MapPoint; who reuses that map natively (ASID, ELAN) gets the other one too.
    Sums of HiT-SR are taken in the order that makes maps, in the two layers of a pair only.
    """

    def __init__(self, model: nn.Module, found: Sequence[Layer]):
        self.model = model
        self.found = tuple(found)
        self.order = {layer.name: k for k, layer in enumerate(self.found)}
        self.last = {} if isinstance(model, Tapped) else self._last()  # somebody's blocks may do more than return

    def _last(self) -> dict[str, int]:
        """For every module around attention, the place in the order of its last layer."""
        last: dict[str, int] = {}
        for k, layer in enumerate(self.found):
            names = layer.block.split(".")
            for depth in range(1, len(names) + 1):
                last[".".join(names[:depth])] = k
        return last

    def untouched(self, x: Tensor, image: str) -> Untouched:
        """The network's own pass, its maps looked at: one that is not finite is refused, by its layer."""
        seen = Untouched(x)
        with ExitStack() as stack, torch.inference_mode():
            for layer in self.found:
                hook = self._inspection(layer, seen, image)
                stack.callback(self.model.get_submodule(layer.path).register_forward_hook(hook).remove)
            first = self.model(x)
        with ExitStack() as stack, torch.inference_mode():
            for path in self.last:
                hook = _recorder(path, seen)
                stack.callback(self.model.get_submodule(path).register_forward_hook(hook).remove)
            seen.output = self.model(x).clone()
        if isinstance(self.model, Tapped):
            _same(first, seen.output)
        return seen

    def _inspection(self, layer: Layer, seen: Untouched, image: str) -> Callable[..., None]:
        def look(module: nn.Module, args: Any, attn: Tensor) -> None:
            seen.shapes[layer.name] = (*seen.shapes.get(layer.name, ()), tuple(attn.shape))
            if not attn.isfinite().all():
                raise UserError(
                    f"The attention map of {layer.label} is not finite on {image}, so nothing can be said of sharing"
                    " it. Check the weights, or leave the image out."
                )

        return look

    def maps(self, x: Tensor, wanted: Collection[Layer]) -> dict[str, list[Tensor]]:
        """The maps of some layers in the network's own pass, by name."""
        held: dict[str, list[Tensor]] = {layer.name: [] for layer in wanted}
        with ExitStack() as stack, torch.inference_mode():
            for layer in wanted:
                hook = _keeper(held[layer.name])
                stack.callback(self.model.get_submodule(layer.path).register_forward_hook(hook).remove)
            self.model(x)
        return held

    def shared(
        self,
        x: Tensor,
        chosen: Sequence[Pair],
        own: Untouched | None = None,
        given: Mapping[str, list[Tensor]] | None = None,
    ) -> Tensor:
        """The output with every pair's map exchanged.

        `own` is the network's own pass on the same x: blocks that lie before the first exchange return what they did
        there. `given` holds its maps of the layers in those blocks.
        """
        first = min(self.order[p.b.name] for p in chosen)
        with ExitStack() as stack, torch.inference_mode():
            held: dict[str, list[Tensor]] = {}
            met: set[str] = set()
            for name, source in {p.a.name: p.a for p in chosen}.items():
                if given is not None and name in given and self.order[name] < first:
                    held[name] = given[name]
                    continue
                held[name] = []
                hook = _keeper(held[name])
                stack.callback(self.model.get_submodule(source.path).register_forward_hook(hook).remove)
            for pair in chosen:
                point = self.model.get_submodule(pair.b.path)
                exchange = _exchange(pair, self.model, held[pair.a.name], x, met)
                stack.callback(point.register_forward_hook(exchange).remove)
            if own is not None and given is not None:
                stack.enter_context(self._skipping(first, own))
            out = torch.Tensor(self.model(x))
        if missed := [p.b.name for p in chosen if p.b.name not in met]:
            raise UserError(_WHIMSICAL.format(f"{missed[0]} made no map this time"))
        return out

    @contextmanager
    def _skipping(self, first: int, own: Untouched) -> Iterator[None]:
        """Modules whose layers all come before `first` return what they returned in the network's own pass."""
        done = [path for path, last in self.last.items() if last < first and path in own.outputs]
        outermost = [p for p in done if not any(p.startswith(f"{q}.") for q in done)]
        modules = [self.model.get_submodule(path) for path in outermost]
        try:
            for module, path in zip(modules, outermost, strict=True):
                module.forward = _returning(own.outputs[path])
            yield
        finally:
            for module in modules:
                vars(module).pop("forward", None)


_WHIMSICAL = (
    "What the network does changes from one pass to the next ({}), so nothing can be said of sharing. Have it draw no"
    " numbers and count no passes in eval mode."
)


def _same(one: Tensor, other: Tensor) -> None:
    """Refuse somebody's network that puts out something else each time: no exchange could be told from that."""
    apart = float((one - other).abs().max())
    if apart > ROUNDING * float(other.abs().max()):
        raise UserError(_WHIMSICAL.format(f"its outputs for one image differ by up to {apart:.2g}"))


def _returning(output: Any) -> Callable[..., Any]:
    def forward(*args: Any) -> Any:
        return tree_map_only(Tensor, Tensor.clone, output)  # the caller may write over what it gets

    return forward


def _recorder(path: str, seen: Untouched) -> Callable[..., None]:
    def record(module: nn.Module, args: Any, output: Any) -> None:
        if not any(isinstance(a, dict) for a in args):  # what fills a dictionary returns more than its output
            seen.outputs[path] = tree_map_only(Tensor, Tensor.clone, output)

    return record


def _keeper(held: list[Tensor]) -> Callable[..., None]:
    def keep(module: nn.Module, args: Any, attn: Tensor) -> None:
        held.append(attn)

    return keep


def _exchange(pair: Pair, model: nn.Module, maps: list[Tensor], x: Tensor, met: set[str]) -> Callable[..., Tensor]:
    calls = itertools.count()
    a, b = (model.get_submodule(layer.path) for layer in (pair.a, pair.b))
    assert isinstance(a, MapPoint)
    assert isinstance(b, MapPoint)
    hide = b.masked and not a.masked

    def exchange(module: nn.Module, args: Any, attn: Tensor) -> Tensor:
        met.add(pair.b.name)
        other = maps[next(calls)]
        if not hide:
            return other
        pixels, axes = x.shape[-2] * x.shape[-1], pair.b.foreign.axes if pair.b.foreign else None
        if axes is None:
            return masked(other, pair.b, pixels)
        return axes.back(masked(axes.arranged(other), pair.b, pixels), attn.shape)

    return exchange


def masked(attn: Tensor, layer: Layer, pixels: int) -> Tensor:
    """The map of an unrolled layer as a rolled one may use it: nothing from beyond the image's edge, rows of sum 1.

    In the windows at the lower and right edge, which the roll put together from opposite sides of the image, a rolled
    layer masks the keys from the other side. Their weight is taken away and the rest of the row scaled up; a row
    that has no other weight becomes even. The image is square, and so is its raster of windows.
    """
    window = layer.geometry.window or 1
    across = math.isqrt(attn.shape[0])
    side = across * window
    if across**2 != attn.shape[0] or side**2 < pixels:
        raise ValueError(f"{attn.shape[0]} windows of {window} pixels are no square raster of one image")
    mask = shift_mask(side, side, window, layer.geometry.shift, layer.geometry.cell, device=attn.device)
    open_ = (mask == 0).to(attn.dtype)[:, None]
    kept = attn * open_
    total = kept.sum(-1, keepdim=True)
    even = open_ / open_.sum(-1, keepdim=True)
    return torch.where(total > 0, kept / total.clamp_min(torch.finfo(attn.dtype).tiny), even)
