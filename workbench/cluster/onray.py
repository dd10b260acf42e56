"""Ray: each measurement one task, which has to itself a core, a GPU with its share of the cores, or a whole node."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import workbench
from workbench import environment, execute, protocols, store
from workbench.execute import Outcome, Request
from workbench.spec import Record, UserError

from . import node, places, reaching
from .places import Node, Takes

RETRIES = 3
"""How often a measurement is begun again that was lost with its node or its process."""

PAUSE = 4.0
"""Seconds before it is, doubled each time: Ray takes up to half a minute to see that a node has gone."""

ROLL_CALL = 300.0
"""Seconds in which every node has to say what it is; the first of a node's processes imports this package."""

AHEAD = 2
"""How many measurements are given for each place: one runs, and one waits so that the place is never empty."""


class OnRay:
    """An engine for `sweep.spread`: a cluster at an address, the one this machine is of, or a Ray on this machine."""

    def __init__(
        self,
        address: str | None,
        timeout: float | None,
        logs: bool,
        tell: Callable[[str], None],
        work: Callable[[Mapping[str, Any]], str] = node.work,
    ):
        self._address, self._timeout, self._logs, self._tell, self._work = address, timeout, logs, tell, work
        self._ray = _imported()
        self.nodes: list[Node] = []
        self._load = Counter[str]()
        self._flying = dict[Any, tuple[Request, Node | None]]()
        self._tries = Counter[str]()
        self._failed = deque[tuple[Request, Record]]()
        self._later = list[tuple[float, Request]]()  # what is begun again, and when

    def __enter__(self) -> OnRay:
        quiet = {"logging_level": "error", "log_to_driver": self._logs}
        where, overheard = reaching.look(self._address), reaching.Overheard()
        self._tell(f"Connecting to the Ray at {where}; that may take half a minute.")
        try:
            with overheard:
                context = self._init(quiet)
        except Exception as error:  # which is what Ray raises where one of its processes takes too long to start
            self._ray.shutdown()
            raise reaching.refused(where, error, overheard.reason) from None
        url = getattr(context, "dashboard_url", "")
        self._tell(
            f"Ray's dashboard: http://{url}" if url else "Ray shows no dashboard; pip install 'ray[default]' has one."
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._ray.shutdown()
        except Exception as trouble:  # what ended the command is to be told, not this
            if not reaching.is_loss(trouble):
                raise

    def _init(self, quiet: Mapping[str, Any]) -> Any:
        if self._address:
            try:
                return self._ray.init(f"ray://{self._address}", **quiet)
            except ConnectionError as error:
                if reaching.UNBORN not in str(error):
                    raise
            self._tell("The head node lost what it had begun for us, and is asked once more.")
            self._ray.shutdown()
            return self._ray.init(f"ray://{self._address}", **quiet)
        named = os.environ.get("RAY_ADDRESS")
        if named or not reaching.left_behind():
            try:
                return self._ray.init("auto", **quiet)
            except ConnectionError:
                if named:
                    raise
        self._tell("No Ray cluster runs here, so one is started on this machine for as long as this lasts.")
        paths = [str(Path(workbench.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))  # as its processes inherit it
        os.environ |= {"RAY_worker_niceness": "0"}  # else what is timed gives way to whatever else runs
        return self._ray.init("local", _node_ip_address="127.0.0.1", num_cpus=environment.cores(), **quiet)

    def roll(self, wanted: Sequence[Request], files: Sequence[str]) -> list[Node]:
        """Ask every node what it is."""
        with self._connected():
            self.nodes = self._asked(files)
        return self.nodes

    def _asked(self, files: Sequence[str]) -> list[Node]:
        about, start = self._ray.remote(node.about), time.time()
        if not (there := self._offering()):
            raise UserError("No node of the Ray cluster offers a core, so nothing can be measured there: ray status.")
        asked = [
            about.options(num_cpus=0, scheduling_strategy=self._on(n["NodeID"])).remote(list(files)) for n in there
        ]
        _, silent = self._ray.wait(asked, num_returns=len(asked), timeout=ROLL_CALL)
        found = []
        for each, reference in zip(there, asked, strict=True):
            name = each["NodeManagerAddress"]
            if reference in silent:
                raise UserError(f"The node {name} did not say within {ROLL_CALL:.0f} s what it is. See: ray status.")
            try:
                found.append(_node(each, self._ray.get(reference), start))
            except self._ray.exceptions.RayError as error:
                reason = str(error).strip().splitlines()[-1]
                raise UserError(
                    f"The node {name} could not say what it is: {reason}. Is this workbench installed there?"
                ) from None
        return found

    def _offering(self) -> list[Mapping[str, Any]]:
        """The nodes that Ray takes for alive and that have a core."""
        return [n for n in self._ray.nodes() if n["Alive"] and n["Resources"].get("CPU", 0) >= 1]

    def kind(self, request: Request) -> Hashable:
        return self._takes(request), request.machine, protocols.device(request.protocol) if request.machine else None

    def many(self, request: Request) -> int:
        return AHEAD * max(1, self.places(request))

    def hands(self, todo: Sequence[Request]) -> float:
        """How many run at once on average, until the last of the kind that takes longest has ended."""
        count = Counter(self.kind(r) for r in todo)
        places = {self.kind(r): self.places(r) for r in todo}
        return len(todo) / max((n / max(1, places[kind]) for kind, n in count.items()), default=1)

    def places(self, request: Request) -> int:
        """How many of its kind can run at once."""
        nodes = self._fitting(request) if request.machine else self.nodes
        if self._takes(request) == "core":
            return sum(n.cores for n in nodes)
        return sum(n.gpus for n in nodes) if self._takes(request) == "gpu" else len(nodes)

    def give(self, request: Request) -> None:
        """Submit it, to a node of its machine if it has one; where none is left, it has failed."""
        takes, at = self._takes(request), None
        options: dict[str, Any] = {"num_cpus": 1, "scheduling_strategy": "SPREAD"}
        if request.machine:
            if not (fit := self._fitting(request)):
                self._fail(request, Outcome("failed", f"no node is left that is {request.machine}"))
                return
            at = min(fit, key=lambda n: self._load[n.key] / (n.gpus if takes == "gpu" else 1))
            cores = at.cores if takes == "node" else max(1, at.cores // at.gpus)
            options = {"num_cpus": cores, "scheduling_strategy": self._on(at.key)}
            self._load[at.key] += 1
        options |= {"num_gpus": int(takes == "gpu"), "max_retries": 0}  # Ray would begin it again at once
        with self._connected():
            task = self._ray.remote(self._work).options(name=str(request), **options)
            self._flying[task.remote(node.job(request, self._timeout))] = request, at

    def take(self) -> tuple[Request, Record]:
        seen = time.monotonic()
        while not self._failed:
            self._begin_again()
            with self._connected():
                ready, _ = self._ray.wait(list(self._flying), timeout=1.0) if self._flying else self._idle()
                if ready:
                    seen = time.monotonic()
                elif self._flying and time.monotonic() - seen > PAUSE:
                    self._look()
                    seen = time.monotonic()
                for reference in ready:
                    request, at = self._flying.pop(reference)
                    if at:
                        self._load[at.key] -= 1
                    if record := self._record(request, at, reference):
                        return request, record
        return self._failed.popleft()

    def _idle(self) -> tuple[list[Any], list[Any]]:
        """Until the first of what is begun again is due."""
        time.sleep(max(0.0, min((when for when, _ in self._later), default=0.0) - time.monotonic()))
        return [], []

    def _begin_again(self) -> None:
        """Give what was lost and has waited long enough."""
        due = [request for when, request in self._later if when <= time.monotonic()]
        self._later = [(when, request) for when, request in self._later if request not in due]
        for request in due:
            self.give(request)

    def _look(self, without: str | None = None) -> set[str]:
        """Which nodes are left; where none is, Ray would have us wait without end."""
        keys = {n["NodeID"] for n in self._offering()} - {without}
        if not keys:
            raise ConnectionError("none of its nodes is alive")
        return keys

    @contextlib.contextmanager
    def _connected(self) -> Iterator[None]:
        """A cluster that is lost ends the sweep: no measurement has failed by that."""
        try:
            yield
        except Exception as error:
            if not reaching.is_loss(error):
                raise
            left = len(self._flying) + len(self._later)
            raise UserError(
                f"The Ray cluster is lost ({reaching.reason(error)}), with {left} measurement{'s' * (left != 1)} that "
                "it was at or had before it. What came back is stored; the same command measures the rest."
            ) from None

    def _record(self, request: Request, at: Node | None, reference: Any) -> Record | None:
        """What came back; None where it was begun again, or noted as failed."""
        errors = self._ray.exceptions
        try:
            told = json.loads(self._ray.get(reference))
        except errors.OutOfMemoryError as error:
            self._lost(request, at, error)
        except errors.RayTaskError as error:
            self._fail(request, Outcome("failed", str(error.cause), details={"traceback": traceback.format_exc()}))
        except errors.RayError as error:
            self._lost(request, at, error)
        else:
            if "refused" not in told:
                return store.parse(json.dumps(places.dated(told)))
            self._fail(request, Outcome("failed", told["refused"]))
        return None

    def _lost(self, request: Request, at: Node | None, error: Exception) -> None:
        """Its node or process has gone: it is begun on another one, unless that was tried often enough.

        For some seconds Ray may list a node as alive on which it places nothing any more. What had a node to itself
        and took more memory than there is would do so again.
        """
        errors = self._ray.exceptions
        self._tries[request.identity] += 1
        tries = self._tries[request.identity]
        self._later.append((time.monotonic() + PAUSE * 2 ** (tries - 1), request))
        gone = isinstance(error, errors.NodeDiedError | errors.TaskUnschedulableError)
        alive = self._look(at.key if at and gone else None)
        self.nodes = [n for n in self.nodes if n.key in alive]
        short = isinstance(error, errors.OutOfMemoryError)
        if tries <= RETRIES and not (short and at):
            return
        self._later.pop()
        why = f"lost with its node or its process, begun {tries} times: {type(error).__name__}"
        ended = Outcome("out-of-memory", "Ray ended it, because its node ran out of memory")
        self._fail(request, ended if short else Outcome("failed", why))

    def _fail(self, request: Request, outcome: Outcome) -> None:
        self._failed.append((request, execute.unmeasured(request, outcome)))

    def _fitting(self, request: Request) -> list[Node]:
        """The nodes that a timed request may come to."""
        device = protocols.device(request.protocol)
        same = [n for n in self.nodes if n.machine == request.machine]
        return [n for n in same if self._takes(request) == "node" or n.has(device)]

    def _takes(self, request: Request) -> Takes:
        return places.takes(request, any(n.gpus for n in self.nodes))

    def _on(self, key: str) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        return NodeAffinitySchedulingStrategy(key, soft=False)


def _node(there: Mapping[str, Any], told: Mapping[str, Any], asked: float) -> Node:
    resources = there["Resources"]
    types = " ".join(r.removeprefix("accelerator_type:") for r in resources if r.startswith("accelerator_type:"))
    cores, gpus = int(resources["CPU"]), int(resources.get("GPU", 0))
    return places.node(told, asked, there["NodeManagerAddress"], there["NodeID"], cores, gpus, types)


def _imported() -> Any:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # it tells nobody that it ran, or on what
    os.environ.setdefault("RAY_CLIENT_MAX_CONNECTION_TIMEOUT_S", "8")  # of three tries; it would be 30
    try:
        import ray
        import ray.exceptions
    except ImportError:
        raise UserError(
            f"--on ray needs Ray, which this Python ({sys.executable}) does not have. Install it: "
            "pip install -c constraints.txt -e '.[cluster]'"
        ) from None
    return ray
