"""The catalogue: which networks there are, by name, and how one is made.

Listing names must not cost an import of torch, so this file holds names alone; the family files hold the networks.
"""

from __future__ import annotations

import difflib
import importlib
import os
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from workbench import own
from workbench.spec import UserError, Variant, unknown

from .ablations import SETTINGS

if TYPE_CHECKING:
    from torch import nn

SCALES = (2, 3, 4)


PIXELS: dict[str, tuple[float, float]] = {
    "elan-light": (0.0, 255.0),
    "rdn": (0.0, 255.0),
    "rcan": (0.0, 255.0),
    "edsr-baseline": (0.0, 255.0),
    "omnisr": (-1.0, 1.0),
    "asid": (-1.0, 1.0),
    "asid-d8": (-1.0, 1.0),
}
"""Black and white as official weights of a model take and give them; of all others 0 and 1."""


@dataclass(frozen=True)
class Family:
    """One file of this folder and the models that it builds."""

    name: str
    paper: str
    models: tuple[str, ...]
    attends: bool = True
    """Whether its networks make attention maps."""


FAMILIES = (
    Family("esc", "ESC (ICCV 2025)", ("esc", "esc-light", "esc-fp")),
    Family("hit", "HiT-SR (ECCV 2024)", ("hit-sir", "hit-sng", "hit-srf")),
    Family("asid", "ASID (AAAI 2025)", ("asid", "asid-d8")),
    Family("omnisr", "Omni-SR (CVPR 2023)", ("omnisr",)),
    Family("swinir", "SwinIR (ICCVW 2021)", ("swinir-light",)),
    Family("srformer", "SRFormer (ICCV 2023)", ("srformer-light",)),
    Family("elan", "ELAN (ECCV 2022)", ("elan-light",)),
    Family("atd", "ATD (CVPR 2024)", ("atd-light",)),
    Family("mambair", "MambaIR (ECCV 2024)", ("mambair-light",), attends=False),
    Family("mambairv2", "MambaIRv2 (CVPR 2025)", ("mambairv2-light",)),
    Family("rdn", "RDN (CVPR 2018)", ("rdn",), attends=False),
    Family("rcan", "RCAN (ECCV 2018)", ("rcan",), attends=False),
    Family("edsr", "EDSR (CVPRW 2017)", ("edsr-baseline",), attends=False),
    Family("carn", "CARN (ECCV 2018)", ("carn", "carn-m"), attends=False),
    Family("imdn", "IMDN (ACM MM 2019)", ("imdn",), attends=False),
    Family("rfdn", "RFDN (ECCVW 2020)", ("rfdn",), attends=False),
)

VARIANTS: dict[str, Variant] = {
    f"{model}-x{scale}": Variant(f"{model}-x{scale}", model, family.name, scale, family.paper)
    for family in FAMILIES
    for model in family.models
    for scale in SCALES
}


FAMILY_OF = {model: family for family in FAMILIES for model in family.models}

ABLATED: dict[str, Variant] = {
    f"{name}-x{scale}": Variant(
        f"{name}-x{scale}", name, FAMILY_OF[model].name, scale, f"ablation of {FAMILY_OF[model].paper}"
    )
    for name, (model, _) in SETTINGS.items()
    for scale in SCALES
}
"""Networks that no paper published, beside the catalogue: `ablations.py` says what each changes."""


def attentive() -> list[str]:
    """The models that make attention maps."""
    return [model for family in FAMILIES if family.attends for model in family.models]


def find(name: str | Variant, asked: own.Asked | None = None) -> Variant:
    """The variant of that name, of the catalogue or ablated, or a UserError with its nearest neighbours.

    A variant is the one it is. With `asked`, a reference to a module of one's own is a name too: `./net.py:Net`.
    """
    if isinstance(name, Variant):
        return name
    if not isinstance(name, str):  # what cannot be a key is no name either
        raise _unknown(name)
    if known := VARIANTS.get(name) or ABLATED.get(name):
        if asked and (clash := own.references.clash(name)):
            raise clash
        return known
    if asked and (found := own.find(name, asked)):
        return found
    if own.references.parse(name):
        raise UserError(
            f"{name!r} is a network of your own, which is not taken here; measure, compare, trace, fits, attention,"
            " share and field take it."
        )
    raise _unknown(name)


