"""Which of the calls that a survey saw are a network's attention: by pattern, or by their looks."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from workbench import models
from workbench.spec import Source, UserError, Variant

from . import measures
from .naming import layers
from .surveying import SIDE, Sighting, Survey, Window, fits, survey
from .tapping import Tapped

SEED = 0
"""Of the weights that a network draws when it is made."""

ALIKE = 1e-4
"""Of the largest number in the output: a pass that catches maps may differ from a plain one by so much."""


@dataclass(frozen=True)
class Wish:
    """What was said of a network's maps."""

    maps: tuple[str, ...] = ()
    """Patterns of the paths of modules; none for every call that looks like an attention map."""
    windows: tuple[Window, ...] = ()

    @property
    def conditions(self) -> dict[str, Any]:
        """What belongs to the identity of a record."""
        return {"maps": list(self.maps), "windows": [[w.pattern, w.side] for w in self.windows]}


@dataclass(frozen=True)
class Picked:
    """A network with its attention found, and all that was seen on the way."""

    net: Tapped
    survey: Survey
    side: int
    """LR pixels a side of the image that was looked at."""
    taken: tuple[Sighting, ...]
    """Those of `net.layers`, in their order."""


def network(variant: Variant, wish: Wish, crop: int | None = None) -> Picked:
    """A network of one's own with taps at its attention: made anew, its weights as its code makes them.

    It is looked at on `crop` LR pixels a side; where nobody says how many, on as many as its windows want.
    """
    assert variant.source is not None
    torch.manual_seed(SEED)
    net = models.create(variant).requires_grad_(False)
    found = _picked(net, variant, wish, crop or SIDE)
    best = measures.side(found.net.layers)
    return found if crop or best == SIDE else _picked(net, variant, wish, best)


def _picked(net: nn.Module, variant: Variant, wish: Wish, side: int) -> Picked:
    source = variant.source
    seen = survey(Tapped(net, (), {}, source), side, side, wish.windows)
    chosen = pick(seen, wish, variant.name, source)
    return Picked(Tapped(net, layers(chosen, seen, wish.maps), wish.conditions, source), seen, side, tuple(chosen))


def pick(seen: Survey, wish: Wish, who: str, source: Source | None = None) -> list[Sighting]:
    """The calls that are wanted, in order of execution; a UserError where there is none, and what there is."""
    listing = f"workbench attention {source.reference if source else who} --layers"
    if not wish.maps:
        chosen = [s for s in seen.sightings if not s.why_not]
        if not chosen:
            raise UserError(f"Found no map in {who}: {_nothing(seen)}")
    else:
        for pattern in wish.maps:
            here = [s for s in seen.sightings if fits(pattern, s.call.path)]
            if not here:
                why = _none_at(pattern, seen)
                raise UserError(f"Found no map in {who} at --maps {pattern!r}: {why} All calls: {listing}")
            if bad := next((s for s in here if s.why_not), None):
                others = sum(not s.why_not for s in here)
                raise UserError(
                    f"--maps {pattern!r} picks {where(bad)}, which is no attention map: {bad.why_not}."
                    f" {others} other calls that it picks are; say them by a closer pattern. All calls: {listing}"
                )
        chosen = [s for s in seen.sightings if any(fits(p, s.call.path) for p in wish.maps)]
    for one in chosen:
        if one.said and one.place.geometry.window != one.said:
            queries, keys = one.call.shape[-2:]
            raise UserError(
                f"--window {one.said} was said, which is {one.said**2} pixels, and {where(one)} has {queries} queries"
                f" and {keys} keys. Say which maps have such windows: --window 'PATTERN={one.said}'."
            )
    return chosen


def where(one: Sighting) -> str:
    """The call in words: `the softmax of layers.0.attn`."""
    return f"the {one.call.how} in {one.call.path or 'its own forward'}"


def _nothing(seen: Survey) -> str:
    hidden = _hidden(seen)
    if not seen.sightings:
        ran = "no softmax and no scaled_dot_product_attention ran."
        return f"{ran}{hidden or ' An attention written with exp and sums cannot be seen; have it call softmax.'}"
    first = seen.sightings[0]
    return f"{len(seen.sightings)} calls ran, such as {where(first)}, but {first.why_not}.{hidden}"


def _none_at(pattern: str, seen: Survey) -> str:
    ran = [path for path in seen.tokens if fits(pattern, path)]
    if ran:
        return f"{len(ran)} modules fit, such as {ran[0]}, but no softmax ran in them.{_hidden(seen)}"
    if not seen.sightings:
        return f"{_nothing(seen)}"
    known = list(dict.fromkeys(s.call.path for s in seen.sightings if not s.why_not))
    told = f"{known[0]} to {known[-1]}" if len(known) > 1 else "".join(known) or "no module"
    return f"no module is called so. Maps are made in {told}.{_hidden(seen)}"


def _hidden(seen: Survey) -> str:
    told = ", ".join(f"{kernel} ({place})" for kernel, place in seen.hidden.items())
    return f" Kernels that show no map, and so cannot be caught: {told}." if told else ""


def told(found: Picked) -> list[str]:
    """What has to be said of how the maps were found, in sentences."""
    said = []
    if found.survey.difference > ALIKE * max(found.survey.largest, 1e-30):
        said.append(
            f"with its maps caught the output differs by up to {found.survey.difference:.2g} from the plain one: the"
            " network draws numbers, or its attention is not what its call says"
        )
    notes = Counter(note for s in found.taken for note in s.place.notes)
    said += [f"{note} ({count} of {len(found.taken)} maps)" for note, count in notes.items()]
    guessed = [s.place.geometry for s in found.taken if s.place.geometry.window]
    if guessed and not any(g.shift for g in guessed):
        said.append("no mask of a rolled raster was seen: windows that are rolled without one are taken for others")
    unknown = Counter(s.place.unknown for s in found.taken if s.place.unknown)
    said += [f"places unknown: {why} ({count} of {len(found.taken)} maps)" for why, count in unknown.items()]
    return [*said, *([_hidden(found.survey).strip()] if found.survey.hidden else [])]


def rows(found: Picked) -> list[dict[str, Any]]:
    """Every call that was seen, for `--layers`."""
    taken = {s.call.key: layer for s, (_, layer) in zip(found.taken, found.net.found, strict=True)}
    listed = []
    for one in found.survey.sightings:
        layer, g = taken.get(one.call.key), one.place.geometry
        window = f"{g.window}x{g.window}" + (f", rolled by {g.shift}" if g.shift else "") if g.window else "unknown"
        listed.append(
            {
                "layer": layer.name if layer else None,
                "path": one.call.path,
                "call": one.call.how,
                "shape": "x".join(map(str, one.call.shape)),
                "rows": math.prod(one.call.shape[:-2]) // g.heads,
                "heads": g.heads,
                "window": window if not one.why_not else "",
                "map": not one.why_not,
                "features": layer.block.removeprefix("net").removeprefix(".") if layer else None,
                "note": one.why_not or "; ".join(filter(None, [*one.place.notes, one.place.unknown])),
            }
        )
    return listed
