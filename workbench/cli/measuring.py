"""The commands that run networks or count them: measure, compare, reproduce."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.spec import UserError

from .options import (
    Arguments,
    Commands,
    Data,
    Json,
    Logs,
    On,
    Records,
    Results,
    Scale,
    Timeout,
    asked,
    carried,
    fraction,
    networks,
    print_json,
    say,
    spread,
)

if TYPE_CHECKING:
    from workbench.spec import Variant


def measure(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME|GLOB...", help="Variants: esc-x4, 'esc*-x4'; your own: ./net.py:Net.")
    ],
    probe: Annotated[
        list[str] | None, typer.Option("--probe", help="What to measure; repeatable [all that counts].")
    ] = None,
    protocol: Annotated[list[str] | None, typer.Option("--protocol", help="How; repeatable [esc].")] = None,
    weights: Annotated[
        str | None, typer.Option("--weights", metavar="NAME|FILE", help="Trained weights, for quality and ssim.")
    ] = None,
    data: Data = None,
    records: Records = None,
    force: Annotated[bool, typer.Option("--force", help="Measure even what a record already answers.")] = False,
    apart: Annotated[bool, typer.Option("--apart", help="Each measurement in a fresh process.")] = False,
    timeout: Annotated[float | None, typer.Option(help="Seconds for one measurement; implies --apart.")] = None,
    on: On = "local",
    logs: Logs = False,
    scale: Scale = None,
    arg: Arguments = None,
    as_json: Json = False,
) -> int:
    """Measure what is missing or stale, append it to the records, and print what is now known."""
    from workbench import cluster, evaluate, execute, progress, report, store, testsets
    from workbench.probes import PROBES

    folder = records or store.default()
    probes = probe or [p.name for p in PROBES.values() if not p.across and not p.real]
    beside = asked(names, scale, arg, timeout)
    wanted = execute.requests(networks(names, beside), probes, protocol or ["esc"])
    if weights is not None and not any(r.probe.images for r in wanted):
        raise UserError(
            f"--weights {weights} would be read by none of the probes that were asked for: {', '.join(probes)}. Add "
            "--probe quality, or leave --weights out."
        )
    wanted = execute.with_subjects(wanted, weights, data or testsets.default())
    contents = store.read(folder).told()
    known = contents.newest()
    how = execute.apart(timeout) if apart or timeout is not None else execute.measure
    with cluster.opened(on, wanted, known, how, folder, timeout, logs, say) as there:
        wanted = there.requests
        todo = execute.missing(wanted, known, force)
        for request in todo if force else ():
            if request.subject:
                evaluate.forget(request.variant.name, request.subject, request.protocol)
        done = list(progress.each(todo, folder, there.engine, contents, len(wanted), hands=there.hands(todo)))
    known.update({d.request.identity: d.record for d in done})
    fresh = [d.record for d in done if d.ours]
    answers = [execute.answer(r, known) for r in wanted]
    if as_json:
        print_json([store.to_json(a) for a in answers])
    else:
        shared = len(done) - len(fresh)
        counts = Counter(r.status for r in fresh)
        print(progress.summary(len(wanted), counts, shared, len(wanted) - len(done)), file=sys.stderr)
        for a in answers:
            print(report.answer(a))
        for told in report.remarks(answers):
            print(told, file=sys.stderr)
    return progress.conclude([known[identity] for identity in dict.fromkeys(r.identity for r in wanted)])


def compare(
    names: Annotated[list[str], typer.Argument(metavar="NAME|GLOB...", help="Variants; the first against each other.")],
    vs: Annotated[str | None, typer.Option("--vs", metavar="BASE", help="Each against this one instead.")] = None,
    protocol: Annotated[str, typer.Option("--protocol", help="How they run; +cuda for a GPU.")] = "steady",
    precision: Annotated[
        float | None,
        fraction("--precision", "Width of a ratio's interval that ends it, from round 40 on: 0.02 or 2% [0.02]."),
    ] = None,
    budget: Annotated[
        float, typer.Option(help="Seconds after which no further round begins; 8 are played whatever they take.")
    ] = 120.0,
    scale: Scale = None,
    arg: Arguments = None,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Time networks in turns and say which is faster, by how much, and how sure that is."""
    from workbench import comparison

    precision = comparison.PRECISION if precision is None else precision
    try:
        names = spread(names)
        beside = asked([*names, *([vs] if vs else [])], scale, arg, timeout)
        chosen = networks(names, beside)
        base = networks([vs], beside) if vs else [None]
        every = [n for n in (*chosen, *base) if n is not None]
        told = carried(every, beside, _compared, chosen, base[0], protocol, precision, budget, heard=True)
    except KeyboardInterrupt:
        raise comparison.too_early(0) from None
    if as_json:
        print_json(told["object"])
    else:
        print("\n".join(told["lines"]))
    if told["object"]["ended"] == "interrupted":
        raise UserError(
            "Interrupted: above is what the rounds say that were played; more of them would say it surer. Nothing is "
            "stored."
        )


def _compared(
    names: list[str | Variant], vs: str | Variant | None, protocol: str, precision: float, budget: float
) -> dict[str, Any]:
    """A comparison in words and as JSON has it."""
    from workbench import comparison
    from workbench.passing import passing

    with passing() as say:
        found = comparison.compare(names, vs, protocol, precision, budget, say=say, keep=True)
    return {"object": found.as_object(), "lines": found.told()}


def reproduce(
    quick: Annotated[
        bool, typer.Option("--quick", help="Measure the x4 networks only; without a GPU time none.")
    ] = False,
    records: Records = None,
    results: Results = None,
    as_json: Json = False,
) -> int:
    """Measure what the tables need, run the notebooks, and write tables, figures and report."""
    from workbench import judge, progress, reproduce, store

    target = (results or store.default().parent).absolute()
    judged, unanswered = reproduce.run(quick, records or store.default(), target)
    written = [target / "tables", target / "figures", target / "report" / "index.html"]
    if as_json:
        verdicts = {table.id: judge.counts(table, cells) for table, cells in judged}
        print_json({"tables": verdicts, "written": [str(path) for path in written]})
    else:
        for table, cells in judged:
            print(judge.summary(table, cells))
        print(f"written: {', '.join(map(str, written))}")
    return progress.conclude(unanswered)


COMMANDS: Commands = {"measure": measure, "compare": compare, "reproduce": reproduce}
