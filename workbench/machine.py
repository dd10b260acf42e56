"""The state a machine was in while something was timed on it, and whether the figure can be trusted.

Contended: other processes (or, under a hypervisor, other machines) kept busy what this measurement was to have. Of the
cores we may use, that is more than they left over plus a tenth of a core; of a GPU, any other process on it.
Throttled: the driver named a reason for lower clocks before or after, or counted time of one; or a quota held us back.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench import environment, nvml

ROOT = Path("/")
"""Where `proc` and `sys` are."""

SLACK = 0.1
"""Cores that others may keep busy before a machine counts as contended: a kernel and its daemons take some."""

TICKS = 5
"""What Linux counts the CPU's time in must have advanced this often for others, or it tells nothing."""


def threads(asked: int = 0) -> int:
    """How many threads to compute with: as asked, or as many as the process may use by affinity and quota."""
    may = min(environment.cores(), int(quota() or environment.cores()))
    return asked or max(1, may)


def quota() -> float | None:
    """Cores' worth of time that the control groups allow this process; None if they set no limit."""
    limits = [found for folder in _groups("cpu") if (found := _quota(folder)) is not None]
    return min(limits, default=None)


def governors() -> list[str]:
    """What decides about the clocks of the CPUs we may use."""
    found = (_text(f"sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor").strip() for cpu in _cpus())
    return sorted(set(found) - {""})


def packages() -> list[Path]:
    """Where Linux shows the energy counters of the CPU's packages (RAPL); parts of a package are counted in it."""
    folder = ROOT / "sys/class/powercap"
    return sorted(folder.glob("intel-rapl:[0-9]")) + sorted(folder.glob("intel-rapl:[0-9][0-9]"))


def look(device: str) -> dict[str, Any]:
    """What can be read at this moment; what a machine does not tell is None."""
    gpu = nvml.gpu() if device == "cuda" else None
    clocks = [float(line.partition(":")[2]) for line in _lines("proc/cpuinfo") if line.startswith("cpu MHz")]
    return {
        "load": os.getloadavg()[0],
        "hertz": sum(clocks) / len(clocks) * 1e6 if clocks else None,
        "governors": governors(),
        "quota_cores": quota(),
        "gpu": gpu.look() if gpu else None,
    }


@dataclass(frozen=True)
class Counters:
    """What the kernel has counted up to a moment; in seconds, if nothing else is said."""

    at: float
    busy: float | None
    """Time that the CPUs we may use were busy with anything, or kept from this machine by its hypervisor."""
    own: float
    """Time that they were busy with this process and the children it has waited for."""
    waited: float | None
    """Time in which some process of the machine had no CPU, though it wanted one."""
    held_back: int | None
    """How often a quota stopped us."""

    @classmethod
    def read(cls) -> Counters:
        times = os.times()
        return cls(time.monotonic(), _busy(), sum(times[:4]), _waited(), _held_back())


class Watch:
    """Looks at the machine before and after a measurement; the first look is to come before CUDA is touched."""

    def __init__(self, device: str):
        self.device = device
        self.before = look(device)
        self.threads = 1
        self.start = Counters.read()

    def begin(self, threads: int) -> None:
        """From here on counts what happens; `threads` are those the measurement computes with on the CPU."""
        self.threads = threads if self.device == "cpu" else 1  # one feeds the GPU
        self.start = Counters.read()

    def end(self) -> dict[str, Any]:
        """The state for a record: flags, the sentences for them, and what they were concluded from."""
        end, after = Counters.read(), look(self.device)
        contended = [*crowded(self.start, end, self.threads), *shared(self.before["gpu"], after["gpu"])]
        throttled = [*_stopped(self.start, end), *_slowed(self.before["gpu"], after["gpu"])]
        waited = None if end.waited is None or self.start.waited is None else end.waited - self.start.waited
        return {
            "contended": bool(contended),
            "throttled": bool(throttled),
            "why": contended + throttled,
            "seconds": end.at - self.start.at,
            "others_cores": _others(self.start, end),
            "waited_seconds": waited,
            "before": self.before,
            "after": after,
        }


