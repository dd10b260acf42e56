"""What the tests of clusters have nodes do in place of a measurement; quick to import there."""

import json
import os
import signal
import time
from pathlib import Path

from workbench import execute, store
from workbench.cluster import node

PLACE = "WORKBENCH_TESTS_MEET"
"""A variable with the folder where tests and their nodes meet."""


def answer(job):
    """A record that says where and when it was made."""
    import ray

    request, start = node.read(job["request"]), time.time()
    time.sleep(0.05)
    details = {
        "node": ray.get_runtime_context().get_node_id(),
        "from": start,
        "to": time.time(),
        "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
    }
    record = execute._record(request, execute.Outcome("ok", None, (1,), details))
    return json.dumps(store.to_json(record))


def dying(job):
    """Killed: where `once` lies, the first time only; else always."""
    once = Path(os.environ[PLACE], "once")
    if once.with_name("died").exists():
        return answer(job)
    if once.exists():
        once.rename(once.with_name("died"))
    return os.kill(os.getpid(), signal.SIGKILL)


def raising(job):
    raise ZeroDivisionError("of the probe's own")


def slow(job):
    """What is timed stays, the first time, until its node has gone; the second, on another one, answers."""
    import ray

    begun = Path(os.environ[PLACE], "begun")
    if not node.read(job["request"]).probe.timed:
        return answer(job)
    try:
        begun.touch(exist_ok=False)
    except FileExistsError:
        return answer(job)
    begun.write_text(ray.get_runtime_context().get_node_id())
    return time.sleep(600)
