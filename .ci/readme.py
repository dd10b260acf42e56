"""Write the generated parts of README.md: what was reproduced, and the table of networks. `make readme` runs it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from workbench import judge, models, papers
from workbench.judge import Cell

ROOT = Path(__file__).resolve().parent.parent
VERDICTS = ("reproduced", "explained", "differs", "not measured")


def summary(cells: Sequence[Cell]) -> str:
    """How many cells of each measured column got which verdict."""
    table = papers.find_table("esc-table2")
    lines = ["| column | " + " | ".join(VERDICTS) + " |", "| --- |" + " ---: |" * len(VERDICTS)]
    for column in table.columns:
        mine = [c for c in cells if c.column == column.id and c.printed is not None]
        if any(c.measured is not None for c in mine):
            counts = [str(sum(c.verdict == v for c in mine)) for v in VERDICTS]
            lines.append(f"| {column.title}, {len(mine)} cells | " + " | ".join(counts) + " |")
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


def filled(text: str, cells: Sequence[Cell]) -> str:
    """README's text with its generated parts made anew."""
    for start, end, content in (
        ("<!-- summary: workbench table esc-table2 -->", "<!-- end of summary -->", summary(cells)),
        ("<!-- catalogue -->", "<!-- end of catalogue -->", catalogue()),
    ):
        before, _, rest = text.partition(start)
        text = f"{before}{start}\n{content}\n{end}{rest.partition(end)[2]}"
    return text


if __name__ == "__main__":
    readme = ROOT / "README.md"
    cells = judge.read("esc-table2", ROOT / "results" / "records")[1]
    readme.write_text(filled(readme.read_text(), cells))
