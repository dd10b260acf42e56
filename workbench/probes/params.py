"""Parameters: how many numbers a network holds that training could set."""

from __future__ import annotations

from torch import Tensor, nn

from workbench.spec import Protocol

from . import Reading


def measure(model: nn.Module, x: Tensor, protocol: Protocol) -> Reading:
    """Count every parameter once, shared ones included once, buffers not; frozen ones are told apart."""
    total = sum(p.numel() for p in model.parameters())
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    counted = trainable if protocol.counting.parameters == "trainable" else total
    return Reading((counted,), {"total": total, "trainable": trainable})
