"""What NVIDIA's driver knows of the GPU: clocks, temperature, what slows it, who is on it, the energy it took.

Asked through NVML, which needs no CUDA and disturbs no kernel. Any single fact may be absent: then it is None.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from workbench.spec import UserError

SLOWED = {
    4: "power cap",
    8: "hardware slowdown",
    16: "synchronised boost",
    32: "heat (software)",
    64: "heat (hardware)",
    128: "power brake",
    512: "board limit",
    1024: "reliability",
}
"""Reasons for lower clocks that are not the user's own setting, and not idleness: NVML's bits."""

POLICIES = {"power": 0, "heat": 1}
"""What NVML sums up the time of low clocks for."""


@dataclass(frozen=True)
class Gpu:
    """One GPU of the driver."""

    nvml: Any
    """The module pynvml, initialised."""
    handle: Any

    def ask(self, question: str, *more: Any) -> Any:
        """One of NVML's questions about this device by its name; None where the device or the driver has no answer."""
        try:
            return getattr(self.nvml, question)(self.handle, *more)
        except (self.nvml.NVMLError, AttributeError):
            return None

    def look(self) -> dict[str, Any]:
        """Its state at this moment, in base units."""
        clock = {"sm": self.nvml.NVML_CLOCK_SM, "memory": self.nvml.NVML_CLOCK_MEM}
        reasons = self.ask("nvmlDeviceGetCurrentClocksThrottleReasons")
        return {
            **{f"{name}_hertz": _scaled(self.ask("nvmlDeviceGetClockInfo", c), 1e6) for name, c in clock.items()},
            "most_sm_hertz": _scaled(self.ask("nvmlDeviceGetMaxClockInfo", clock["sm"]), 1e6),
            "celsius": self.ask("nvmlDeviceGetTemperature", self.nvml.NVML_TEMPERATURE_GPU),
            "watts": _scaled(self.ask("nvmlDeviceGetPowerUsage"), 1e-3),
            "limit_watts": _scaled(self.ask("nvmlDeviceGetEnforcedPowerLimit"), 1e-3),
            "slowed_by": None if reasons is None else [why for bit, why in SLOWED.items() if reasons & bit],
            "slowed_seconds": {name: self._violated(policy) for name, policy in POLICIES.items()},
            "processes": None if (here := self.processes()) is None else len(here),
        }

    def processes(self) -> list[tuple[int, int | None]] | None:
        """Who computes on it: process and bytes. In a container the numbers of processes can be those outside it."""
        found = self.ask("nvmlDeviceGetComputeRunningProcesses")
        return None if found is None else [(p.pid, p.usedGpuMemory) for p in found]

    def own_bytes(self) -> int | None:
        """What this process takes of its memory: context, kernels, cached blocks; None where it cannot be told."""
        here = self.processes() or []
        mine = [used for pid, used in here if pid == os.getpid()]
        return mine[0] if mine else here[0][1] if len(here) == 1 else None

    def joules(self) -> float:
        """The energy it took since the driver was loaded, or a UserError if it does not count that."""
        found = _scaled(self.ask("nvmlDeviceGetTotalEnergyConsumption"), 1e-3)
        if found is None:
            raise UserError("The GPU has no energy counter (NVML counts on Volta and later); it cannot be measured.")
        return found

    def _violated(self, policy: int) -> float | None:
        found = self.ask("nvmlDeviceGetViolationStatus", policy)
        return None if found is None else found.violationTime / 1e9


def gpu() -> Gpu | None:
    """The GPU that torch would use, None if there is none; CUDA itself is not asked, which may not be running yet.

    Where CUDA_VISIBLE_DEVICES gives a number, NVML's order of GPUs is taken for CUDA's.
    """
    import pynvml

    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    try:
        pynvml.nvmlInit()
        if first.startswith(("GPU-", "MIG-")):
            return Gpu(pynvml, pynvml.nvmlDeviceGetHandleByUUID(first))
        return Gpu(pynvml, pynvml.nvmlDeviceGetHandleByIndex(int(first))) if int(first) >= 0 else None
    except (pynvml.NVMLError, ValueError):
        return None


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
