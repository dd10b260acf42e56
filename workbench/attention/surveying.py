"""A first pass through somebody's network: every call that makes a map, where it is, and what its shape tells."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from workbench.spec import UserError

from .capture import features, first
from .catching import Call, Catcher
from .placing import Place, measured, place
from .tapping import Tapped

FUSED = ("flash_attn", "xformers", "torch.nn.attention.flex_attention", "sageattention", "natten")
"""Packages with kernels that make no map anybody could see."""

FEWEST = 8
"""Tokens of which features can be compared."""

SIDE = 64
"""LR pixels a side of the first look, where nobody says another."""


@dataclass(frozen=True)
class Window:
    """What was said of windows: their side, for the maps on paths that a pattern picks."""

    pattern: str
    side: int


@dataclass(frozen=True)
class Sighting:
    """One call that was seen."""

    call: Call
    place: Place
    why_not: str
    """Why it is no attention map; empty where it looks like one."""
    said: int | None = None
    """Side of its windows as the user said it."""


@dataclass
class Survey:
    """What one pass on noise showed."""

    sightings: list[Sighting] = field(default_factory=list)
    tokens: dict[str, int | None] = field(default_factory=dict)
    """Of every module that ran, by path, how many tokens of features it put out; None where it put out none."""
    hidden: dict[str, str] = field(default_factory=dict)
    """Kernels that show no map, each with where it was seen."""
    difference: float = 0.0
    """By how much the output of that pass was another than that of a plain one, at most."""
    largest: float = 0.0
    """The largest number in the plain output."""


def windows(said: Sequence[str]) -> tuple[Window, ...]:
    """What `--window` was given: `8`, or `PATTERN=8`."""
    found = []
    for word in said:
        pattern, _, side = word.rpartition("=")
        if not side.isdigit():
            raise UserError(
                f"--window {word!r} cannot be read; give the side of a window in pixels, 0 for none: --window 8, or"
                " for some maps only: --window 'layers.0.*=8'."
            )
        found.append(Window(pattern or "*", int(side)))
    return tuple(sorted(found, key=lambda w: w.pattern == "*"))


def survey(tapped: Tapped, height: int, width: int, said: Sequence[Window] = ()) -> Survey:
    """Every map that the network makes of noise between 0 and 1, of height x width pixels."""
    seen, net = Survey(), tapped.net
    x = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))

    def take(call: Call, attn: Tensor) -> Tensor:
        side = next((w.side for w in said if fits(w.pattern, call.path)), None)
        if attn.dim() < 2 or not attn.is_floating_point():
            return attn
        found = place(attn, height, width, call.heads, side)
        seen.sightings.append(Sighting(call, found, why_no_map(call, attn), side))
        return attn

    with torch.inference_mode():
        before = tapped(x)
        catcher = Catcher(net, take, lambda key: True)
        with _tokens(catcher, x, seen), catcher.active():
            after = tapped.run(x)
    seen.difference, seen.largest = float((after - before).abs().max()), float(before.abs().max())
    seen.hidden = {kernel: f"called in {path or 'its own forward'}" for kernel, path in catcher.foreign.items()}
    for kernel, file in _mentioned(net).items():
        seen.hidden.setdefault(kernel, f"imported by {file}")
    return seen


def why_no_map(call: Call, attn: Tensor) -> str:
    """Why what a call made is no attention map; empty where it looks like one."""
    if not call.last:
        return "its softmax does not go over the last axis"
    if attn.dim() < 2 or min(attn.shape[-2:]) < 2:
        return "it has one query or one key"
    if not attn.isfinite().all():
        return "it is not finite on noise between 0 and 1"
    return "" if measured(attn) else "its rows are no distributions: they do not sum to 1"


@contextlib.contextmanager
def _tokens(catcher: Catcher, x: Tensor, seen: Survey) -> Iterator[None]:
    """Take note of how many tokens every module puts out."""

    def leave(module: nn.Module, args: Any, output: Any) -> None:
        path = catcher.names.get(module)
        if path is None:
            return
        try:
            shape = features(first((args, output)), x).shape[1], features(first(output), x).shape[1]
        except (StopIteration, RuntimeError, IndexError):  # no tensor, or none that could be tokens
            shape = 0, 0
        seen.tokens[path] = shape[1] if min(shape) >= FEWEST else None

    handle = register_module_forward_hook(leave)
    try:
        yield
    finally:
        handle.remove()


def _mentioned(net: nn.Module) -> Mapping[str, str]:
    """Kernels without maps that the modules know in which the network's classes are written, and those modules."""
    found: dict[str, str] = {}
    for name in sorted({type(module).__module__ for module in net.modules()}):
        if name.partition(".")[0] in ("torch", "workbench"):
            continue
        for thing in vars(sys.modules.get(name, object)).values() if name in sys.modules else ():
            home = str(getattr(thing, "__module__", None) or getattr(thing, "__name__", ""))
            if kernel := next((k for k in FUSED if home == k or home.startswith(f"{k}.")), None):
                found.setdefault(kernel.rpartition(".")[2], name)
    return found


def fits(pattern: str, path: str) -> bool:
    """Whether a pattern picks the module at a path, or one around it; `*` stands for anything, dots too."""
    return matched(pattern, path) is not None


def matched(pattern: str, path: str) -> str | None:
    """The innermost module at or around a path that a pattern picks."""
    while True:
        if fnmatchcase(path, pattern):
            return path
        if not path:
            return None
        path = path.rpartition(".")[0]
