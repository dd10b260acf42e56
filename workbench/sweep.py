"""A sweep: requests one after the other, each ends in one record, however many sweeps share a store and are killed."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from workbench import execute, fresh, interrupts, store
from workbench.execute import Request
from workbench.reservations import Reservations, Tail
from workbench.spec import Record

How = Callable[[Request], Record]
"""How a request becomes a record: here, or in a fresh process."""


class Engine(Protocol):
    """Who measures: is given requests, several at once if it bears that, and hands back the record of each."""

    def kind(self, request: Request) -> Hashable:
        """Requests of one kind wait for the same places; those of another are not kept waiting by them."""

    def many(self, request: Request) -> int:
        """How many of a request's kind it is given at most before it has handed one back."""

    def give(self, request: Request) -> None:
        """Begin, or have it wait for its place."""

    def take(self) -> tuple[Request, Record]:
        """Wait for one that is done; each that was given comes back once."""


class Here:
    """An engine of one place: this process."""

    def __init__(self, how: How):
        self._how = how
        self._done = deque[tuple[Request, Record]]()

    def kind(self, request: Request) -> Hashable:
        return None

    def many(self, request: Request) -> int:
        return 1

    def give(self, request: Request) -> None:
        self._done.append((request, self._how(request)))

    def take(self) -> tuple[Request, Record]:
        return self._done.popleft()


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
    """Measure one request after the other in this process and store each before the next begins; as `spread`."""
    return spread(todo, writer, Here(how), since, waits, tell)


def spread(
    todo: Iterable[Request],
    writer: store.Writer,
    engine: Engine,
    since: store.Contents,
    waits: Callable[[Sequence[Request]], None] = lambda left: None,
    tell: Callable[[str], None] = lambda sentence: None,
) -> Iterator[Done]:
    """Have an engine measure each request, and store what comes back at once, in company if there is any.

    `since` is what was read when `todo` was found missing: a record that another sweep has appended later answers,
    whatever its outcome. What another one is at is left to the end, and then waited for: `waits` is told once what is
    left. If the other one dies, it is measured here. A request is reserved from when it is given until it is stored.
    """
    reservations, shared = Reservations(writer.folder, tell), _Shared(writer, since, list(todo))
    begun, elsewhere = dict[str, contextlib.ExitStack](), list[Request]()
    queues, count = dict[Hashable, deque[Request]](), Counter[Hashable]()
    for request in shared.asked:
        queues.setdefault(engine.kind(request), deque()).append(request)

    def begin(request: Request, wait: bool = False) -> Done | None:
        with contextlib.ExitStack() as held:
            mine = held.enter_context(reservations.reserve(request.identity, wait))
            done = shared.answer(request)
            if mine and not done:
                begun[request.identity] = held.pop_all()
                count[engine.kind(request)] += 1
                engine.give(request)
            elif not done:
                elsewhere.append(request)
        return done

    def end() -> Done:
        request, record = engine.take()
        count[engine.kind(request)] -= 1
        with begun.pop(request.identity):
            return shared.store(request, record)

    try:
        while any(queues.values()) or begun:
            for kind, queue in queues.items():
                while queue and count[kind] < engine.many(queue[0]):
                    if done := begin(queue.popleft()):
                        yield done
            if begun:
                yield end()
        later, told = elsewhere.copy(), False
        for number, request in enumerate(later):
            elsewhere.clear()
            done = shared.answer(request) or begin(request)
            if elsewhere:
                while begun:  # nothing that is done waits for somebody else before it is stored
                    yield end()
                if not told:
                    waits(later[number:])
                    told = True
                done = begin(request, wait=True)
            if done:
                yield done
            while count[engine.kind(request)] >= engine.many(request):
                yield end()
        while begun:
            yield end()
    finally:
        for held in begun.values():
            held.close()


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

    def store(self, request: Request, record: Record) -> Done:
        """Append what was measured here, later than all that is known of it."""
        interrupts.check()  # what was interrupted has measured nothing, whatever it says
        record = after(record, self._latest.pop(request.identity, None))
        self._writer.append([record])
        self._wanted.discard(request.identity)
        return Done(request, record, True)

    def answer(self, request: Request) -> Done | None:
        """What another one has measured since."""
        self._new |= self._note(self._tail.news())
        record = self._new.pop(request.identity, None)
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
