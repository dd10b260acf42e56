"""Parameters: how many numbers a network holds that training could set."""

from __future__ import annotations

from torch import Tensor, nn

from workbench.spec import Protocol
from workbench.tracing import traced

from . import Reading
from .prices import HOOKED


def measure(model: nn.Module, x: Tensor, protocol: Protocol) -> Reading:
    """Count every parameter once, shared ones included once, buffers not; frozen ones are told apart."""
    details = {
        "total": sum(p.numel() for p in model.parameters()),
        "trainable": sum(p.numel() for p in model.parameters() if p.requires_grad),
    }
    if protocol.counting.parameters == "hook-visible":
        details["hook-visible"], details["unseen"] = _hooked(model, x)
    return Reading((details[protocol.counting.parameters],), details)


def _hooked(model: nn.Module, x: Tensor) -> tuple[int, int]:
    """What a counter of hooks sees: own parameters of modules that ran and have a rule; and how many it does not."""
    ran = traced(model, x).modules
    seen = {p for path, kind in ran.items() if kind in HOOKED for p in model.get_submodule(path).parameters()}
    unseen = {p for p in model.parameters() if p not in seen}
    return sum(p.numel() for p in seen), sum(p.numel() for p in unseen)
