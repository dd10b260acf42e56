"""Processes that write to one place at the same time, one of them killed at some instant: what test_places drives.

Writers are forks of a process that has imported what they need and has connected to nothing.
"""

import json
import os
import random
import select
import signal
import sys
from dataclasses import replace

from workbench import store


def writer(place, name, number, at_once, record, told):
    """Append records of names of its own; each is told of when its append has returned."""
    with store.Writer(place) as writing:
        for begin in range(0, number, at_once):
            names = [f"{name}-{n}" for n in range(begin, min(number, begin + at_once))]
            writing.append([replace(record, variant=each) for each in names])
            os.write(told, ("\n".join(names) + "\n").encode())


def main(place, writers, number, at_once, line):
    """The names that were told of, and how much the killed one had told when it was killed."""
    record, draw = store.parse(line), random.Random(2026)
    if "://" in place:  # before there are forks, each of which would import it
        import fsspec.implementations.local

        fsspec.get_filesystem_class(place.partition(":")[0])
    pipes, pids = [], []
    for w in range(writers):
        reading, writing = os.pipe()
        if not (pid := os.fork()):
            os.close(reading)
            writer(place, f"w{w}", number, at_once, record, writing)
            os._exit(0)
        os.close(writing)
        pipes.append(reading)
        pids.append(pid)
    victim, moment = draw.randrange(writers), draw.uniform(0.2, 0.8) * number
    told, killed, left = dict.fromkeys(pipes, b""), None, set(pipes)
    while left:
        for p in select.select(list(left), [], [])[0]:
            text = os.read(p, 1 << 16)
            told[p] += text
            left -= set() if text else {p}
        if killed is None and told[pipes[victim]].count(b"\n") >= moment:
            os.kill(pids[victim], signal.SIGKILL)
            killed = told[pipes[victim]].count(b"\n")
    for pid in pids:
        os.waitpid(pid, 0)
    finished = [name for p in pipes for name in told[p].decode().split("\n")[:-1]]
    print(json.dumps({"killed": killed, "finished": finished}))


if __name__ == "__main__":
    place, writers, number, at_once, line = sys.argv[1:]
    main(place, int(writers), int(number), int(at_once), line)
