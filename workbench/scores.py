"""Which records of image quality answer a printed cell, and what the cell says where none does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from workbench import probes, protocols, weights
from workbench.known import of
from workbench.published import Column, Table
from workbench.spec import Record

Verdict = Literal["reproduced", "differs", "not measured", "not printed"]


def verdict(
    table: Table,
    variant: str,
    scale: int,
    column: Column,
    protocol: str,
    printed: str | None,
    known: Mapping[str, Record],
) -> tuple[Verdict, str, Record | None]:
    """The verdict on a mean over a test set, why, and the record that gives the mean.

    Only weights that were trained on what the table's networks were trained on answer, and only for a whole set. What
    was measured otherwise is named, and stands for nothing.
    """
    name = protocols.find(protocol).quality.set
    title = protocols.SETS[name]
    found = sorted(_measured(variant, scale, column.probe, protocol, known), key=lambda r: r.recorded_at)
    whole = [r for r in found if r.details.get("complete") and _trained_on(r) == _training(table)]
    if not whole:
        others = [_other(r, column, title, _training(table)) for r in found]
        needs = _needs(table, variant, column, protocol, name, title)
        if printed is None:
            return "not printed", "the paper leaves the cell empty", None
        return "not measured", "; ".join([*others, needs]), None
    record = whole[-1]
    if printed is None:
        return "not printed", "the paper leaves the cell empty", record
    unit = f" {column.unit}" if column.unit else ""
    own = (
        f"{protocol} gives {record.value:.4f}{unit} with {record.details['weights']['name']}, the mean over the"
        f" {len(record.values)} images of {title}"
    )
    off = abs(record.value / column.factor - float(printed))
    if off <= column.within:
        return "reproduced", f"{own}, within {column.within:g}{unit} of the printed figure", record
    return "differs", f"{own}, further than {column.within:g}{unit} from the printed figure", record


def lacking(record: Record) -> list[str]:
    """Why images of the set are not in a record's mean, each reason with the image that it is of."""
    return [
        why if any(Path(word).stem == Path(name).stem for word in why.split()) else f"{name}: {why}"
        for name, why in record.details.get("missing", {}).items()
    ]


def _measured(variant: str, scale: int, probe: str, protocol: str, known: Mapping[str, Record]) -> Iterator[Record]:
    """The records of a variant's quality under a protocol, with any weights and however many of the images."""
    facts = probes.find(probe)
    asked = protocols.find(protocol).read(facts.reads, scale)
    for r in of(known, variant, probe):
        if (r.probe_version, r.status) != (facts.version, "ok"):
            continue
        if all(r.conditions.get(part) == value for part, value in asked.items()):
            yield r


def _training(table: Table) -> str:
    return table.training or weights.UNKNOWN


def _trained_on(record: Record) -> str:
    return str(record.conditions.get("weights", {}).get("trained_on", weights.UNKNOWN))


def _other(record: Record, column: Column, title: str, wanted: str) -> str:
    """What was measured and is no answer."""
    name = record.details.get("weights", {}).get("name", "weights without a name")
    if not record.details.get("complete"):
        first = next((f": {reason}" for reason in lacking(record)), "")
        return (
            f"{len(record.values)} images were judged with {name}, which are not all of {title}, so that there is no"
            f" mean of the set{first}"
        )
    value = f"{record.value / column.factor:.4f} {column.unit}".rstrip()
    return f"other weights, {name} (trained on: {_trained_on(record)}, the table's: {wanted}), give {value}"


def _needs(table: Table, variant: str, column: Column, protocol: str, name: str, title: str) -> str:
    """What is missing, and how to get it."""
    entry = weights.of(variant, _training(table))
    if entry is None:
        get = f"workbench weights add FILE --trained-on {_training(table)}"
    elif entry.url:
        get = f"workbench weights fetch {entry.name}"
    else:
        file = f" ({entry.file})" if entry.file else ""
        get = f"workbench weights add FILE --published {entry.name}, from {entry.page}{file}"
    return (
        f"needs {title} and weights trained on {_training(table)}: {get}; workbench data add {name} FOLDER; workbench"
        f" measure {variant} --probe {column.probe} --protocol {protocol}"
    )
