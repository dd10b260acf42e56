"""Somebody's network with map points in it, though its code knows of none: each call that makes a map passes one."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from workbench.models.parts.attention import MapPoint
from workbench.own import blame
from workbench.spec import Source, UserError

from .catching import Call, Catcher, plain

if TYPE_CHECKING:
    from .capture import Layer

Key = tuple[str, int]

ROOM = Path(__file__).resolve().parent


class Tap(MapPoint):
    """A map point outside of the network whose map passes it."""

    @property
    def wanted(self) -> bool:
        """Whether anybody waits for the map, or has it marked."""
        return self.watched or "forward" in vars(self)


class Tapped(nn.Module):
    """A network of somebody's own, whose attention is seen and exchanged as that of the catalogue's networks is.

    Nothing is caught while nobody waits for a map. Whoever waits is given a copy, so that a network may write over
    its maps, and what it goes on with is its own.
    """

    def __init__(
        self,
        net: nn.Module,
        found: Sequence[tuple[Key, Layer]],
        said: Mapping[str, Any],
        source: Source | None = None,
    ):
        super().__init__()
        self.net = net
        self.found = tuple(found)
        self.said = dict(said)
        """What was asked for of its maps, which belongs to every record."""
        self.source = source
        geometries = [layer.geometry for _, layer in found]
        self.points = nn.ModuleList(
            Tap("window", g.window, g.shift, heads=g.heads, rows=g.rows, columns=g.columns) for g in geometries
        )
        self.keys = {key: k for k, (key, _) in enumerate(found)}

    @property
    def layers(self) -> tuple[Layer, ...]:
        return tuple(layer for _, layer in self.found)

    def around(self, net: nn.Module) -> Tapped:
        """The same taps on another network of the same code."""
        return Tapped(net, self.found, self.said, self.source)

    def forward(self, x: Tensor) -> Tensor:
        if not any(point.wanted for point in self._taps()):
            with plain():
                return self.run(x)
        with Catcher(self.net, self._take, self._wanted).active():
            return self.run(x)

    def run(self, x: Tensor) -> Tensor:
        """The network's own output; what its code raises is told as a UserError, with its line."""
        try:
            y: Tensor = self.net(x)
        except (UserError, MemoryError):
            raise
        except Exception as error:
            if self.source is None or _ours(error):
                raise
            raise UserError(blame.sentence(error, "run", self.source)) from error
        return y

    def _taps(self) -> list[Tap]:
        return [point for point in self.points if isinstance(point, Tap)]

    def _wanted(self, key: Key) -> bool:
        return key in self.keys and self._taps()[self.keys[key]].wanted

    def _take(self, call: Call, attn: Tensor) -> Tensor:
        if not self._wanted(call.key):
            return attn
        point = self._taps()[self.keys[call.key]]
        if not point.watched:
            marked: Tensor = point(attn)
            return marked
        private = attn.clone()
        passed: Tensor = point(private)
        return attn if passed is private else passed.clone()


def _ours(error: Exception) -> bool:
    """Whether it was raised by who looked at a map, and not by somebody's forward."""
    files = [Path(frame.filename) for frame in traceback.extract_tb(error.__traceback__)]
    return any(file.is_relative_to(ROOM) and file.stem not in ("tapping", "catching") for file in files)
