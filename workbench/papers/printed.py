"""What papers print alike: the columns of their tables, and how a transcribed table is read."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import resources

from workbench.published import Column, Row

from . import names

LATENCY = Column(
    "latency_ms", "Latency", "ms", "latency", 1e-3, "low", "a CUDA GPU", tolerance=0.1, ratio=True, here="cpu"
)
MEMORY = Column("memory_mb", "Memory", "MB", "memory", 2**20, "low", "a CUDA GPU", estimate="planned-memory")
FLOPS = Column("flops_g", "FLOPs", "G", "macs", 1e9, "low", "nothing")
PARAMS = Column("params_k", "Params", "K", "params", 1e3, "low", "nothing")
RUNTIME = replace(LATENCY, id="runtime_ms", title="Runtime")

SETS = {"set5": "Set5", "set14": "Set14", "b100": "B100", "urban100": "Urban100", "manga109": "Manga109"}
QUALITY = tuple(
    Column(
        f"{key}_{measure.lower()}",
        f"{title} {measure}",
        "dB" if measure == "PSNR" else "",
        probe,
        1,
        "high",
        f"{title} and trained weights",
        modifier=key,
        within=within,
    )
    for key, title in SETS.items()
    for measure, probe, within in (("PSNR", "quality", 0.01), ("SSIM", "ssim", 0.0005))
)


def lines(file: str) -> list[dict[str, str]]:
    """The lines of a CSV beside the paper's file, as text."""
    text = (resources.files(__package__) / file).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def rows(
    file: str,
    columns: tuple[Column, ...],
    protocols: Callable[[str], Mapping[str, str]] = lambda method: {},
) -> tuple[Row, ...]:
    """The rows of a CSV beside the paper's file, digit for digit as printed, misprints included.

    `protocols` maps the paper's name of a method to the protocols of its columns. An empty cell is a "-" in print.
    """
    found = []
    for line in lines(file):
        method, scale = line["method"], int(line["scale"])
        printed = {c.id: line[c.id] for c in columns if line[c.id]}
        found.append(Row(method, scale, names.variant(method, scale), printed, protocols(method)))
    return tuple(found)


def across(file: str, columns: tuple[Column, ...], scales: tuple[int, ...]) -> tuple[Row, ...]:
    """The same of a table that prints its scales side by side, under headings such as `set5_x6`; PSNR only."""
    found = []
    for scale in scales:
        for line in lines(file):
            cells = {c.id: line[c.id.replace("_psnr", f"_x{scale}")] for c in columns}
            kept = {name: text for name, text in cells.items() if text}
            found.append(Row(line["method"], scale, names.variant(line["method"], scale), kept))
    return tuple(found)


def turned(file: str, scale: int) -> tuple[tuple[Column, ...], tuple[Row, ...]]:
    """Columns and rows of a table that prints a method per column, and a test set with a measure per line."""
    columns, printed = [], dict[str, dict[str, str]]()
    for line in lines(file):
        where, measure, best = (line.pop(name) for name in ("dataset", "metric", "direction"))
        column = Column(
            f"{where.lower()}_{measure.lower()}",
            f"{where} {measure}",
            "dB" if measure == "PSNR" else "",
            "perception",
            1,
            "low" if best == "down" else "high",
            f"{where}, trained weights and a probe that this version does not have",
        )
        columns.append(column)
        for method, text in line.items():
            printed.setdefault(method, {}).update({column.id: text} if text else {})
    rows = [Row(method, scale, names.variant(method, scale), cells) for method, cells in printed.items()]
    return tuple(columns), tuple(rows)


def marks(file: str) -> frozenset[tuple[str, int, str]]:
    """The cells that a table prints in bold, as (method, scale, column)."""
    return frozenset((line["method"], int(line["scale"]), line["column"]) for line in lines(file))
