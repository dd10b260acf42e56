"""The command that looks at attention: how much that of one layer repeats another's."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from workbench.spec import UserError

from .options import Commands, Json, Records, Results, listing, print_json


def attention(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A variant with attention, such as swinir-light-x4.")],
    images: Annotated[
        list[Path] | None, typer.Option("--images", metavar="DIR|FILE", help="Repeatable [five photographs].")
    ] = None,
    measure: Annotated[
        list[str] | None, typer.Option("--measure", metavar="M", help="Repeatable [all but the matched ones].")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", metavar="FILE", help="Trained weights [none: untrained].")
    ] = None,
    hr: Annotated[bool, typer.Option("--hr", help="The images are HR: feed their bicubic LR.")] = False,
    crop: Annotated[int | None, typer.Option("--crop", help="Side of the middle that is fed, in LR pixels.")] = None,
    all_pairs: Annotated[bool, typer.Option("--all-pairs", help="Jensen-Shannon too of all, not neighbours.")] = False,
    memory: Annotated[str, typer.Option("--memory", help="Bound on what it takes beside the forward pass.")] = "1GiB",
    layers: Annotated[bool, typer.Option("--layers", help="List the attention layers, measure nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Measure even what a record already answers.")] = False,
    records: Records = None,
    results: Results = None,
    as_json: Json = False,
) -> int | None:
    """Compare the attention maps and features of a network's layers; pictures and CSV go to the results."""
    from workbench import fits, models, store
    from workbench.attention import measures, pictures, reading, study
    from workbench.report import attention as report

    wanted = measures.find(measure or measures.DEFAULT)
    room = fits.size(memory, "--memory")
    subject = study.subject(name, weights, all_pairs)
    if layers:
        rows = [{"name": x.name, "label": x.label, "shares": x.shares} | asdict(x.geometry) for x in subject.layers]
        listing(rows, as_json, ("label", "kind", "window", "heads", "rows", "columns", "shares"))
        return None
    if crop is not None and crop < 1:
        raise UserError(
            f"--crop was given {crop}; give a number of LR pixels, such as {measures.side(subject.layers)}."
        )
    side = crop or measures.side(subject.layers)
    measures.check(name, subject.layers, side, side)
    files = pictures.paths(images or [])
    scale = models.find(name).scale if hr else None
    folder = records or store.default()
    answers = study.run(subject, pictures.crops(files, side, scale), wanted, folder, room, force)
    tables = reading.tables(subject, answers, folder)
    if as_json:
        print_json(report.as_objects(tables))
    else:
        low = f"LR (bicubic, x{scale}) of " if scale else ""
        fed = f"{side}x{side} pixels from the {low}{len(files)} image{'s' * (len(files) > 1)}"
        sys.stdout.write(report.text(tables, fed))
        written = report.write(tables, reading.profiles(answers, folder), results or folder.parent)
        print(f"written: {written[0]}, and pictures beside {written[-1]}")
    return 1 if any(r.status == "failed" for one in answers for r in one) else None


COMMANDS: Commands = {"attention": attention}
