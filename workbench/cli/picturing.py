"""The commands that make pictures: upscale, crops."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from workbench.spec import UserError

from .options import Commands, Data, Json, print_json


def upscale(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Pictures: 8-bit RGB or grey, no alpha.")],
    model: Annotated[str, typer.Option("--model", metavar="NAME", help="A variant, such as hit-srf-x4.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="A file for one image, or a folder.")],
    weights: Annotated[
        str | None, typer.Option("--weights", metavar="NAME|FILE", help="Its weights, if there are several.")
    ] = None,
    ensemble: Annotated[bool, typer.Option("--ensemble", help="The mean of eight flips and turns.")] = False,
    data: Data = None,
    as_json: Json = False,
) -> int:
    """Make pictures larger with a trained network, in tiles where a whole one would not fit into memory."""
    from workbench import pictures, testsets

    made = []
    code = 0
    for one in pictures.upscale(images, model, weights, out, ensemble, data or testsets.default()):
        made.append(one)
        if one.why:
            code = 2
            print(f"workbench: {one.why}", file=sys.stderr)
        elif not as_json:
            print(one)
    if as_json:
        print_json([one.as_object() for one in made])
    return code


def crops(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="An original: it is made small first.")],
    region: Annotated[str, typer.Option("--region", metavar="X,Y,W,H", help="In pixels of the original.")],
    ways: Annotated[str, typer.Option("--models", metavar="A,B,C", help="Variants, or VARIANT=WEIGHTS.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="The strip: .png or .svg.")],
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Draw the comparison strip: one region of an image as bicubic and several networks make it."""
    from workbench import crops, testsets
    from workbench.report import strips

    strips.check(out)
    where = crops.region(region)
    chosen = crops.ways(ways)
    if out.resolve() == image.resolve():
        raise UserError(f"{out} would be written over the picture that is read; name another place with -o.")
    strip = crops.strip(image, where, chosen, data or testsets.default())
    strips.write(strip, out)
    rows = [{"name": p.name, "weights": p.weights, "psnr": p.psnr, "ssim": p.ssim} for p in strip.panels[1:]]
    if as_json:
        print_json({"written": str(out), "scale": strip.scale, "panels": rows})
        return
    for panel in strip.panels[1:]:
        print(f"{panel.name:22} {panel.psnr:7.3f} dB  {panel.ssim:.4f}  {panel.weights}".rstrip())
    print(f"written: {out}")


COMMANDS: Commands = {"upscale": upscale, "crops": crops}
