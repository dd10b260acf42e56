"""What devices can do at best, from their data sheets: the ceilings of a lower bound. Only `cpu` is measured.

A floating operation is one addition or one multiplication: a multiply-add is two. Changing a figure here changes what
the roofline probe says: raise its version.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from workbench import environment
from workbench.spec import UserError, unknown

LAUNCH = 4e-6
"""Seconds from one kernel to the next when each is launched by itself. An estimate: no data sheet has it."""

HOST_BANDWIDTH = 20e9
"""Bytes per second that the host reads, writes and copies to a device. An estimate: it differs from host to host."""

CPU = "cpu"
"""The name of the machine this runs on, whose rates are measured when asked for and kept nowhere."""

GIB = 2**30


@dataclass(frozen=True)
class Device:
    """The ceilings of one device. Rates are peaks that no kernel keeps up; a time from them is a lower bound."""

    name: str
    title: str
    float32: float
    """Floating operations per second of the plain cores in float32."""
    tf32: float
    """The same of float32 products on tensor cores, which round their factors to ten bits; dense, as all here."""
    float16: float
    """The same of float16 products on tensor cores that sum in float32."""
    bfloat16: float
    bandwidth: float
    """Bytes per second between the device and its memory."""
    memory: int
    """Bytes of memory; a data sheet's GB is read as 2**30, as its drivers do."""
    source: str
    """The document the rates are from."""
    launch: float = LAUNCH
    """Seconds for each kernel; an estimate, or measured as the rates were."""

    @property
    def measured(self) -> bool:
        """Whether its rates are what it did here and now, and no data sheet's: then times from them are no bounds."""
        return self.name == CPU


DEVICES: dict[str, Device] = {
    d.name: d
    for d in (
        Device(
            "a100", "NVIDIA A100 SXM 80 GB", 19.5e12, 156e12, 312e12, 312e12, 2039e9, 80 * GIB,
            "NVIDIA A100 Tensor Core GPU data sheet",
        ),
        Device(
            "h100", "NVIDIA H100 SXM 80 GB", 66.9e12, 494.7e12, 989.4e12, 989.4e12, 3.35e12, 80 * GIB,
            "NVIDIA H100 Tensor Core GPU architecture whitepaper; bandwidth from the H100 data sheet",
        ),
        Device(
            "h200", "NVIDIA H200 SXM 141 GB", 66.9e12, 494.7e12, 989.4e12, 989.4e12, 4.8e12, 141 * GIB,
            "NVIDIA H200 Tensor Core GPU data sheet; rates from the H100 architecture whitepaper, the chip is the same",
        ),
        Device(
            "rtx-a6000", "NVIDIA RTX A6000 48 GB", 38.7e12, 77.4e12, 154.8e12, 154.8e12, 768e9, 48 * GIB,
            "NVIDIA Ampere GA102 GPU architecture whitepaper v2, appendix C",
        ),
        Device(
            "rtx-4090", "NVIDIA GeForce RTX 4090 24 GB", 82.6e12, 82.6e12, 165.2e12, 165.2e12, 1008e9, 24 * GIB,
            "NVIDIA Ada GPU architecture whitepaper, appendix A",
        ),
        Device(
            "rtx-3090", "NVIDIA GeForce RTX 3090 24 GB", 35.6e12, 35.6e12, 71e12, 71e12, 936e9, 24 * GIB,
            "NVIDIA Ampere GA102 GPU architecture whitepaper v2, appendix A",
        ),
    )
}  # fmt: skip


def find(name: str) -> Device:
    """The device of that name, or a UserError with the nearest names; `cpu` is measured now, which takes a second."""
    if name == CPU:
        return here()
    if name not in DEVICES:
        raise unknown("device", name, [*DEVICES, CPU], "workbench devices")
    return DEVICES[name]


def profile(name: str) -> Device:
    """The device of that name if its rates are in a document, so that a figure from them is the same everywhere."""
    if name == CPU:
        raise UserError(
            "No record is made for the device 'cpu': its rates are measured anew each time, so that no two machines "
            "would agree. Ask workbench trace NAME --device cpu, or take one of: " + ", ".join(DEVICES) + "."
        )
    return find(name)


def here() -> Device:
    """This machine's CPU: products of 768 x 768 matrices and a copy of 64 MiB, the best of some, in torch's threads.

    What else runs on the machine is in the figures, and a kernel of another size may do better: no bound, a guide.
    """
    import torch

    def product(dtype: torch.dtype) -> float:
        a = torch.ones(768, 768, dtype=dtype)
        return 2 * 768**3 / _best(lambda: a @ a)

    source, small = torch.ones(2**24), torch.ones(1)
    target = torch.empty_like(source)
    threads = torch.get_num_threads()
    float32 = product(torch.float32)
    return Device(
        CPU,
        f"{environment.capture()['cpu']}, {threads} thread{'s' if threads > 1 else ''}",
        float32,
        float32,
        product(torch.float16),
        product(torch.bfloat16),
        2 * source.nbytes / _best(lambda: target.copy_(source)),
        environment.capture()["memory_bytes"] or 0,
        "measured here and now",
        _best(lambda: small + small, 200),
    )


def _best(do: Callable[[], Any], times: int = 7) -> float:
    """The shortest of some runs, in seconds."""
    shortest = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        do()
        shortest = min(shortest, time.perf_counter() - start)
    return shortest
