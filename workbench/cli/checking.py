"""The commands that hold printed figures against measured ones: explain, claims."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from workbench.spec import UserError

from .options import Commands, Json, Records, look, print_json


def explain(
    name: Annotated[str | None, typer.Argument(metavar="[TABLE]", help="A table of `workbench tables`.")] = None,
    cell: Annotated[list[str] | None, typer.Option(help="METHOD[:xSCALE][:COLUMN] of the table; repeatable.")] = None,
    variant: Annotated[str | None, typer.Option(metavar="NAME", help="A variant, for a figure of your own.")] = None,
    macs: Annotated[str | None, typer.Option(metavar="FIGURE", help="As printed: 244.2G.")] = None,
    params: Annotated[str | None, typer.Option(metavar="FIGURE", help="As printed: 772K.")] = None,
    records: Records = None,
    as_json: Json = False,
) -> None:
    """Search the known protocols for one that gives a printed figure, and say how many were tried and fit."""
    from workbench import detective, papers, report, store

    folder = records or store.default()
    if name is not None and variant is not None:
        raise UserError(
            f"The table {name} and --variant {variant} ask for two things: cells of a table are named by --cell, and "
            "--variant is for a figure of your own, without a table."
        )
    if name is None and variant is None:
        raise UserError("Explain what? Give a table (workbench explain esc-table2), or --variant NAME with a figure.")
    if name is not None:
        if macs or params:
            raise UserError("--macs and --params are figures of a --variant; cells of a table are named by --cell.")
        chosen = papers.find_table(name)
        cells = detective.table(chosen, cell or (), folder)
        if as_json:
            print_json([report.as_object(c) for c in cells])
        else:
            sys.stdout.write(report.findings(chosen, cells))
        return
    if cell or not (macs or params):
        raise UserError(f"For --variant {variant}, give the printed figure: --macs 244.2G, --params 772K, or both.")
    found = []
    for probe, figure in (("macs", macs), ("params", params)):
        if figure:
            search, _ = detective.figure(str(variant), probe, figure, folder)
            found.append(report.as_finding(str(variant), probe, figure, search))
    if as_json:
        print_json(found)
    else:
        sys.stdout.write("".join(report.finding(f) for f in found))


def claims(records: Records = None, as_json: Json = False) -> None:
    """Say what the papers' abstracts claim: what follows from their own tables, what was found here, what is open."""
    from workbench import claims
    from workbench.report import sentences

    judged = claims.judged(look(records).newest())
    if as_json:
        print_json([sentences.as_object(j) for j in judged])
    else:
        sys.stdout.write(sentences.text(judged))


COMMANDS: Commands = {"explain": explain, "claims": claims}
