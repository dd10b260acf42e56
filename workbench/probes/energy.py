"""Energy: joules per image, by a counter of the GPU or of the CPU's package, never by asking for watts now and then.

The counter counts the whole device, idle or not, whoever works on it: the idle level is stated, and not taken off.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from torch import Tensor, nn

from workbench import machine, nvml
from workbench.spec import Protocol, UserError

from . import Reading
from .running import as_it_is, once, warm

IDLE = 2.0
"""Seconds for which the device is watched doing nothing, warmed up, before it is given work."""

FINENESS = 0.02
"""The share of the result that the counter's resolution may make up."""

WARM = 3
"""Runs before anything counts: by then cuDNN has chosen, and the clocks are up."""

POLL = 0.001
PATIENCE = 10.0
"""Seconds after which a counter that has not moved counts none."""


def measure(model: nn.Module, x: Tensor, protocol: Protocol) -> Reading:
    """Run until the counter has gone far enough; begun and ended just when it moves, so that one step is all its error.

    A counter moves in steps. We begin at one, and once the work is done wait for the next, so that too much is counted
    by at most a step's worth of idleness. Idleness after work may take twice what it took before: the work has to take
    2 / FINENESS of the largest step that was seen in the idle span.
    """
    as_it_is(protocol, "Energy")
    counter, device = _counter(x)
    counter()  # unsupported is told before anything runs
    warm(model, x, WARM)
    idle_watts, step = _idle(counter)
    start, began = _edge(counter)
    repetitions = 0
    while counter() - start < 2 / FINENESS * step or not repetitions:
        once(model, x)
        repetitions += 1
    worked = time.perf_counter() - began
    end, _ = _edge(counter)
    joules = end - start
    return Reading(
        (joules / (repetitions * len(x)),),
        {
            "counter": device,
            "repetitions": repetitions,
            "seconds": worked,
            "joules": joules,
            "mean_watts": joules / worked,
            "idle_watts": idle_watts,
            "idle_seconds": IDLE,
            "step_joules": step,
            "fineness": 2 * step / joules,
        },
    )


def _idle(counter: Callable[[], float]) -> tuple[float, float]:
    """Watts of doing nothing, and the largest step in which the counter counts them."""
    first, began = _edge(counter)
    last, at, step = first, began, 0.0
    while at - began < IDLE:
        now, at = _edge(counter)
        step = max(step, now - last)
        last = now
    return (last - first) / (at - began), step


def _edge(counter: Callable[[], float]) -> tuple[float, float]:
    """Wait until the counter moves: its value, and when."""
    before, began = counter(), time.perf_counter()
    while True:
        value, at = counter(), time.perf_counter()
        if value != before:
            return value, at
        if at - began > PATIENCE:
            raise UserError(f"The energy counter has not moved in {PATIENCE:g} s, so it cannot be measured.")
        time.sleep(POLL)


def _counter(x: Tensor) -> tuple[Callable[[], float], str]:
    if not x.is_cuda:
        return _packages()
    gpu = nvml.gpu()
    if gpu is None:
        raise UserError("Energy on CUDA is counted by NVML, which does not find the GPU here.")
    return gpu.joules, "NVML total energy"


def _packages() -> tuple[Callable[[], float], str]:
    """The sum of the packages' counters, each of which starts again at 0 when it is full."""
    zones = machine.packages()
    if not zones:
        raise UserError("This CPU shows no energy counter (RAPL, under /sys/class/powercap), and no GPU was asked for.")
    try:
        full = [int((zone / "max_energy_range_uj").read_text()) for zone in zones]
        last = [int((zone / "energy_uj").read_text()) for zone in zones]
    except OSError as error:
        raise UserError(
            f"The CPU's energy counter cannot be read ({error.strerror}); root can: sudo chmod a+r {zones[0]}/energy_uj"
        ) from None
    total = 0

    def joules() -> float:
        nonlocal total
        for i, zone in enumerate(zones):
            now = int((zone / "energy_uj").read_text())
            total += (now - last[i]) % (full[i] + 1)
            last[i] = now
        return total / 1e6

    return joules, "RAPL packages"
