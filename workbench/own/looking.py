"""The first look at somebody's network, in a process of its own: that it is one, its scale, what it switched."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from workbench.spec import Source, UserError

from . import blame, building, state

SIZES = ((24, 32), (64, 96), (64, 64), (128, 192))
"""Height and width of the inputs it is tried on, until it takes one; in the first ones the sides cannot be mixed up."""


class Stages:
    """What is being done, kept in a file, so that it is known of a process that never came to tell."""

    def __init__(self, file: str):
        self.file = Path(file)
        self.now = ""

    def begin(self, stage: str) -> None:
        self.now = stage
        self.file.write_text(stage)


def look(source: Source, scale: int | None, file: str) -> dict[str, Any]:
    """What is to be known of a source before anything is measured; what its user can mend is told under `mend`."""
    stages, hosts = Stages(file), _hosts()
    try:
        stages.begin("import")
        building.load(source)
        stages.begin("construct")
        built = building.build(source, scale)
        stages.begin("run")
        before = state.now()
        found, size = tried(built.model, scale or built.scale, source)
        later = state.changed(before)
    except UserError as error:
        return {"mend": str(error)}
    except MemoryError:
        return {"mend": f"{source.reference} {blame.DOING[stages.now]}: memory ran out."}
    except (Exception, SystemExit) as error:
        return {"mend": blame.sentence(error, stages.now, source)}
    files, digest = building.files(source)
    noted = {"switched": built.changed, "switched in forward": later, "asked the network": sorted(hosts)}
    seen = {name: value for name, value in (built.seen | noted).items() if value}
    files, digest = (files, digest) if files else (built.files, built.digest)
    return {"scale": found, "tried": list(size), "files": files, "digest": digest, "seen": seen}


def tried(model: nn.Module, scale: int | None, source: Source) -> tuple[int, tuple[int, int]]:
    """Its scale, as a small input shows it, and the size of the input that it took."""
    first: Exception | None = None
    for height, width in SIZES:
        x = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
        try:
            with torch.inference_mode():
                y = model(x)
        except Exception as error:  # a size may be too small for it, or no multiple of what it wants
            first = first or error
            continue
        return checked(y, (height, width), scale, source), (height, width)
    assert first is not None
    raise first


def checked(y: Any, size: tuple[int, int], scale: int | None, source: Source) -> int:
    """The scale that an output shows, or a UserError where it is not what was asked for."""
    name, (height, width) = source.reference, size
    if not isinstance(y, torch.Tensor):
        kind = f"a {type(y).__name__} of {len(y)}" if isinstance(y, (tuple, list, dict)) else f"{building.a(y)}"
        raise UserError(f"{name} puts out {kind} and no tensor; have its forward return the image alone.")
    if y.dim() != 4 or y.shape[:2] != (1, 3):
        raise UserError(
            f"{name} makes {tuple(y.shape)} of (1, 3, {height}, {width}); asked is (B,3,sH,sW), in 3 channels."
        )
    own, left = divmod(y.shape[2], height)
    fits = own if not left and tuple(y.shape[2:]) == (own * height, own * width) and own else None
    made = f"{y.shape[3]}x{y.shape[2]} of an input of {width}x{height}"
    if fits is None:
        raise UserError(
            f"{name} puts out {made}, which is no whole multiple; no --scale fits that. Mend its upsampler."
        )
    if scale not in (None, fits):
        raise UserError(
            f"{name} puts out {made}, and x{scale} was asked, which is {width * int(scale or 0)}x"
            f"{height * int(scale or 0)}. --scale {fits} would fit."
        )
    if bad := int((~torch.isfinite(y)).sum()):
        raise UserError(
            f"{name} puts out {bad} numbers of {y.numel()} that are NaN or infinite, for an input from 0 to 1. Look "
            "at its initialisation (torch.empty is not zeros), or at a division."
        )
    return fits


def _hosts() -> set[str]:
    """The names that are asked of the network from now on, as they come in; no hook of this kind can be removed."""
    hosts = set[str]()

    def heard(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.getaddrinfo" and arguments[0]:
            hosts.add(str(arguments[0]))

    sys.addaudithook(heard)
    return hosts