def _others(start: Counters, end: Counters) -> float | None:
    """Cores that others kept busy on average; None if that cannot be told."""
    if start.busy is None or end.busy is None or end.at <= start.at:
        return None
    return max(0.0, end.busy - start.busy - (end.own - start.own)) / (end.at - start.at)


def crowded(start: Counters, end: Counters, threads: int) -> Iterable[str]:
    """Whether others were busy on the cores that `threads` of ours were to have."""
    others, cores = _others(start, end), environment.cores()
    if others is None or others * (end.at - start.at) < TICKS / os.sysconf("SC_CLK_TCK"):
        return
    if others > max(0, cores - threads) + SLACK:
        yield f"others kept {others:.1f} of {cores} cores busy, of which this was to have {min(threads, cores)}"


def shared(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> Iterable[str]:
    """Others on the GPU: everybody who is there before us, everybody but one who is there after us."""
    counts = [(gpu["processes"] or 0) - own for gpu, own in ((before, 0), (after, 1)) if gpu]
    if (most := max(counts, default=0)) > 0:
        yield f"{most} other {'processes were' if most > 1 else 'process was'} on the GPU"


def _stopped(start: Counters, end: Counters) -> Iterable[str]:
    if start.held_back is not None and end.held_back is not None and (times := end.held_back - start.held_back):
        yield f"the quota of its control group held it back {times} times"


def _slowed(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> Iterable[str]:
    if not before or not after:
        return
    reasons = dict.fromkeys((before["slowed_by"] or []) + (after["slowed_by"] or []))
    for why, since in before["slowed_seconds"].items():
        until = after["slowed_seconds"][why]
        if since is not None and until is not None and until > since and not any(r.startswith(why) for r in reasons):
            reasons[why] = None
    if reasons:
        yield f"the GPU ran below its clocks for: {', '.join(reasons)}"


def _cpus() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def _busy() -> float | None:
    """Of each CPU's line: user, nice, system, idle, waiting for a disk, interrupts (2), stolen; guests are in user."""
    mine = {f"cpu{cpu}" for cpu in _cpus()}
    rows = [line.split() for line in _lines("proc/stat") if line.split(" ")[0] in mine]
    ticks = [sum(map(int, row[1:4])) + sum(map(int, row[6:9])) for row in rows]
    return sum(ticks) / os.sysconf("SC_CLK_TCK") if ticks else None


def _waited() -> float | None:
    line = next((line for line in _lines("proc/pressure/cpu") if line.startswith("some ")), None)
    return None if line is None else int(line.rpartition("total=")[2]) / 1e6


def _held_back() -> int | None:
    counts = [
        int(line.split()[1])
        for folder in _groups("cpu")
        for line in _lines(folder / "cpu.stat")
        if line.startswith("nr_throttled ")
    ]
    return max(counts, default=None)


def _groups(controller: str) -> list[Path]:
    """The folders of our control group and of those it is in, in both of the kernel's ways of mounting them."""
    folders = []
    for line in _lines("proc/self/cgroup"):
        _, names, path = line.split(":", 2)
        if not names or controller in names.split(","):
            base = Path("sys/fs/cgroup", controller if names else "")
            inner = Path(path.strip("/"))
            folders += [base / inner, *(base / above for above in inner.parents)]
    return list(dict.fromkeys(folders))


def _quota(folder: Path) -> float | None:
    now = _text(folder / "cpu.max").split() or [
        _text(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")
    ]
    if len(now) != 2 or now[0] in ("max", "-1") or not all(n.isdigit() for n in now):
        return None
    return int(now[0]) / int(now[1])


def _lines(path: str | Path) -> list[str]:
    return _text(path).splitlines()


def _text(path: str | Path) -> str:
    try:
        return (ROOT / path).read_text()
    except OSError:
        return ""
