"""The commands that say what there is: networks, protocols, probes, tables, devices, records, this machine."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from workbench.spec import UserError

from .options import Commands, Data, Json, Records, listing, look


def variants(
    ablations: Annotated[bool, typer.Option("--ablations", help="Those with an idea of their paper off.")] = False,
    as_json: Json = False,
) -> None:
    """List the networks: name, model, family, scale, paper."""
    from workbench.models import ABLATED, VARIANTS

    facts = ("name", "model", "family", "scale", "paper")
    listed = (ABLATED if ablations else VARIANTS).values()
    listing([{fact: getattr(v, fact) for fact in facts} for v in listed], as_json, facts)


def protocols(as_json: Json = False) -> None:
    """List the named ways to measure, and the modifiers that change one: esc+ceil."""
    from workbench.protocols import MODIFIERS, OWN, PROTOCOLS, Modifier

    named = [*MODIFIERS.values(), Modifier(f"{OWN}NAME", "judged on the images of a set of your own", "quality", {})]
    modifiers = [asdict(m) | {"name": f"+{m.name}"} for m in named]
    listing([asdict(p) for p in PROTOCOLS.values()] + modifiers, as_json, ("name", "title"))


def probes(as_json: Json = False) -> None:
    """List the quantities that can be measured."""
    from workbench.probes import PROBES

    listing([asdict(p) for p in PROBES.values()], as_json, ("name", "unit", "version"))


def tables(as_json: Json = False) -> None:
    """List the published tables that can be checked."""
    from workbench.papers import TABLES

    rows = [
        {"id": t.id, "source": t.source, "title": t.title, "protocol": t.protocol, "rows": len(t.rows)}
        for t in TABLES.values()
    ]
    listing(rows, as_json, ("id", "source", "title"))


def list_devices(as_json: Json = False) -> None:
    """List the devices that lower bounds of the time can be computed for."""
    from workbench.devices import CPU, DEVICES

    rows = [asdict(d) for d in DEVICES.values()]
    rows.append(dict.fromkeys(rows[0]) | {"name": CPU, "title": "this machine", "source": "measured when asked for"})
    listing(rows, as_json, ("name", "title", "source"))


def list_records(
    sql: Annotated[str | None, typer.Option("--sql", help="A query over the table `records`.")] = None,
    compact: Annotated[bool, typer.Option("--compact", help="Index them, for folders of many thousands.")] = False,
    records: Records = None,
    as_json: Json = False,
) -> None:
    """Show the newest record of each measurement, or ask all of them in SQL."""
    from workbench import store
    from workbench.store import compacting

    if compact:
        if sql is not None or as_json:
            raise UserError("--compact shows no records; give --sql or --json without it.")
        print(compacting.compact(records or store.default()))
        return
    contents = look(records)
    if sql is not None:
        found = contents.query(sql)
        if as_json or len(found):
            print(store.frame_to_json(found) if as_json else found.to_string(index=False, float_format=_whole))
        else:
            print(f"{'  '.join(found.columns)}\n(no row)")
        return
    newest = [store.to_json(r) for r in contents.newest().values()]
    listing(newest, as_json, ("variant", "probe", "protocol", "values", "status", "recorded_at"))


def doctor(records: Records = None, data: Data = None, as_json: Json = False) -> None:
    """Say what this machine can and cannot measure, and what to do about it."""
    from workbench import doctor, store, testsets

    findings = doctor.examine(records or store.default(), data or testsets.default())
    listing([vars(f) for f in findings], as_json, ("what", "state", "found", "advice"))


def _whole(number: float) -> str:
    """A number with all its digits: a count that went through a float is still a count."""
    return f"{number:.0f}" if number.is_integer() and abs(number) < 2**53 else repr(number)


COMMANDS: Commands = {
    "variants": variants,
    "protocols": protocols,
    "probes": probes,
    "tables": tables,
    "devices": list_devices,
    "records": list_records,
    "doctor": doctor,
}
