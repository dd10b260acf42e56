"""The command line: parses, calls, prints. What a command needs is imported inside the command."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench import interrupts
from workbench.spec import UserError

if TYPE_CHECKING:
    from workbench.spec import Status
    from workbench.store import Contents

app = typer.Typer(
    help="A workbench for lightweight super-resolution networks: measure them, and check what papers printed.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

INTERRUPTED = 130  # what typer returns after Ctrl-C

LONGEST = 1_000_000
"""Seconds: of a longer timeout nobody sees the end, and beyond 2**31 milliseconds the system takes none."""

OUTCOMES: dict[Status, str] = {
    "failed": "failed",
    "timeout": "timed out",
    "out-of-memory": "ran out of memory",
    "unsupported": "unsupported",
}


def _folder(option: str) -> Callable[[str], Path]:
    """Read the folder that an option names. An empty one is most often a shell's variable that is not set."""

    def folder(text: str) -> Path:
        if not text:
            raise UserError(f"{option} was given an empty path; name a folder, or leave {option} out for the default.")
        return Path(text)

    return folder


Records = Annotated[
    Path | None,
    typer.Option(
        "--records", metavar="DIR", parser=_folder("--records"), help="Folder of records [default: results/records]."
    ),
]
Results = Annotated[
    Path | None,
    typer.Option("--results", metavar="DIR", parser=_folder("--results"), help="Where to write [default: results]."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout; messages go to stderr.")]


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"workbench {version('workbench')}")
        except PackageNotFoundError:
            print("workbench, imported from its folder and not installed")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the version and end.")
    ] = False,
) -> None:
    """What is asked of the program and not of a command."""


@app.command()
def variants(as_json: Json = False) -> None:
    """List the networks: name, model, family, scale, paper."""
    from workbench.models import VARIANTS

    rows = [vars(v) for v in VARIANTS.values()]
    _listing(rows, as_json, ("name", "model", "family", "scale", "paper"))


@app.command()
def protocols(as_json: Json = False) -> None:
    """List the named ways to measure, and the modifiers that change one: esc+ceil."""
    from dataclasses import asdict

    from workbench.protocols import MODIFIERS, PROTOCOLS

    modifiers = [asdict(m) | {"name": f"+{m.name}"} for m in MODIFIERS.values()]
    _listing([asdict(p) for p in PROTOCOLS.values()] + modifiers, as_json, ("name", "title"))


@app.command()
def probes(as_json: Json = False) -> None:
    """List the quantities that can be measured."""
    from dataclasses import asdict

    from workbench.probes import PROBES

    _listing([asdict(p) for p in PROBES.values()], as_json, ("name", "unit", "version"))


@app.command()
def tables(as_json: Json = False) -> None:
    """List the published tables that can be checked."""
    from workbench.papers import TABLES

    rows = [
        {"id": t.id, "source": t.source, "title": t.title, "protocol": t.protocol, "rows": len(t.rows)}
        for t in TABLES.values()
    ]
    _listing(rows, as_json, ("id", "source", "title"))


@app.command("devices")
def list_devices(as_json: Json = False) -> None:
    """List the devices that lower bounds of the time can be computed for."""
    from dataclasses import asdict

    from workbench.devices import CPU, DEVICES

    rows = [asdict(d) for d in DEVICES.values()]
    rows.append(dict.fromkeys(rows[0]) | {"name": CPU, "title": "this machine", "source": "measured when asked for"})
    _listing(rows, as_json, ("name", "title", "source"))


