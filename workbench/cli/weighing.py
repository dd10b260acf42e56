"""The command that keeps trained weights: weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workbench.spec import UserError, unknown

from .options import Commands, Data, Json, listing, print_json

ACTIONS = ("list", "add", "fetch")


def weights(
    action: Annotated[str, typer.Argument(metavar="list|add|fetch", help="What to do.")] = "list",
    what: Annotated[
        list[str] | None, typer.Argument(metavar="FILE|NAME...", help="Files to add, or names to fetch.")
    ] = None,
    trained_on: Annotated[
        str | None, typer.Option("--trained-on", metavar="SET", help="Of added files that are in no list: DIV2K, DF2K.")
    ] = None,
    published: Annotated[
        str | None, typer.Option("--published", metavar="NAME", help="Which of the list an added file is.")
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List trained weights, add a file (known by its content), or fetch one that its authors publish."""
    from workbench import evaluate, weights

    if action not in ACTIONS:
        raise unknown("action of weights", action, ACTIONS, "workbench weights --help")
    home = evaluate.home(data)
    if action == "list":
        if what:
            raise UserError(f"workbench weights list takes no name, but was given {what[0]!r}; leave it out.")
        listing(weights.listed(home), as_json, ("name", "variants", "trained_on", "here", "get"))
        return
    if not what:
        raise UserError(f"Which? Name one: workbench weights {action} {'FILE' if action == 'add' else 'NAME'}")
    if action == "fetch" and (trained_on or published):
        raise UserError("--trained-on and --published are said of files that are added; leave them out of a fetch.")
    if published and len(what) > 1:
        raise UserError(f"--published {published} is said of one file, not of {len(what)}; add them one by one.")
    told = []
    for one in what:
        if action == "add":
            kept = weights.add(Path(one), home, trained_on, published)
        else:
            from workbench.weights import fetching

            kept = fetching.fetch(one, home)
        row = {k: str(v) if isinstance(v, Path) else v for k, v in vars(kept).items()}
        told.append(row)
        if not as_json:
            print(f"{one}: {weights.described(kept)}")
    if as_json:
        print_json(told)


COMMANDS: Commands = {"weights": weights}
