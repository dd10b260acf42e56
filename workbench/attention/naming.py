"""What the attention of somebody's network is called, and which module's features are looked at beside each map."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from .axes import Foreign
from .capture import Layer
from .surveying import Sighting, Survey, matched
from .tapping import Key


def layers(chosen: Sequence[Sighting], seen: Survey, maps: Sequence[str]) -> list[tuple[Key, Layer]]:
    """A layer for each call, with the block whose features are looked at."""
    homes = [_home(s, chosen) for s in chosen]
    blocks = [_block(s, home, seen, maps) for s, home in zip(chosen, homes, strict=True)]
    many = {home for home, count in Counter(homes).items() if count > 1}
    short = dict(zip(dict.fromkeys(homes), shortened(list(dict.fromkeys(homes))), strict=True))
    counted, found = Counter[str](), []
    for k, (one, home, block) in enumerate(zip(chosen, homes, blocks, strict=True)):
        counted[home] += 1
        name = f"{short[home]}#{counted[home]}" if home in many else short[home]
        place = blocks[: k + 1].count(block) if len(set(blocks)) > 1 else 0
        numbers, tokens = math.prod(one.call.shape), seen.tokens.get(block)
        foreign = Foreign(one.place.axes, numbers, tokens, place, one.place.unknown)
        path = f"net.{block}" if block else "net"
        found.append((one.call.key, Layer(name, f"points.{k}", path, one.place.geometry, foreign=foreign)))
    return found


def _home(one: Sighting, chosen: Sequence[Sighting]) -> str:
    """The path that names a map: of the module that calls softmax, also where that is a module of its own."""
    if one.call.how != "nn.Softmax":
        return one.call.path
    parent = one.call.path.rpartition(".")[0]
    beside = {s.call.path for s in chosen if s.call.path.rpartition(".")[0] == parent or s.call.path == parent}
    return parent if len(beside) == 1 and parent else one.call.path


def _block(one: Sighting, home: str, seen: Survey, maps: Sequence[str]) -> str:
    """The module whose features are looked at: around what the pattern picked, or the nearest that has a number."""
    for pattern in maps:
        if (at := matched(pattern, one.call.path)) is not None:
            return at if _numbered(at) else _around(at, seen) or at
    path = home
    while path:
        if _numbered(path):
            return path
        path = _around(path, seen)
    return _around(home, seen) or home


def _numbered(path: str) -> bool:
    """Whether a module is one of a list, and so a block itself."""
    return path.rpartition(".")[2].isdigit()


def _around(path: str, seen: Survey) -> str:
    """The next module around one that ran; empty where only the network itself did."""
    while path:
        path = path.rpartition(".")[0]
        if path in seen.tokens:
            return path
    return ""


def shortened(paths: Sequence[str]) -> list[str]:
    """Paths without what all have in common, but for the word before a number: `layers.0.blocks.1`."""
    parts = [path.split(".") for path in paths]
    if len(paths) < 2 or len({len(p) for p in parts}) > 1:
        return [path or "net" for path in paths]
    varies = [len(set(column)) > 1 for column in zip(*parts, strict=True)]
    number = [all(word.isdigit() for word in column) for column in zip(*parts, strict=True)]
    kept = [v or (k + 1 < len(varies) and varies[k + 1] and number[k + 1]) for k, v in enumerate(varies)]
    return [".".join(word for word, keep in zip(p, kept, strict=True) if keep) for p in parts]
