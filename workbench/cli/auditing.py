"""The command that looks for misprints: audit."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from workbench.spec import UserError

from .options import Commands, Json, print_json


def audit(
    name: Annotated[
        str | None, typer.Argument(metavar="[TABLE|FILE.csv]", help="A table of `workbench tables`, or your own [all].")
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(metavar="NAME=KIND", help="What a column of FILE is: 'Ours=set5_psnr'.")
    ] = None,
    scale: Annotated[int | None, typer.Option(min=1, max=64, help="Of FILE's rows, if no column has it.")] = None,
    training: Annotated[
        str | None, typer.Option(metavar="SET", help="What FILE's networks were trained on, to compare: DIV2K.")
    ] = None,
    protocol: Annotated[
        str, typer.Option(metavar="NAME", help="How FILE's FLOPs were counted, to compare: esc for 1280x720.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Look for misprints by rules that know none: what does not go with the rest of a table, or with other papers."""
    from workbench import audit, papers, protocols, report
    from workbench.audit import own

    if name is None or name in papers.TABLES or not _is_file(name):
        if column or scale is not None or training is not None or protocol:
            raise UserError(
                "--column, --scale, --training and --protocol are of a FILE.csv; a published table says them itself."
            )
        chosen = [papers.find_table(name)] if name else list(papers.TABLES.values())
        found = [(table, audit.of(table)) for table in chosen]
    else:
        if protocol:
            protocols.find(protocol)
        if training is not None:
            training = own.training(training)
        table, strange = own.read(Path(name), _told(column or []), scale, training, protocol)
        if strange:
            print(f"workbench: not looked at: {', '.join(strange)}; what is it? --column NAME=KIND", file=sys.stderr)
        found = [(table, audit.of(table))]
    if as_json:
        print_json([report.as_audit(f) for _, findings in found for f in findings])
        return
    sys.stdout.write(report.audited(found))


def _is_file(name: str) -> bool:
    """Whether a word is meant as a file: it is there, or looks like a path."""
    return Path(name).exists() or Path(name).suffix != "" or "/" in name


def _told(words: list[str]) -> dict[str, str]:
    told = {}
    for word in words:
        heading, equals, kind = word.rpartition("=")
        if not (heading and equals and kind):
            raise UserError(
                f"--column {word!r} cannot be read; write a heading and its kind: --column 'Ours=set5_psnr'."
            )
        told[heading.strip()] = kind.strip()
    return told


COMMANDS: Commands = {"audit": audit}
