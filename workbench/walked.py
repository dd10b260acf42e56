"""What a walk of a network leaves: operator calls with shapes, memory with its life. `tracing` hands all of it on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

BLOCK = 512
"""CUDA's caching allocator rounds every allocation up to this many bytes."""


class Shape(tuple[int, ...]):
    """The shape that a tensor had, and what else there is to know about the tensor."""

    dtype: str = "float32"
    bytes: int = 0
    """Bytes of its distinct elements: what an expanded tensor repeats is there once."""
    storage: int = -1
    """Index in `Trace.storages` of the memory it looks at; -1 for a tensor on the host."""
    contiguous: bool = True


@dataclass(frozen=True)
class Call:
    """One operator call."""

    op: str
    """Name without overload: `aten.conv2d`; `flex_attention` for the fused operator of that name."""
    module: str
    """Path of the innermost module that was running."""
    kind: str
    """Class of that module with the module it is defined in: `torch.nn.modules.conv.Conv2d`."""
    arguments: tuple[Any, ...]
    """The positional arguments, each tensor replaced by its `Shape`; keywords of the call are in `keywords`."""
    keywords: Mapping[str, Any]
    outputs: tuple[Shape, ...]
    read: int
    """Bytes it reads at least: its operands, each once. A view reads nothing."""
    written: int
    """Bytes it writes at least: its results. A view writes nothing."""
    host: bool
    """Whether it works on the host's tensors, though the network's input lies on a device."""
    live: int
    """Bytes alive after the call, parameters and input included."""

    @property
    def name(self) -> str:
        """The operator without its namespace: `conv2d`."""
        return self.op.rpartition(".")[2]


@dataclass
class Storage:
    """A piece of memory, from the call that made it to the moment nobody looks at it."""

    bytes: int
    """As asked for, not rounded."""
    shape: Shape
    """The tensor it was made for."""
    role: Literal["parameter", "buffer", "input", "made"]
    op: str
    """The operator that made it; empty for what was there before the first."""
    module: str
    """Path of the module that made it, or that owns it."""
    born: int
    """Index of the call that made it; -1 for what was there before the first."""
    died: int | None = None
    """Index of the first call that it did not live to see; None if it outlived all."""

    @property
    def rounded(self) -> int:
        return -(-self.bytes // BLOCK) * BLOCK


@dataclass
class Trace:
    """What one pass showed."""

    calls: list[Call] = field(default_factory=list)
    storages: list[Storage] = field(default_factory=list)
    events: list[tuple[Literal["made", "called", "died"], int]] = field(default_factory=list)
    """What happened, in order: a storage was made or died, a call returned; with its index."""
    modules: dict[str, str] = field(default_factory=dict)
    """The modules that ran, by path, in the order they began first; each with its class as in `Call.kind`."""
    peak: int = 0
    """Largest number of bytes alive at once, each storage rounded up to `BLOCK`."""
    peak_call: int = -1
    """Index of the call after which that was reached; -1 before the first."""

    def alive(self, call: int) -> list[Storage]:
        """What was alive right after a call, largest first."""
        there = [s for s in self.storages if s.born <= call and (s.died is None or s.died > call)]
        return sorted(there, key=lambda s: -s.rounded)
