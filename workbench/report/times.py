"""Times of this machine beside printed ones: columns, lines below the table, fields."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from workbench import protocols
from workbench.judge import Cell
from workbench.published import Column, Table
from workbench.ratios import Ratio, rank_correlation


def beside(column: Column, cells: Sequence[Cell]) -> list[str]:
    """The titles of what stands beside a printed time: this machine's, and both as ratios to the reference."""
    mine = [c for c in cells if c.column == column.id]
    titles = [f"{column.title} here ({column.unit})"] if any(c.here for c in mine) else []
    to = next((c.ratio.to for c in mine if c.ratio), None)
    if to is None:
        return titles
    return [*titles, f"printed ÷ {to}", f"{'measured' if any(_judged(c) for c in mine) else 'here'} ÷ {to}"]


def entries(column: Column, cell: Cell, cells: Sequence[Cell]) -> list[str]:
    """What stands there for one cell."""
    shown = [here(cell)] if any(c.here for c in cells if c.column == column.id) else []
    if len(beside(column, cells)) == len(shown):
        return shown
    ratio = cell.ratio
    if ratio is None or (_judged(cell) != any(_judged(c) for c in cells if c.column == column.id)):
        return [*shown, "–", "–"]  # a stand-in's ratio has no place among measured ones
    printed = "–" if ratio.printed is None else f"{ratio.printed:.2f}"
    return [*shown, printed, f"{ratio.measured:.2f}{'‡' if ratio.disturbed else ''}"]


def here(cell: Cell) -> str:
    """This machine's figure, marked if the machine was disturbed."""
    return "–" if cell.here is None else f"{cell.here.value:.1f}{'‡' if cell.here.disturbed else ''}"


def said(table: Table, cells: Sequence[Cell]) -> list[str]:
    """What this machine's times are times of, and for each scale how its ratios and ranks compare with the printed."""
    told = []
    for column in table.columns:
        mine = [c for c in cells if c.column == column.id]
        told += _caption(column, mine)
        for scale in sorted({c.scale for c in mine}):
            told += _agreement(column, [c for c in mine if c.scale == scale and c.ratio and c.ratio.printed])
    return told


def as_object(cell: Cell) -> dict[str, Any]:
    """The fields of a cell that JSON and CSV show of it."""
    own, ratio = cell.here, cell.ratio
    return {
        "here": own and own.value,
        "here_low": own and own.low,
        "here_high": own and own.high,
        "here_protocol": own and own.protocol,
        "here_machine": own and own.machine,
        "here_threads": own and own.threads,
        "here_disturbed": "; ".join(own.disturbed) if own else None,
        "ratio_to": ratio and ratio.to,
        "ratio_printed": ratio and ratio.printed,
        "ratio": ratio and ratio.measured,
        "ratio_low": ratio and ratio.low,
        "ratio_high": ratio and ratio.high,
        "ratio_protocol": ratio and ratio.protocol,
        "ratio_disturbed": ratio and ratio.disturbed,
    }


def conditions(name: str, scales: Sequence[int]) -> str:
    """`protocol cpu: HR 96x96 (LR 48x48 at x2), float32, batch 1, naive attention, lean forward, on the CPU`."""
    way = protocols.find(name)
    given, build = way.input, way.build
    lr = ", ".join(f"{'x'.join(map(str, given.lr(s)[::-1]))} at x{s}" for s in scales)
    hr = "x".join(map(str, given.hr[::-1]))
    return (
        f"protocol {name}: HR {hr} (LR {lr}), {given.dtype}, batch {given.batch}, {build.attention} attention, "
        f"{build.forward} forward, on {'the CPU' if way.execution.device == 'cpu' else 'a CUDA device'}"
    )


def _caption(column: Column, cells: Sequence[Cell]) -> list[str]:
    """One line for each machine and number of threads, which most often is one."""
    told: dict[tuple[str, str, int | None], set[int]] = {}
    for cell in cells:
        if own := cell.here:
            told.setdefault((own.protocol, own.machine, own.threads), set()).add(cell.scale)
    return [
        f"{column.title} here: {machine}"
        + (f", {threads} thread{'s' if threads != 1 else ''}" if threads else "")
        + f"; {conditions(protocol, sorted(scales))}. Another machine and another input than those of the printed "
        "figures: neither the time nor its ratio is a verdict on them."
        for (protocol, machine, threads), scales in told.items()
    ]


def _agreement(column: Column, cells: Sequence[Cell]) -> list[str]:
    """One line for a scale: under its own protocol with a count of what agrees, else without a verdict."""
    found = []
    for own in (True, False):
        some = [(c, c.ratio) for c in cells if c.ratio and _judged(c) == own]
        if len(some) < 2:
            continue
        rank = rank_correlation([r.printed or 0.0 for _, r in some], [r.measured for _, r in some])
        ranked = "–" if rank is None else f"{rank:.2f}".replace("-", "−")
        to, scale = some[0][1].to, some[0][0].scale
        others = [(c, r) for c, r in some if c.method != to]
        start = f"{column.title} at x{scale}: rank correlation of measured with printed {ranked} over {len(some)} rows"
        if marked := sum(r.disturbed for _, r in some):
            start += f", {marked} of them ‡"
        if own:
            held = sum(r.agrees(column.tolerance) for _, r in others)
            told = f"{held} of {len(others)} ratios to {to}'s agree with the printed ones (within their interval or "
            found.append(f"{start}; {told}{column.tolerance:.0%}); {_spread(others)}")
        else:
            found.append(f"{start}, on this machine's stand-in, so no verdict; {_spread(others)}")
    return found


def _spread(others: Sequence[tuple[Cell, Ratio]]) -> str:
    """How far ratios are from the printed ones, as factors of either direction."""
    if not others:
        return "no ratio"
    factors = {c.method: max(r.measured / r.printed, r.printed / r.measured) for c, r in others if r.printed}
    worst = max(factors, key=lambda method: factors[method])
    middle = statistics.median(factors.values())
    return f"ratios are off by a factor of {middle:.2f} in the median and {factors[worst]:.2f} at most ({worst})"


def _judged(cell: Cell) -> bool:
    """Whether a cell's ratio is of its own protocol."""
    return cell.ratio is not None and cell.measured is not None and cell.ratio.protocol == cell.protocol
