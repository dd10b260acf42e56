"""Measuring with a view: a bar on a terminal, plain lines elsewhere; always on stderr."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from types import TracebackType

from workbench import evaluate, execute, store, sweep
from workbench.execute import Request
from workbench.forecast import Forecast
from workbench.spec import Record, Status
from workbench.sweep import Done, Engine, How

MANY = 12
"""Requests below which other processes would take longer to start than to help."""

OUTCOMES: dict[Status, str] = {
    "failed": "failed",
    "timeout": "timed out",
    "out-of-memory": "ran out of memory",
    "unsupported": "unsupported",
}
"""What became of a request that has no value, in a sentence."""


def run(
    todo: Sequence[Request],
    folder: Path,
    how: How = execute.measure,
    since: store.Contents | None = None,
    asked: int | None = None,
    what: str = "measure",
    hands: int = 1,
) -> list[Done]:
    """Measure and store one request after the other, showing what runs, how much is left and how long that may take.

    What is done comes back in the order it was asked for. `since` is what the store held when `todo` was found missing
    in it; if it is not given, the store is read once more. With `asked`, the number of requests of which `todo` is
    missing, it is said first `what` is done, and how long that may take. With more than one of `hands` other processes
    work on it too, which no timed measurement bears.
    """
    if not todo:
        return []
    finished = dict[str, Done]()
    if since is None:
        since = store.read(folder)
        known = since.newest()
        missing = {r.identity for r in execute.missing(todo, known)}
        finished = {r.identity: Done(r, known[r.identity], False) for r in todo if r.identity not in missing}
    left = [r for r in todo if r.identity not in finished]
    hands = hands if len(left) >= MANY else 1
    if hands > 1:
        sweep.crew(left, folder, hands)
    engine = sweep.Here(how)
    finished |= {d.request.identity: d for d in each(left, folder, engine, since, asked, what, hands)}
    return [finished[r.identity] for r in todo]


def each(
    todo: Sequence[Request],
    folder: Path,
    engine: Engine,
    since: store.Contents,
    asked: int | None = None,
    what: str = "measure",
    hands: float = 1,
) -> Iterator[Done]:
    """What `run` does, by any engine, each told as it is stored; none is kept, so that there may be very many."""
    if not todo:
        return
    left = {r.identity: r for r in todo}
    forecast = Forecast(since.records, hands, {r.machine for r in todo if r.machine})
    with store.Writer(folder) as writer:
        writer.check()
        if asked is not None:
            told = forecast.told(left.values())
            print(f"{what}: {len(left)} missing of {asked}{', ' if told else ''}{told}", file=sys.stderr)
        with _Bar(len(left)) if sys.stderr.isatty() else _Lines(len(left)) as view:
            shown = _Shown(engine, view, forecast, left)
            for done in sweep.spread(todo, writer, shown, since, view.waits, view.say):
                del left[done.request.identity]
                forecast.note(done.record)
                view.ends(done, shown.left())
                yield done


class _Shown:
    """An engine whose beginnings are shown."""

    FEW, PAUSE = 200, 1.0
    """Of more requests than this, the time that is left is reckoned no more often than this many seconds."""

    def __init__(self, engine: Engine, view: _Lines, forecast: Forecast, todo: dict[str, Request]):
        self.kind, self.many, self.take = engine.kind, engine.many, engine.take
        self._engine, self._view, self._forecast, self._todo = engine, view, forecast, todo
        self._told, self._next = "", 0.0

    def give(self, request: Request) -> None:
        self._view.begins(request, self.left())
        with evaluate.watched(self._view.within(request)):
            self._engine.give(request)

    def left(self) -> str:
        """How long the rest may take."""
        if len(self._todo) <= self.FEW or time.monotonic() >= self._next:
            self._told = self._forecast.told(self._todo.values())
            self._next = time.monotonic() + self.PAUSE
        return self._told


class _Lines:
    """A line for each that is done, for a log."""

    def __init__(self, total: int):
        self.total, self.number = total, 0

    def __enter__(self) -> _Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def begins(self, request: Request, left: str) -> None:
        """Nothing is said before there is a result."""

    def within(self, request: Request) -> Callable[[int, int, str], None]:
        """What shows how far a measurement of several images is."""
        return lambda image, of, name: self.say(f"  [{image}/{of}] {name}")

    def ends(self, done: Done, left: str) -> None:
        self.number += 1
        line = f"[{self.number}/{self.total}] {done.request}{_outcome(done)}"
        self.say(f"{line} ({left} left)" if left else line)

    def waits(self, left: Sequence[Request]) -> None:
        self.say(_waiting(left))

    def say(self, sentence: str) -> None:
        try:
            print(sentence, file=sys.stderr)
        except BrokenPipeError:  # who read along has gone; what was asked for is measured all the same
            sys.stderr = open(os.devnull, "w")  # noqa: SIM115  # open for as long as the process lives


class _Bar(_Lines):
    """A bar that says what runs, and above it what has no value."""

    def __init__(self, total: int):
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        super().__init__(total)
        columns = (
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.description}"),
        )
        self.bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self.task = self.bar.add_task("", total=total, left="")

    def __enter__(self) -> _Bar:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def begins(self, request: Request, left: str) -> None:
        self.bar.update(self.task, description=str(request), left=left)

    def within(self, request: Request) -> Callable[[int, int, str], None]:
        return lambda image, of, name: self.bar.update(self.task, description=f"{request}: {name}, {image} of {of}")

    def ends(self, done: Done, left: str) -> None:
        self.bar.update(self.task, advance=1, left=left)
        if done.record.status != "ok":
            self.say(f"{done.request}{_outcome(done)}")

    def waits(self, left: Sequence[Request]) -> None:
        super().waits(left)
        self.bar.update(self.task, description="waiting", left="")

    def say(self, sentence: str) -> None:
        self.bar.console.print(sentence, markup=False, highlight=False)


def _outcome(done: Done) -> str:
    who = "" if done.ours else ", by another process"
    return who if done.record.status == "ok" else f"{who}: {done.record.status}: {done.record.reason}"


def _waiting(left: Sequence[Request]) -> str:
    what = str(left[0]) if len(left) == 1 else f"{left[0]} and {len(left) - 1} more"
    return f"waiting for another process, which is at {what}"


def summary(asked: int, measured: Counter[Status], shared: int, known: int) -> str:
    """What a sweep came to, in a sentence: how many were measured here, by another sweep meanwhile, and before."""
    without = " and ".join(f"{measured[status]} {told}" for status, told in OUTCOMES.items() if measured[status])
    told = f"{measured.total()} measured" + (f", of which {without}" if without else "")
    told += f", {shared} measured meanwhile by another sweep" if shared else ""
    return f"{asked} asked, {told}, {known} already known."


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