@app.command()
def measure(
    names: Annotated[list[str], typer.Argument(metavar="NAME|GLOB...", help="Variants, such as esc-x4 or 'esc*-x4'.")],
    probe: Annotated[
        list[str] | None, typer.Option("--probe", help="What to measure; repeatable [all that counts].")
    ] = None,
    protocol: Annotated[list[str] | None, typer.Option("--protocol", help="How; repeatable [esc].")] = None,
    records: Records = None,
    force: Annotated[bool, typer.Option("--force", help="Measure even what a record already answers.")] = False,
    apart: Annotated[bool, typer.Option("--apart", help="Each measurement in a fresh process.")] = False,
    timeout: Annotated[float | None, typer.Option(help="Seconds for one measurement; implies --apart.")] = None,
    as_json: Json = False,
) -> int:
    """Measure what is missing or stale, append it to the records, and print what is now known."""
    from workbench import execute, progress, store
    from workbench.probes import PROBES

    if timeout is not None and not 0 < timeout <= LONGEST:
        raise UserError(
            f"--timeout was given {timeout:g} seconds; give a number above 0 and up to {LONGEST:,}, or leave it out for"
            " no limit."
        )
    folder = records or store.default()
    probes = probe or [p.name for p in PROBES.values() if not p.across and not p.real]
    wanted = execute.requests(names, probes, protocol or ["esc"])
    known = _read(folder).newest()
    todo = execute.missing(wanted, known, force)
    how = execute.apart(timeout) if apart or timeout is not None else execute.measure
    fresh = progress.measure(todo, folder, how)
    known |= {r.identity: f for r, f in zip(todo, fresh, strict=True)}
    answers = [execute.answer(r, known) for r in wanted]
    if as_json:
        _print_json([store.to_json(a) for a in answers])
    else:
        counts = Counter(r.status for r in fresh)
        without = " and ".join(f"{counts[status]} {told}" for status, told in OUTCOMES.items() if counts[status])
        measured = f"{len(fresh)} measured" + (f", of which {without}" if without else "")
        print(f"{len(wanted)} asked, {measured}, {len(wanted) - len(fresh)} already known.", file=sys.stderr)
        for a in answers:
            told = f"{a.status}: {a.reason}" if a.status != "ok" else f"{a.value:,}"
            told += f" {a.unit}" if a.status == "ok" and a.unit != "count" else ""
            if "interval" in a.details:
                low, high = a.details["interval"]
                told = f"{a.value:.4g} {a.unit} [{low:.4g}, {high:.4g}] of {len(a.values)} runs"
            told += " (an estimate)" if "estimate" in a.details else ""
            print(f"{a.variant:22} {a.probe:14} {a.protocol:18} {told}")
    return progress.conclude([known[identity] for identity in dict.fromkeys(r.identity for r in wanted)])


