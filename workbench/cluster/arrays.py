"""An array of jobs on disk: a folder that its nodes see, where each job finds what is asked and leaves its answer.

Both are JSON. That a job was asked for is written before it is submitted, under a name that says for what; so that
whoever was killed in between, or any time later, finds each job again by asking Slurm for jobs of the folder's name.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import signal
import time
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench import store
from workbench.spec import UserError

from . import node, queue

KEPT = 3600.0
"""Seconds for which a folder that nobody seems to need is kept: it may be one that is being submitted."""

LINES = 20
"""Of what a job that gave no answer has said last, so many are kept."""

UNREAD = 30 * 86400.0
"""Seconds for which an answer waits for the command that asked for it, or for one that asks the same."""

ROLL = "roll"
"""What an array is called that asks nodes what they are; whoever asked and has gone waits for no answer."""

_ASKED = re.compile(r"(\d+)-([0-9a-f]{32})\.asked")


def folder(records: Path) -> Path:
    """Where a user's arrays lie within a folder of records; what reads records passes it over.

    It is closed to others, because submitit's files there are pickles: who writes them has nodes run code as the user.
    """
    return (records / f".slurm-{os.getuid()}").absolute()


def key(identity: str) -> str:
    """What stands for a request in a file's name."""
    return hashlib.sha256(identity.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Place:
    """One job of an array."""

    folder: Path
    number: int
    key: str

    @property
    def known_as(self) -> tuple[str, int]:
        """What Slurm's answers are looked up by."""
        return self.folder.name, self.number

    @property
    def asked(self) -> Path:
        return self.folder / f"{self.number}-{self.key}.asked"

    @property
    def answer(self) -> Path:
        return self.folder / f"{self.number}.answer"

    def fits(self, versions: Mapping[str, str]) -> bool:
        """Whether it was asked for by code and versions that are these."""
        try:
            there: dict[str, str] = json.loads(self.asked.read_bytes())["versions"]
        except (OSError, ValueError, KeyError, TypeError):
            return False
        return not node.differences(there, versions)

    def told(self) -> dict[str, Any]:
        """Its answer."""
        try:
            told = json.loads(self.answer.read_bytes())
        except (OSError, ValueError) as error:
            return {"refused": f"its answer {self.answer} cannot be read: {error}"}
        return told if isinstance(told, dict) else {"refused": f"its answer {self.answer} is no object"}

    def log(self, job: str) -> list[str]:
        """What it said last, under the number that Slurm has for it."""
        with contextlib.suppress(OSError):
            return (self.folder / f"{job}_0_log.err").read_text(errors="replace").splitlines()[-LINES:]
        return []


def make(home: Path, kind: str, asked: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Place]:
    """A folder with what is asked of each job, by the key of each request."""
    made = home / f"{queue.NAME}{kind}-{secrets.token_hex(4)}"
    try:
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o700)
        made.mkdir()
        places = [Place(made, number, key) for number, (key, _) in enumerate(asked)]
        for place, (_, job) in zip(places, asked, strict=True):
            place.asked.write_text(json.dumps(job))
    except OSError as error:
        shutil.rmtree(made, ignore_errors=True)
        raise UserError(f"Cannot write to {home}: {error.strerror}. Name a folder with --records.") from None
    return places


def work(asked: str, answer: str) -> None:
    """What a job does: read what is asked, unless nobody asks any more, and leave the answer, whatever happens.

    Only what Slurm ends leaves none: what that was for (time, memory, somebody's word) it knows better than the job.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # which submitit has it pass over
    with contextlib.suppress(FileNotFoundError):
        store.replace(Path(answer), json.dumps(node.answer(json.loads(Path(asked).read_bytes()))))


def found(home: Path) -> Iterator[Place]:
    """The jobs that were asked for and whose answer nobody has taken, of earlier runs or of one beside this one."""
    for path in home.glob(f"{queue.NAME}*/*.asked"):
        if match := _ASKED.fullmatch(path.name):
            yield Place(path.parent, int(match[1]), match[2])


def answered(flying: Collection[Place]) -> set[Place]:
    """Those of some jobs that have left an answer; each folder is read once, and anew where it lies on a network."""
    there = {each: _names(each) for each in {place.folder for place in flying}}
    return {place for place in flying if place.answer.name in there[place.folder]}


def bury(home: Path, standing: Mapping[tuple[str, int], queue.Standing] | None, patience: float = 0.0) -> None:
    """Remove the folders of arrays that are over and taken, and old ones that can have no answer any more.

    A job writes some words after its answer, for which a folder is kept as long as `patience` lasts. Where nobody
    knows how the jobs are standing, one that may go on keeps its folder.
    """
    alive = {name for (name, _), s in standing.items() if s.goes_on} if standing is not None else None
    until = time.monotonic() + patience
    while any([not _removed(each, alive) and _taken(each) for each in home.glob(f"{queue.NAME}*")]):  # noqa: C419
        if time.monotonic() > until:
            break
        time.sleep(0.2)
    with contextlib.suppress(OSError):
        home.rmdir()


def _removed(array: Path, alive: Set[str] | None) -> bool:
    names = _names(array)
    answers, written = (sum(name.endswith(end) for name in names) for end in (".answer", "_result.pkl"))
    over = alive is not None and array.name not in alive
    waited = answers and not array.name.startswith(f"{queue.NAME}{ROLL}-")
    over = over or written >= answers if _taken(array) else over and _age(array) > (UNREAD if waited else KEPT)
    if over:
        shutil.rmtree(array, ignore_errors=True)
    return over


def _age(array: Path) -> float:
    try:
        return time.time() - array.stat().st_mtime
    except OSError:
        return 0.0


def _taken(array: Path) -> bool:
    return not any(name.endswith(".asked") for name in _names(array))


def _names(array: Path) -> set[str]:
    with contextlib.suppress(OSError):
        array.chmod(0o700)  # so that a network's file system looks anew
        return set(os.listdir(array))
    return set()
