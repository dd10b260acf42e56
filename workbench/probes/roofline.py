"""A lower bound of the time of one forward pass on a named device: a reading of the trace, and an estimate throughout.

Each call takes the longer of its arithmetic at the device's peak rate and its bytes at the device's bandwidth, and a
launch on top. Nothing is measured, no kernel keeps up a peak, and a call may need several kernels: real times are a
multiple. It is no bound where kernels are fused, where operands are still in the device's cache, or where launches
overlap with work; the launch itself is an estimate. It never fills the cell of a measured latency.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from workbench import devices
from workbench.devices import Device
from workbench.spec import Bound, Protocol
from workbench.tracing import Call, Trace, traced

from . import Reading
from .arithmetic import operations, products
from .prices import CONVOLUTIONS

TOP = 10
"""How many operators and modules a record lists."""


@dataclass(frozen=True)
class Cost:
    """What one call takes at least."""

    call: Call
    multiply_adds: int
    operations: int
    """Floating operations; a multiply-add is two."""
    bytes: int
    """Bytes read and written."""
    compute: float
    """Seconds that the operations take at the device's peak rate."""
    memory: float
    """Seconds that the bytes take at the device's bandwidth."""
    launch: float
    """Seconds that go by before the next kernel can begin; an estimate."""

    @property
    def work(self) -> float:
        return max(self.compute, self.memory)

    @property
    def seconds(self) -> float:
        return self.work + self.launch

    @property
    def compute_bound(self) -> bool:
        return self.compute > self.memory


@dataclass(frozen=True)
class Host:
    """What a network does on the host's tensors while the device waits."""

    calls: int
    bytes: int
    """Bytes that those calls read and write."""
    copied: int
    """Of those, bytes that arrive on the device."""

    @property
    def seconds(self) -> float:
        """How long that takes at `devices.HOST_BANDWIDTH`; an estimate, and no part of a bound."""
        return self.bytes / devices.HOST_BANDWIDTH


def measure(model: nn.Module, x: Tensor, protocol: Protocol) -> Reading:
    """Sum the lower bounds of all calls; `details` says what they are bound by, and where the time goes."""
    device = devices.profile(protocol.bound.device)
    seen = traced(model, x)
    priced, aside = costs(seen, device, protocol.bound), host(seen)
    total = sum(c.seconds for c in priced)
    moved = sum(c.bytes for c in priced)
    compute = sum(c.work for c in priced if c.compute_bound)
    memory = sum(c.work for c in priced if not c.compute_bound)
    launch = sum(c.launch for c in priced)
    details = {
        "estimate": "a lower bound computed from a data sheet; nothing was measured",
        "device": device.title,
        "multiply_adds": sum(c.multiply_adds for c in priced),
        "operations": sum(c.operations for c in priced),
        "bytes": moved,
        "intensity": sum(c.operations for c in priced) / moved if moved else 0.0,
        "kernels": len(priced),
        "compute_bound_seconds": compute,
        "memory_bound_seconds": memory,
        "launch_seconds": launch,
        "compute_bound_share": _share(compute, total),
        "memory_bound_share": _share(memory, total),
        "launch_share": _share(launch, total),
        "host": {"calls": aside.calls, "bytes": aside.bytes, "copied": aside.copied, "seconds": aside.seconds},
        "host_bound": aside.seconds > total,
        "by_operator": _largest(priced, lambda c: c.call.name),
        "by_module": _largest(priced, lambda c: cut(c.call.module, 2)),
    }
    return Reading((total,), details)


def costs(seen: Trace, device: Device, bound: Bound) -> list[Cost]:
    """The calls of a trace that work on the device, and what each takes at least; views and empty memory are free."""
    priced = []
    for call in seen.calls:
        if not call.written or (call.host and device.name != devices.CPU):
            continue
        exact, arithmetic, moved = products(call), operations(call), call.read + call.written
        compute, memory = arithmetic / rate(call, exact, device, bound), moved / device.bandwidth
        priced.append(Cost(call, exact, arithmetic, moved, compute, memory, device.launch))
    return priced


def rate(call: Call, multiply_adds: int, device: Device, bound: Bound) -> float:
    """Floating operations per second that a device reaches at best in a call.

    Tensor cores take products, in float32 only if torch lets them; a depthwise convolution in float32 runs on the plain
    cores. All else has the plain rate of float32, in half precision too, where memory bounds it anyway.
    """
    if not multiply_adds:
        return device.float32
    dtype = call.outputs[0].dtype
    if dtype in ("float16", "bfloat16"):
        return device.float16 if dtype == "float16" else device.bfloat16
    if call.name in CONVOLUTIONS:
        depthwise = call.arguments[1][1] == 1 and call.arguments[1][0] > 1
        return device.tf32 if bound.tf32_convolutions and not depthwise else device.float32
    return device.tf32 if bound.tf32_products else device.float32


def host(seen: Trace) -> Host:
    """What a trace shows on the host's tensors."""
    calls = [c for c in seen.calls if c.host and c.written]
    arrived = sum(s.bytes for c in calls for s in c.outputs if s.storage >= 0)
    return Host(len(calls), sum(c.read + c.written for c in calls), arrived)


def cut(path: str, depth: int) -> str:
    """A module's path down to so many names; the network itself has none."""
    return ".".join(path.split(".")[:depth]) or "(network)"


def _largest(priced: Iterable[Cost], key: Callable[[Cost], str]) -> dict[str, float]:
    seconds: Counter[str] = Counter()
    for cost in priced:
        seconds[key(cost)] += cost.seconds  # type: ignore[assignment]  # a Counter adds and sorts floats as well
    return dict(seconds.most_common(TOP))


def _share(part: float, total: float) -> Any:
    return part / total if total else 0.0
