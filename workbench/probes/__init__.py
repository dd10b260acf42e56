"""How a quantity is obtained. A probe is an entry of `PROBES`, and for most of them a file with its `measure`.

Listing the probes must not cost an import of torch, so this file holds their facts; the files hold how it is done.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from workbench import spec

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Reading:
    """What a probe returns: raw values, and what else there is to know about them."""

    values: tuple[float, ...]
    details: dict[str, Any]


class Measure(Protocol):
    """The signature of a probe's `measure`."""

    def __call__(self, model: nn.Module, x: Tensor, protocol: spec.Protocol) -> Reading: ...


@dataclass(frozen=True)
class Probe:
    """The facts of one probe."""

    name: str
    """Public name; its file, if it has one, is called the same, with underscores."""
    unit: str
    """Base unit of the values."""
    version: int
    """Raised when the same network would give another value; older records are stale from then on."""
    reads: tuple[str, ...]
    """The parts of a protocol that the value depends on."""
    timed: bool = False
    """Whether the value depends on the machine; then the machine is part of a record's identity."""
    real: bool = False
    """Whether it runs the network, on real tensors and the protocol's device; else they have shapes and no content."""
    apart: bool = False
    """Whether it is always measured in a fresh process."""
    images: bool = False
    """Whether it judges the images that a trained network makes: then weights and test set belong to a record."""
    across: str | None = None
    """The probe whose value this one takes under every protocol that could have made a printed figure."""

    @property
    def exact(self) -> bool:
        """Whether any two measurements of one thing agree to the last digit; a search's grow with the protocols."""
        return not (self.timed or self.real or self.across)

    @property
    def module(self) -> str | None:
        """The file that holds its `measure`. A search runs another probe; `evaluate` judges images by all at once."""
        return None if self.across or self.images else f"workbench.probes.{self.name.replace('-', '_')}"

    @property
    def measure(self) -> Measure:
        assert self.module, f"{self.name} has no file of its own"
        measure: Measure = importlib.import_module(self.module).measure
        return measure


COUNTED = (
    "input",
    "build",
    *(f"counting.{f}" for f in ("convention", "layer_norm", "selective_scan", "padding", "each")),
)

PROBES: dict[str, Probe] = {
    p.name: p
    for p in (
        Probe("params", "count", 1, ("counting.parameters",)),
        Probe("macs", "count", 1, COUNTED),
        Probe("activations", "count", 1, ("input", "build")),
        Probe("params-search", "count", 1, ("input.hr",), across="params"),
        Probe("macs-search", "count", 1, ("input.hr", "input.batch"), across="macs"),
        Probe("roofline", "seconds", 1, ("input", "build", "bound")),
        Probe("planned-memory", "bytes", 1, ("input", "build", "planning")),
        Probe("planned-memory-search", "bytes", 1, ("input.hr", "input.batch", "planning"), across="planned-memory"),
        Probe("latency", "seconds", 1, ("input", "build", "execution", "timing"), timed=True, real=True, apart=True),
        Probe("memory", "bytes", 1, ("input", "build", "execution"), timed=True, real=True, apart=True),
        Probe("energy", "joules", 1, ("input", "build", "execution"), timed=True, real=True, apart=True),
        Probe("quality", "decibels", 1, ("quality",), real=True, images=True),
        Probe("ssim", "fraction", 1, ("quality",), real=True, images=True),
    )
}

STUDIES = ("attention", "sharing", "sharing-plan", "field")
"""What `attention`, `share` and `field` call their records, which no probe makes."""


def find(name: str) -> Probe:
    """The probe of that name, or a UserError with its nearest neighbours."""
    try:
        return PROBES[name]
    except KeyError:
        raise spec.unknown("probe", name, PROBES, "workbench probes") from None
