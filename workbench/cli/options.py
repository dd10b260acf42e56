"""What commands share: their common options, opening a store, printing lists and JSON."""

from __future__ import annotations

import itertools
import json
import math
import shutil
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.spec import UserError

if TYPE_CHECKING:
    from workbench.own import Asked
    from workbench.spec import Variant
    from workbench.store import Contents

NARROWEST = 16
"""Characters: no column of a listing is made narrower than this."""

LONGEST = 1_000_000
"""Seconds: of a longer timeout nobody sees the end, and beyond 2**31 milliseconds the system takes none."""

Command = Callable[..., int | None]
"""What a command returns is the exit code."""

Commands = Mapping[str, Command | Mapping[str, Command]]
"""Commands by the names they are called by; one that has commands of its own is a mapping of them."""


def _home(text: str) -> Path:
    """The folder that --data names; it need not be there yet, but nothing else may be in its place."""
    if Path(text).exists() and not Path(text).is_dir():
        raise UserError(
            f"--data was given {text}, which is a file; name a folder, or leave --data out for the default."
        )
    return Path(text)


def _place(text: str) -> Path:
    """The place of records: a folder, or the address of object storage."""
    from workbench.store import places

    return places.where(text)


def fraction(option: str, help: str) -> Any:
    """An option that takes a part of one as people write it: 0.05 or 5%."""

    def parsed(text: str) -> float:
        number, percent, rest = text.strip().partition("%")
        try:
            found = float(number) / (100 if percent else 1)
        except ValueError:
            found = math.nan
        if rest or not math.isfinite(found):
            raise UserError(f"{option} was given {text}; write a fraction or per cent, such as 0.05 or 5%.")
        if found > 1:
            meant = f"{text.strip()}% or {found / 100:g}" if not percent and found <= 100 else "100% at most"
            raise UserError(f"{option} was given {text}: {found:g} is {found * 100:g} %; write {meant}.")
        return found

    return typer.Option(option, metavar="FRACTION", parser=parsed, help=help)


