"""The columns that a table of one's own may have: `params`, `macs+ceil`, `quality+set14`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from workbench import protocols
from workbench.papers.printed import FLOPS, LATENCY, MEMORY, PARAMS
from workbench.published import Column
from workbench.spec import UserError, unknown

COSTS = {
    "params": PARAMS,
    "macs": FLOPS,
    "latency": LATENCY,
    "memory": MEMORY,
    "planned-memory": replace(MEMORY, id="planned_mb", title="Planned memory", probe="planned"),
    "activations": Column("activations_m", "Activations", "M", "activations", 1e6, "low", "nothing"),
    "energy": Column("energy_mj", "Energy", "mJ", "energy", 1e-3, "low", "a device that counts its energy"),
}
"""By what is measured. Planned memory is an estimate whatever the machine, and so has no probe that measures it."""

IMAGES = {
    "quality": Column("psnr", "PSNR", "dB", "quality", 1, "high", "", within=0.01),
    "ssim": Column("ssim", "SSIM", "", "ssim", 1, "high", "", within=0.0005),
}
SPELLINGS = {"flops": "macs", "multi-adds": "macs", "parameters": "params", "psnr": "quality", "runtime": "latency"}

KNOWN = (*COSTS, *(f"{name}+SET" for name in IMAGES))


def column(word: str) -> Column:
    """The column of a word: a probe, with the modifiers that are added to the protocol of its cells."""
    named, *modifiers = word.split("+")
    named = SPELLINGS.get(named.lower(), named)
    if named not in COSTS and named not in IMAGES:
        raise unknown("column", named, KNOWN, "")
    rest, found = list(modifiers), COSTS.get(named) or IMAGES[named]
    if named in IMAGES:
        sets = [m for m in modifiers if m in protocols.SETS or m.startswith(protocols.OWN)]
        if len(sets) != 1:
            raise UserError(
                f"The column {word!r} names {len(sets) or 'no'} test set{'s' if sets else ''}; name one, such as "
                f"{named}+set14. Known: {', '.join(protocols.SETS)}, and set:NAME for your own."
            )
        rest.remove(sets[0])
        name = sets[0].removeprefix(protocols.OWN)
        title = protocols.SETS.get(name, name)
        needs = f"{title} and trained weights"
        found = replace(found, id=f"{name}_{found.id}", title=f"{title} {found.title}", needs=needs)
    protocols.find("+".join(["esc", *modifiers]))  # whatever it changes, it has to be there
    if rest:
        found = replace(found, id="+".join([found.id, *rest]), title=f"{found.title} +{' +'.join(rest)}")
    return replace(found, modifier="+".join(modifiers))


def pick(columns: Iterable[Column], word: str) -> Column:
    """A column of a table by its id, or by what is measured in it; one that the table lacks is made."""
    known = {c.id: c for c in columns}
    if word in known:
        return known[word]
    try:
        wanted = column(word)
    except UserError:
        if word.partition("+")[0] in (*COSTS, *IMAGES, *SPELLINGS):
            raise
        raise unknown("column", word, dict.fromkeys((*KNOWN, *known)), "") from None
    return next((c for c in known.values() if alike(c, wanted)), wanted)


def alike(one: Column, other: Column) -> bool:
    """Whether two columns, of whatever tables, are of the same thing."""
    if one.id == other.id:
        return True
    mine, its = (c.probe.replace("planned", "memory") for c in (one, other))
    return mine == its and mine in (*COSTS, *IMAGES) and one.modifier == other.modifier
