"""The commands that say what a network would cost: fits, trace."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from .options import Commands, Json, print_json


def fits(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A variant, such as esc-x4.")],
    gpu: Annotated[str, typer.Option("--gpu", help="Memory of the GPU: 8GB, 8GiB, 500MB, or bytes.")],
    image: Annotated[str | None, typer.Option("--image", metavar="WxH", help="An input, in LR pixels.")] = None,
    overlap: Annotated[int, typer.Option("--overlap", help="LR pixels that tiles share.")] = 16,
    aspect: Annotated[str, typer.Option("--aspect", help="Width to height of the largest input.")] = "1:1",
    protocol: Annotated[list[str] | None, typer.Option("--protocol", help="How; repeatable [esc+lean, esc].")] = None,
    context: Annotated[str, typer.Option("--context", help="Kept for CUDA's context, an estimate.")] = "500MB",
    exact: Annotated[bool, typer.Option("--exact", help="Walk large inputs too, which can take minutes.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="What occupies the memory at the peak.")] = False,
    as_json: Json = False,
) -> None:
    """Say what fits into a GPU by planned memory: the largest input, or the tiles of an image."""
    from dataclasses import asdict

    from workbench import fits
    from workbench.protocols import find
    from workbench.report import fitting

    room = fits.room(gpu, context)
    ratio = fits.pair(aspect, ":", "--aspect", "the ratio of width to height, such as 16:9")
    width, height = fits.pair(image, "x", "--image", "LR width and height, such as 320x180") if image else (0, 0)
    answers = []
    for chosen in protocol or fits.FORWARDS:
        planner = fits.Planner(name, find(chosen), exact)
        answer = fits.image(planner, room, height, width, overlap) if image else fits.largest(planner, room, ratio)
        held = planner.held(answer.tiles.tile if answer.tiles else answer.whole) if explain else None
        answers.append(asdict(answer) | ({"explained": asdict(held[0]), "largest": held[1]} if held else {}))
        if not as_json:
            print(fitting.sentences(answer))
            if held:
                print(fitting.occupants(*held))
    if as_json:
        print_json(answers)


def trace(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A variant, such as esc-x4.")],
    protocol: Annotated[str, typer.Option("--protocol", help="How it is built and fed.")] = "esc",
    device: Annotated[str | None, typer.Option("--device", help="One of `workbench devices` [the protocol's].")] = None,
    by: Annotated[str | None, typer.Option("--by", help="module or operator [both].")] = None,
    depth: Annotated[int, typer.Option("--depth", help="Names of a module's path that are kept.")] = 2,
    top: Annotated[int, typer.Option("--top", help="How many modules and operators are shown.")] = 10,
    picture: Annotated[Path | None, typer.Option("--picture", metavar="FILE", help="Draw it: .png or .svg.")] = None,
    as_json: Json = False,
) -> None:
    """Take a network apart: what its modules and operators compute, move, and take at least (an estimate)."""
    from workbench import anatomy
    from workbench.report import roofline

    anatomy.check(by, top)
    if picture:
        roofline.check(picture)
    found = anatomy.dissect(name, protocol, device, depth)
    if picture:
        roofline.write(found, by, top, picture)
    if as_json:
        print_json(roofline.as_object(found, by, top))
    else:
        sys.stdout.write(roofline.text(found, by, top))


COMMANDS: Commands = {"fits": fits, "trace": trace}
