"""The command that holds one's own figures against what is found here: review."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import (
    Arguments,
    Commands,
    Json,
    Records,
    Scale,
    Timeout,
    asked,
    carried,
    look,
    networks,
    print_json,
)

if TYPE_CHECKING:
    from workbench.execute import Request
    from workbench.own import Asked
    from workbench.review.latency import Timed
    from workbench.review.stated import Stated
    from workbench.spec import Record, Variant


def review(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Your network: ./net.py:Net, mypkg.mymodel:build.")],
    claims: Annotated[Path, typer.Option("--claims", metavar="FILE.toml", help="What you are about to print.")],
    strict: Annotated[bool, typer.Option("--strict", help="End with 2 if a claim does not hold as stated.")] = False,
    timing: Annotated[bool, typer.Option("--timing/--no-timing", help="Whether to time what is claimed of it.")] = True,
    budget: Annotated[float, typer.Option(help="Seconds after which timing ends.")] = 60.0,
    scale: Scale = None,
    arg: Arguments = None,
    timeout: Timeout = None,
    records: Records = None,
    as_json: Json = False,
) -> int:
    """Say which of your own figures hold, under which protocol, and what a reviewer would ask.

    FILE.toml has a table for each figure; all keys but the figure may be missing, and what is missing is asked for:

    \b
    [params]   value = "312K"; counter = "total", "trainable" or "hooks"
    [flops]    value = "22.9G"; counter = "fvcore", "torch" or "thop"; hr = "1280x720"; lr = "floor", "ceil" or
               "320x180"; counts = "multiply-adds" or "operations"; padding, layer-norm, scan = true or false;
               mode = "eval" or "train"; attention = "naive", "sdpa" or "flex"
    [memory]   value = "176MB" (of 2**20 bytes); hr, lr, attention as above; forward = "faithful" or "lean"; device
               and peak in your words
    [latency]  vs = "esc-x4" and ratio = "1.7x faster", or value = "12.3ms"; device in your words; warmup and runs in
               numbers; statistic = "median" or "mean"; compile = "none", "compile" or "graph"

    protocol = "esc+ceil" says all of that at once, by a name of `workbench protocols`. What is counted or planned is
    measured and recorded. A ratio is timed on this machine, in turns, unless records have it. Exit code 0 whatever
    holds; with --strict 2 if a claim differs, or is explained by another protocol than it states.
    """
    from workbench import own, progress, store
    from workbench.report import reviewed
    from workbench.review import OPEN, counts, latency, memory, stated

    beside = asked([name], scale, arg, timeout)
    network = _found(name, beside)
    given = stated.read(claims, network.scale)
    bases = {c.vs: _found(c.vs, own.Asked(timeout=timeout)) for c in given if c.vs}
    folder = records or store.default()
    counted = [c for c in given if c.of in ("params", "flops")]
    planned = [c for c in given if c.of == "memory"]
    wanted = [r for c in counted for r in counts.requests(c, network)]
    wanted += [r for c in planned for r in memory.requests(c, network)]
    known = dict(look(records).newest())
    fresh = _measured(wanted, folder, known)
    known |= fresh
    fresh |= _measured([r for c in counted for r in counts.searches(c, network, known)], folder, known)
    known |= fresh
    findings = [counts.judge(c, network, known) for c in counted]
    findings += [memory.judge(c, network, known) for c in planned]
    for claim in (c for c in given if c.of == "latency"):
        base = bases.get(claim.vs) if claim.vs else None
        timed, needs = _timed(claim, network, base, known, timing, budget, beside)
        findings.append(latency.judge(claim, timed, needs))
    if as_json:
        print_json([reviewed.as_object(f) for f in findings])
    else:
        sys.stdout.write(reviewed.text(network.name, str(claims), findings))
    broken = sum(f.verdict in OPEN for f in findings)
    if strict and broken:
        print(
            f"workbench: {broken} of {len(findings)} claims {'does' if broken == 1 else 'do'} not hold as stated.",
            file=sys.stderr,
        )
    return progress.conclude(fresh.values()) or (2 if strict and broken else 0)


def _found(name: str, beside: Asked) -> Variant:
    """A network by its name, the catalogue's or one's own."""
    from workbench import models

    (found,) = networks([name], beside)
    return models.find(found)


def _measured(wanted: Sequence[Request], folder: Path, known: Mapping[str, Record]) -> dict[str, Record]:
    """What is missing of it, measured."""
    from workbench import execute, progress

    done = progress.run(execute.missing(wanted, known), folder, asked=len(wanted), what="review")
    return {d.request.identity: d.record for d in done}


def _timed(
    claim: Stated,
    network: Variant,
    base: Variant | None,
    known: Mapping[str, Record],
    timing: bool,
    budget: float,
    beside: Asked,
) -> tuple[Timed | None, str]:
    """What was timed of a claimed ratio, and what is missing where nothing was."""
    import shlex

    from workbench import protocols
    from workbench.reproduce import cuda
    from workbench.review import latency

    if base is None:
        return None, ""
    if found := latency.of_records(claim, network, base, known):
        return found, ""
    command = f"workbench compare {shlex.quote(network.name)} {shlex.quote(base.name)} --protocol {claim.protocol}"
    if protocols.find(claim.protocol).execution.device == "cuda" and not cuda():
        return None, f"it takes the device that it names, and here is no CUDA GPU: {command}"
    if not timing:
        return None, f"it was not timed: {command}"
    told = carried([network, base], beside, _compared, network, base, claim.protocol, budget)
    return latency.of_comparison(told), ""


def _compared(network: Variant, base: Variant, protocol: str, budget: float) -> dict[str, Any]:
    from workbench import comparison

    return comparison.compare([network, base], None, protocol, budget=budget).as_object()


COMMANDS: Commands = {"review": review}