Records = Annotated[
    Path | None,
    typer.Option(
        "--records",
        metavar="DIR|URL",
        parser=_place,
        help="Folder or s3://... of records [the clone's results/records].",
    ),
]
Results = Annotated[
    Path | None,
    typer.Option("--results", metavar="DIR", help="Where to write [default: results]."),
]
Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", parser=_home, help="Where test sets and weights are [your cache folder]."),
]
Scale = Annotated[
    int | None, typer.Option("--scale", metavar="N", min=1, max=64, help="Of a network of your own, if it asks.")
]
Arguments = Annotated[
    list[str] | None, typer.Option("--arg", metavar="KEY=VALUE", help="For its constructor; repeatable: dim=64.")
]
Timeout = Annotated[float | None, typer.Option("--timeout", help="Seconds that a network of your own may take [1800].")]
Trained = Annotated[
    str | None,
    typer.Option("--weights", metavar="NAME|FILE", help="Trained weights, or `untrained` [yours, if you have some]."),
]
On = Annotated[
    str, typer.Option("--on", metavar="WHERE", help="Where: local, ray, ray://HOST:PORT, slurm or slurm://PARTITION.")
]
Logs = Annotated[bool, typer.Option("--logs", help="Show what the processes of Ray's nodes print.")]
Maps = Annotated[
    list[str] | None,
    typer.Option("--maps", metavar="PATTERN", help="Of your own: modules that make maps; repeatable [all that do]."),
]
Picture = Annotated[Path | None, typer.Option("--picture", metavar="FILE", help="Draw it: .pdf, .png or .svg.")]
Windows = Annotated[
    list[str] | None,
    typer.Option("--window", metavar="[PATTERN=]N", help="Of your own: side of its windows, 0 for none [guessed]."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout; messages go to stderr.")]


def asked(names: Sequence[str], scale: int | None, arguments: list[str] | None, timeout: float | None) -> Asked:
    """What was typed beside the names of networks; what only a network of one's own takes is refused without one."""
    from workbench import own
    from workbench.models import VARIANTS

    patience(timeout)
    given = [word for word, value in (("--scale", scale), ("--arg", arguments)) if value]
    if given and not any(own.references.parse(name) for name in names if name not in VARIANTS):
        raise UserError(
            f"{' and '.join(given)} {'is' if len(given) == 1 else 'are'} for networks of your own, and "
            f"{', '.join(names)} names none; the catalogue's have their scale in their name: workbench variants"
        )
    return own.Asked(scale, tuple(arguments or ()), timeout)


def patience(timeout: float | None) -> None:
    """Refuse a --timeout that nobody can wait for."""
    if timeout is not None and not 0 < timeout <= LONGEST:
        raise UserError(
            f"--timeout was given {timeout:g} seconds; give a number above 0 and up to {LONGEST:,}, or leave it out for"
            " no limit."
        )


def say(sentence: str) -> None:
    """A message beside what a command prints."""
    print(f"workbench: {sentence}", file=sys.stderr)


def spread(names: Sequence[str]) -> list[str]:
    """The names, with those that each glob picks in its place; a name that is typed twice is meant twice."""
    from workbench import models, own

    found: list[str] = []
    for name in names:
        glob = any(sign in name for sign in "*?[") and own.references.parse(name) is None
        found += [n for n in models.matching(name) if n not in found] if glob else [name]
    return found


def networks(names: Sequence[str], asked: Asked) -> list[str | Variant]:
    """What was typed, and for each reference to a network of one's own the variant it gives."""
    from workbench import models, own

    found: list[str | Variant] = []
    for name in names:
        ours = name not in models.VARIANTS and own.references.parse(name) is None
        found.append(name if ours else models.find(name, asked))
    return found


def attended(
    name: str, beside: Asked, weights: str | None, maps: list[str] | None, windows: list[str] | None
) -> str | Variant:
    """The network whose attention is looked at; what is only for one's own is refused for others, and the reverse."""
    (chosen,) = networks([name], beside)
    ours = isinstance(chosen, str) or chosen.source is None
    given = [word for word, value in (("--maps", maps), ("--window", windows)) if value]
    if ours and given:
        raise UserError(
            f"{' and '.join(given)} {'is' if len(given) == 1 else 'are'} for networks of your own; the maps of {name}"
            " are known: workbench attention NAME --layers"
        )
    if not ours and weights is not None:
        raise UserError(
            f"--weights is for networks of the catalogue; {name} has the weights that its code gives it. Have its"
            " constructor load them, from a file that --arg names."
        )
    return chosen


def placed(chosen: str | Variant, path: Path) -> Path:
    """A path as it is understood by the process that works: that of a network of one's own may stand elsewhere."""
    return path if isinstance(chosen, str) or chosen.source is None else path.absolute()


def rooted(chosen: str | Variant, images: Sequence[str] | None) -> tuple[str, ...]:
    """The same of images; names of test sets are no paths."""
    paths = [one not in ("", ".") and Path(one).exists() for one in images or ()]
    return tuple(str(placed(chosen, Path(one))) if p else one for one, p in zip(images or (), paths, strict=True))


def carried(
    chosen: Sequence[str | Variant], beside: Asked, work: Callable[..., Any], *arguments: Any, heard: bool = False
) -> Any:
    """What `work` returns, as JSON has it: here, or in a fresh process where any of the networks is somebody's own.

    `heard`: it answers Ctrl-C itself, there as here.
    """
    from workbench import own

    ours = [v.name for v in chosen if not isinstance(v, str) and v.source]
    if not ours:
        return work(*arguments)
    return own.inside(" and ".join(ours), work, *arguments, timeout=beside.timeout, heard=heard)


def look(records: Path | None) -> Contents:
    """The contents of a store that is only read: a folder that was named and is not there is said to be so.

    In object storage there are no folders; one that nothing lies in is not there.
    """
    from workbench import store

    contents = store.read(records or store.default()).told()
    if records is not None and not (contents.ends if isinstance(records, store.Url) else records.exists()):
        print(f"workbench: There is no folder {records} yet, so there are no records.", file=sys.stderr)
    return contents


def listing(rows: list[dict[str, Any]], as_json: bool, columns: tuple[str, ...]) -> None:
    """Print rows as JSON, or the chosen columns in aligned text."""
    if as_json:
        print_json(rows)
        return
    texts = [[_plain(r[c]) for c in columns] for r in rows]
    widths = [max(map(len, column)) for column in zip(columns, *texts, strict=True)]
    if sys.stdout.isatty():
        widths = narrowed(widths, shutil.get_terminal_size().columns)
    for line in (columns, *texts):
        wrapped = [textwrap.wrap(entry, width) or [""] for entry, width in zip(line, widths, strict=True)]
        for part in itertools.zip_longest(*wrapped, fillvalue=""):
            print("  ".join(entry.ljust(width) for entry, width in zip(part, widths, strict=True)).rstrip())


def narrowed(widths: Sequence[int], room: int) -> list[int]:
    """Widths that a terminal has room for: the widest columns are made narrower, down to what can still be read."""
    found = list(widths)
    while sum(found) + 2 * (len(found) - 1) > room and max(found) > NARROWEST:
        found[found.index(max(found))] -= 1
    return found


def _plain(value: Any) -> str:
    """An entry of a listing; of many values only their number."""
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value)) if len(value) <= 3 else f"{len(value)} values"
    return "" if value is None else str(value)


def print_json(shown: Any) -> None:
    print(json.dumps(shown, indent=1, ensure_ascii=False))
