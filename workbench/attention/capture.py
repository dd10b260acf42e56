"""Every attention of a network in order of execution, and its maps and features as a forward pass makes them."""

from __future__ import annotations

import math
import queue
import re
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from workbench import models
from workbench.models.parts.attention import Kind, MapPoint
from workbench.spec import UserError, unknown

from .axes import Foreign
from .tapping import Tapped

PLACES = tuple(
    re.compile(pattern)
    for pattern in (
        r"layers\.(?P<g>\d+)\.residual_group\.(?:blocks|layers)\.(?P<b>\d+)",  # SwinIR's frame
        r"blocks\.(?P<b>\d+)",  # ESC
        r"body\.(?P<g>\d+)\.modules_gmsa\.gmsa_(?P<b>\d+)",  # ELAN
        r"residual_layer\.(?P<g>\d+)\.residual_layer\.\d+\.layer\.\d+",  # Omni-SR
        r"block(?P<g>\d+)\.residual_layer(?:\.0)?\.(?:S[LG]A(?P<b>\d)|BlockC)",  # ASID
    )
)
"""How the path of a map begins: up to the block whose input and output are the layer's features. What is numbered
there names the layer, `g` for the group and `b` for the block, both as the checkpoints count them."""


@dataclass(frozen=True)
class Geometry:
    """What a map's rows and columns stand for."""

    kind: Kind
    window: int | None
    """Side in pixels of the square that the queries come from; of a grid group, its side in tokens."""
    shift: int
    """Pixels that the raster of windows was rolled by, up and to the left."""
    heads: int
    rows: int | None
    """N, the queries of one map; None where they are all pixels of the image."""
    columns: int
    """M, the keys of one map."""
    softmax: bool
    """Whether every row is a distribution; correlations are none."""

    @property
    def cell(self) -> int:
        """Side in pixels of the square that one key stands for: above 1 where keys are condensed or permuted."""
        if self.window is None or self.kind == "channel":
            return 1
        return self.window // math.isqrt(self.columns)


@dataclass(frozen=True)
class Layer:
    """One attention of a network."""

    name: str
    """`g2.b3`, with what tells it from the other attentions of its block: `g2.b3.channel`."""
    path: str
    """Of its MapPoint, as in `model.get_submodule`."""
    block: str
    """Of the module whose input and output are its features; attentions side by side have one block."""
    geometry: Geometry
    shares: str | None = None
    """The name of the layer that made its map, where it makes none of its own."""
    foreign: Foreign | None = None
    """Of a network of somebody's own; None where a map point says everything."""

    @property
    def featured(self) -> bool:
        """Whether its block puts out features; somebody's may put out none."""
        return self.foreign is None or self.foreign.pixels is not None

    def arranged(self, attn: Tensor) -> Tensor:
        """Its map with its four axes, (B x windows, heads, N, M)."""
        return shaped(attn) if self.foreign is None else self.foreign.axes.arranged(attn)

    @property
    def label(self) -> str:
        """`g2.b3 (shifted)`: the name as pictures show it."""
        return f"{self.name} (shifted)" if self.geometry.shift else self.name


@dataclass(frozen=True)
class Seen:
    """What passed one layer in one forward pass."""

    layer: Layer
    map: Tensor
    """(B x windows, heads, N, M)."""
    before: Tensor
    """(B, pixels, C), raster order: what its block was given."""
    after: Tensor
    """The same of what its block returned."""


OnMap = Callable[[Layer, Tensor], None]
OnFeatures = Callable[[Layer, Tensor, Tensor], None]


def layers(model: nn.Module) -> tuple[Layer, ...]:
    """Every attention of a network in order of execution; none in one that has no attention.

    Of attentions side by side in one block, the order is that of the lean forward.
    """
    if isinstance(model, Tapped):
        return model.layers
    found: list[Layer] = []
    made: dict[str, str] = {}
    for path, point in model.named_modules():
        if not isinstance(point, MapPoint):
            continue
        layer = _layer(path, point)
        if point.handed_on is not None:
            if point.reuses:
                layer = replace(layer, shares=made[point.handed_on])
            else:
                made[point.handed_on] = layer.name
        found.append(layer)
    return tuple(found)


def _layer(path: str, point: MapPoint) -> Layer:
    place = next((m for pattern in PLACES if (m := pattern.match(path))), None)
    if place is None or point.columns is None:
        raise ValueError(f"no place in PLACES fits the attention map {path}, or it does not say how wide it is")
    numbered = [f"{k}{v}" for k, v in place.groupdict().items() if v is not None]
    geometry = Geometry(point.kind, point.window, point.shift, point.heads, point.rows, point.columns, point.softmax)
    return Layer(".".join([*numbered, *([point.role] if point.role else [])]), path, place.group(), geometry)


def find(name: str, known: Collection[Layer]) -> Layer:
    """The layer of that name, or a UserError with the nearest that there are."""
    for layer in known:
        if layer.name == name:
            return layer
    raise unknown("attention layer", name, [layer.name for layer in known], "workbench attention NAME --layers")


