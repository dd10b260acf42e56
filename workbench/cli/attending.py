"""The command that looks at attention: how much that of one layer repeats another's."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from workbench.spec import UserError

from .options import Commands, Data, Json, Records, Results, Trained, listing, print_json


def attention(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A variant with attention, such as swinir-light-x4.")],
    images: Annotated[
        list[str] | None,
        typer.Option(
            "--images", metavar="SET|DIR|FILE", help="A test set, or LR images; repeatable [five photographs]."
        ),
    ] = None,
    measure: Annotated[
        list[str] | None, typer.Option("--measure", metavar="M", help="Repeatable [all but the matched ones].")
    ] = None,
    weights: Trained = None,
    hr: Annotated[bool, typer.Option("--hr", help="Files are HR, as test sets are: feed their bicubic LR.")] = False,
    crop: Annotated[int | None, typer.Option("--crop", help="Side of the middle that is fed, in LR pixels.")] = None,
    all_pairs: Annotated[bool, typer.Option("--all-pairs", help="Jensen-Shannon too of all, not neighbours.")] = False,
    memory: Annotated[str, typer.Option("--memory", help="Bound on what it takes beside the forward pass.")] = "1GiB",
    layers: Annotated[bool, typer.Option("--layers", help="List the attention layers, measure nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Measure even what a record already answers.")] = False,
    records: Records = None,
    results: Results = None,
    data: Data = None,
    as_json: Json = False,
) -> int | None:
    """Compare the attention maps and features of a network's layers; pictures and CSV go to the results."""
    from workbench import fits, models, store, testsets
    from workbench.attention import choosing, measures, pictures, reading, study
    from workbench.report import attention as report

    wanted = measures.find(measure or measures.DEFAULT)
    room = fits.size(memory, "--memory")
    home = data or testsets.default()
    chosen = choosing.choose(name, weights, home)
    subject = study.subject(name, chosen, all_pairs)
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
    found = pictures.find(images or [], home, models.find(name).scale, hr)
    fed = pictures.fed(found, side)
    print(f"{choosing.told(name, chosen)}; {fed}", file=sys.stderr)
    folder = records or store.default()
    answers = study.run(subject, pictures.crops(found, side), wanted, folder, room, force)
    tables = reading.tables(subject, answers, folder)
    if as_json:
        print_json(report.as_objects(tables))
    else:
        sys.stdout.write(report.text(tables, fed))
        written = report.write(tables, reading.profiles(answers, folder), results or folder.parent)
        print(f"written: {written[0]}, and pictures beside {written[-1]}")
    return 1 if any(r.status == "failed" for one in answers for r in one) else None


COMMANDS: Commands = {"attention": attention}
