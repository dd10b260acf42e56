"""The commands for results of several machines: export, import, leaderboard, diff."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from workbench.spec import Record, UserError

from .options import Commands, Json, Records, fraction, look, print_json

CHANGED = 3
"""The exit code of `diff --check` where something changed for the worse: neither a mistake of the user nor a defect."""

Select = Annotated[
    list[str] | None,
    typer.Option("--select", metavar="FIELD=GLOB", help="variant, probe, protocol or machine; repeatable: probe=macs."),
]


def export(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE.zip", help="The file to write.")],
    select: Select = None,
    records: Records = None,
    as_json: Json = False,
) -> None:
    """Pack records, with their side files, machines and checksums, into one file that can be sent."""
    from workbench import bundles, store

    if bundle.suffix != ".zip":
        raise UserError(f"A bundle is a zip, and {str(bundle)!r} is named otherwise; give a name that ends in .zip.")
    store.check_file(bundle, "")
    folder = records or store.default()
    contents = look(records)
    chosen = bundles.selected(contents.records, select or ())
    if not chosen:
        picked = f" that {' and '.join(select)} picks" if select else ""
        raise UserError(f"No record{picked} in {folder}, so there is nothing to export. See them: workbench records")
    store.replace(bundle, bundles.packed(chosen, folder), "")
    held = bundles.opened(bundle)
    machines = sorted({r.machine for r in held.records})
    if as_json:
        told = {"records": len(held.records), "side_files": len(held.sides), "machines": machines}
        print_json(told | {"bundle": str(bundle), "digest": held.digest})
        return
    size = f"{bundle.stat().st_size:,} bytes"
    print(f"{bundle}: {_number(len(held.records), 'record')}, {_number(len(held.sides), 'side file')}, {size}")
    print("\n".join(f"  {machine}" for machine in machines))
    print(f"digest {held.digest}")


def import_(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE.zip", help="A file that `workbench export` made.")],
    select: Select = None,
    digest: Annotated[str | None, typer.Option(help="What `export` printed, told another way.")] = None,
    skip: Annotated[
        bool, typer.Option("--skip-conflicts", help="Take what is in no conflict with what is here, or its clock.")
    ] = False,
    records: Records = None,
    as_json: Json = False,
) -> None:
    """Add the records of a bundle that are not here yet; whose machine each is from stays with it."""
    from workbench import bundles, merging, store

    folder = records or store.default()
    held = bundles.opened(bundle)
    if digest is not None and digest != held.digest:
        raise UserError(
            f"The bundle {bundle} has the digest {held.digest}, and {digest!r} was expected: it is another one, or was "
            "changed. Nothing was taken."
        )
    chosen = bundles.selected(held.records, select or ())
    sides = {name: held.sides[name] for r in chosen for name in bundles.names(r) if name in held.sides}
    merged = merging.merge(replace(held, records=tuple(chosen), sides=sides), folder, skip)
    if merged.ahead:
        first = max(merged.ahead, key=lambda r: r.recorded_at)
        print(
            f"workbench: {_number(len(merged.ahead), 'record')} dated later than now by this clock, up to "
            f"{first.recorded_at}: until then they stand before what is measured here.",
            file=sys.stderr,
        )
    if merged.wrong:
        print(
            f"workbench: {_number(len(merged.wrong), 'record')} dated more than a day later than now by this clock, up "
            f"to {max(r.recorded_at for r in merged.wrong)}: left out, and in {bundle} still.",
            file=sys.stderr,
        )
    if merged.strange:
        named = ", ".join(sorted({r.probe for r in merged.strange}))
        print(
            f"workbench: {_number(len(merged.strange), 'record')} of what this version knows no probe for: {named}. "
            "Kept for one that does; here only `workbench records` shows them.",
            file=sys.stderr,
        )
    for mine, its in merged.conflicts:
        print(
            f"workbench: {merging.differing(mine, its)}; what is here stays as it is.",
            file=sys.stderr,
        )
    if as_json:
        conflicts = len(merged.conflicts) + len(merged.wrong)
        told = {"came": dict(merged.came), "known": merged.known, "conflicts": conflicts}
        print_json(told | {"side_files": merged.sides})
        return
    new = sum(merged.came.values())
    print(f"{_number(new, 'new record')}, {merged.known} known already, {_number(merged.sides, 'new side file')}.")
    for machine, number in sorted(merged.came.items()):
        print(f"  {number} of {machine}")


def leaderboard(
    by: Annotated[str, typer.Option("--by", metavar="PROBE", help="latency, memory or energy.")] = "latency",
    select: Select = None,
    format: Annotated[str | None, typer.Option("--format", help="md, csv, tex, html or json [md].")] = None,
    records: Records = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Rank networks by what they take, one board for each device, protocol and scale: devices are never mixed."""
    from workbench import bundles, leaders
    from workbench.report import standings
    from workbench.spec import unknown

    if as_json and format not in (None, "json"):
        raise UserError(f"--json and --format {format} ask for two formats; give one of them.")
    ranked = (leaders.BY, *leaders.BESIDE)
    if by not in ranked:
        raise unknown("quantity to rank by", by, ranked, "workbench leaderboard --help")
    boards = leaders.boards(bundles.selected(look(records).newest().values(), select or ()), by)
    text = standings.render(boards, "json" if as_json else format or "md")
    if not boards:
        raise UserError(
            f"No record of {by} is there to rank{' that --select picks' if select else ''}. Measure: workbench measure "
            f"'*-x4' --probe {by} --protocol cpu"
        )
    sys.stdout.write(text)


def diff(
    before: Annotated[str, typer.Argument(metavar="A", help="A folder, a bundle, an address, or git:COMMIT.")],
    after: Annotated[str, typer.Argument(metavar="B", help="The same; what changed from A to B is said.")],
    select: Select = None,
    margin: Annotated[float | None, fraction("--margin", "What times may differ by anyway: 0.05 or 5% [0.05].")] = None,
    check: Annotated[bool, typer.Option("--check", help="Exit code 3 if any is slower, changed, lost, gone.")] = False,
    as_json: Json = False,
) -> int:
    """Say what changed between two states of records: exactly where things are counted, beyond noise where timed."""
    from workbench import bundles, changes, states
    from workbench.report import standings

    allowed = changes.MARGIN if margin is None else margin
    if allowed < 0:
        raise UserError(f"--margin was given {allowed:g}; give a fraction from 0 to 1, such as 0.05, or 5%.")

    def newest(named: str) -> Mapping[str, Record]:
        contents = states.state(named).told()
        return replace(contents, records=tuple(bundles.selected(contents.records, select or ()))).newest()

    sides = newest(before), newest(after)
    if select and not any(sides):
        raise UserError(
            f"--select {' and '.join(select)} picks no record of {before} or {after}, so nothing would be compared. "
            "See what there is: workbench records"
        )
    found = changes.between(*sides, allowed)
    if as_json:
        print_json([standings.change_object(c) for c in found])
    else:
        sys.stdout.write(standings.changes(found, allowed, changes.RATE))
    return CHANGED if check and any(c.kind in changes.FAILING for c in found) else 0


def _number(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


COMMANDS: Commands = {"export": export, "import": import_, "leaderboard": leaderboard, "diff": diff}
