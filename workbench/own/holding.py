"""A network that is there already, in this process, such as one of a notebook: copies of it stand in for it.

Its class may exist nowhere else, so no fresh process can make it, and nothing identifies it, so no record is kept.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from workbench.spec import Source, UserError, Variant

from . import blame, state


def hold(model: nn.Module, scale: int | None) -> Variant:
    """The variant that it is; a small input shows its scale. Wherever it lies, a copy of it runs on the CPU."""
    from . import building, looking

    plain = _plain(model)
    source = Source(type(plain).__name__, "", held=plain)
    with state.untouched():
        made = building.build(source, scale).model
        try:
            found, _ = looking.tried(made, scale, source)
        except UserError:
            raise
        except Exception as error:  # whatever somebody's forward raises
            raise UserError(blame.sentence(error, "run", source)) from error
    return Variant(f"{source.reference}-x{found}", source.reference, "own", found, "your own", source)


def copied(model: nn.Module, label: str) -> nn.Module:
    """A copy that shares no tensor with it, its hooks included; they run as in any forward.

    What was computed and kept as a plain attribute, as weight_norm does, is copied without what it was computed from.
    """
    kept: dict[int, object] = {}
    for module in model.modules():
        for value in vars(module).values():
            if isinstance(value, Tensor) and not value.is_leaf:
                kept[id(value)] = value.detach().clone()
    try:
        return copy.deepcopy(model, kept)
    except Exception as error:
        raise UserError(
            f"{label} cannot be copied, and only copies are measured: {type(error).__name__}: {error}. "
            "Take out what cannot be copied (an open file, a lock, a graph), or name it by its file: './net.py:Net'."
        ) from error


def _plain(model: nn.Module) -> nn.Module:
    """The network that torch.compile was given; how it is run, the protocol says."""
    if isinstance(model, torch.jit.ScriptModule):
        raise UserError(
            f"{type(model).__name__} is TorchScript, whose operators cannot be seen one by one; give the nn.Module "
            "that it was made of."
        )
    inner = getattr(model, "_orig_mod", None)
    return inner if isinstance(inner, nn.Module) else model
