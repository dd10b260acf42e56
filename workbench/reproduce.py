"""From nothing to the report: measure what the tables need, execute the notebooks, say what was reproduced."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from workbench import (
    claims,
    curves,
    detective,
    environment,
    execute,
    here,
    judge,
    machine,
    made,
    papers,
    probes,
    progress,
    store,
)
from workbench.models.ablations import ABLATIONS
from workbench.published import Claim, Table
from workbench.report import bounds, resolutions
from workbench.spec import Record, UserError

MEASURING = ("attention", "your_model")
"""Notebooks that run networks: one after the other before all others, and left out where it has to be quick."""

LAST = "complexity"
"""The notebook that writes the site, which shows what all others drew."""

NOTEBOOKS = (*MEASURING, "efficiency", "ablations", "claims", LAST)

ABREAST = 2
"""Notebooks at a time: each has a kernel, which takes a core and some hundred MB."""

ATTENTION = ("attention", "sharing", "sharing-plan", "field", made.ARRAYS)
"""Probes of attention, of whose records only its own notebook tells."""

READ = {"attention": ATTENTION, "your_model": ("params", "macs", "planned-memory")}
"""Probes of whose records a notebook tells; the others tell of all but attention's."""

QUIET = "--IPKernelApp.log_level=50"
"""A kernel that is told to end may say that it was interrupted; errors of cells are told by the notebook."""

BOUND = "a100"
"""The device whose lower bounds stand beside printed latencies."""


def run(quick: bool, records: Path, results: Path) -> tuple[list[tuple[Table, list[judge.Cell]]], list[Record]]:
    """Do all of it; what a record already answers is not measured again.

    The tables come back with their cells as judged in the end, and the records of what has no value.
    """
    records, results = records.absolute(), results.absolute()
    store.check_results(results)
    store.read(records).told()
    tables = papers.TABLES.values()
    hands = machine.threads()
    counted = [r for table in tables for r in needed(table, quick)] + claimed(papers.CLAIMS.values(), quick)
    counted += [] if quick else ablated() + drawn(tables)
    unanswered = _measure(counted, records, hands=hands)
    gpu = cuda()
    times = timed(tables, quick, gpu) + (claimed(papers.CLAIMS.values(), quick, timed=True) if gpu else [])
    unanswered += _measure(times, records, "time, which others at work on this machine disturb")
    known = store.read(records).newest()
    open_ = [r for t in tables for r in detective.searches(t, judge.judge(t, known)) if _wanted(r.variant.scale, quick)]
    unanswered += _measure(open_, records, hands=hands)
    _notebooks([n for n in NOTEBOOKS if not (quick and n in MEASURING)], records, results)
    known = store.read(records).newest()
    return [(table, judge.judge(table, known)) for table in tables], unanswered


def _notebooks(names: Sequence[str], records: Path, results: Path) -> None:
    """Execute those of which something changed that they read, or all if what they wrote did; each in a kernel."""
    parameters = {"records": str(records), "results": str(results)}
    noted, ran = made.noted(results), list[str]()

    def inputs() -> dict[str, str]:
        return made.inputs(records, {name: partial(_tells, name) for name in names}, parameters)

    def execute(some: Sequence[str]) -> None:
        if not some:
            return
        from workbench import kernels

        ran.extend(some)
        works = [partial(_executed, name, results / "report" / f"{name}.ipynb", parameters) for name in some]
        kernels.abreast(works, min(ABREAST, machine.threads()))

    of = inputs()
    for name in (n for n in names if n in MEASURING):
        if noted.get(name) != of[name]:
            execute([name])
            of = inputs()  # what it lacked, it has measured
            noted[name] = of[name]
    execute([n for n in names if n not in (*MEASURING, LAST) and noted.get(n) != of[n]])
    if ran or noted.get(LAST) != of[LAST]:
        execute([LAST])
        made.note(results, noted | {n: of[n] for n in names if n not in MEASURING})
    else:
        print("notebooks: nothing changed since they were executed", file=sys.stderr)


def _tells(name: str, probe: str) -> bool:
    """Whether a notebook tells of records of a probe."""
    return probe in READ[name] if name in READ else probe not in ATTENTION


def _executed(name: str, output: Path, parameters: dict[str, Any]) -> None:
    print(f"notebook: {name}\n", end="", file=sys.stderr)  # in one piece, whoever else writes
    execute_notebook(name, output, parameters)


def needed(table: Table, quick: bool) -> list[execute.Request]:
    """What would answer a table's cells, each under its own protocol; the x4 rows only if it has to be quick."""
    rows = [row for row in table.rows if _wanted(row.scale, quick) and row.variant]
    asked = [r for row in rows for column in table.columns for r in detective.asked(table, row, column)]
    if any(column.probe == "latency" for column in table.columns):
        for row in rows:
            asked += execute.requests([str(row.variant)], ["roofline"], [bounds.protocol(table, row, BOUND)])
    return sorted(asked, key=lambda r: r.variant.name)  # what reads one trace stands together


