"""What the protocol detective found, as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.digits import Search
from workbench.judge import Cell, summary
from workbench.published import Table

SHOWN = 8
"""Protocols named in a text; JSON has all."""


def as_finding(variant: str, probe: str, printed: str, search: Search) -> dict[str, Any]:
    """One figure of a variant, and the protocols that give it."""
    fit = [
        {"protocol": name, "value": search.values[name], "how": how}
        for how, names in (("rounded", search.rounded), ("cut off", search.cut))
        for name in names
    ]
    return {
        "variant": variant,
        "probe": probe,
        "printed": printed,
        "verdict": "explained" if fit else "unexplained",
        "protocols": fit,
        "nearest": {"protocol": search.nearest, "value": search.values[search.nearest]},
        "fit": len(fit),
        "distinct": search.distinct,
        "tried": search.tried,
    }


def finding(found: dict[str, Any]) -> str:
    """The same in words."""
    lines = [f"{found['variant']}, {found['probe']} printed as {found['printed']}: {found['verdict']}."]
    counted = f"{found['tried']} protocols tried, which give {found['distinct']} distinct figures"
    if found["protocols"]:
        lines.append(f"  {found['fit']} of {counted}:")
        width = max(len(f["protocol"]) for f in found["protocols"])
        lines += [f"  {f['protocol']:{width}}  {f['value']:,}  {f['how']}" for f in found["protocols"]]
    else:
        near = found["nearest"]
        lines.append(f"  None of {counted}; the nearest is {near['protocol']} with {near['value']:,}.")
    return "\n".join(lines) + "\n"


def findings(table: Table, cells: Sequence[Cell]) -> str:
    """The cells of a table that are not simply reproduced, and those that were searched, each with its evidence."""
    lines = [summary(table, cells)]
    for cell in cells:
        if cell.verdict in ("reproduced", "planned") and not cell.tried:
            continue
        lines.append(f"{cell.method} x{cell.scale}, {cell.column}, printed {cell.printed}: {cell.verdict}. {cell.why}.")
        if cell.fits:
            more = f" and {len(cell.fits) - SHOWN} more" if len(cell.fits) > SHOWN else ""
            fit = f"{len(cell.fits)} of {cell.tried} protocols tried, which give {cell.distinct} distinct figures"
            lines.append(f"  {fit}: {', '.join(cell.fits[:SHOWN])}{more}")
    return "\n".join(lines) + "\n"
