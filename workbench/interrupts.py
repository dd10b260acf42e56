"""Ctrl-C: it ends a command at any moment, but never in the middle of an import.

An import that is cut off leaves half a module behind: torch's cannot be imported again in the same process, and what is
raised inside one is often swallowed. So an interrupt waits until the import is through.
"""

from __future__ import annotations

import signal
import sys

TYPE_CHECKING = False  # without an import of typing: until `watch` is called, an interrupt shows a traceback
if TYPE_CHECKING:
    from types import FrameType

TOLD = "Interrupted. What was finished for a record is stored; the same command, run again, does the rest."

AGAIN = 0.05
"""Seconds after which an interrupt that had to wait is tried again."""

_asked = False
_echoes = False


def watch() -> None:
    """From here on, in this process, an interrupt is raised where it can do no harm. For the command line only."""
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGALRM, _interrupt)  # the clock of those that wait
    sys.unraisablehook = _unraisable


def hear_once() -> None:
    """The same in a process that is deaf to Ctrl-C so far. It may hear it twice, from the terminal and from its parent,
    so what comes after the first is its echo."""
    global _echoes
    _echoes = True
    watch()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def check() -> None:
    """Raise an interrupt that was asked for and that somebody has swallowed."""
    if _asked:
        raise KeyboardInterrupt


def finish() -> None:
    """The command has ended, and so will the process, in its own time and with the exit code it was given."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, 0)
    exec("")  # python -m ends itself with SIGINT, not with its code, if the last string to run was interrupted


def _interrupt(number: int, frame: FrameType | None) -> None:
    global _asked
    _asked = True
    if _importing(frame):
        signal.setitimer(signal.ITIMER_REAL, AGAIN)
        return
    if _echoes:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def _unraisable(told: sys.UnraisableHookArgs) -> None:
    """An interrupt inside a destructor goes nowhere, so it is tried again."""
    if issubclass(told.exc_type, KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, AGAIN)
    else:
        sys.__unraisablehook__(told)