def claimed(asked: Iterable[Claim], quick: bool, timed: bool = False) -> list[execute.Request]:
    """What would answer claims: counts and estimates, or what is `timed` and takes the device they are about."""
    found = list[execute.Request]()
    for table, row, name in (place for claim in asked for place in claims.rows(claim)):
        column = next(c for c in table.columns if c.id == name)
        if not _wanted(row.scale, quick) or row.variant is None:
            continue
        if not timed:
            found += detective.asked(table, row, column)
        elif column.probe in probes.PROBES and probes.find(column.probe).timed:
            found += execute.requests([row.variant], [column.probe], [here.own(table, row, column)])
    return found


def ablated() -> list[execute.Request]:
    """What the curves of every ablation take at x4."""
    return curves.requests(ABLATIONS, (4,), "esc", timed=False)


def drawn(tables: Iterable[Table]) -> list[execute.Request]:
    """What figures show beyond the cells of their tables: the same networks at other sizes of the output."""
    named = {table.id: table for table in tables}
    asked = [a for f in papers.FIGURES.values() if f.table in named for a in resolutions.asked(f, named[f.table])]
    return [r for name, probe, protocol in asked for r in execute.requests([name], [probe], [protocol])]


def timed(tables: Iterable[Table], quick: bool, cuda: bool) -> list[execute.Request]:
    """What is timed on this machine.

    With a CUDA device that is every cell that one can fill, under its row's own protocol, and the energy beside each
    latency. Without one it is every network, in a table or not, under the protocol that any machine can run; nothing if
    it has to be quick, since that takes minutes and gives no verdict.
    """
    asked, everywhere = list[execute.Request](), set[tuple[str, str]]()
    for table in tables:
        for column in table.columns:
            if column.probe not in probes.PROBES or not probes.find(column.probe).timed:
                continue
            if not cuda:
                everywhere |= {(column.probe, column.here)} if column.here and not quick else set()
                continue
            named = [column.probe, "energy"] if column.probe == "latency" else [column.probe]
            for row in table.rows:
                if row.variant and _wanted(row.scale, quick):
                    asked += execute.requests([row.variant], named, [here.own(table, row, column)])
    for probe, protocol in sorted(everywhere):
        asked += [r for r in execute.requests(["*"], [probe], [protocol]) if _wanted(r.variant.scale, quick)]
    return asked


def cuda() -> bool:
    """Whether torch can use a GPU here; it is asked only where the driver shows one."""
    if not environment.capture()["gpus"]:
        return False
    import torch

    return torch.cuda.is_available()


def _wanted(scale: int, quick: bool) -> bool:
    return scale == 4 or not quick


def _measure(wanted: list[execute.Request], records: Path, what: str = "measure", hands: int = 1) -> list[Record]:
    """Measure what is missing; what has no value comes back."""
    contents = store.read(records)
    todo = execute.missing(wanted, contents.newest())
    if not todo:
        print(f"{what}: 0 missing of {len(wanted)}", file=sys.stderr)
    done = progress.run(todo, records, since=contents, asked=len(wanted), what=what, hands=hands)
    return [d.record for d in done if d.record.status != "ok"]


def execute_notebook(name: str, output: Path, parameters: dict[str, Any]) -> None:
    """Run one notebook with papermill; an unknown parameter is an error, a failing cell is shown and stops."""
    import papermill
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    source = environment.home() / "notebooks" / f"{name}.ipynb"
    if not source.is_file():
        raise UserError(f"No notebook {source}; it comes with the repository, so run this from a clone of it.")
    known = papermill.inspect_notebook(str(source))
    if strange := sorted(parameters.keys() - known.keys()):
        raise UserError(f"Notebook {name} has no parameter {strange[0]!r}; it has: {', '.join(sorted(known))}.")
    with tempfile.TemporaryDirectory() as scratch:
        draft = Path(scratch) / output.name
        config = {  # ipc, so that no port is open; its sockets are named after the file
            "KernelManager": {"transport": "ipc", "connection_file": str(Path(scratch) / "kernel.json")},
            "NotebookClient": {"extra_arguments": [QUIET], "kernel_manager_class": "workbench.kernels.Manager"},
        }
        try:
            papermill.execute_notebook(
                str(source),
                str(draft),
                parameters,
                kernel_name="python3",
                progress_bar=False,
                config=Config(config),
            )
        except PapermillExecutionError as error:
            if error.ename == UserError.__name__:
                raise UserError(error.evalue) from None
            print(error.source, file=sys.stderr)
            raise
        finally:
            if draft.exists():
                store.replace(output, draft.read_bytes())
