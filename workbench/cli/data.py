"""The commands of `workbench data`: which test sets are here, and where the others are to be had."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.passing import passing
from workbench.spec import UserError

from .options import Commands, Data, Json, listing

if TYPE_CHECKING:
    from workbench.testsets import TestSet

ABOUT = "Test sets: list the known ones, register a folder of images, check them, fetch what is published."

COLUMNS = ("name", "images", "state", "found", "folder")


def list_sets(data: Data = None, as_json: Json = False) -> None:
    """List the test sets: the known ones and your own, whether they are here, and what is missing."""
    from workbench import testsets

    home = data or testsets.default()
    rows = []
    for name in testsets.names(home):
        try:
            rows.append(_row(testsets.find(name, home)))
        except UserError as error:
            rows.append(_absent(name, home, error))
    listing(rows, as_json, COLUMNS)


def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A set of `workbench data list`, or a name of your own.")],
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The folder of its images, or one above it.")],
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Register a folder of images, after a look at each: under a known set's name only if it is that set."""
    from workbench import testsets

    home, before = data or testsets.default(), None
    with contextlib.suppress(UserError):  # none of that name is registered yet
        before = testsets.find(name, home).folder
    with passing() as say:
        found = testsets.add(name, path, home, say)
    if before not in (None, found.folder):
        print(f"workbench: it takes the place of {before}.", file=sys.stderr)
    for why in found.unread.values() if len(found.unread) > 1 else ():  # the only one is in the sentence
        print(f"workbench: {why}", file=sys.stderr)
    if as_json:
        listing([_row(found)], True, COLUMNS)
        return
    print(_told(found))


def check(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME...]", help="Sets [all that are here].")] = None,
    data: Data = None,
    as_json: Json = False,
) -> int:
    """Read every image of the sets that are here again, and say what is missing or was changed."""
    from workbench import testsets

    home = data or testsets.default()
    rows = []
    with passing() as say:
        for name in names or [n for n in testsets.names(home) if testsets.registered(n, home)]:
            try:
                rows.append(_row(testsets.check(name, home, say)))
            except UserError as error:
                if not testsets.registered(name, home):
                    raise
                rows.append(_absent(name, home, error))
    listing(rows, as_json, COLUMNS)
    return 0 if all(r["state"] == "complete" for r in rows) else 2


def fetch(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME...]", help="Known sets [tell of all].")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Download without asking again.")] = False,
    data: Data = None,
) -> None:
    """Say where a set is published, and download it if that address lasts, after a question."""
    from workbench import testsets
    from workbench.spec import unknown

    for name in names or ():
        if name.lower() not in testsets.SETS:
            raise unknown("published test set", name, testsets.SETS, "workbench data list")
    chosen = [testsets.SETS[n.lower()] for n in names or testsets.SETS]
    for known in chosen:
        print(f"{known.title}: {known.count} images, recognised by {known.how}. {testsets.by_hand(known)}")
        if known.source is None:
            print("  No address that lasts is known: it is not downloaded.")
            continue
        print(f"  {known.source.megabytes:g} MB with a checksum: {known.source.address}")
        if not names:
            continue
        if not yes and not (sys.stdin.isatty() and typer.confirm("Download it?", err=True)):
            print(f"  Not downloaded. To download it: workbench data fetch {known.name} --yes")
            continue
        found = testsets.fetch(known, data or testsets.default(), lambda line: print(line, file=sys.stderr))
        print(_told(found))
    if names and (left := [known.title for known in chosen if known.source is None]):
        raise UserError(f"No address that lasts is known of {', '.join(left)}, so it was not fetched; see above.")


def _told(found: TestSet) -> str:
    """A set in words: what was found, where."""
    return f"{found.title}: {found.sentence.rstrip('.')}. {found.folder}"


def _row(found: TestSet) -> dict[str, Any]:
    return {
        "name": found.name,
        "title": found.title,
        "images": len(found.images),
        "state": found.state,
        "found": found.sentence,
        "missing": list(found.missing),
        "folder": str(found.folder),
        "digest": found.digest,
    }


def _absent(name: str, home: Path, error: UserError) -> dict[str, Any]:
    """The row of a set that is not here, or no longer where it was."""
    from workbench import testsets

    gone = testsets.registered(name, home)
    known = testsets.SETS.get(name)
    there = f"; where to get it: {known.where}" if known else ""
    found = str(error) if gone else f"workbench data add {name} FOLDER{there}"
    row = dict.fromkeys(("title", "images", "state", "found", "missing", "folder", "digest"))
    title = known.title if known else name
    return row | {"name": name, "title": title, "images": 0, "state": "gone" if gone else "not here", "found": found}


COMMANDS: Commands = {"data": {"list": list_sets, "add": add, "check": check, "fetch": fetch}}
