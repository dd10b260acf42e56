"""Slurm: each measurement one job of an array.

Where a partition needs more words than its name (an account, a constraint), sbatch reads them from SBATCH_ACCOUNT and
its like. Jobs outlive whoever submitted them, and the next run takes them over.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from workbench import execute, protocols, store
from workbench.execute import Outcome, Request
from workbench.spec import Record, Status, UserError

from . import arrays, node, places, queue
from .arrays import Place
from .places import Node, Takes
from .queue import Standing
from .submitting import RefusedError, Sbatch

MOST = 500
"""Jobs that wait or run at once, of each kind."""

PAUSE = 2.0
"""Seconds between two looks for answers; what became free meanwhile is submitted as one array."""

LOOK = 15.0
"""Seconds between two questions to Slurm, of how jobs are standing and whether it takes more."""

LATE = 30.0
"""Seconds after its end in which a job's answer may appear: file systems of many machines are not at once the same."""

ENDINGS: dict[str, Status] = {"TIMEOUT": "timeout", "DEADLINE": "timeout", "OUT_OF_MEMORY": "out-of-memory"}
"""What Slurm says of a job that gave no answer, where that is an outcome of ours; any other has failed."""

EXCEEDED = re.compile(r"exceeded.* memory limit|oom.kill", re.IGNORECASE)
"""What Slurm writes into the log of a job that it ended for its memory, where its state does not say so."""


