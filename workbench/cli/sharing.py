"""The commands that try networks on images: share, field."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Commands, Data, Json, Records, Trained, print_json

if TYPE_CHECKING:
    from workbench.attention.trials import Image

Name = Annotated[str, typer.Argument(metavar="NAME", help="A variant, such as swinir-light-x4.")]
Images = Annotated[
    list[str] | None,
    typer.Option("--images", metavar="SET|DIR|FILE", help="A test set, or HR images; repeatable [two photographs]."),
]
Crop = Annotated[int | None, typer.Option("--crop", help="LR pixels a side of each image's middle.")]
Force = Annotated[bool, typer.Option("--force", help="Measure even what a record already answers.")]
Picture = Annotated[Path | None, typer.Option("--picture", metavar="FILE", help="Draw it: .png or .svg.")]


def share(
    name: Name,
    images: Images = None,
    weights: Trained = None,
    bound: Annotated[float, typer.Option("--bound", help="dB of PSNR that a plan may lose.")] = 0.1,
    layer: Annotated[
        list[str] | None, typer.Option("--layer", help="Only pairs among these, such as g0.b1; repeatable [all].")
    ] = None,
    crop: Crop = None,
    records: Records = None,
    force: Force = False,
    picture: Picture = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Run a network with one layer's attention map in the place of another's: what is lost, what is saved."""
    from workbench import models, store, testsets
    from workbench.report import roofline, sharing

    variant = models.find(name)
    if picture:
        roofline.check(picture)
    from workbench.attention import choosing, shares, trials
    from workbench.attention.capture import layers

    home = data or testsets.default()
    chosen = choosing.choose(name, weights, home)
    net = trials.network(name, chosen)
    found = layers(net.model)
    side = shares.crop(found) if crop is None else crop
    shares.check(net, found, side, layer or [])
    middles, fed = _middles(images, home, side, variant.scale)
    print(f"{choosing.told(name, chosen)}; {fed}", file=sys.stderr)
    study = shares.Study(net, middles, layer or [])
    told = study.run(records or store.default(), bound, force)
    if picture:
        sharing.write(told, picture)
    if as_json:
        print_json(sharing.rows(told))
    else:
        sys.stdout.write(sharing.text(told))
        if picture:
            print(f"written: {picture}")


def field(
    name: Name,
    images: Images = None,
    weights: Trained = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Steps of the path from blurred to sharp.")] = None,
    crop: Crop = None,
    records: Records = None,
    force: Force = False,
    picture: Picture = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Say how far a network looks: the receptive field of its centre in effect, and what a patch is attributed to."""
    from workbench import models, store, testsets
    from workbench.report import fields as report
    from workbench.report import roofline

    variant = models.find(name)
    if picture:
        roofline.check(picture)
    from workbench.attention import choosing, fields, trials
    from workbench.attention.field import STEPS

    home = data or testsets.default()
    chosen = choosing.choose(name, weights, home)
    net = trials.network(name, chosen)
    middles, fed = _middles(images, home, fields.CROP if crop is None else crop, variant.scale)
    print(f"{choosing.told(name, chosen)}; {fed}", file=sys.stderr)
    told = fields.study(net, middles, records or store.default(), STEPS if steps is None else steps, force)
    if picture:
        report.write(told, picture)
    if as_json:
        print_json(report.rows(told))
    else:
        sys.stdout.write(report.text(told))
        if picture:
            print(f"written: {picture}")


def _middles(named: list[str] | None, home: Path, side: int, scale: int) -> tuple[list[Image], str]:
    """The middles of the images, and what is fed of them."""
    from workbench.attention import pictures, trials

    found = pictures.find(named or [], home, scale, hr=True, default=pictures.LARGE)
    middles = trials.middles(found, side, scale)
    return middles, pictures.fed(found, side)


COMMANDS: Commands = {"share": share, "field": field}
