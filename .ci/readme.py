"""Write the generated parts of README.md: what was reproduced, its figures, its networks. `make readme` runs it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench import judge, models, papers
from workbench.judge import Cell
from workbench.report import plots

ROOT = Path(__file__).resolve().parent.parent
VERDICTS = ("reproduced", "explained", "planned", "differs", "contradicted", "suspect", "not measured")
KEPT = ROOT / "tests" / "verdicts.json"
SHOWN = ROOT / "results" / "readme"
FIGURES = ("esc-bubble", "esc-table2-agreement")
FOUND = ("protocol", "measured", "estimate", "verdict")
"""What of a cell its table does not hold, and a figure shows."""


def kept(tables: Mapping[str, Sequence[Cell]]) -> dict[str, dict[str, dict[str, str]]]:
    """The verdict on every counted or estimated cell: by table, column, and method with its scale."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for name, cells in tables.items():
        columns = {c.id for c in papers.find_table(name).columns if judge.measurable(c)}
        for cell in cells:
            if cell.column in columns and cell.variant and cell.printed is not None:
                found.setdefault(name, {}).setdefault(cell.column, {})[f"{cell.method} x{cell.scale}"] = cell.verdict
    return found


def found(cells: Sequence[Cell]) -> dict[str, dict[str, dict[str, Any]]]:
    """What was found for the cells that README's figures show: by column, and method with its scale."""
    kept: dict[str, dict[str, dict[str, Any]]] = {}
    for cell in cells:
        if cell.measured is not None or cell.estimate is not None:
            shown = {name: getattr(cell, name) for name in FOUND}
            kept.setdefault(cell.column, {})[f"{cell.method} x{cell.scale}"] = shown
    return kept


def drawn(kept: Mapping[str, Mapping[str, Mapping[str, Mapping[str, Any]]]]) -> Iterator[tuple[str, bytes]]:
    """README's figures by name, from what papers print and what is kept of what was found."""
    for name in FIGURES:
        figure = papers.find_figure(name)
        table = papers.find_table(figure.table)
        there = kept[table.id]
        cells = [
            replace(cell, **there.get(cell.column, {}).get(f"{cell.method} x{cell.scale}", {}))
            for cell in judge.judge(table, {})
        ]
        yield f"{name}.svg", plots.saved(plots.draw(figure, table, cells), "svg")


def summary(verdicts: Mapping[str, Mapping[str, Mapping[str, str]]]) -> str:
    """How many cells of each counted or estimated column got which verdict."""
    lines = ["| table and column | cells | " + " | ".join(VERDICTS) + " |", "| --- |" + " ---: |" * (len(VERDICTS) + 1)]
    for name, columns in verdicts.items():
        titles = {c.id: c.title for c in papers.find_table(name).columns}
        for column, given in columns.items():
            counts = [str(sum(v == verdict for v in given.values())) for verdict in VERDICTS]
            lines.append(f"| `{name}`, {titles[column]} | {len(given)} | " + " | ".join(counts) + " |")
    return "\n".join(lines)


def catalogue() -> str:
    """One line per model: who published it, which attention it has, what can be done with it."""
    exports = json.loads((ROOT / "tests" / "exports.json").read_text())["models"]
    lines = ["| model | published | attention | compiles | ONNX |", "| --- | --- | --- | --- | --- |"]
    for family in models.FAMILIES:
        for model in family.models:
            found = exports[model]
            attention = ", ".join(models.supported(f"{model}-x4"))
            lines.append(f"| `{model}` | {family.paper} | {attention} | {found['compile']} | {found['onnx']} |")
    return "\n".join(lines)


def filled(text: str) -> str:
    """README's text with its generated parts made anew."""
    for start, end, content in (
        ("<!-- summary: workbench reproduce -->", "<!-- end of summary -->", summary(json.loads(KEPT.read_text()))),
        ("<!-- catalogue -->", "<!-- end of catalogue -->", catalogue()),
    ):
        before, _, rest = text.partition(start)
        text = f"{before}{start}\n{content}\n{end}{rest.partition(end)[2]}"
    return text


if __name__ == "__main__":
    readme = ROOT / "README.md"
    records = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "results" / "records"
    tables = {name: judge.read(name, records)[1] for name in papers.TABLES}
    KEPT.write_text(json.dumps(kept(tables), indent=1, ensure_ascii=False) + "\n")
    shown = {papers.find_figure(name).table for name in FIGURES}
    cells = {name: found(tables[name]) for name in sorted(shown)}
    SHOWN.mkdir(exist_ok=True)
    (SHOWN / "cells.json").write_text(json.dumps(cells, indent=1, ensure_ascii=False) + "\n")
    for name, content in drawn(cells):
        (SHOWN / name).write_bytes(content)
    readme.write_text(filled(readme.read_text()))
