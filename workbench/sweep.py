"""A sweep: requests one after the other, each ends in one record, however many sweeps share a store and are killed."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from workbench import execute, fresh, interrupts, store
from workbench.execute import Request
from workbench.reservations import Reservations, Tail
from workbench.spec import Record

How = Callable[[Request], Record]
"""How a request becomes a record: here, in a fresh process, on another machine."""


@dataclass(frozen=True)
class Done:
    """A request that has its record."""

    request: Request
    record: Record
    ours: bool
    """Whether this sweep measured it; else another one did, at the same time."""


def run(
    todo: Iterable[Request],
    writer: store.Writer,
    how: How,
    since: store.Contents,
    waits: Callable[[Sequence[Request]], None] = lambda left: None,
    tell: Callable[[str], None] = lambda sentence: None,
) -> Iterator[Done]:
    """Measure one request after the other and store each before the next begins, in company if there is any.

    `since` is what was read when `todo` was found missing: a record that another sweep has appended later answers,
    whatever its outcome. What another one is at is left to the end, and then waited for: `waits` is told once what is
    left. If the other one dies, it is measured here.
    """
    reservations, shared = Reservations(writer.folder, tell), _Shared(writer, since, list(todo))
    elsewhere, told = list[Request](), False
    for request in shared.asked:
        with reservations.reserve(request.identity) as mine:
            done = shared.measure(request, how) if mine else shared.answer(request)
        if done:
            yield done
        else:
            elsewhere.append(request)
    for number, request in enumerate(elsewhere):
        done = shared.answer(request)
        if not done:
            if not told:
                waits(elsewhere[number:])
                told = True
            with reservations.reserve(request.identity, wait=True):
                done = shared.measure(request, how)
        yield done


def crew(todo: Sequence[Request], folder: Path, hands: int) -> None:
    """Start processes that do the same from its end, so that `hands` work on it: for what is counted and not timed.

    They end with us. Nothing is done twice, and what one of them fails to do is done here.
    """
    for _ in range(hands - 1):
        threading.Thread(target=_hand, args=(todo[::-1], folder), daemon=True).start()


def _hand(todo: Sequence[Request], folder: Path) -> None:
    with contextlib.suppress(fresh.NoAnswerError):
        fresh.call(_work, todo, folder, imports=execute.imports())


def _work(todo: Sequence[Request], folder: Path) -> int:
    since = store.read(folder)
    left = execute.missing(todo, since.newest())
    with store.Writer(folder) as writer:
        return sum(done.ours for done in run(left, writer, execute.measure, since))


class _Shared:
    """A store that others append to as well."""

    def __init__(self, writer: store.Writer, since: store.Contents, asked: Sequence[Request]):
        self.asked = asked
        self._writer = writer
        self._tail = Tail(writer.folder, since)
        self._wanted = {r.identity for r in asked}
        self._kinds = {(r.variant.name, r.probe.name) for r in asked}
        self._latest = dict[str, datetime]()
        self._new = dict[str, Record]()
        self._note(since.records)

    def measure(self, request: Request, how: How) -> Done:
        """Measure and store it, unless another one has finished it before we could have it reserved."""
        if answered := self.answer(request):
            return answered
        record = how(request)
        interrupts.check()  # what was interrupted has measured nothing, whatever it says
        record = after(record, self._latest.get(request.identity))
        self._writer.append([record])
        return Done(request, record, True)

    def answer(self, request: Request) -> Done | None:
        """What another one has measured since."""
        self._new |= self._note(self._tail.news())
        record = self._new.get(request.identity)
        return Done(request, record, False) if record else None

    def _note(self, records: Iterable[Record]) -> dict[str, Record]:
        """Those that were asked for; the latest time of each is remembered."""
        found = {}
        for record in records:
            if (record.variant, record.probe) not in self._kinds:
                continue  # an identity costs more to make than this to see
            identity = store.identity(record.variant, record.probe, record.probe_version, record.conditions)
            if identity in self._wanted:
                at = datetime.fromisoformat(record.recorded_at)
                self._latest[identity] = max(at, self._latest.get(identity, at))
                found[identity] = record
        return found


def after(record: Record, known: datetime | None) -> Record:
    """A record later than the latest known of the same thing, though a clock was set back: of two the later one stands.

    What the clock said is kept in the details.
    """
    if known is None or datetime.fromisoformat(record.recorded_at) > known:
        return record
    details = {**record.details, "clock": record.recorded_at}
    return replace(record, recorded_at=_text(known + timedelta(microseconds=1)), details=details)


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
