"""What this machine can and cannot measure, and what to do about it."""

from __future__ import annotations

import os
import re
import sys
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from workbench import environment, machine, models, nvml, probes, store, testsets, weights
from workbench.spec import UserError

State = Literal["ok", "limited", "missing", "none yet"]

SPAN = 0.3
"""Seconds for which others are watched."""


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    what: str
    state: State
    found: str
    advice: str


def examine(records: Path, home: Path) -> list[Finding]:
    """Look at everything a measurement depends on."""
    return [
        _python(),
        _packages(),
        _torch(),
        _gpu(),
        _processor(),
        _timing(),
        _energy(),
        _checkout(),
        _store(records),
        _sets(home),
        _weights(home),
        _notebooks(),
        _probes(),
    ]


def _python() -> Finding:
    ok = sys.version_info >= (3, 11)
    return Finding("Python", "ok" if ok else "missing", sys.version.split()[0], "" if ok else "install Python 3.11")


def _packages() -> Finding:
    """Installed versions against the pins."""
    pins = environment.SOURCE / "constraints.txt"
    if not pins.is_file():
        return Finding("pins", "limited", "no constraints.txt beside the package", "clone the repository to compare")
    wrong, seen = [], 0
    for name, version in re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)", pins.read_text(), re.MULTILINE):
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        seen += 1
        if installed.partition("+")[0] != version:
            wrong.append(f"{name} {installed} instead of {version}")
    if wrong:
        return Finding("pins", "limited", "; ".join(wrong), "make clean, then make test, installs the pinned versions")
    return Finding("pins", "ok", f"{seen} installed packages are at their pins", "")


def _torch() -> Finding:
    try:
        import torch
    except ImportError as error:
        return Finding("torch", "missing", str(error), "tables render; to measure, install torch as pinned")
    return Finding("torch", "ok", f"{torch.__version__}: counts parameters and multiply-adds", "")


def _gpu() -> Finding:
    seen = environment.capture()
    if not seen["gpus"]:
        return Finding(
            "GPU", "missing", "NVML sees no NVIDIA GPU", "counts need none; latency, memory and energy of a GPU do"
        )
    names = ", ".join(seen["gpus"]) + f", driver {seen['driver']}"
    import torch

    if not torch.cuda.is_available():
        return Finding("GPU", "limited", f"{names}; this torch cannot use it", "install the CUDA build of torch")
    return Finding("GPU", "ok", f"{names}, CUDA {torch.version.cuda}", "")


def _processor() -> Finding:
    cores = environment.cores()
    load = os.getloadavg()[0]
    found = f"{environment.capture()['cpu']}, {cores} cores, load {load:.1f}"
    if load > 0.5 * cores:
        return Finding(
            "processor", "limited", found, "counts are safe; wait for a quiet machine before timing anything"
        )
    return Finding("processor", "ok", found, "")


def _timing() -> Finding:
    """Whether a figure timed here and now could be trusted; the same rules mark records."""
    gpu = nvml.gpu()
    watch = machine.Watch("cuda" if gpu else "cpu")
    threads = machine.threads()
    watch.begin(threads)
    time.sleep(SPAN)
    why = [*machine.crowded(watch.start, machine.Counters.read(), threads), *machine.shared(watch.before["gpu"], None)]
    if (quota := machine.quota()) is not None and quota < environment.cores():
        why.append(f"a quota of {quota:g} cores stops whoever takes more")
    if uneven := [g for g in machine.governors() if g != "performance"]:
        why.append(f"the governor {', '.join(uneven)} changes the clocks")
    if gpu and (slow := watch.before["gpu"]["slowed_by"]):
        why.append(f"the GPU runs below its clocks for: {', '.join(slow)}")
    told = f"{threads} thread{'s' if threads != 1 else ''} on {environment.cores()} of {os.cpu_count()} CPUs"
    governors = ", ".join(machine.governors()) or "unknown"
    found = f"{told}, quota {'none' if quota is None else f'{quota:g}'}, governor {governors}"
    if why:
        return Finding(
            "timing", "limited", f"{found}; {'; '.join(why)}", "what is timed now is kept and may be marked ‡"
        )
    return Finding("timing", "ok", found, "")


