"""Slurm: each measurement one job of an array, submitted and asked after by submitit.

Where a partition needs more words than its name (an account, a constraint), sbatch reads them from SBATCH_ACCOUNT and
its like. Jobs outlive whoever submitted them: notes in a folder beside the records let the next run take them over.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import re
import shutil
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from workbench import execute, protocols, store
from workbench.execute import Outcome, Request
from workbench.spec import Record, Status, UserError

from . import node, places
from .places import Node, Takes

FOLDER = ".slurm"
"""Within a folder of records, which all nodes must see under one path; what reads records passes it over."""

MOST = 500
"""Jobs that wait or run at once, of each kind."""

PAUSE = 2.0
"""Seconds between two looks at the jobs; what became free meanwhile is submitted as one array."""

GRACE = 10
"""Minutes that a job may take beyond its measurement: to start, to import torch."""

ENDINGS: dict[str, Status] = {"TIMEOUT": "timeout", "OUT_OF_MEMORY": "out-of-memory"}
"""What Slurm says of a job that gave no answer, where that is an outcome of ours; any other has failed."""


class OnSlurm:
    """An engine for `sweep.spread`: a partition of the Slurm that this machine submits to."""

    def __init__(
        self,
        partition: str | None,
        records: Path,
        timeout: float | None,
        tell: Callable[[str], None],
        cluster: str = "slurm",
        work: Callable[[Mapping[str, Any]], str] = node.work,
    ):
        self._submitit = _imported()
        if cluster == "slurm" and not shutil.which("sbatch"):
            raise UserError("--on slurm found no `sbatch` on this machine. Run it where jobs are submitted.")
        self._partition, self._timeout, self._tell, self._cluster = partition, timeout, tell, cluster
        self._work = work
        self._folder = (records / FOLDER).absolute()
        self._pending = dict[tuple[Takes, str | None], list[Request]]()
        self._flying = deque[tuple[Request, Any]]()

    def __enter__(self) -> OnSlurm:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._flying:
            self._tell(f"{len(self._flying)} jobs are left to Slurm; the same command takes them over.")
        with contextlib.suppress(OSError):
            self._folder.rmdir()

    def roll(self, wanted: Sequence[Request], files: Sequence[str]) -> list[Node]:
        """What the nodes are that timed requests would come to: a job for each kind of place asks."""
        kinds, start = {self.kind(r) for r in wanted if r.probe.timed}, time.time()
        asked = [(*kind, self._executor(*kind).submit(node.about, list(files))) for kind in kinds]
        nodes = []
        for takes, device, job in asked:
            self._tell(f"waiting for job {job.job_id}, which asks what a node for timed measurements is")
            try:
                told = job.result()
            except Exception as error:  # submitit's own, or whatever a node raised
                raise UserError(f"No node could say what it is: {_ended(job, error)}.") from None
            self._forget(job)
            gpus = int(takes == "gpu")
            nodes.append(places.node(told, start, f"job {job.job_id}", job.job_id, told["cores"], gpus, device or ""))
        return nodes

    def kind(self, request: Request) -> tuple[Takes, str | None]:
        return places.takes(request), protocols.device(request.protocol) if request.probe.timed else None

    def many(self, request: Request) -> int:
        return MOST

    def hands(self, todo: Sequence[Request]) -> float:
        """Its queue decides, and tells nobody."""
        return 0

    def give(self, request: Request) -> None:
        """Take over its job if an earlier run has submitted one; else it goes into the next array."""
        if job := self._earlier(request):
            self._flying.append((request, job))
        else:
            self._pending.setdefault(self.kind(request), []).append(request)

    def take(self) -> tuple[Request, Record]:
        while True:
            for _ in range(len(self._flying)):
                request, job = self._flying.popleft()
                if job.done():
                    record = self._record(request, job)
                    self._note(request).unlink(missing_ok=True)
                    self._forget(job)
                    return request, record
                self._flying.append((request, job))
            self._submit()
            time.sleep(PAUSE if self._cluster == "slurm" else 0.1)

    def _submit(self) -> None:
        for kind, requests in self._pending.items():
            executor = self._executor(*kind)
            with executor.batch():
                jobs = [executor.submit(self._work, node.job(r, self._timeout)) for r in requests]
            for request, job in zip(requests, jobs, strict=True):
                store.replace(self._note(request), json.dumps({"job": job.job_id, "of": str(request)}))
                self._flying.append((request, job))
        self._pending.clear()

    def _executor(self, takes: Takes, device: str | None) -> Any:
        """Submits jobs of one kind."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"Cannot write to {self._folder}: {error.strerror}. Name a folder with --records."
            ) from None
        executor = self._submitit.AutoExecutor(folder=self._folder, cluster=self._cluster)
        asked = execute.PATIENCE if self._timeout is None else self._timeout
        words: dict[str, Any] = {"timeout_min": math.ceil(asked / 60) + GRACE, "name": "workbench"}
        if self._cluster == "slurm":
            words |= {"slurm_partition": self._partition} if self._partition else {}
            words |= {"slurm_array_parallelism": MOST}
            words |= {"slurm_exclusive": True} if takes == "node" else {}
            words |= {"slurm_gres": f"gpu:{device}:1" if device else "gpu:1"} if takes == "gpu" else {}
        executor.update_parameters(**words)
        return executor

    def _record(self, request: Request, job: Any) -> Record:
        try:
            told = json.loads(job.result())
        except Exception as error:  # submitit's own, or whatever a node raised
            return execute.unmeasured(request, Outcome(ENDINGS.get(job.state, "failed"), _ended(job, error)))
        if "refused" in told:
            return execute.unmeasured(request, Outcome("failed", told["refused"]))
        return store.parse(json.dumps(places.dated(told, adopted=True)))

    def _earlier(self, request: Request) -> Any:
        """The job that an earlier run has submitted for it, unless that ended without an answer."""
        note = self._note(request)
        try:
            number = json.loads(note.read_text())["job"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        kind = self._submitit.SlurmJob if self._cluster == "slurm" else self._submitit.LocalJob
        job = kind(folder=self._folder, job_id=number, tasks=[0])
        if job.done() and not job.paths.result_pickle.exists():
            self._forget(job)
            return None
        return job

    def _note(self, request: Request) -> Path:
        return self._folder / f"{hashlib.sha256(request.identity.encode()).hexdigest()[:32]}.job"

    def _forget(self, job: Any) -> None:
        """Remove a job's files: what it said is in its record."""
        for path in self._folder.glob(f"{job.job_id}_*"):
            path.unlink(missing_ok=True)


def _ended(job: Any, error: Exception) -> str:
    """How a job ended without an answer, and what was raised in it; submitit's own words are full of paths."""
    raised = [line for line in str(error).splitlines() if re.match(r"[\w.]+(Error|Exception)\b", line)]
    return f"job {job.job_id} ended as {job.state} without an answer" + (f": {raised[-1]}" if raised else "")


def _imported() -> Any:
    try:
        import submitit
    except ImportError:
        raise UserError(
            f"--on slurm needs submitit, which this Python ({sys.executable}) does not have. Install it: "
            "pip install -c constraints.txt -e '.[cluster]'"
        ) from None
    return submitit
