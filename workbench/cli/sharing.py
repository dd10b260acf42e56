"""The commands that try networks on images: share, field."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.spec import Variant

from .options import (
    Arguments,
    Commands,
    Data,
    Json,
    Maps,
    Picture,
    Records,
    Scale,
    Timeout,
    Trained,
    Windows,
    asked,
    attended,
    carried,
    placed,
    print_json,
    rooted,
)

if TYPE_CHECKING:
    from workbench.attention.trials import Image

Name = Annotated[str, typer.Argument(metavar="NAME", help="A variant, such as swinir-light-x4, or ./net.py:Net.")]
Images = Annotated[
    list[str] | None,
    typer.Option("--images", metavar="SET|DIR|FILE", help="A test set, or HR images; repeatable [two photographs]."),
]
Crop = Annotated[int | None, typer.Option("--crop", help="LR pixels a side of each image's middle.")]
Force = Annotated[bool, typer.Option("--force", help="Measure even what a record already answers.")]


@dataclass(frozen=True)
class Tried:
    """What was asked of a network that is tried on images; it travels to the process that tries it."""

    images: tuple[str, ...]
    weights: str | None
    crop: int | None
    records: Path
    home: Path
    force: bool
    picture: Path | None


def share(
    name: Name,
    images: Images = None,
    weights: Trained = None,
    bound: Annotated[float, typer.Option("--bound", help="dB of PSNR that a plan may lose.")] = 0.1,
    layer: Annotated[
        list[str] | None, typer.Option("--layer", help="Only pairs among these, such as g0.b1; repeatable [all].")
    ] = None,
    crop: Crop = None,
    maps: Maps = None,
    window: Windows = None,
    scale: Scale = None,
    arg: Arguments = None,
    timeout: Timeout = None,
    records: Records = None,
    force: Force = False,
    picture: Picture = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Run a network with one layer's attention map in the place of another's: what is lost, what is saved."""
    beside = asked([name], scale, arg, timeout)
    chosen = attended(name, beside, weights, maps, window)
    tried = _tried(chosen, images, weights, crop, records, data, force, picture)
    said = tuple(maps or ()), tuple(window or ())
    _shown(carried([chosen], beside, _shared, chosen, tried, bound, tuple(layer or ()), *said), as_json)


def _shared(
    chosen: str | Variant,
    tried: Tried,
    bound: float,
    named: tuple[str, ...],
    maps: tuple[str, ...],
    windows: tuple[str, ...],
) -> dict[str, Any]:
    """What sharing costs and saves, as objects and in words."""
    from workbench import models
    from workbench.attention import choosing, picking, shares, surveying, trials
    from workbench.attention.capture import layers
    from workbench.report import sharing

    variant = models.find(chosen)
    weights, told = choosing.chosen(variant, tried.weights, tried.home)
    if variant.source:
        picked = picking.network(variant, picking.Wish(maps, surveying.windows(windows)), tried.crop)
        net = trials.Network(variant, picked.net, None, (0.0, 1.0))
        told = ". ".join([told, *picking.told(picked)])
    else:
        net = trials.network(variant, weights)
    found = layers(net.model)
    side = shares.crop(found) if tried.crop is None else tried.crop
    shares.check(net, found, side, named)
    middles, fed = _middles(tried, side, variant.scale)
    print(f"{told}; {fed}", file=sys.stderr)
    answer = shares.Study(net, middles, named).run(tried.records, bound, tried.force)
    if tried.picture:
        sharing.write(answer, tried.picture)
    return {"objects": sharing.rows(answer), "text": sharing.text(answer) + _written(tried.picture)}


def field(
    name: Name,
    images: Images = None,
    weights: Trained = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Steps of the path from blurred to sharp.")] = None,
    crop: Crop = None,
    scale: Scale = None,
    arg: Arguments = None,
    timeout: Timeout = None,
    records: Records = None,
    force: Force = False,
    picture: Picture = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Say how far a network looks: the receptive field of its centre in effect, and what a patch is attributed to."""
    beside = asked([name], scale, arg, timeout)
    chosen = attended(name, beside, weights, None, None)
    tried = _tried(chosen, images, weights, crop, records, data, force, picture)
    _shown(carried([chosen], beside, _seen, chosen, tried, steps), as_json)


def _seen(chosen: str | Variant, tried: Tried, steps: int | None) -> dict[str, Any]:
    """How far a network looks, as objects and in words."""
    from workbench import models
    from workbench.attention import choosing, fields, trials
    from workbench.attention.field import STEPS
    from workbench.report import fields as report

    variant = models.find(chosen)
    weights, told = choosing.chosen(variant, tried.weights, tried.home)
    net = trials.network(variant, weights)
    middles, fed = _middles(tried, fields.CROP if tried.crop is None else tried.crop, variant.scale)
    print(f"{told}; {fed}", file=sys.stderr)
    answer = fields.study(net, middles, tried.records, STEPS if steps is None else steps, tried.force)
    if tried.picture:
        report.write(answer, tried.picture)
    return {"objects": report.rows(answer), "text": report.text(answer) + _written(tried.picture)}


def _tried(
    chosen: str | Variant,
    images: list[str] | None,
    weights: str | None,
    crop: int | None,
    records: Path | None,
    data: Path | None,
    force: bool,
    picture: Path | None,
) -> Tried:
    """What both commands are asked."""
    from workbench import store, testsets
    from workbench.report import plots

    if picture:
        plots.check(picture, "--picture")
        picture = placed(chosen, picture)
    folder, home = placed(chosen, records or store.default()), placed(chosen, data or testsets.default())
    return Tried(rooted(chosen, images), weights, crop, folder, home, force, picture)


def _written(picture: Path | None) -> str:
    return f"written: {picture}\n" if picture else ""


def _shown(told: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(told["objects"])
    else:
        sys.stdout.write(told["text"])


def _middles(tried: Tried, side: int, scale: int) -> tuple[list[Image], str]:
    """The middles of the images, and what is fed of them."""
    from workbench.attention import pictures, trials

    found = pictures.find(tried.images, tried.home, scale, hr=True, default=pictures.LARGE)
    middles = trials.middles(found, side, scale)
    return middles, pictures.fed(found, side)


COMMANDS: Commands = {"share": share, "field": field}