def watch(
    model: nn.Module,
    x: Tensor,
    on_map: OnMap | None = None,
    on_features: OnFeatures | None = None,
    only: Collection[Layer] | None = None,
    in_parts: bool = False,
) -> Tensor:
    """The network's output for x (B, 3, H, W); on the way, visitors get maps and features as they are made.

    A map is (B x windows, heads, N, M) and the network's own tensor: who wants it later copies it. HiT-SNG's n-gram
    context is visited twice, once for each of its directions, every other layer once; `in_parts`, as often as the lean
    forward makes some windows of the map, the first ones first, which is as fast as the plain pass. Nothing is kept
    here but a block's input until its output is there, and that only where somebody wants features. The output is
    that of the plain forward to the last bit, unless the lean forward would have made no map at all (HiT-SR), where
    sums are taken in another order.
    """
    wanted = layers(model) if only is None else tuple(only)
    seen: set[str] = set()
    with ExitStack() as stack, torch.inference_mode():
        for layer in wanted:
            hook = _map_hook(layer, on_map, seen)
            point = model.get_submodule(layer.path)
            assert isinstance(point, MapPoint)
            stack.callback(point.register_forward_hook(hook).remove)
            stack.callback(setattr, point, "in_parts", False)
            point.in_parts = in_parts
        for block in dict.fromkeys(layer.block for layer in wanted if layer.featured) if on_features else ():
            there = [layer for layer in wanted if layer.block == block]
            enter, leave = _feature_hooks(there, on_features, x)
            module = model.get_submodule(block)
            stack.callback(module.register_forward_pre_hook(enter, with_kwargs=True).remove)
            stack.callback(module.register_forward_hook(leave).remove)
        out: Tensor = model(x)
    if unseen := [layer for layer in wanted if layer.path not in seen]:
        why = "only naive attention makes maps; create the network with attention='naive'"
        if unseen[0].foreign:
            why = "it did at a first look, so what it does depends on content; leave it out, by --maps"
        raise UserError(f"The forward pass made no attention map of {unseen[0].name}: {why}.")
    return out


def capture(model: nn.Module, x: Tensor, only: Collection[Layer] | None = None) -> Iterator[Seen]:
    """What passes each layer while the network computes its output for x (B, 3, H, W), one layer after the other.

    The forward pass runs in a thread of its own and goes on when the next layer is asked for, so no more than one
    block's maps are held. Features are copies; a map is the network's own tensor, to be copied by whoever keeps it.
    """
    if only is None and not layers(model):
        raise UserError(f"{type(model).__name__} has no attention; with attention: {', '.join(models.attentive())}.")
    handed: queue.Queue[Seen | BaseException | None] = queue.Queue()
    turn = threading.Semaphore(0)
    given_up = threading.Event()
    held: dict[str, list[Tensor]] = {}

    def on_map(layer: Layer, attn: Tensor) -> None:
        held.setdefault(layer.path, []).append(attn)

    def on_features(layer: Layer, before: Tensor, after: Tensor) -> None:
        maps = held.pop(layer.path)
        handed.put(Seen(layer, maps[0] if len(maps) == 1 else torch.cat(maps), before, after.clone()))
        turn.acquire()
        if given_up.is_set():
            raise _EnoughError

    def work() -> None:
        turn.acquire()
        try:
            if not given_up.is_set():
                watch(model, x, on_map, on_features, only)
            handed.put(None)
        except _EnoughError:
            pass
        except BaseException as error:
            handed.put(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            turn.release()
            what = handed.get()
            if what is None:
                return
            if isinstance(what, BaseException):
                raise what
            yield what
            del what
    finally:
        given_up.set()
        turn.release()
        thread.join()


class _EnoughError(BaseException):
    """Whoever asked for layers wants no more of them; no error that a network's code could catch."""


def _map_hook(layer: Layer, on_map: OnMap | None, seen: set[str]) -> Callable[[nn.Module, Any, Tensor], None]:
    def hook(module: nn.Module, args: Any, attn: Tensor) -> None:
        seen.add(layer.path)
        if on_map is not None:
            on_map(layer, layer.arranged(attn))

    return hook


def shaped(attn: Tensor) -> Tensor:
    """A map with its four axes: (B x windows, heads, N, M), a view."""
    if attn.dim() == 3:  # of networks that have one head and no axis for it
        return attn[:, None]
    return attn.flatten(0, 1) if attn.dim() == 5 else attn  # images and groups in axes of their own


def _feature_hooks(there: list[Layer], on_features: OnFeatures | None, x: Tensor) -> tuple[Any, Any]:
    """Hooks of one block, by the layers in it."""
    before: list[Tensor] = []

    def enter(module: nn.Module, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        before.append(features(first((args, options)), x).clone())  # a lean block may write over its input

    def leave(module: nn.Module, args: Any, out: Any) -> None:
        given, after = before.pop(), features(first(out), x)
        for layer in there:
            assert on_features is not None
            on_features(layer, given, after)

    return enter, leave


def first(values: Any) -> Tensor:
    """The first tensor of what a module takes or returns."""
    found: Tensor = next(leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor))
    return found


def features(x: Tensor, image: Tensor) -> Tensor:
    """What a block takes or returns as tokens of each image (B, tokens, C): a view, but of tokens in windows.

    Somebody's block may have channels last, where the image (B, 3, H, W) tells, or windows in place of a batch.
    """
    last = x.dim() == 4 and x.shape[1:3] == image.shape[-2:] and x.shape[2:] != image.shape[-2:]
    found = x.flatten(1, 2) if last else tokens(x)
    return found if found.dim() == 3 and len(found) == len(image) else found.reshape(len(image), -1, found.shape[-1])


def tokens(x: Tensor) -> Tensor:
    """(B, C, H, W), or tokens as they are, to (B, H * W, C), a view."""
    return x.flatten(2).transpose(1, 2) if x.dim() == 4 else x
