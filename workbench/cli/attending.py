"""The command that looks at attention: how much that of one layer repeats another's."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.spec import UserError, Variant

from .options import (
    Arguments,
    Commands,
    Data,
    Json,
    Maps,
    Records,
    Results,
    Scale,
    Timeout,
    Trained,
    Windows,
    asked,
    attended,
    carried,
    listing,
    placed,
    print_json,
    rooted,
)

if TYPE_CHECKING:
    from workbench.attention.study import Subject


@dataclass(frozen=True)
class Looked:
    """What was asked of a network's attention; it travels to the process that looks."""

    images: tuple[str, ...]
    measures: tuple[str, ...]
    weights: str | None
    hr: bool
    crop: int | None
    all_pairs: bool
    memory: str
    layers: bool
    force: bool
    records: Path
    results: Path | None
    """None where no pictures are asked for."""
    home: Path
    maps: tuple[str, ...]
    windows: tuple[str, ...]


def attention(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A variant with attention, or ./net.py:Net.")],
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
    maps: Maps = None,
    window: Windows = None,
    scale: Scale = None,
    arg: Arguments = None,
    timeout: Timeout = None,
    records: Records = None,
    results: Results = None,
    data: Data = None,
    as_json: Json = False,
) -> int | None:
    """Compare the attention maps and features of a network's layers; pictures and CSV go to the results."""
    from workbench import store, testsets

    beside = asked([name], scale, arg, timeout)
    chosen = attended(name, beside, weights, maps, window)
    if crop is not None and crop < 1:
        raise UserError(f"--crop was given {crop}; give a number of LR pixels, such as 64.")
    folder = placed(chosen, records or store.default())
    home, written = placed(chosen, data or testsets.default()), placed(chosen, results or folder.parent)
    if not (layers or as_json):
        store.check_results(written)
    looked = Looked(
        rooted(chosen, images), tuple(measure or ()), weights, hr, crop, all_pairs, memory, layers, force, folder,
        None if as_json else written, home, tuple(maps or ()), tuple(window or ()),
    )  # fmt: skip
    told = carried([chosen], beside, _looked, chosen, looked)
    if layers:
        listing(told["objects"], as_json, tuple(told["columns"]))
    elif as_json:
        print_json(told["objects"])
    else:
        sys.stdout.write(told["text"])
        if not told["written"]:
            raise UserError(
                "Nothing was written: no measure that was asked for is defined here, for the reasons above. Ask for"
                " others by --measure, or take another --crop; what an earlier run wrote stays as it is."
            )
        print(f"written: {told['written'][0]}, and pictures beside {told['written'][-1]}")
        if told["lost"]:
            again = " ".join(f"--measure {name}" for name in told["lost"])
            print(f"replaced: the CSV of an earlier run, which had these too, as the records have still: {again}")
        if told["swept"]:
            print(f"removed: {told['swept']} files of pictures that an earlier run drew of other measures")
    return 1 if told.get("failed") else None


def _looked(chosen: str | Variant, asked: Looked) -> dict[str, Any]:
    """What was found, as objects and in words."""
    from workbench import fits, models
    from workbench.attention import measures, pictures, reading, study
    from workbench.report import attention as report

    wanted = measures.find(asked.measures or measures.DEFAULT)
    room = fits.size(asked.memory, "--memory")
    subject, told, listed = _subject(chosen, asked)
    if asked.layers:
        return listed
    side = asked.crop or measures.side(subject.layers)
    measures.check(subject.variant, subject.layers, side, side)
    found = pictures.find(asked.images, asked.home, models.find(chosen).scale, asked.hr)
    fed = pictures.fed(found, side)
    print(f"{told}; {fed}", file=sys.stderr)
    answers = study.run(subject, pictures.crops(found, side), wanted, asked.records, room, asked.force)
    tables = reading.tables(subject, answers, asked.records)
    failed = any(r.status == "failed" for one in answers for r in one)
    found_in: dict[str, Any] = {"objects": report.as_objects(tables), "text": report.text(tables, fed)}
    if asked.results:
        found_in["lost"] = report.lost(tables, asked.results)
        written = report.write(tables, reading.profiles(answers, asked.records), asked.results)
        found_in["written"] = [str(path) for path in written]
        found_in["swept"] = len(report.sweep(written, asked.results)) if written else 0
    return found_in | {"failed": failed}


def _subject(chosen: str | Variant, asked: Looked) -> tuple[Subject, str, dict[str, Any]]:
    """The network with its attention, what is said of it, and the listing of its layers."""
    from workbench import models
    from workbench.attention import choosing, picking, study, surveying

    variant = models.find(chosen)
    weights, told = choosing.chosen(variant, asked.weights, asked.home)
    if variant.source:
        wish = picking.Wish(asked.maps, surveying.windows(asked.windows))
        found = picking.network(variant, wish, asked.crop)
        columns = ("layer", "path", "call", "shape", "rows", "heads", "window", "map", "features", "note")
        subject = study.tapped(variant, found.net, asked.all_pairs)
        return subject, ". ".join([told, *picking.told(found)]), {"objects": picking.rows(found), "columns": columns}
    subject = study.subject(variant.name, weights, asked.all_pairs)
    rows = [{"name": x.name, "label": x.label, "shares": x.shares} | asdict(x.geometry) for x in subject.layers]
    shown = ("label", "kind", "window", "heads", "rows", "columns", "shares")
    return subject, told, {"objects": rows, "columns": shown}


COMMANDS: Commands = {"attention": attention}
