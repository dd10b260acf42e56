"""The command that takes ideas out of networks and says what they cost: ablate."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from .options import Commands, Json, Records, Results, print_json


def ablate(
    family: Annotated[str, typer.Argument(metavar="FAMILY", help="esc or asid.")],
    scale: Annotated[list[int] | None, typer.Option("--scale", help="2, 3 or 4; repeatable [4].")] = None,
    protocol: Annotated[str, typer.Option("--protocol", help="How costs are counted and planned.")] = "esc",
    latency: Annotated[bool, typer.Option("--latency", help="Time every network too, on this machine's CPU.")] = False,
    records: Records = None,
    results: Results = None,
    as_json: Json = False,
) -> int:
    """Turn a paper's ideas off step by step, untrained: curves of parameters, multiply-adds, memory and latency."""
    from workbench import curves, execute, progress, protocols, store
    from workbench.report import ablations

    chosen, at, name = curves.family(family), curves.scales(scale or [curves.SCALE]), protocols.find(protocol).name
    folder = records or store.default()
    target = results or folder.parent
    if not as_json:
        store.check_results(target)
    wanted = curves.requests(chosen, at, name, latency)
    contents = store.read(folder).told()
    known = contents.newest()
    done = progress.run(execute.missing(wanted, known), folder, since=contents, asked=len(wanted), what="ablate")
    known.update({d.request.identity: d.record for d in done})
    shown = curves.read(known, name, chosen, at)
    if as_json:
        print_json(ablations.as_objects(shown))
    else:
        sys.stdout.write(ablations.text(shown))
        written = ablations.write(curves.read(known, name), shown, target)
        print(f"written: {', '.join(map(str, written))}")
    return progress.conclude([d.record for d in done])


COMMANDS: Commands = {"ablate": ablate}
