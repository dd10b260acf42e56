"""A function in a process of its own: what was measured before cannot be felt, and whatever happens there is told here.

The processes are forks of a server that has imported torch and every probe and network, and done nothing with them: it
runs no operator and never touches CUDA, which no fork would survive. So a fresh process costs milliseconds.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any

from workbench import interrupts
from workbench.spec import Status

VMSTAT = Path("/proc/vmstat")
"""Where Linux counts, among other things, the processes that it killed because memory ran out."""


class NoAnswerError(Exception):
    """A process that gave no answer: what that means for a measurement, and how it ended."""

    def __init__(self, status: Status, reason: str):
        super().__init__(reason)
        self.status = status
        self.reason = reason


def call(
    work: Callable[..., Any],
    *arguments: Any,
    timeout: float | None = None,
    imports: Sequence[str] = (),
    held: Sequence[int] = (),
    heard: bool = False,
) -> Any:
    """What `work` returns in a fresh process, as JSON has it; NoAnswerError if there is none in `timeout` seconds.

    The caller sleeps meanwhile. `work` is found by its name there, so it is no function of the main file; the
    arguments are pickled, and what is printed goes to our standard error. The server imports `imports`, once: the
    first call decides. Open files in `held` are open there too, until it ends: a lock is held as long. Where Ctrl-C is
    `heard`, it interrupts `work` and not us: what that then returns is the answer. A second one waits for none.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["workbench.fresh", *imports])
    killed = _out_of_memory_kills()
    ours, theirs = context.Pipe(duplex=False)
    with _errors() as errors, contextlib.ExitStack() as stack:
        kept = [stack.enter_context(Connection(os.dup(file), readable=False)) for file in held]
        interrupted = False
        child = context.Process(target=_child, args=(theirs, errors, kept, heard, work, arguments))
        try:
            _start(child)
            theirs.close()
            try:
                there = ours.poll(timeout)
            except KeyboardInterrupt:
                if not heard or child.pid is None:
                    raise
                interrupted = True
                os.kill(child.pid, signal.SIGINT)  # Ctrl-C reaches all of us, but a kill perhaps only this process
                there = ours.poll(timeout)
            if not there:
                raise NoAnswerError("timeout", f"no result after {timeout:g} s")
            return json.loads(ours.recv_bytes())
        except EOFError:
            if interrupted:
                raise KeyboardInterrupt from None
            if child.pid is None:
                raise NoAnswerError("failed", "the server that starts processes was ended from outside") from None
            child.join()
            kills = _out_of_memory_kills()
            raise NoAnswerError(*_ended(child.exitcode, None if None in (killed, kills) else kills != killed)) from None
        finally:
            if child.pid is not None:
                child.kill()
                child.join()
            ours.close()


def _start(child: BaseProcess) -> None:
    """Start a process deaf to Ctrl-C, which reaches all of us: the parent answers it, and ends its child."""
    resource_tracker.ensure_running()  # the first start does that, and would let Ctrl-C through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # inherited, from its first moment
    try:
        with _surroundings():
            child.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _surroundings() -> Iterator[None]:
    """What a start looks at, as it is to see it.

    The server, which the first start starts, is to import from where we do; by itself it would look around where we
    stand. And no process is to run the program's main file again, which costs time, and has effects in a script.
    """
    mine = {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)), "PYTHONSAFEPATH": "1"}
    before = {name: os.environ.get(name) for name in mine}
    main = sys.modules["__main__"]
    os.environ.update(mine)
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _errors() -> Iterator[Connection]:
    """Our standard error, wherever it leads by now, in a form that another process can be given."""
    handle = os.open(os.devnull, os.O_WRONLY) if sys.__stderr__ is None else os.dup(2)
    with Connection(handle, readable=False) as errors:
        yield errors


def _ended(exitcode: int | None, kernel: bool | None) -> tuple[Status, str]:
    """What an exit code says; `kernel`: whether the kernel killed for memory meanwhile, None if that is not known."""
    if exitcode == -signal.SIGKILL and kernel:
        return "out-of-memory", "its process was killed by the kernel, because memory ran out"
    if exitcode == -signal.SIGKILL and kernel is None:
        return "out-of-memory", "its process was killed, as the kernel does when memory runs out"
    if exitcode == -signal.SIGKILL:
        return "failed", "its process was killed by somebody; the kernel killed none for memory"
    if exitcode is not None and exitcode < 0:
        return "failed", f"its process died of signal {-exitcode}"
    return "failed", f"its process ended with exit code {exitcode} and no result"


def _out_of_memory_kills() -> int | None:
    try:
        lines = VMSTAT.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), None)


def _child(
    pipe: Connection,
    errors: Connection,
    kept: Sequence[Connection],  # which is all that is done with them
    heard: bool,
    work: Callable[..., Any],
    arguments: Sequence[Any],
) -> None:
    for stream in (1, 2):  # whatever a model prints must not mix with the parent's output
        os.dup2(errors.fileno(), stream)
    threading.Thread(target=_follow, daemon=True).start()
    if heard:
        interrupts.hear_once()
    try:
        answer = json.dumps(work(*arguments)).encode()
    except KeyboardInterrupt:
        os._exit(1)  # no answer, and nothing that went wrong
    with contextlib.suppress(BrokenPipeError):  # the parent was killed, and nobody waits for an answer
        pipe.send_bytes(answer)


def _follow() -> None:
    """End with the parent, however that ends: what nobody waits for must not disturb what is measured next."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
