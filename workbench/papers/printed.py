"""Reading a transcribed table: a CSV beside the paper's file, digit for digit as printed, misprints included."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from importlib import resources

from workbench.spec import Column, Row


def rows(file: str, models: Mapping[str, str], columns: tuple[Column, ...]) -> tuple[Row, ...]:
    """The rows of `file`; `models` maps the paper's name of a method to ours. An empty cell is a "-" in print."""
    text = (resources.files(__package__) / file).read_text(encoding="utf-8")
    found = []
    for line in csv.DictReader(text.splitlines()):
        method, scale = line["method"], int(line["scale"])
        variant = f"{models[method]}-x{scale}" if method in models else None
        printed = {c.id: line[c.id] for c in columns if line[c.id]}
        found.append(Row(method, scale, variant, printed))
    return tuple(found)
