"""Memory: the most that one run takes, by the allocator's own count on a GPU and by the kernel's on a CPU.

On a GPU that is all of torch's tensors, weights and input among them. On a CPU it is what the process came to beyond
the loaded model, its input and the code they need: what was resident after a run, once free memory was handed back.
"""

from __future__ import annotations

import ctypes
import resource
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from workbench import nvml
from workbench.spec import Protocol

from . import Reading
from .running import as_it_is, once, wait, warm

PROCESS = Path("/proc/self")


def measure(model: nn.Module, x: Tensor, protocol: Protocol) -> Reading:
    """One run to warm up, and one whose highest mark counts; nothing is polled, so no peak is missed."""
    as_it_is(protocol, "Memory")
    held = {
        "weights_bytes": sum(t.nbytes for t in (*model.parameters(), *model.buffers())),
        "input_bytes": x.nbytes,
    }
    peak, details = _cuda(model, x) if x.is_cuda else _cpu(model, x)
    return Reading((peak,), details | held)


def _cuda(model: nn.Module, x: Tensor) -> tuple[int, dict[str, Any]]:
    warm(model, x)
    torch.cuda.empty_cache()  # what cuDNN tried its algorithms with is not what a run needs
    torch.cuda.reset_peak_memory_stats(x.device)
    once(model, x)
    wait(x)
    gpu = nvml.gpu()
    return torch.cuda.max_memory_allocated(x.device), {
        "method": "max_memory_allocated",
        "reserved_bytes": torch.cuda.max_memory_reserved(x.device),
        "process_bytes": gpu.own_bytes() if gpu else None,
    }


def _cpu(model: nn.Module, x: Tensor) -> tuple[int, dict[str, Any]]:
    """By the high-water mark of the resident set, reset after warming up; else that of the whole process's life.

    Resident memory is counted in pages, and the kernel may be late by some for each core: below a megabyte it tells
    little.
    """
    if not _reset():  # then nothing may run before the one run that counts
        before = _status("VmRSS") or _highest()
        warm(model, x)
        return max(0, _highest() - before), {"method": "ru_maxrss, of the first run", "loaded_bytes": before}
    warm(model, x)
    trimmed = _trim()
    loaded = _status("VmRSS") or 0
    _reset()
    once(model, x)
    peak = _status("VmHWM") or 0
    method = "VmHWM, reset after a run" + ("" if trimmed else ", free memory not handed back")
    return max(0, peak - loaded), {"method": method, "loaded_bytes": loaded, "peak_bytes": peak}


def _reset() -> bool:
    """Lower the high-water mark to what is resident now, if the kernel lets us, and tells the mark."""
    try:
        (PROCESS / "clear_refs").write_text("5")
    except OSError:
        return False
    return _status("VmHWM") is not None


def _trim() -> bool:
    """Hand free memory back to the kernel, so that the run has to ask for what it needs; glibc can do that."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        return False
    return True


def _status(name: str) -> int | None:
    try:
        lines = (PROCESS / "status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), None)


def _highest() -> int:
    """The high-water mark of the process's life: in KiB on Linux, in bytes on macOS."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
