"""Turns: on one device one timed measurement at a time, whatever process it is in and whatever store it writes to."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from workbench import nvml
from workbench.locks import Lock

PLACE = Path(tempfile.gettempdir() if not os.access("/tmp", os.W_OK) else "/tmp") / f"workbench-{os.getuid()}"
"""Where this user's processes meet, the same for all of them: no variable that differs from shell to shell decides."""

PATIENCE = 1.0
"""Seconds of waiting after which it is said."""

AGAIN = 0.05
"""Seconds between two tries before that."""


@contextlib.contextmanager
def turn(device: str) -> Iterator[list[int]]:
    """Have the CPU, or a GPU, to ourselves among the measurements of this user on this machine.

    A measurement on a GPU leaves the CPU to others on other GPUs, but not to one that is timed on the CPU itself. What
    is counted and not timed waits for nobody and keeps nobody waiting. Where no lock can be had it is said, and the
    measurement goes on: the state of the machine, which is recorded with it, shows who else was busy.

    What the block is given are the open files of the turn, for the process that measures: it may live a moment longer
    than we do, if we are killed, and the turn lasts as long as it does.
    """
    with contextlib.ExitStack() as held:
        locks = []
        if device == "cuda":
            gpu = nvml.gpu()
            uuid = gpu.ask("nvmlDeviceGetUUID") if gpu else None
            locks.append(held.enter_context(_held(str(uuid or "gpu"), "GPU")))
        locks.append(held.enter_context(_held("cpu", "CPU", shared=device == "cuda")))
        yield [lock.file for lock in locks if lock.file is not None]


@contextlib.contextmanager
def _held(name: str, words: str, shared: bool = False) -> Iterator[Lock]:
    lock = Lock(PLACE / f"{name}.lock")
    try:
        _own(PLACE)
        if not _soon(lock, shared):
            print(f"workbench: waiting for the {words}, which {_who(lock.path)} measures on", file=sys.stderr)
            lock.take(wait=True, shared=shared)
        lock.note("" if shared else str(os.getpid()))
    except OSError as error:
        why = f"{error.strerror}; measurements of other processes may run at the same time"
        print(f"workbench: no lock for the {words} in {PLACE}: {why}", file=sys.stderr)
    try:
        yield lock
    finally:
        lock.release()


def _own(folder: Path) -> None:
    """Make the folder; one that somebody else has put there is refused, for it could lead anywhere."""
    folder.mkdir(mode=0o700, exist_ok=True)
    seen = folder.lstat()
    if folder.is_symlink() or seen.st_uid != os.getuid():
        raise PermissionError(1, "it belongs to somebody else")


def _soon(lock: Lock, shared: bool) -> bool:
    """Whether it could be had within `PATIENCE`."""
    end = time.monotonic() + PATIENCE
    while not lock.take(shared=shared):
        if time.monotonic() >= end:
            return False
        time.sleep(AGAIN)
    return True


def _who(path: Path) -> str:
    try:
        number = path.read_text()
    except OSError:
        number = ""
    return f"process {number}" if number else "another process"
