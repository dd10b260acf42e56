"""The commands that try networks on images: share, field."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from workbench.spec import UserError

from .options import Commands, Json, Records, print_json

Name = Annotated[str, typer.Argument(metavar="NAME", help="A variant, such as swinir-light-x4.")]
Images = Annotated[
    list[Path] | None,
    typer.Option("--images", metavar="DIR|FILE", help="HR images; repeatable [two photographs of scikit-image]."),
]
Weights = Annotated[
    Path | None, typer.Option("--weights", metavar="FILE", help="A checkpoint; without, the network is untrained.")
]
Crop = Annotated[int | None, typer.Option("--crop", help="LR pixels a side of each image's middle.")]
Force = Annotated[bool, typer.Option("--force", help="Measure even what a record already answers.")]
Picture = Annotated[Path | None, typer.Option("--picture", metavar="FILE", help="Draw it: .png or .svg.")]

DEFAULT = ("astronaut.png", "hubble_deep_field.jpg")
"""Photographs in scikit-image that are large enough for two of every network's windows."""


def share(
    name: Name,
    images: Images = None,
    weights: Weights = None,
    bound: Annotated[float, typer.Option("--bound", help="dB of PSNR that a plan may lose.")] = 0.1,
    layer: Annotated[
        list[str] | None, typer.Option("--layer", help="Only pairs among these, such as g0.b1; repeatable [all].")
    ] = None,
    crop: Crop = None,
    records: Records = None,
    force: Force = False,
    picture: Picture = None,
    as_json: Json = False,
) -> None:
    """Run a network with one layer's attention map in the place of another's: what is lost, what is saved."""
    from workbench import models, store
    from workbench.report import roofline, sharing

    variant = models.find(name)
    if picture:
        roofline.check(picture)
    from workbench.attention import shares, trials
    from workbench.attention.capture import layers

    net = trials.network(name, weights)
    found = layers(net.model)
    side = shares.crop(found) if crop is None else crop
    shares.check(net, found, side, layer or [])
    study = shares.Study(net, trials.middles(_paths(images), side, variant.scale), layer or [])
    told = study.run(records or store.default(), bound, force)
    if picture:
        sharing.write(told, picture)
    if as_json:
        print_json(sharing.rows(told))
    else:
        sys.stdout.write(sharing.text(told))


def field(
    name: Name,
    images: Images = None,
    weights: Weights = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Steps of the path from blurred to sharp.")] = None,
    crop: Crop = None,
    records: Records = None,
    force: Force = False,
    picture: Picture = None,
    as_json: Json = False,
) -> None:
    """Say how far a network looks: the receptive field of its centre in effect, and what a patch is attributed to."""
    from workbench import models, store
    from workbench.report import fields as report
    from workbench.report import roofline

    variant = models.find(name)
    if picture:
        roofline.check(picture)
    from workbench.attention import fields, trials
    from workbench.attention.field import STEPS

    net = trials.network(name, weights)
    middles = trials.middles(_paths(images), fields.CROP if crop is None else crop, variant.scale)
    told = fields.study(net, middles, records or store.default(), STEPS if steps is None else steps, force)
    if picture:
        report.write(told, picture)
    if as_json:
        print_json(report.rows(told))
    else:
        sys.stdout.write(report.text(told))


def _paths(named: list[Path] | None) -> list[Path]:
    from workbench.attention import pictures

    if named:
        if any(not str(path) or str(path) == "." for path in named):
            raise UserError("--images was given an empty path; name a folder or a file, or leave it out.")
        return pictures.paths(named)
    import skimage

    return [Path(skimage.__file__).parent / "data" / name for name in DEFAULT]


COMMANDS: Commands = {"share": share, "field": field}
