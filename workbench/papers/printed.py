"""What papers print alike: the columns of their tables, and how a transcribed table is read."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import resources

from workbench.spec import Column, Row

LATENCY = Column("latency_ms", "Latency", "ms", "latency", 1e-3, "low", "a CUDA GPU")
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
        measure.lower(),
        1,
        "high",
        f"{title} and trained weights",
        modifier=key,
        within=within,
    )
    for key, title in SETS.items()
    for measure, within in (("PSNR", 0.01), ("SSIM", 0.0005))
)


def rows(
    file: str,
    models: Mapping[str, str],
    columns: tuple[Column, ...],
    protocols: Callable[[str], Mapping[str, str]] = lambda method: {},
) -> tuple[Row, ...]:
    """The rows of a CSV beside the paper's file, digit for digit as printed, misprints included.

    `models` maps the paper's name of a method to ours, `protocols` to the protocols of its columns. An empty cell is a
    "-" in print.
    """
    text = (resources.files(__package__) / file).read_text(encoding="utf-8")
    found = []
    for line in csv.DictReader(text.splitlines()):
        method, scale = line["method"], int(line["scale"])
        variant = f"{models[method]}-x{scale}" if method in models else None
        printed = {c.id: line[c.id] for c in columns if line[c.id]}
        found.append(Row(method, scale, variant, printed, protocols(method)))
    return tuple(found)
