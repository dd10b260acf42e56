"""The commands of `workbench weights`: which trained weights there are, and how they come here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.passing import passing
from workbench.spec import UserError

from .options import Commands, Data, Json, listing, print_json

if TYPE_CHECKING:
    from workbench.weights import Weights

ABOUT = "Trained weights: list the published ones and yours, add a file, fetch one by name."


def list_weights(data: Data = None, as_json: Json = False) -> None:
    """List trained weights: the published ones and yours, what they fit, and how to get those that are not here."""
    from workbench import testsets, weights

    rows = weights.listed(data or testsets.default())
    listing(rows, as_json, ("name", "variants", "trained_on", "here", "get", "note"))


def add(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Checkpoints, under any name.")],
    trained_on: Annotated[
        str | None, typer.Option("--trained-on", metavar="SET", help="For files that are in no list: DIV2K, DF2K.")
    ] = None,
    published: Annotated[
        str | None, typer.Option("--published", metavar="NAME", help="Which one of the list a file is.")
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> int:
    """Copy checkpoints to your folder, each known by its content: which networks it fits, and whose it is."""
    from workbench import testsets, weights

    if published and len(files) > 1:
        raise UserError(f"--published {published} is said of one file, not of {len(files)}; add them one by one.")
    kept: list[Weights] = []
    refused = 0
    for file in files:
        try:
            with passing() as say:
                kept.append(weights.add(file, data or testsets.default(), trained_on, published, say=say))
        except UserError as error:
            refused += 1
            print(f"workbench: {error}", file=sys.stderr)
        else:
            if not as_json:
                print(f"{file}: {weights.described(kept[-1])}")
    if as_json:
        print_json([_row(w) for w in kept])
    return 2 if refused else 0


def fetch(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Of `workbench weights list`.")],
    data: Data = None,
    as_json: Json = False,
) -> int:
    """Download published weights, going on where an earlier download was cut off, and check what came."""
    from workbench import testsets, weights
    from workbench.weights import fetching

    kept: list[Weights] = []
    for name in names:
        fetching.check(name)
    for name in names:
        try:
            kept.append(fetching.fetch(name, data or testsets.default()))
        except UserError as error:
            print(f"workbench: {error}", file=sys.stderr)
        else:
            if not as_json:
                print(weights.described(kept[-1]))
    if as_json:
        print_json([_row(w) for w in kept])
    return 0 if len(kept) == len(names) else 2


def _row(weights: Weights) -> dict[str, Any]:
    return {k: str(v) if isinstance(v, Path) else v for k, v in vars(weights).items()}


COMMANDS: Commands = {"weights": {"list": list_weights, "add": add, "fetch": fetch}}
