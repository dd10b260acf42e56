"""sbatch, by submitit: an array of jobs, each with what it has to itself."""

from __future__ import annotations

import contextlib
import io
import math
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from workbench import execute, store
from workbench.spec import UserError

from . import arrays, queue
from .arrays import Place
from .places import Takes

GRACE = 10
"""Minutes that a job may take beyond its measurement: to start, to import torch."""

OURS = ("SBATCH_JOB_NAME", "SBATCH_ARRAY_INX")
"""Variables that would make sbatch pass over what is needed here."""


class RefusedError(Exception):
    """What sbatch said in place of taking an array."""


class Sbatch:
    """A partition that this machine submits to, or the default one."""

    def __init__(self, partition: str | None, records: Path, timeout: float | None):
        self._submitit = _imported()
        named = f"--on slurm://{partition}" if partition else "--on slurm"
        if isinstance(records, store.Url):
            raise UserError(
                f"{named} leaves what it asks and answers beside the records, and {records} is no folder that nodes "
                "see. Name one with --records, and bring its records there: workbench export, workbench import."
            )
        if not shutil.which("sbatch"):
            raise UserError(f"{named} found no `sbatch` on this machine. Run it where jobs are submitted.")
        if wrong := [name for name in OURS if name in os.environ]:
            raise UserError(f"{named} was asked for while {wrong[0]} is set, which sbatch would obey. Unset it.")
        self._partition = os.environ.get("SBATCH_PARTITION", partition)
        if partition not in (None, self._partition):
            raise UserError(
                f"{named} was asked for while SBATCH_PARTITION is {self._partition}, which sbatch would obey. Unset it."
            )
        queue.check(self._partition, named)
        self.home = arrays.folder(records)
        self.minutes = math.ceil((execute.PATIENCE if timeout is None else timeout) / 60) + GRACE
        self._shares = dict[str | None, int | None]()

    @cached_property
    def most(self) -> int | None:
        """How many jobs an array may have, where Slurm says so."""
        return queue.largest()

    def array(self, name: str, takes: Takes, device: str | None, asked: Sequence[tuple[str, Any]]) -> list[Place]:
        """Submit a job for each of what is asked, by the key of its request."""
        made = arrays.make(self.home, name, asked)
        folder = made[0].folder
        executor = self._submitit.AutoExecutor(folder=folder, cluster="slurm")
        executor.update_parameters(name=folder.name, timeout_min=self.minutes, **self._words(takes, device))
        trouble = self._submitit.core.utils
        try:
            with contextlib.redirect_stderr(io.StringIO()), executor.batch():
                for place in made:
                    executor.submit(arrays.work, str(place.asked), str(place.answer))
        except (trouble.FailedJobError, trouble.FailedSubmissionError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise RefusedError(queue.sentence(str(error))) from None
        return made

    def _words(self, takes: Takes, device: str | None) -> Mapping[str, Any]:
        """What a job has to itself. The batch script is all there is of it: a step of srun may get fewer cores."""
        words: dict[str, Any] = {"slurm_use_srun": False}
        if self._partition:
            words["slurm_partition"] = self._partition
        if takes == "node":
            words |= {"slurm_exclusive": True, "slurm_mem": "0"}  # all of its memory
        if takes == "gpu":
            words["slurm_gres"] = f"gpu:{device}:1" if device else "gpu:1"
            if device not in self._shares:
                self._shares[device] = queue.share(self._partition, device)
            if cores := self._shares[device]:
                words["slurm_additional_parameters"] = {"cpus-per-gpu": cores}
        return words


def _imported() -> Any:
    try:
        import submitit
    except ImportError:
        raise UserError(
            f"--on slurm needs submitit, which this Python ({sys.executable}) does not have. Install it: "
            "pip install -c constraints.txt -e '.[cluster]'"
        ) from None
    return submitit
