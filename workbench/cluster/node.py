"""What runs on a node of a cluster: what it is, and one measurement. What it is given and gives back is JSON.

A request is read only where code and versions are those of whoever asks.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import workbench
from workbench import environment, evaluate, execute, models, probes, store
from workbench.execute import Request
from workbench.spec import Protocol
from workbench.testsets import Image, TestSet
from workbench.weights import Weights


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
    return {"versions": versions(), "timeout": asked, "request": plain(request)}


def plain(request: Request) -> dict[str, Any]:
    """A request as JSON has it; its network is one of the catalogue, so that a name is enough."""
    told = {"variant": request.variant.name, "probe": request.probe.name, "machine": request.machine}
    subject = request.subject and asdict(request.subject)
    plain: dict[str, Any] = json.loads(
        json.dumps(told | {"protocol": asdict(request.protocol), "subject": subject}, default=os.fspath)
    )
    return plain


def read(told: Mapping[str, Any]) -> Request:
    """The request that `plain` made this of."""
    parts, subject = vars(Protocol("", "")), told["subject"]
    protocol = {
        name: _made(type(parts[name]), value) if isinstance(value, dict) else value
        for name, value in told["protocol"].items()
    }
    if subject:
        images = tuple(_made(Image, i) for i in subject["images"]["images"])
        judged = _made(TestSet, subject["images"] | {"images": images})
        subject = evaluate.Subject(_made(Weights, subject["weights"]), judged, Path(subject["home"]))
    variant, probe = models.find(told["variant"]), probes.find(told["probe"])
    return Request(variant, Protocol(**protocol), probe, subject, told["machine"])


PATHS = ("path", "folder")
"""Fields of the files that a request names which are paths, and text in JSON."""


def _made(kind: type, told: Mapping[str, Any]) -> Any:
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in told.items()}
    return kind(**fields | {k: Path(fields[k]) for k in PATHS if k in fields})


def work(job: Mapping[str, Any]) -> str:
    """The record of a job as a line of JSON, or under `refused` why it was not measured here."""
    if differing := differences(versions(), job["versions"]):
        return json.dumps({"refused": f"it came to a node with {differing}"})
    request = read(job["request"])
    if request.machine not in (None, environment.machine()):
        told = f"it came to another machine ({environment.machine()}) than it was to be timed on ({request.machine})"
        told += "; what keeps Slurm to nodes of one kind is SBATCH_CONSTRAINT"
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


def answer(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What is left for whoever asked: a record, what this node is, or what was raised, with its traceback."""
    try:
        if "about" in asked:
            return about(asked["about"]) | {"partition": os.environ.get("SLURM_JOB_PARTITION", "")}
        told: dict[str, Any] = json.loads(work(asked))
        return told
    except Exception as error:
        return {"raised": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
