"""The commands that say what a network would cost: fits, trace."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.spec import UserError

from .options import Arguments, Commands, Json, Picture, Scale, Timeout, asked, carried, networks, print_json

if TYPE_CHECKING:
    from workbench.spec import Variant


def fits(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A variant, such as esc-x4.")],
    gpu: Annotated[str, typer.Option("--gpu", help="Memory of the GPU: 8GB, 8GiB, 500MB, or bytes.")],
    image: Annotated[str | None, typer.Option("--image", metavar="WxH", help="An input, in LR pixels.")] = None,
    overlap: Annotated[int | None, typer.Option("--overlap", help="LR pixels that tiles of IMAGE share [16].")] = None,
    aspect: Annotated[str, typer.Option("--aspect", help="Width to height of the largest input.")] = "1:1",
    protocol: Annotated[list[str] | None, typer.Option("--protocol", help="How; repeatable [esc+lean, esc].")] = None,
    context: Annotated[str, typer.Option("--context", help="Kept for CUDA's context, an estimate.")] = "500MB",
    exact: Annotated[bool, typer.Option("--exact", help="Walk large inputs too, which can take minutes.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="What occupies the memory at the peak.")] = False,
    scale: Scale = None,
    arg: Arguments = None,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Say what fits into a GPU by planned memory: the largest input, or the tiles of an image."""
    if overlap is not None and image is None:
        raise UserError(f"--overlap {overlap} is for tiles of an image, and none is given; name one: --image 640x360")
    beside = asked([name], scale, arg, timeout)
    (chosen,) = networks([name], beside)
    own = not isinstance(chosen, str) and chosen.source
    ways = protocol or (["esc"] if own else None)
    told = carried([chosen], beside, _fitted, chosen, gpu, image, overlap, aspect, ways, context, exact, explain)
    if as_json:
        print_json([answer for answer, _ in told])
    else:
        print("\n".join(line for _, lines in told for line in lines))


def _fitted(
    chosen: str | Variant,
    gpu: str,
    image: str | None,
    overlap: int | None,
    aspect: str,
    ways: list[str] | None,
    context: str,
    exact: bool,
    explain: bool,
) -> list[tuple[dict[str, Any], list[str]]]:
    """Each answer as JSON has it, and in words."""
    from dataclasses import asdict

    from workbench import fits
    from workbench.passing import passing
    from workbench.planner import Planner
    from workbench.protocols import find
    from workbench.report import fitting

    room = fits.room(gpu, context)
    ratio = fits.pair(aspect, ":", "--aspect", "the ratio of width to height, such as 16:9")
    width, height = fits.pair(image, "x", "--image", "LR width and height, such as 320x180") if image else (0, 0)
    shared = fits.OVERLAP if overlap is None else overlap
    answers = []
    for way in ways or fits.FORWARDS:
        with passing() as say:
            planner = Planner(chosen, find(way), exact, say)
            answer = fits.image(planner, room, height, width, shared) if image else fits.largest(planner, room, ratio)
            held = planner.held(answer.tiles.tile if answer.tiles else answer.whole) if explain else None
        shown = asdict(answer) | ({"explained": asdict(held[0]), "largest": held[1]} if held else {})
        answers.append((shown, [fitting.sentences(answer), *([fitting.occupants(*held)] if held else [])]))
    return answers


def trace(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A variant, such as esc-x4.")],
    protocol: Annotated[str, typer.Option("--protocol", help="How it is built and fed.")] = "esc",
    device: Annotated[str | None, typer.Option("--device", help="One of `workbench devices` [the protocol's].")] = None,
    by: Annotated[str | None, typer.Option("--by", help="module or operator [both].")] = None,
    depth: Annotated[int, typer.Option("--depth", help="Names of a module's path that are kept.")] = 2,
    top: Annotated[int, typer.Option("--top", help="How many modules and operators are shown.")] = 10,
    sort: Annotated[str, typer.Option("--sort", help="What is largest comes first: time, macs or bytes.")] = "time",
    picture: Picture = None,
    scale: Scale = None,
    arg: Arguments = None,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Take a network apart: what its modules and operators compute, move, and take at least (an estimate)."""
    from workbench import anatomy
    from workbench.report import plots

    anatomy.check(by, top, sort)
    if picture:
        plots.check(picture, "--picture")
        picture = picture.absolute()
    beside = asked([name], scale, arg, timeout)
    (chosen,) = networks([name], beside)
    told = carried([chosen], beside, _traced, chosen, protocol, device, depth, by, top, sort, picture)
    if as_json:
        print_json(told["object"])
    else:
        sys.stdout.write(told["text"])
        if picture:
            print(f"written: {picture}")


def _traced(
    chosen: str | Variant,
    protocol: str,
    device: str | None,
    depth: int,
    by: str | None,
    top: int,
    sort: str,
    picture: Path | None,
) -> dict[str, Any]:
    """A network taken apart, in words and as JSON has it; drawn, where that was asked for."""
    from workbench import anatomy
    from workbench.report import roofline

    found = anatomy.dissect(chosen, protocol, device, depth).ordered(sort)
    if picture:
        roofline.write(found, by, top, picture)
    return {"object": roofline.as_object(found, by, top), "text": roofline.text(found, by, top)}


COMMANDS: Commands = {"fits": fits, "trace": trace}
