"""The commands of sweep files: plan, sweep."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.spec import Status, UserError

from .options import Commands, Data, Json, Logs, On, Records, listing, patience, print_json, say

if TYPE_CHECKING:
    from workbench.execute import Request
    from workbench.plans import Plan, Row

File = Annotated[Path, typer.Argument(metavar="FILE.toml", help="A sweep file: grids of measurements.")]
Insist = Annotated[bool, typer.Option("--insist", help="Measure even what is planned not to fit.")]


def plan(
    file: File,
    data: Data = None,
    records: Records = None,
    insist: Insist = False,
    as_json: Json = False,
) -> None:
    """Say what a sweep would measure, how long that may take, and what would not fit into its GPU.

    What it counts for that, planned memory, is stored.
    """
    from workbench import grids, plans, store, testsets

    folder = records or store.default()
    asked = list(grids.read(file, data or testsets.default()).requests)
    machines = dict.fromkeys(r.machine for r in store.read(folder).told().records)
    found = _planned(plans.bound(asked, machines), folder, insist, unkept=True)
    if as_json:
        print_json(found.as_object())
        return
    rows = [_shown(row) for row in found.rows]
    listing(rows, False, ("probe", "protocol", "asked", "done", "missing", "left out", "time", "peak"))
    print("\n".join(found.sentences()))


def sweep(
    file: File,
    on: On = "local",
    logs: Logs = False,
    data: Data = None,
    records: Records = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds for one measurement; implies --apart.")] = None,
    apart: Annotated[bool, typer.Option("--apart", help="Each measurement in a fresh process.")] = False,
    insist: Insist = False,
    as_json: Json = False,
) -> int:
    """Measure what of a sweep file is missing: here, on a Ray cluster, or as jobs of Slurm."""
    from workbench import cluster, execute, grids, progress, store, testsets

    patience(timeout)
    cluster.kind(on)
    folder = records or store.default()
    asked = list(grids.read(file, data or testsets.default()).requests)
    known = store.read(folder).told().newest()
    how = execute.apart(timeout) if apart or timeout is not None else execute.measure
    with cluster.opened(on, asked, known, how, folder, timeout, logs, say) as there:
        found = _planned(there.requests, folder, insist)
        for sentence in found.sentences()[:-1]:
            say(sentence)
        todo, contents, counts, shared = found.missing, store.read(folder), Counter[Status](), 0
        again = {request.identity for request in todo}
        earlier = [known[a.identity] for a in found.asked if a.identity in known and a.identity not in again]
        without = [r for r in earlier if r.status in ("failed", "timeout")]
        for done in progress.each(todo, folder, there.engine, contents, len(asked), "sweep", there.hands(todo)):
            shared += not done.ours
            counts[done.record.status] += done.ours
            without += [done.record] if done.record.status != "ok" else []
    told = progress.summary(len(asked), counts, shared, found.done)
    print(told, file=sys.stderr if as_json else sys.stdout)
    if as_json:
        known = store.read(folder).newest()
        print_json([store.to_json(execute.answer(r, known)) for r in found.asked if r.identity in known])
    return progress.conclude(without)


def _planned(asked: Sequence[Request], folder: Path, insist: bool, unkept: bool = False) -> Plan:
    """A plan, after what it needs of planned memory was counted and stored; or, if `unkept` will do, counted."""
    from workbench import execute, plans, progress, store

    contents = store.read(folder)
    known = contents.newest()
    if not insist:
        needed = execute.missing(plans.peaks(execute.missing(asked, known)), known)
        if needed and unkept and (why := _unwritable(folder)):
            say(f"Planned memory could not be stored, and is counted anew by each plan: {why}")
            known.update({request.identity: execute.measure(request) for request in needed})
            needed = []
        for done in progress.run(needed, folder, since=contents, asked=len(needed), what="memory to plan with"):
            known[done.request.identity] = done.record
    return plans.make(asked, known, contents.records, insist)


def _unwritable(folder: Path) -> str | None:
    """Why no record can be stored there, if none can."""
    from workbench import store

    try:
        with store.Writer(folder) as writer:
            writer.check()
    except UserError as error:
        return str(error)
    return None


def _shown(row: Row) -> dict[str, Any]:
    """A row of a plan, in words."""
    from workbench.forecast import words

    told = {"time": "" if row.seconds is None else words(row.seconds), "left out": row.left_out}
    return asdict(row) | told | {"peak": "" if row.peak is None else f"{row.peak / 1e9:.2f} GB"}


COMMANDS: Commands = {"plan": plan, "sweep": sweep}
