"""A figure as somebody asks for it: another scale, other costs, another test set than those it is drawn with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from workbench import judge
from workbench.published import Column, Figure, Table
from workbench.spec import UserError, unknown

from .resolutions import probe


def chosen(figure: Figure, table: Table, scales: Sequence[int], costs: Sequence[str], test_set: str | None) -> Figure:
    """The figure with what was asked for in place of its own, under an id that says so."""
    names = [figure.id]
    if scales:
        there = sorted({row.scale for row in table.rows})
        if missing := sorted(set(scales) - set(there)):
            known = ", ".join(f"x{s}" for s in there)
            raise UserError(f"Figure {figure.id} has no scale x{missing[0]}; {table.id}, which it shows, has {known}.")
        if figure.kind == "resolution" and len(set(scales)) > 1:
            raise UserError(f"Figure {figure.id} shows one scale; --scale was given {len(set(scales))} of them.")
        ordered = tuple(sorted(set(scales)))
        figure = replace(figure, scales=ordered)
        names += [f"x{s}" for s in ordered]
    if costs:
        ids = tuple(dict.fromkeys(_cost(figure, table, name).id for name in costs))
        if figure.kind == "bubble" and len(ids) > 1:
            raise UserError(f"Figure {figure.id} has one axis for a cost; --cost was given {len(ids)} of them.")
        figure = replace(figure, columns=(*ids, *_others(figure)))
        names += [_short(i) for i in ids]
    if test_set is not None:
        wanted = _quality(figure, table, test_set)
        figure = replace(figure, columns=tuple(wanted if _is_quality(c, table) else c for c in figure.columns))
        names.append(_short(wanted))
    return replace(figure, id="-".join(names))


def _others(figure: Figure) -> tuple[str, ...]:
    """The columns that a cost does not take the place of."""
    if figure.kind == "bubble":
        return figure.columns[1:]
    return figure.columns[-1:] if figure.kind == "front" else ()


def _cost(figure: Figure, table: Table, name: str) -> Column:
    """A column of cost by its id, the beginning of that, or its title."""
    costs = [c for c in table.columns if c.best == "low" and not judge.images(c)]
    if figure.kind == "resolution":
        costs = [c for c in costs if probe(c) in ("macs", "planned-memory")]
    for column in costs:
        if name.lower() in (column.id, _short(column.id), column.title.lower()):
            return column
    raise unknown("cost", name, [_short(c.id) for c in costs], f"workbench table {table.id}")


def _quality(figure: Figure, table: Table, test_set: str) -> str:
    """The id of a set's PSNR."""
    if not any(_is_quality(c, table) for c in figure.columns):
        raise UserError(f"Figure {figure.id} shows no image quality, so --set {test_set} says nothing; leave it out.")
    sets = [c.id.removesuffix("_psnr") for c in table.columns if c.id.endswith("_psnr")]
    if test_set.lower() not in sets:
        raise unknown(f"test set of {table.id}", test_set, sets, f"workbench table {table.id}")
    return f"{test_set.lower()}_psnr"


def _is_quality(column: str, table: Table) -> bool:
    return any(c.id == column and judge.images(c) for c in table.columns)


def _short(column: str) -> str:
    return column.partition("_")[0]
