"""What running a network costs: the columns of tables that say so, and joules, which no table prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path

from workbench import models, store
from workbench.here import disturbed
from workbench.judge import Cell
from workbench.known import Indexed
from workbench.published import Table
from workbench.spec import Record

from . import html, times
from .layout import DOUBLE_DAGGER

COSTS = ("latency", "memory")
"""Probes of what running costs; that a network has parameters is no cost of running it."""

NONE = "No record of energy yet: workbench measure NAME --probe energy, where NVML or RAPL counts joules."


def narrowed(table: Table, cells: Sequence[Cell]) -> tuple[Table, list[Cell]] | None:
    """A table with nothing but its columns of running cost, if it has any."""
    columns = tuple(c for c in table.columns if c.probe in COSTS)
    if not columns:
        return None
    ids = {c.id for c in columns}
    return replace(table, columns=columns), [c for c in cells if c.column in ids]


def show(table: Table, cells: Sequence[Cell]) -> str:
    """Its latencies and memory as HTML, and what is to be said of the ratios; empty if it prints neither."""
    own = narrowed(table, cells)
    if own is None:
        return ""
    said = "".join(f"<p>{escape(line)}</p>\n" for line in times.said(*own))
    return f"<h3>{escape(table.source)}</h3>\n{html.fragment(*own)}\n{said}"


def energies(known: Mapping[str, Record]) -> str:
    """Joules per image as Markdown, the least first; a sentence where nobody measured any."""
    every = Indexed(known)
    found = [r for name in models.VARIANTS for r in every.of(name, "energy") if r.status == "ok"]
    found.sort(key=lambda r: r.value)
    if not found:
        return NONE + "\n"
    lines = ["| network | protocol | J per image | machine |", "| --- | --- | ---: | --- |"]
    for r in found:
        mark = "‡" if disturbed(r) else ""
        lines.append(f"| {r.variant} | {r.protocol} | {r.value:.3g}{mark} | {r.machine} |")
    lines += ["", f"{DOUBLE_DAGGER}."] if any(disturbed(r) for r in found) else []
    return "\n".join(lines) + "\n"


def write(known: Mapping[str, Record], results: str | Path) -> Path:
    """Joules per image, in the folder of tables."""
    path = Path(results) / "tables" / "energy.md"
    store.replace(path, f"# Energy\n\n{energies(known)}")
    return path
