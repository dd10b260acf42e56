"""Latency: the time of one forward pass on this machine, every run kept."""

from __future__ import annotations

import time

import numpy as np
from torch import Tensor, nn

from workbench import timing
from workbench.spec import Protocol

from . import Reading


def measure(model: nn.Module, x: Tensor, protocol: Protocol, clock: timing.Clock = time.perf_counter) -> Reading:
    """Time runs of a network whose weights and input are on the device already; its output stays there.

    Values are the runs after warm-up, in order. A first run, which is no part of any figure, shows that the output is
    finite. On a CUDA device the time that the host needs to enqueue a run is kept as well.
    """
    execution = protocol.execution
    timing.device(execution)
    with timing.set_up(execution) as settings:
        call = timing.prepared(model, x, execution)
        timing.checked(call())
        series = timing.repeat(lambda: timing.sample(call, execution.device, clock), protocol.timing, clock)
    gpu = execution.device == "cuda"
    enqueue = [s.enqueue for s in series.samples]
    details = {
        protocol.timing.statistic: series.figure,
        "interval": [series.low, series.high],
        "level": timing.LEVEL,
        "precise": series.precise < protocol.timing.precision,
        "warmup": {"runs": series.warmup.runs, "steady": series.warmup.steady, "seconds": series.warmup.seconds},
        "enqueue": enqueue if gpu else float(np.median(enqueue)),
        "host_bound": timing.host_bound(series.samples) if gpu else None,
        "host_bound_rule": f"median time to enqueue over {timing.HOST_BOUND:.0%} of the median time",
        "dtype": str(x.dtype).removeprefix("torch."),
        **settings,
    }
    return Reading(tuple(s.seconds for s in series.samples), details)