def _energy() -> Finding:
    """Whether some counter tells joules."""
    found = []
    if gpu := nvml.gpu():
        try:
            gpu.joules()
            found.append("the GPU's counter (NVML)")
        except UserError:
            pass
    if any(os.access(zone / "energy_uj", os.R_OK) for zone in machine.packages()):
        found.append("the CPU's counter (RAPL)")
    if found:
        return Finding("energy", "ok", " and ".join(found), "")
    advice = "sudo chmod a+r /sys/class/powercap/*/energy_uj" if machine.packages() else "all else can be measured"
    return Finding("energy", "missing", "no counter of joules can be read", advice)


def _checkout() -> Finding:
    seen = environment.capture()
    if not seen["commit"]:
        return Finding("commit", "limited", "not a git checkout", "records will not name a commit; clone to have one")
    if seen["dirty"]:
        return Finding(
            "commit", "limited", f"{seen['commit'][:12]} with changes", "commit, so that records name the code"
        )
    return Finding("commit", "ok", seen["commit"][:12], "")


def _store(folder: Path) -> Finding:
    another = "name another folder with --records"
    try:
        contents = store.read(folder)
        if not isinstance(folder, store.Url) and not folder.exists():
            above = next(p for p in folder.absolute().parents if p.exists())
            if above.is_dir() and os.access(above, os.W_OK | os.X_OK):
                return Finding("records", "none yet", f"no folder {folder}", "nothing: the first measurement makes it")
            return Finding("records", "missing", f"no folder {folder}, and {above} takes none", another)
        store.Writer(folder).check()
    except UserError as error:
        return Finding("records", "missing", str(error), another)
    number = len(contents.records)
    told = f"{number} record{'' if number == 1 else 's'} in {folder}"
    if contents.problems:
        first = contents.problems[0]
        return Finding("records", "limited", f"{told}, {len(contents.problems)} skipped", f"first: {first}")
    return Finding("records", "ok", told, "")


def _sets(home: Path) -> Finding:
    """Which test sets can be used."""
    here, wrong = [], []
    for name in testsets.names(home):
        if name == testsets.PHOTOS or not testsets.registered(name, home):
            continue
        try:
            found = testsets.find(name, home)
        except UserError as error:
            wrong.append(str(error))
            continue
        here.append(found.title if found.complete else f"{found.title} (incomplete)")
        wrong += [] if found.complete else [f"{found.title}: {found.sentence.rstrip('.')}"]
    told = f"{', '.join(here) or 'none registered'} in {home}"
    if wrong:
        return Finding("test sets", "limited", told, f"first: {wrong[0]}")
    get = "" if here else "workbench data add NAME FOLDER; what there is: workbench data list"
    return Finding("test sets", "ok" if here else "none yet", told, get)


def _weights(home: Path) -> Finding:
    """Which trained weights can be used."""
    try:
        held = weights.held(home)
    except UserError as error:
        return Finding("weights", "missing", str(error), "name another folder with --data")
    if not held:
        advice = "workbench weights add FILE; what is published: workbench weights list"
        return Finding("weights", "none yet", f"none in {home}", advice)
    names = [w.name for w in held]
    told = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    if gone := [w.name for w in held if not w.path.is_file()]:
        return Finding("weights", "limited", f"{told} in {home}", f"add it again, its file is gone: {gone[0]}")
    return Finding("weights", "ok", f"{told} in {home}", "")


def _notebooks() -> Finding:
    from jupyter_client.kernelspec import KernelSpecManager

    if "python3" not in KernelSpecManager().find_kernel_specs():
        return Finding("notebooks", "missing", "no Jupyter kernel python3", "python -m ipykernel install --sys-prefix")
    return Finding("notebooks", "ok", "Jupyter kernel python3", "")


def _probes() -> Finding:
    known = f"{', '.join(probes.PROBES)} of {len(models.VARIANTS)} variants"
    return Finding("probes", "ok", known, "")