class OnSlurm:
    """An engine for `sweep.spread`: a partition of the Slurm that this machine submits to."""

    def __init__(self, partition: str | None, records: Path, timeout: float | None, tell: Callable[[str], None]):
        self._sbatch = Sbatch(partition, records, timeout)
        self._timeout, self._tell, self._said = timeout, tell, set[str]()
        self._size = self._most = min(MOST, self._sbatch.most or MOST)
        self._pending = dict[tuple[Takes, str | None], list[Request]]()
        self._flying = dict[Place, Request]()
        self._ready = deque[tuple[Place, Request, Record]]()
        self._stored: Place | None = None
        self._standings: Mapping[tuple[str, int], Standing] | None = None
        self._over = dict[Place, float]()
        self._rolled: Collection[Place] = ()
        self._heard = False
        self._looked = self._refused = float("-inf")

    def __enter__(self) -> OnSlurm:
        self._look()
        arrays.bury(self._sbatch.home, self._standings)
        self._earlier = {place.key: place for place in arrays.found(self._sbatch.home)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not error:
            self._settle(None)
        if self._flying:
            self._look()
        if left := [place for place in self._flying if self._goes_on(place)]:
            known = [(self._standings or {}).get(place.known_as, queue.GONE) for place in left]
            numbers = sorted({s.number.partition("_")[0] for s in known} - {""})
            self._tell(
                f"{len(left)} jobs are left to Slurm; the same command takes them over, and this ends them: "
                f"scancel {' '.join(numbers)}"
            )
        arrays.bury(self._sbatch.home, None, 0.0 if error else LATE)

    def roll(self, wanted: Sequence[Request], files: Sequence[str]) -> list[Node]:
        """What the nodes are that timed requests would come to: a job for each kind of place asks."""
        kinds, start = sorted({self.kind(r) for r in wanted if r.probe.timed}, key=str), time.time()
        asking = [("0" * 32, {"about": list(files)})]
        asked = list[Place]()
        try:
            for takes, device in kinds:
                asked += self._sbatch.array(arrays.ROLL, takes, device, asking)
            told = [self._wait(place) for place in asked]
        except RefusedError as refused:
            raise _unwilling(str(refused)) from None
        finally:
            for place in asked:
                if not place.answer.exists():
                    queue.cancel(place.folder.name)
                place.asked.unlink(missing_ok=True)
        names = [place.folder.name for place in asked]
        return [_node(*kind, t, name, start) for kind, t, name in zip(kinds, told, names, strict=True)]

    def kind(self, request: Request) -> tuple[Takes, str | None]:
        return places.takes(request), protocols.device(request.protocol) if request.probe.timed else None

    def many(self, request: Request) -> int:
        return MOST

    def hands(self, todo: Sequence[Request]) -> float:
        """Its queue decides, and tells nobody."""
        return 0

    def give(self, request: Request) -> None:
        """Take over its job if an earlier run has submitted one; else it goes into the next array."""
        place = self._earlier.pop(arrays.key(request.identity), None)
        if place and place.fits(node.versions()) and (place.answer.exists() or self._goes_on(place)):
            self._flying[place] = request
            return
        if place:
            place.asked.unlink(missing_ok=True)
        self._pending.setdefault(self.kind(request), []).append(request)

    def take(self) -> tuple[Request, Record]:
        """The next that is done. The one before has been stored by now, and only then its job is forgotten."""
        self._settle(None)
        while True:
            for place in arrays.answered(self._flying):
                self._heard = True
                self._end(place, self._record(self._flying[place], place.told()))
            if self._ready:
                place, request, record = self._ready.popleft()
                self._settle(place)
                return request, record
            self._submit()
            if time.monotonic() - self._looked >= LOOK:
                self._look()
                for place in [p for p in self._flying if self._is_late(p)]:
                    self._end(place, self._unanswered(place))
            time.sleep(PAUSE if not self._ready else 0)

    def _end(self, place: Place, record: Record) -> None:
        self._ready.append((place, self._flying.pop(place), record))

    def _settle(self, taken: Place | None) -> None:
        if self._stored:
            self._stored.asked.unlink(missing_ok=True)
        self._stored = taken

    def _record(self, request: Request, told: Mapping[str, Any]) -> Record:
        if "raised" in told:
            outcome = Outcome("failed", told["raised"], details={"traceback": told["traceback"]})
            return execute.unmeasured(request, outcome)
        if "refused" in told:
            return execute.unmeasured(request, Outcome("failed", told["refused"]))
        try:
            return store.parse(json.dumps(places.dated(dict(told), adopted=True)))
        except (ValueError, KeyError) as error:
            return execute.unmeasured(request, Outcome("failed", f"its answer is no record: {error}"))

    # --- what Slurm is given

    def _submit(self) -> None:
        """Submit what waits here, in arrays as large as Slurm takes them; the rest later."""
        if time.monotonic() - self._refused < LOOK:
            return
        for kind, requests in list(self._pending.items()):
            while requests:
                part = requests[: self._size]
                asked = [(arrays.key(r.identity), node.job(r, self._timeout)) for r in part]
                try:
                    made = self._sbatch.array(kind[1] or kind[0], *kind, asked)
                except RefusedError as refused:
                    if not self._fewer(len(part), str(refused)):
                        return
                    continue
                self._flying |= zip(made, part, strict=True)
                del requests[: len(part)]
                self._size = min(self._most, 2 * self._size)
            del self._pending[kind]

    def _fewer(self, refused: int, sentence: str) -> bool:
        """Whether to try again with fewer; else it is tried later, as when some of ours have ended."""
        if refused > 1 and not queue.AWAY.search(sentence):
            self._size = refused // 2
            return True
        if not self._flying and not queue.passes(sentence):
            raise _unwilling(sentence)
        self._say(f"Slurm takes no more jobs for now ({sentence}); it is asked again.")
        self._refused = time.monotonic()
        return False

    # --- how jobs are standing

    def _look(self) -> None:
        self._looked = time.monotonic()
        try:
            self._standings = queue.standings()
        except queue.AwayError as error:
            self._standings = None
            self._say(f"Slurm does not answer ({error}); its jobs may go on, and it is asked again.")
            return
        ours = {place.known_as for place in (*self._flying, *self._rolled)}
        waiting = Counter(s.reason for at, s in self._standings.items() if at in ours and s.state == "PENDING")
        for reason in waiting.keys() - queue.ORDINARY:
            mend = f" (each may take {self._sbatch.minutes} minutes; less: --timeout)" if "TimeLimit" in reason else ""
            self._say(f"Slurm has {waiting[reason]} of the jobs wait and says why: {reason}{mend}")

    def _say(self, sentence: str) -> None:
        """Say it once."""
        if sentence not in self._said:
            self._said.add(sentence)
            self._tell(sentence)

    def _goes_on(self, place: Place) -> bool:
        """Whether its job waits or runs, or nobody can tell."""
        if self._standings is None:
            return True
        return self._standings.get(place.known_as, queue.GONE).goes_on

    def _is_late(self, place: Place) -> bool:
        """Whether its job has been over for so long that no answer is to come."""
        if self._goes_on(place):
            self._over.pop(place, None)
            return False
        return time.monotonic() - self._over.setdefault(place, time.monotonic()) >= LATE

    def _wait(self, place: Place) -> Mapping[str, Any]:
        """The answer of a job that there is nothing to do without."""
        self._tell(f"waiting for Slurm's job {place.folder.name}, which asks what a node for timed measurements is")
        self._rolled = (place,)
        while not arrays.answered([place]):
            if time.monotonic() - self._looked >= LOOK:
                self._look()
                if self._is_late(place):
                    raise UserError(f"No node could say what it is: {self._ended(place)[1]}.")
            time.sleep(PAUSE)
        self._rolled = ()
        return place.told()

    def _unanswered(self, place: Place) -> Record:
        status, why, log = self._ended(place)
        if not self._heard and status == "failed" and not log and "FAILED" in why:
            raise UserError(f"{why}, and no job has left anything in {place.folder}. Do the nodes see and write it?")
        return execute.unmeasured(self._flying[place], Outcome(status, why, details={"log": log} if log else {}))

    def _ended(self, place: Place) -> tuple[Status, str, list[str]]:
        """How a job ended without an answer: as an outcome, in words, and what it said last."""
        name, number = place.known_as
        there = (self._standings or {}).get(place.known_as) or queue.remembered(name, number)
        if there == queue.GONE:
            why = f"Slurm knows nothing any more of job {number} of {name}: cancelled before it began, or long over"
            return "failed", why, []
        log = place.log(there.number)
        said = next((line for line in reversed(log) if "rror" in line), "")
        why = f"job {there.number} ended as {there.state} without an answer" + (f": {said}" if said else "")
        status = ENDINGS.get(there.state, "failed")
        if status == "out-of-memory" or any(EXCEEDED.search(line) for line in log):
            return "out-of-memory", f"{why}; jobs with more memory: SBATCH_MEM_PER_CPU", log
        return status, why, log


def _node(takes: Takes, device: str | None, told: Mapping[str, Any], name: str, start: float) -> Node:
    if "raised" in told:
        raise UserError(f"No node could say what it is: {told['raised']}. Is this workbench installed there?")
    if takes == "node" and (how := queue.shared(told["partition"])):
        raise UserError(
            f"Slurm's partition {told['partition']} gives several jobs the same node whatever they ask "
            f"(OverSubscribe={how}), so nothing can be timed there. Take another: --on slurm://PARTITION."
        )
    return places.node(told, start, name, name, told["cores"], int(takes == "gpu"), device or "")


def _unwilling(sentence: str) -> UserError:
    return UserError(
        f"sbatch refused the jobs: {sentence}. Name another partition (--on slurm://PARTITION), or say what it needs "
        "in sbatch's own variables, such as SBATCH_ACCOUNT."
    )