def matching(pattern: str) -> list[str]:
    """The names that a name or glob picks: of ablations only where the catalogue has none, so `*` picks none."""
    for names in (VARIANTS, ABLATED):
        if found := [name for name in names if fnmatchcase(name, pattern)]:
            return found
    raise _unknown(pattern)


def _unknown(name: object) -> UserError:
    """Neighbours are looked for among the ablations where the nearest of all is one."""
    asked = str(name).lower().replace("_", "-")
    if not set(difflib.get_close_matches(asked, [*VARIANTS, *ABLATED], n=1, cutoff=0.5)) <= VARIANTS.keys():
        return unknown("variant", name, ABLATED, "workbench variants --ablations")
    return unknown("variant", name, VARIANTS, "workbench variants")


def create(
    name: str | Variant, device: str = "cpu", attention: str | None = None, forward: str | None = None
) -> nn.Module:
    """An untrained network in eval mode and float32, its weights drawn by its own initialisation.

    `attention`: naive (the default), sdpa or flex. `forward`: lean (the default) or faithful, which keeps
    the official code's order of work and so its memory and its cost. A network of somebody's own has one form; its
    code is imported here, so that is a thing for a process of its own.
    """
    import torch

    from .parts.attention import IMPLEMENTATIONS

    variant = find(name)
    if variant.source:
        from workbench.own.building import build

        return build(variant.source, variant.scale).model.to(device)
    network, settings = _network(variant)
    attention, forward = attention or "naive", forward or "lean"
    if attention not in network.ATTENTION:
        why = getattr(network, "ATTENTION_NOTE", "") if attention in IMPLEMENTATIONS else ""
        known = ", ".join(network.ATTENTION)
        raise UserError(
            f"{variant.name} has no attention implementation {attention!r}{f': {why}' if why else '.'} "
            f"Known for it: {known}."
        )
    if forward not in ("faithful", "lean"):
        raise UserError(f"No forward {forward!r}; a network works 'faithful' or 'lean'.")
    _check(device)
    with torch.device(device):
        module: nn.Module = network(scale=variant.scale, attention=attention, lean=forward == "lean", **settings)
    return module.float().eval()


def _check(device: str) -> None:
    """Refuse a device that torch cannot put a tensor on."""
    import torch

    try:
        torch.empty(0, device=torch.device(device))
    except Exception as error:  # torch has a kind for each: no such name, not built for it, no such card
        raise UserError(
            f"No network can be made on device {device!r}: torch {torch.__version__} cannot put a tensor there."
            " 'cpu' and 'meta' work with every torch; what else this machine has, and what it lacks: workbench doctor"
        ) from error


def load_checkpoint(model: nn.Module, path: str | os.PathLike[str]) -> nn.Module:
    """Put the trained weights of a file, under their official names, into a network that `create` made; return it.

    A UserError says why a file does not fit, and which variant it does fit; the network is then as it was.
    """
    from .checkpoint import load

    return load(model, path)


def supported(name: str) -> tuple[str, ...]:
    """The attention implementations a variant has."""
    implementations: tuple[str, ...] = _network(find(name))[0].ATTENTION
    return implementations


def _network(variant: Variant) -> tuple[Any, dict[str, Any]]:
    """The class of a variant's network, and the settings that make it this model."""
    model, changed = SETTINGS.get(variant.model, (variant.model, {}))
    network, settings = importlib.import_module(f"workbench.models.{variant.family}").MODELS[model]
    return network, {**settings, **changed}
