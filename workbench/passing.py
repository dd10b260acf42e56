"""What is being done now: on a terminal a line that the next one takes the place of, in a log a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Say = Callable[[str], None]

PATIENCE = 5.0
"""Seconds before a log hears the first line, and between two: what is quick says nothing."""

WIDTH = 78
"""Characters of a line that are shown on a terminal, so that it never takes two."""


@contextmanager
def passing() -> Iterator[Say]:
    """Lines on stderr that say what is going on; a terminal keeps none of them."""
    terminal, heard = sys.stderr.isatty(), time.monotonic()

    def say(line: str) -> None:
        nonlocal heard
        if terminal:
            print(f"\r\x1b[K{line[:WIDTH]}\r", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - heard >= PATIENCE:
            heard = time.monotonic()
            print(line, file=sys.stderr, flush=True)

    try:
        yield say
    finally:
        if terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def unheard(_: str) -> None:
    """Say nothing."""
