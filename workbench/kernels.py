"""Notebooks at work: some at a time, each in a kernel of its own, and no kernel that outlives an interrupt."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from jupyter_client.manager import AsyncKernelManager

PAUSE = 0.2
"""Seconds between two looks at kernels that are to end: one may be starting just now."""

_STARTED: weakref.WeakSet[Manager] = weakref.WeakSet()


class Manager(AsyncKernelManager):
    """What starts a kernel and ends it. A kernel does not hear our Ctrl-C, so those that are started are known here."""

    def __init__(self, **given: Any):
        super().__init__(**given)
        _STARTED.add(self)


def abreast(works: Sequence[Callable[[], None]], many: int) -> None:
    """Do some works that run kernels, so many at a time.

    Where one fails, those at work are done to their end and no other begins; an interrupt ends their kernels first.
    """
    with ThreadPoolExecutor(many) as pool:
        doing = [pool.submit(work) for work in works]
        try:
            for done in as_completed(doing):
                done.result()
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            if not isinstance(error, Exception):
                logging.getLogger("papermill").setLevel(logging.CRITICAL + 1)  # it would say that kernels died
                while not all(work.done() for work in doing):
                    asyncio.run(_end())
                    time.sleep(PAUSE)
            raise


async def _end() -> None:
    for manager in list(_STARTED):
        if await manager.is_alive():
            await manager.signal_kernel(signal.SIGKILL)
