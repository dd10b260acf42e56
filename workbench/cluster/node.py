"""What runs on a node of a cluster: what it is, and one measurement. What it is given and gives back is plain data.

A request comes as bytes that are read only where code and versions are those of whoever asks.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import workbench
from workbench import environment, execute, store
from workbench.execute import Request


@cache
def versions() -> dict[str, str]:
    """What must be the same on every node: this workbench's code, Python and torch; and what the code is called."""
    seen = environment.capture()
    digest = hashlib.sha256()
    package = Path(workbench.__file__).parent
    for path in sorted(package.rglob("*.py")):
        digest.update(str(path.relative_to(package)).encode() + b"\0" + path.read_bytes())
    return {
        "workbench": seen["commit"][:8] if seen["commit"] else seen["versions"]["workbench"] or "not installed",
        "code": digest.hexdigest()[:8],
        "python": platform.python_version(),
        "torch": str(seen["versions"]["torch"]),
    }


def differences(there: Mapping[str, str], here: Mapping[str, str]) -> str:
    """What a node has that whoever asks has not, both named; empty where there is nothing.

    One may have the code as a checkout and the other installed: what it is called does not matter, if it is the same.
    """
    return ", ".join(
        f"{name} {_named(there, name)} there and {_named(here, name)} here"
        for name in ("code", "python", "torch")
        if there.get(name) != here[name]
    )


def _named(versions: Mapping[str, str], name: str) -> str:
    told = str(versions.get(name))
    return f"{told} (workbench {versions.get('workbench')})" if name == "code" else told


def about(paths: Sequence[str] = ()) -> dict[str, Any]:
    """What this node is, and which of some files it does not have."""
    return {
        "machine": environment.machine(),
        "cores": environment.cores(),
        "versions": versions(),
        "clock": time.time(),
        "lacks": [path for path in paths if not os.path.exists(path)],
    }


def job(request: Request, timeout: float | None) -> dict[str, Any]:
    """A request as it is sent to a node."""
    asked = execute.PATIENCE if timeout is None else timeout
    return {"versions": versions(), "timeout": asked, "request": pickle.dumps(request)}


def work(job: Mapping[str, Any]) -> str:
    """The record of a job as a line of JSON, or under `refused` why it was not measured here."""
    if differing := differences(versions(), job["versions"]):
        return json.dumps({"refused": f"it came to a node with {differing}"})
    request: Request = pickle.loads(job["request"])
    if request.machine not in (None, environment.machine()):
        told = f"it came to another machine ({environment.machine()}) than it was to be timed on ({request.machine})"
        return json.dumps({"refused": told})
    lacking = about(files(request))["lacks"]
    if lacking:
        return json.dumps(
            {"refused": f"{len(lacking)} of its files are not on the node, {Path(lacking[0]).name} first"}
        )
    print(f"{request}: begun on {platform.node()}", file=sys.stderr, flush=True)
    record = execute.measure_apart(request, job["timeout"])
    told = record.status if record.reason is None else f"{record.status}: {record.reason}"
    print(f"{request}: {told} after {record.took or 0:.1f} s", file=sys.stderr, flush=True)
    return json.dumps(store.to_json(record))


def files(request: Request) -> list[str]:
    """What a request reads beside the code: the file of its weights and its images."""
    if request.subject is None:
        return []
    return [str(p) for p in (request.subject.weights.path, *(i.path for i in request.subject.images.images)) if p]
