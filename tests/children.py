"""What the tests of `execute` have done in a fresh process in place of a measurement; quick to import there."""

import os
import resource
import signal
import time
from pathlib import Path

from workbench import execute, models


def loud(request):
    """A child whose network prints, on every way there is."""
    create = models.create

    def printing(*arguments, **keywords):
        print("a model prints")
        os.write(1, b"and writes\n")
        return create(*arguments, **keywords)

    models.create = printing
    return execute._child(request)


def killed(request):
    os.kill(os.getpid(), signal.SIGKILL)


def terminated(request):
    os.kill(os.getpid(), signal.SIGTERM)


def leaving(request):
    raise SystemExit(3)


def deaf(request):
    """A child that is sent Ctrl-C."""
    os.kill(os.getpid(), signal.SIGINT)
    return execute._child(request)


def hanging(request):
    time.sleep(30)


def cramped(request):
    """A child that may have no more than 256 MiB beyond what it has with torch, which needs more to be imported."""
    import torch  # noqa: F401  # so that it is part of what the process has

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + 2**28
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    return execute._child(request)


def spoilt(request):
    """A child whose network has a weight that is no number."""
    create = models.create

    def spoiling(*arguments, **keywords):
        net = create(*arguments, **keywords)
        next(net.parameters()).data[:] = float("nan")
        return net

    models.create = spoiling
    return execute._child(request)