@app.command()
def fits(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A variant, such as esc-x4.")],
    gpu: Annotated[str, typer.Option("--gpu", help="Memory of the GPU: 8GB, 8GiB, 500MB, or bytes.")],
    image: Annotated[str | None, typer.Option("--image", metavar="WxH", help="An input, in LR pixels.")] = None,
    overlap: Annotated[int, typer.Option("--overlap", help="LR pixels that tiles share.")] = 16,
    aspect: Annotated[str, typer.Option("--aspect", help="Width to height of the largest input.")] = "1:1",
    protocol: Annotated[list[str] | None, typer.Option("--protocol", help="How; repeatable [esc+lean, esc].")] = None,
    context: Annotated[str, typer.Option("--context", help="Kept for CUDA's context, an estimate.")] = "500MB",
    exact: Annotated[bool, typer.Option("--exact", help="Walk large inputs too, which can take minutes.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="What occupies the memory at the peak.")] = False,
    as_json: Json = False,
) -> None:
    """Say what fits into a GPU by planned memory: the largest input, or the tiles of an image."""
    from dataclasses import asdict

    from workbench import fits
    from workbench.protocols import find
    from workbench.report import fitting

    room = fits.room(gpu, context)
    ratio = fits.pair(aspect, ":", "--aspect", "the ratio of width to height, such as 16:9")
    width, height = fits.pair(image, "x", "--image", "LR width and height, such as 320x180") if image else (0, 0)
    answers = []
    for chosen in protocol or fits.FORWARDS:
        planner = fits.Planner(name, find(chosen), exact)
        answer = fits.image(planner, room, height, width, overlap) if image else fits.largest(planner, room, ratio)
        held = planner.held(answer.tiles.tile if answer.tiles else answer.whole) if explain else None
        answers.append(asdict(answer) | ({"explained": asdict(held[0]), "largest": held[1]} if held else {}))
        if not as_json:
            print(fitting.sentences(answer))
            if held:
                print(fitting.occupants(*held))
    if as_json:
        _print_json(answers)


@app.command()
def compare(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Variants; the first against each other.")],
    vs: Annotated[str | None, typer.Option("--vs", metavar="BASE", help="Each against this one instead.")] = None,
    protocol: Annotated[str, typer.Option("--protocol", help="How they run; +cuda for a GPU.")] = "steady",
    precision: Annotated[float, typer.Option(help="Width of a ratio's interval that is narrow enough.")] = 0.02,
    budget: Annotated[float, typer.Option(help="Seconds after which no further round begins.")] = 120.0,
    as_json: Json = False,
) -> None:
    """Time networks in turns and say which is faster, by how much, and how sure that is."""
    from workbench import compare

    found = compare.compare(names, vs, protocol, precision, budget)
    if as_json:
        _print_json(found.as_object())
        return
    for sentence in found.sentences():
        print(sentence)
    print(found.conditions())


@app.command()
def table(
    name: Annotated[str, typer.Argument(metavar="ID", help="A table of `workbench tables`.")],
    format: Annotated[str | None, typer.Option("--format", help="md, csv, tex, html or json [md].")] = None,
    bounds: Annotated[
        str | None, typer.Option("--bounds", metavar="DEVICE", help="Latencies beside lower bounds; md or html.")
    ] = None,
    records: Records = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Print a published table: every printed figure, the measured one beside it, and a verdict."""
    from workbench import judge, papers, report

    if as_json and format not in (None, "json"):
        raise UserError(f"--json and --format {format} ask for two formats; give one of them.")
    chosen = papers.find_table(name)
    format = "json" if as_json else format or "md"
    known = _look(records).newest()
    if bounds is not None:
        from workbench.report import bounds as beside

        sys.stdout.write(beside.render(chosen, known, bounds, format))
        return
    sys.stdout.write(report.render(chosen, judge.judge(chosen, known), format))


@app.command()
def explain(
    name: Annotated[str | None, typer.Argument(metavar="[TABLE]", help="A table of `workbench tables`.")] = None,
    cell: Annotated[list[str] | None, typer.Option(help="METHOD[:xSCALE][:COLUMN] of the table; repeatable.")] = None,
    variant: Annotated[str | None, typer.Option(metavar="NAME", help="A variant, for a figure of your own.")] = None,
    macs: Annotated[str | None, typer.Option(metavar="FIGURE", help="As printed: 244.2G.")] = None,
    params: Annotated[str | None, typer.Option(metavar="FIGURE", help="As printed: 772K.")] = None,
    records: Records = None,
    as_json: Json = False,
) -> None:
    """Search the known protocols for one that gives a printed figure, and say how many were tried and fit."""
    from workbench import detective, papers, report, store

    folder = records or store.default()
    if (name is None) == (variant is None):
        raise UserError("Explain what? Give a table (workbench explain esc-table2), or --variant NAME with a figure.")
    if name is not None:
        if macs or params:
            raise UserError("--macs and --params are figures of a --variant; cells of a table are named by --cell.")
        chosen = papers.find_table(name)
        cells = detective.table(chosen, cell or (), folder)
        if as_json:
            _print_json([report.as_object(c) for c in cells])
        else:
            sys.stdout.write(report.findings(chosen, cells))
        return
    if cell or not (macs or params):
        raise UserError(f"For --variant {variant}, give the printed figure: --macs 244.2G, --params 772K, or both.")
    found = []
    for probe, figure in (("macs", macs), ("params", params)):
        if figure:
            search, _ = detective.figure(str(variant), probe, figure, folder)
            found.append(report.as_finding(str(variant), probe, figure, search))
    if as_json:
        _print_json(found)
    else:
        sys.stdout.write("".join(report.finding(f) for f in found))


@app.command()
def trace(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A variant, such as esc-x4.")],
    protocol: Annotated[str, typer.Option("--protocol", help="How it is built and fed.")] = "esc",
    device: Annotated[str | None, typer.Option("--device", help="One of `workbench devices` [the protocol's].")] = None,
    by: Annotated[str | None, typer.Option("--by", help="module or operator [both].")] = None,
    depth: Annotated[int, typer.Option("--depth", help="Names of a module's path that are kept.")] = 2,
    top: Annotated[int, typer.Option("--top", help="How many modules and operators are shown.")] = 10,
    picture: Annotated[Path | None, typer.Option("--picture", metavar="FILE", help="Draw it: .png or .svg.")] = None,
    as_json: Json = False,
) -> None:
    """Take a network apart: what its modules and operators compute, move, and take at least (an estimate)."""
    from workbench import anatomy
    from workbench.report import roofline

    anatomy.check(by, top)
    if picture:
        roofline.check(picture)
    found = anatomy.dissect(name, protocol, device, depth)
    if picture:
        roofline.write(found, by, top, picture)
    if as_json:
        _print_json(roofline.as_object(found, by, top))
    else:
        sys.stdout.write(roofline.text(found, by, top))


@app.command("records")
def list_records(
    sql: Annotated[str | None, typer.Option("--sql", help="A query over the table `records`.")] = None,
    records: Records = None,
    as_json: Json = False,
) -> None:
    """Show the newest record of each measurement, or ask all of them in SQL."""
    from workbench import store

    contents = _look(records)
    if sql is not None:
        found = contents.query(sql)
        print(store.frame_to_json(found) if as_json else found.to_string(index=False))
        return
    newest = [store.to_json(r) for r in contents.newest().values()]
    _listing(newest, as_json, ("variant", "probe", "protocol", "values", "status", "recorded_at"))


@app.command()
def reproduce(
    quick: Annotated[bool, typer.Option("--quick", help="Measure the x4 networks only.")] = False,
    records: Records = None,
    results: Results = None,
) -> None:
    """Measure what the tables need, run the notebooks, and write tables, figures and report."""
    from workbench import reproduce, store

    reproduce.run(quick, records or store.default(), results or store.default().parent)


@app.command()
def doctor(records: Records = None, as_json: Json = False) -> None:
    """Say what this machine can and cannot measure, and what to do about it."""
    from workbench import doctor, store

    findings = doctor.examine(records or store.default())
    _listing([vars(f) for f in findings], as_json, ("what", "state", "found", "advice"))


def main() -> None:
    """Run a command. Exit codes: 0 fine, 2 what the user can mend (one line), 1 a defect (a traceback)."""
    if sys.stderr is None:  # closed; print would take standard output in its place
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    if sys.stdout is None:
        _end("Standard output is closed, so nothing can be told; leave it open, or send it to a file or /dev/null.")
    try:
        code = _run()
        sys.stdout.flush()
    except UserError as error:
        _end(str(error))
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        said = error.format_message() if hasattr(error, "format_message") else str(error)
        _end(f"{said} See: {context.command_path if context else 'workbench'} --help")
    except BrokenPipeError:
        _let_go_of_stdout()  # whoever read us has seen enough
        raise SystemExit(0) from None
    except OSError as error:
        why = None if error.filename else _refusal_of_stdout()
        if why is None:
            raise
        _let_go_of_stdout()
        _end(f"Cannot write to standard output: {why}. What was measured is stored; send the output elsewhere.")
    if code == INTERRUPTED:
        _end(interrupts.TOLD)
    raise SystemExit(code)


def _run() -> int:
    """A command's exit code, however it ends."""
    try:
        code = app(sys.argv[1:] or ["--help"], prog_name="workbench", standalone_mode=False)
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):
            raise ended.__context__ from None
        code = ended.code
    return code if isinstance(code, int) else 0


def _refusal_of_stdout() -> str | None:
    """Why standard output takes nothing; if it takes a line's end, somebody else's error was caught."""
    try:
        print(flush=True)
    except OSError as error:
        return error.strerror
    return None


def _let_go_of_stdout() -> None:
    """What is left in the buffer goes nowhere, and Python's own flush at the end has nothing to complain about."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _end(sentence: str) -> None:
    print("workbench: " + " ".join(sentence.split()), file=sys.stderr)
    raise SystemExit(2) from None


def _read(folder: Path) -> Contents:
    """The contents of a store, its problems told on stderr."""
    from workbench import store

    contents = store.read(folder)
    for problem in contents.problems:
        print(f"workbench: {problem}", file=sys.stderr)
    return contents


def _look(records: Path | None) -> Contents:
    """The contents of a store that is only read: a folder that was named and is not there is said to be so."""
    from workbench import store

    contents = _read(records or store.default())
    if records is not None and not records.exists():
        print(f"workbench: There is no folder {records} yet, so there are no records.", file=sys.stderr)
    return contents


def _listing(rows: list[dict[str, Any]], as_json: bool, columns: tuple[str, ...]) -> None:
    """Print rows as JSON, or the chosen columns in aligned text."""
    if as_json:
        _print_json(rows)
        return
    texts = [[_plain(r[c]) for c in columns] for r in rows]
    widths = [max(map(len, column)) for column in zip(columns, *texts, strict=True)]
    for line in (columns, *texts):
        print("  ".join(entry.ljust(width) for entry, width in zip(line, widths, strict=True)).rstrip())


def _plain(value: Any) -> str:
    """An entry of a listing; of many values only their number."""
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value)) if len(value) <= 3 else f"{len(value)} values"
    return "" if value is None else str(value)


def _print_json(shown: Any) -> None:
    print(json.dumps(shown, indent=1, ensure_ascii=False))
