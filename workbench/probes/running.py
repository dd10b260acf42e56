"""What probes that run a network share: one run without gradients, its device idle again, and a look at its output."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from workbench.spec import Protocol, UserError


def once(model: nn.Module, x: Tensor) -> Tensor:
    """One forward, finished when this returns."""
    with torch.inference_mode():
        y: Tensor = model(x)
    wait(x)
    return y


def wait(x: Tensor) -> None:
    """Until the device of a tensor has done all it was given to do; a CPU always has."""
    if x.is_cuda:
        torch.cuda.synchronize(x.device)


def warm(model: nn.Module, x: Tensor, times: int = 1) -> None:
    """Run before it counts; an output that no image can have ends it here, since its cost would say nothing."""
    for _ in range(times):
        y = once(model, x)
        if bad := int((~torch.isfinite(y)).sum()):
            raise ValueError(f"the network put out {bad} numbers of {y.numel()} that are NaN or infinite")


def as_it_is(protocol: Protocol, what: str) -> None:
    """Refuse a protocol that wants the network compiled or as a graph, which this probe does not do."""
    if (wanted := protocol.execution.compile) != "none":
        raise UserError(f"{what} is measured of the network as it is, not with {wanted!r}; leave that out.")
