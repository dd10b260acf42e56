"""What commands share: their common options, opening a store, printing lists and JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.spec import UserError

if TYPE_CHECKING:
    from workbench.store import Contents

Command = Callable[..., int | None]
"""What a command returns is the exit code."""

Commands = Mapping[str, Command | Mapping[str, Command]]
"""Commands by the names they are called by; one that has commands of its own is a mapping of them."""


def _folder(option: str) -> Callable[[str], Path]:
    """Read the folder that an option names. An empty one is most often a shell's variable that is not set."""

    def folder(text: str) -> Path:
        if not text:
            raise UserError(f"{option} was given an empty path; name a folder, or leave {option} out for the default.")
        return Path(text)

    return folder


Records = Annotated[
    Path | None,
    typer.Option(
        "--records", metavar="DIR", parser=_folder("--records"), help="Folder of records [default: results/records]."
    ),
]
Results = Annotated[
    Path | None,
    typer.Option("--results", metavar="DIR", parser=_folder("--results"), help="Where to write [default: results]."),
]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="DIR", parser=_folder("--data"), help="Where test sets and weights are [your cache folder]."
    ),
]
Trained = Annotated[
    str | None,
    typer.Option("--weights", metavar="NAME|FILE", help="Trained weights, or `untrained` [yours, if you have some]."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout; messages go to stderr.")]


def read(folder: Path) -> Contents:
    """The contents of a store, its problems told on stderr."""
    from workbench import store

    contents = store.read(folder)
    for problem in contents.problems:
        print(f"workbench: {problem}", file=sys.stderr)
    return contents


def look(records: Path | None) -> Contents:
    """The contents of a store that is only read: a folder that was named and is not there is said to be so."""
    from workbench import store

    contents = read(records or store.default())
    if records is not None and not records.exists():
        print(f"workbench: There is no folder {records} yet, so there are no records.", file=sys.stderr)
    return contents


def listing(rows: list[dict[str, Any]], as_json: bool, columns: tuple[str, ...]) -> None:
    """Print rows as JSON, or the chosen columns in aligned text."""
    if as_json:
        print_json(rows)
        return
    texts = [[_plain(r[c]) for c in columns] for r in rows]
    widths = [max(map(len, column)) for column in zip(columns, *texts, strict=True)]
    for line in (columns, *texts):
        print("  ".join(entry.ljust(width) for entry, width in zip(line, widths, strict=True)).rstrip())


def _plain(value: Any) -> str:
    """An entry of a listing; of many values only their number."""
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value)) if len(value) <= 3 else f"{len(value)} values"
    return "" if value is None else str(value)


def print_json(shown: Any) -> None:
    print(json.dumps(shown, indent=1, ensure_ascii=False))
