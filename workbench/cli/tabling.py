"""The command that prints tables, published ones and one's own: table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.spec import UserError, unknown

from .options import Arguments, Commands, Records, Scale, Timeout, asked, look

if TYPE_CHECKING:
    from workbench.composing import Composition


def table(
    name: Annotated[str, typer.Argument(metavar="ID|FILE.toml", help="A table of `workbench tables`, or your own.")],
    format: Annotated[str | None, typer.Option("--format", help="md, csv, tex, html or json [md].")] = None,
    add: Annotated[
        list[str] | None,
        typer.Option("--add", metavar="[LABEL=]NAME", help="A network as a row, such as ./net.py:Net; repeatable."),
    ] = None,
    drop: Annotated[
        list[str] | None, typer.Option("--drop", metavar="METHOD,...", help="Rows to leave out, by method or variant.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option("--only", metavar="x4,...", help="Scales to show [all].")] = None,
    columns: Annotated[
        list[str] | None, typer.Option("--columns", metavar="NAME,...", help="Columns to show, such as params,macs.")
    ] = None,
    reported: Annotated[
        Path | None, typer.Option("--reported", metavar="FILE.csv", help="Figures of your rows, and rows of others.")
    ] = None,
    bounds: Annotated[
        str | None, typer.Option("--bounds", metavar="DEVICE", help="Latencies beside lower bounds; md or html.")
    ] = None,
    scale: Scale = None,
    arg: Arguments = None,
    timeout: Timeout = None,
    records: Records = None,
    tex: Annotated[bool, typer.Option("--tex", help="The same as --format tex.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> int:
    """Print a published table: every printed figure, the measured one beside it, and a verdict.

    With --add and the like it is the same table with rows of your own; a FILE.toml describes one from nothing. What
    can be counted or planned of an added network is measured at once, its image quality is what --reported says.
    """
    from workbench import judge, papers, report

    format = _format(format, tex, as_json)
    changes = any((add, drop, only, columns, reported))
    own = name.endswith(".toml") and name not in papers.TABLES
    if own and (changes or scale is not None or arg):
        raise UserError(
            f"{name} says itself which rows and columns it has; change it there, and leave the options out."
        )
    if not add and not own and (scale is not None or arg or timeout is not None) and not reported:
        raise UserError(
            "--scale, --arg and --timeout are for networks, and none is added; name one: --add ./net.py:Net"
        )
    if bounds is not None and (changes or own):
        raise UserError("--bounds is of a published table as it is; leave it out, or whatever changes the table.")
    if changes or own:
        from workbench import own as networks
        from workbench.composing import file, typed
        from workbench.composing.networks import apart

        if own:
            return _composed(file.read(Path(name), timeout), format, records)
        words = [apart(word) for word in add or ()]
        beside = asked([network for _, network in words], scale, arg, timeout) if words else networks.Asked(scale)
        given = typed.Typed(words, drop or (), only or (), columns or (), reported)
        composition, told = typed.compose(name, given, beside)
        for sentence in told:
            print(f"workbench: {sentence}", file=sys.stderr)
        return _composed(composition, format, records)
    chosen = papers.find_table(name)
    known = look(records).newest()
    if bounds is not None:
        from workbench.report import bounds as beside_them

        sys.stdout.write(beside_them.render(chosen, known, bounds, format))
        return 0
    sys.stdout.write(report.render(chosen, judge.judge(chosen, known), format))
    return 0


def _format(format: str | None, tex: bool, as_json: bool) -> str:
    """The one format that was asked for."""
    from workbench import report

    asked_for = {**({"json": "--json"} if as_json else {}), **({"tex": "--tex"} if tex else {})}
    if format and format not in asked_for:
        asked_for[format] = f"--format {format}"
    if len(asked_for) > 1:
        raise UserError(f"{' and '.join(asked_for.values())} ask for two formats; give one of them.")
    found = next(iter(asked_for), "md")
    if found not in report.FORMATS:
        raise unknown("format", found, report.FORMATS, "workbench table --help")
    return found


def _composed(composition: Composition, format: str, records: Path | None) -> int:
    """Measure what its added networks lack, and print it; the exit code is that of the measurements."""
    from workbench import execute, progress, report, store

    contents = look(records)
    known = contents.newest()
    todo = execute.missing(composition.requests(), known)
    done = progress.run(todo, records or store.default(), since=contents, asked=len(todo), what="table")
    known.update({d.request.identity: d.record for d in done})
    sys.stdout.write(report.render(composition.table, composition.judged(known), format))
    return progress.conclude([d.record for d in done])


COMMANDS: Commands = {"table": table}
