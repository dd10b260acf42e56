"""Measuring with a view: a bar on a terminal, plain lines elsewhere; always on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from workbench import evaluate, execute, store
from workbench.spec import Record


def measure(
    todo: Sequence[execute.Request],
    folder: Path,
    how: Callable[[execute.Request], Record] = execute.measure,
) -> list[Record]:
    """Measure and store one request after the other, showing what runs and how much is left."""
    if not todo:
        return []
    with store.Writer(folder) as writer:
        writer.check()
        if not sys.stderr.isatty():
            return _plainly(todo, writer, how)
        return _with_bar(todo, writer, how)


def _plainly(
    todo: Sequence[execute.Request], writer: store.Writer, how: Callable[[execute.Request], Record]
) -> list[Record]:
    done = []

    def one(request: execute.Request) -> Record:
        with evaluate.watched(lambda i, of, name: print(f"  [{i}/{of}] {name}", file=sys.stderr)):
            return how(request)

    for record in execute.run(todo, writer, one):
        done.append(record)
        told = "" if record.status == "ok" else f": {record.status}: {record.reason}"
        print(f"[{len(done)}/{len(todo)}] {todo[len(done) - 1]}{told}", file=sys.stderr)
    return done


def _with_bar(
    todo: Sequence[execute.Request], writer: store.Writer, how: Callable[[execute.Request], Record]
) -> list[Record]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=len(todo))
        done = []

        def told(request: execute.Request) -> Record:
            bar.update(task, description=str(request))
            with evaluate.watched(lambda i, of, name: bar.update(task, description=f"{request}: {name}, {i} of {of}")):
                return how(request)

        for record in execute.run(todo, writer, told):
            done.append(record)
            bar.advance(task)
            if record.status != "ok":
                bar.console.print(f"{todo[len(done) - 1]}: {record.status}: {record.reason}", markup=False)
        return done


def conclude(records: Collection[Record]) -> int:
    """Say on stderr what has no value and how it gets one; the exit code: 1 for a defect, 2 for what can be mended."""
    late, full, failed = ([r for r in records if r.status == s] for s in ("timeout", "out-of-memory", "failed"))
    if late:
        print(f"workbench: {_number(late)} timed out; give more time: --timeout SECONDS.", file=sys.stderr)
    if full:
        mend = "free some, or take a machine with more, and measure again with --force"
        print(f"workbench: {_number(full)} ran out of memory; {mend}.", file=sys.stderr)
    if failed:
        first = next((r for r in failed if "traceback" in r.details), failed[0])
        what = f"{first.probe} of {first.variant} under {first.protocol}: {first.reason}"
        told = f"workbench: {_number(failed)} failed, which is a defect; the first: {what}"
        if "traceback" in first.details:
            told += f"\nThe record of each has its traceback in the details. The first:\n{first.details['traceback']}"
        print(told.rstrip(), file=sys.stderr)
    return 1 if failed else 2 if late or full else 0


def _number(records: Sequence[Record]) -> str:
    return "1 measurement" if len(records) == 1 else f"{len(records)} measurements"
