"""Networks as a protocol has them built: of shapes only, or with their input where they are to run."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from workbench import models
from workbench.spec import Build, Protocol, UserError, Variant

if TYPE_CHECKING:
    from torch import Tensor, nn

SEED = 0
"""Of weights and input, where a network runs."""


@lru_cache(maxsize=4)
def kept(variant: str, build: Build) -> nn.Module:
    """A network of shapes only; those last made are kept, since several probes and protocols read the same ones."""
    return _built(models.find(variant), build, "meta")


def _built(variant: Variant, build: Build, device: str) -> nn.Module:
    model = models.create(variant, device=device, attention=build.attention, forward=build.forward)
    if not build.shifted:
        shifting = [m for m in model.modules() if getattr(m, "shift", 0)]
        if not shifting:
            raise UserError(f"{variant.name} shifts no window, so there is nothing that +unshifted could leave out.")
        for module in shifting:
            module.shift = 0  # type: ignore[assignment]  # a number, neither tensor nor module
    return model.train(build.mode == "train")


def check(variant: Variant, protocol: Protocol) -> None:
    """Refuse a network of the catalogue that cannot be built as a protocol says, before anybody waits for it."""
    if variant.source is None:
        _built(variant, protocol.build, "meta")


def real(variant: Variant, protocol: Protocol) -> tuple[nn.Module, Tensor]:
    """A network and its input where they are to run, drawn from a fixed seed, so that all devices have the same."""
    import torch

    device, dtype = protocol.execution.device, getattr(torch, protocol.input.dtype)
    torch.manual_seed(SEED)
    model = _built(variant, protocol.build, "cpu")
    x = torch.rand(protocol.input.batch, 3, *protocol.input.lr(variant.scale))
    return model.to(device, dtype), x.to(device, dtype)
