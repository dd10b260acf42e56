"""Sweeps whose measurements take milliseconds, in processes that are killed: what the tests of faults drive.

Run as a program it imports no torch and starts its sweeps as forks, so that fifty of them cost next to nothing.
"""

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from workbench import environment, execute, models, reservations, store, sweep

PAUSE = 0.005


def asked(number):
    return execute.requests(list(models.VARIANTS)[:number], ["params"], ["esc"])


def once(folder, number):
    """One sweep: what is missing, and what of it was measured here; each beginning is a line of a log."""
    contents = store.read(folder)
    log = os.open(folder.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def how(request):
        os.write(log, f"{request.variant.name}\n".encode())
        time.sleep(PAUSE)
        return execute._record(request, execute.Outcome("ok", None, (1,)))

    with store.Writer(folder) as writer:
        writer.check()
        todo = execute.missing(asked(number), contents.newest())
        return list(sweep.run(todo, writer, how, contents, tell=print))


def forked(folder, number, gate=None):
    """A sweep in a process of its own, which begins when the gate is opened; it ends with how many it measured."""
    if pid := os.fork():
        return pid
    code = 255
    with suppress(BaseException):
        if gate is not None:
            os.read(gate, 1)
        code = sum(d.ours for d in once(folder, number))
    os._exit(code)


def begun(folder):
    with suppress(FileNotFoundError):
        return folder.with_suffix(".log").read_text().splitlines()
    return []


def together(folder, number):
    """Two sweeps at once: how many each measured, and how often each network was."""
    reading, writing = os.pipe()
    pids = [forked(folder, number, reading) for _ in range(2)]
    os.write(writing, b"go")
    each = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    return {"each": each, "begun": Counter(begun(folder)), "stored": stored(folder)}


def stored(folder):
    return Counter(r.variant for r in store.read(folder).records)


def killed(folder, number, kills, seed=2026):
    """Two sweeps at once, over and over, of which one or both are killed when a random number has begun."""
    draw = random.Random(seed)
    found = {
        "kills": 0,
        "midway": 0,
        "finished": 0,
        "lost": [],
        "twice": [],
        "too_often": [],
        "survivors": [],
        "torn": 0,
    }
    while found["kills"] < kills:
        here = folder / str(found["finished"]) / "records"
        here.mkdir(parents=True, exist_ok=True)
        spent, wait_for = 0, 0
        while len(before := stored(here)) < number:
            wait_for = len(begun(here)) + draw.randrange(1 + (number - len(before)) // 2)
            pids = [forked(here, number) for _ in range(2)]
            while len(begun(here)) < wait_for and not any(map(ended, pids)):
                time.sleep(0.0005)
            time.sleep(draw.uniform(0, 2 * PAUSE))
            survivor = pids.pop() if draw.random() < 0.2 else None
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            if survivor:
                os.waitpid(survivor, 0)
            for pid in pids:
                os.waitpid(pid, 0)
            spent += len(pids)
            found["kills"] += len(pids)
            now = stored(here)
            found["midway"] += 0 < len(now) < number
            found["lost"] += list(before.keys() - now.keys())
            found["twice"] += [name for name, times in now.items() if times > 1]
            if survivor:
                found["survivors"].append(len(now))
        found["finished"] += 1
        found["torn"] += len(store.read(here).problems)
        found["too_often"] += [len(begun(here)) - number - spent] if len(begun(here)) > number + spent else []
        for left in here.glob(".writable-*"):
            os.utime(left, (0, 0))  # long ago: a younger one could be another machine's
        once(here, number)
    found["left"] = [p.name for p in folder.rglob("*") if p.name.startswith(".")]
    return found


def ended(pid):
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


if __name__ == "__main__":
    what, folder, *numbers = sys.argv[1:]
    environment.capture()  # before there are forks, each of which would ask again
    if what == "unreserved":
        reservations.Reservations._take = lambda self, lock, wait: True
        what = "together"
    print(json.dumps({"together": together, "killed": killed}[what](Path(folder), *map(int, numbers))))
    assert "torch" not in sys.modules
