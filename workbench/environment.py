"""Which machine, which versions, which commit: the provenance of every record."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).resolve().parent.parent
"""The checkout this package was imported from, if it was imported from one."""

VERSIONED = ("torch", "fvcore", "numpy", "pandas", "workbench")


def home() -> Path:
    """Where results lie by default: the checkout, or the current folder for an installed package."""
    return SOURCE if (SOURCE / "pyproject.toml").is_file() else Path.cwd()


@cache
def capture() -> dict[str, Any]:
    """Everything about this machine and installation that a figure may depend on. No host name, no user, no path."""
    gpus, driver = _gpus()
    return {
        "cpu": _cpu(),
        "cores": cores(),
        "memory_bytes": _memory(),
        "gpus": gpus,
        "driver": driver,
        "os": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in VERSIONED},
        **commit(),
    }


@cache
def machine() -> str:
    """The hardware in words: what a timed figure is a figure of."""
    seen = capture()
    parts = [*seen["gpus"], f"{seen['cpu']}, {seen['cores']} cores"]
    return " + ".join(parts)


def cores() -> int:
    """Cores this process may run on, which can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    if sys.platform == "darwin":
        named = _run("sysctl", "-n", "machdep.cpu.brand_string")
        if named:
            return named
    return platform.processor() or platform.machine()


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def free_memory() -> int:
    """Bytes that a process could still take without swapping, as the system tells; else half of all there are."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return min([int(line.split()[1]) * 1024, *_granted()])
    except (OSError, ValueError):
        pass
    return (_memory() or 0) // 2


def _granted() -> list[int]:
    """What the control group that the process is in leaves it, if it has a limit."""
    group = Path("/sys/fs/cgroup")
    try:
        limit, used = ((group / name).read_text().strip() for name in ("memory.max", "memory.current"))
        return [] if limit == "max" else [max(0, int(limit) - int(used))]
    except (OSError, ValueError):
        return []


def _gpus() -> tuple[list[str], str | None]:
    """Names of the NVIDIA GPUs and the driver's version, asked of NVML, which needs no CUDA build of torch."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return [], None
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        return [str(pynvml.nvmlDeviceGetName(h)) for h in handles], str(pynvml.nvmlSystemGetDriverVersion())
    except pynvml.NVMLError:
        return [], None
    finally:
        pynvml.nvmlShutdown()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def commit() -> dict[str, Any]:
    """The checkout's commit, and whether the code differs from it; results/ is not code."""
    git = ("git", "--no-optional-locks", "-C", str(SOURCE))  # a look: it writes no index, in nobody's way
    head = _run(*git, "rev-parse", "HEAD") if (SOURCE / ".git").exists() else None
    changes = _run(*git, "status", "--porcelain", "--", ".", ":!results") if head else None
    return {"commit": head, "dirty": None if changes is None else bool(changes)}


def _run(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
