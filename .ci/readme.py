"""Write the generated parts of README.md: what was reproduced, and the table of networks. `make readme` runs it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from workbench import judge, models, papers
from workbench.judge import Cell

ROOT = Path(__file__).resolve().parent.parent
VERDICTS = ("reproduced", "explained", "planned", "differs", "contradicted", "suspect", "not measured")
KEPT = ROOT / "tests" / "verdicts.json"


def kept(tables: Mapping[str, Sequence[Cell]]) -> dict[str, dict[str, dict[str, str]]]:
    """The verdict on every counted or estimated cell: by table, column, and method with its scale."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for name, cells in tables.items():
        columns = {c.id for c in papers.find_table(name).columns if judge.measurable(c)}
        for cell in cells:
            if cell.column in columns and cell.variant and cell.printed is not None:
                found.setdefault(name, {}).setdefault(cell.column, {})[f"{cell.method} x{cell.scale}"] = cell.verdict
    return found


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
    verdicts = kept({name: judge.read(name, records)[1] for name in papers.TABLES})
    KEPT.write_text(json.dumps(verdicts, indent=1, ensure_ascii=False) + "\n")
    readme.write_text(filled(readme.read_text()))
