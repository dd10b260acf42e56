"""The commands that try networks on images: share, field."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import Commands, Data, Json, Records, Trained, print_json

if TYPE_CHECKING:
    from workbench.attention.trials import Image, Network

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
    subject = _subject(name, weights, picture, data)
    from workbench import store
    from workbench.attention import shares
    from workbench.attention.capture import layers
    from workbench.report import sharing

    found = layers(subject.net.model)
    side = shares.crop(found) if crop is None else crop
    shares.check(subject.net, found, side, layer or [])
    study = shares.Study(subject.net, _middles(subject, images, side), layer or [])
    _show(sharing, study.run(records or store.default(), bound, force), picture, as_json)


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
    subject = _subject(name, weights, picture, data)
    from workbench import store
    from workbench.attention import fields
    from workbench.attention.field import STEPS
    from workbench.report import fields as report

    middles = _middles(subject, images, fields.CROP if crop is None else crop)
    found = fields.study(subject.net, middles, records or store.default(), STEPS if steps is None else steps, force)
    _show(report, found, picture, as_json)


@dataclass(frozen=True)
class _Subject:
    """What is tried on images: a network, its weights in words, and the user's folder."""

    net: Network
    weights: str
    home: Path


def _subject(name: str, weights: str | None, picture: Path | None, data: Path | None) -> _Subject:
    """What was asked for; what is wrong with a name or a file to draw is told before torch is imported."""
    from workbench import models, testsets
    from workbench.report import roofline

    models.find(name)
    if picture:
        roofline.check(picture)
    from workbench.attention import choosing, trials

    home = data or testsets.default()
    chosen = choosing.choose(name, weights, home)
    return _Subject(trials.network(name, chosen), choosing.told(name, chosen), home)


def _middles(subject: _Subject, named: list[str] | None, side: int) -> list[Image]:
    """The middles of the images; what is fed, and by which weights, is told first."""
    from workbench.attention import pictures, trials

    scale = subject.net.variant.scale
    found = pictures.find(named or [], subject.home, scale, hr=True, default=pictures.LARGE)
    middles = trials.middles(found, side, scale)
    print(f"{subject.weights}; {pictures.fed(found, side)}", file=sys.stderr)
    return middles


def _show(report: Any, found: Any, picture: Path | None, as_json: bool) -> None:
    """What was found, by the file of `report` that formats it: a picture if one is wanted, then text or JSON."""
    if picture:
        report.write(found, picture)
    if as_json:
        print_json(report.rows(found))
    else:
        sys.stdout.write(report.text(found))


COMMANDS: Commands = {"share": share, "field": field}
