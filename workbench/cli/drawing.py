"""The commands about the papers' figures: figures, figure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workbench.spec import UserError

from .options import Commands, Json, Records, Results, listing, look, print_json


def figures(as_json: Json = False) -> None:
    """List the figures that are drawn from published tables and records."""
    from workbench.papers import FIGURES

    rows = [{"id": f.id, "kind": f.kind, "table": f.table, "title": f.title} for f in FIGURES.values()]
    listing(rows, as_json, ("id", "kind", "title"))


def figure(
    name: Annotated[str, typer.Argument(metavar="ID", help="A figure of `workbench figures`.")],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="One .pdf, .png or .svg [all three in RESULTS/figures]."),
    ] = None,
    scale: Annotated[list[int] | None, typer.Option("--scale", metavar="N", help="2, 3 or 4; repeatable.")] = None,
    cost: Annotated[
        list[str] | None, typer.Option("--cost", metavar="NAME", help="params, flops, latency, ...; repeatable.")
    ] = None,
    test_set: Annotated[str | None, typer.Option("--set", metavar="NAME", help="set5, urban100, ...")] = None,
    records: Records = None,
    results: Results = None,
    as_json: Json = False,
) -> None:
    """Draw one figure from the records there are, as it is or for another scale, cost or test set."""
    from workbench import judge, papers, store
    from workbench.report import asked, plots

    if out is not None and results is not None:
        raise UserError(f"-o {out} and --results {results} name two places; give one of them.")
    given = papers.find_figure(name)
    table = papers.find_table(given.table)
    chosen = asked.chosen(given, table, scale or (), cost or (), test_set)
    if out is not None:
        plots.check(out, "-o")
    known = look(records).newest()
    cells = judge.judge(table, known)
    if out is None:
        written = plots.write(chosen, table, cells, (results or store.default().parent) / "figures", known)
    else:
        written = [out]
        drawn = plots.draw(chosen, table, cells, known)
        store.replace(out, plots.saved(drawn, out.suffix.removeprefix(".")), "-o")
    if as_json:
        print_json({"figure": chosen.id, "written": [str(path) for path in written]})
        return
    for path in written:
        print(path)


COMMANDS: Commands = {"figures": figures, "figure": figure}
