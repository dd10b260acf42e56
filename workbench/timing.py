"""The clockwork: one run timed, warm-up until steady, and how far a figure of many runs can be trusted.

Every function that looks at a clock takes one, so that tests run on a clock of their own. Torch is imported where a
network is run; intervals can be computed on any laptop.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from workbench import machine
from workbench.spec import Execution, Timing, UserError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Clock = Callable[[], float]
"""Seconds that only grow; where they begin does not matter."""

LEVEL = 0.95
"""How often an interval that is reported must hold the true figure."""

CAUTIOUS = 0.995
"""The level that intervals are computed at to keep `LEVEL`: to stop when an interval has become narrow, and blocks
shorter than what the noise remembers, both cost coverage. Of A/A trials on a made clock whose noise remembers 30 %, the
intervals of comparisons held 1 in 96 % of 1000 at 0.99 and in 97 % of 1000 at 0.995; where it remembers 60 %, in 93 %
and 95 % of 500 (`tests/test_comparison.py` keeps watch)."""

RESAMPLES = 1000

WINDOW = 5
"""Runs whose medians are compared to tell whether times still move."""

STEADY = 0.02
"""The fraction by which the medians of the last two windows may differ."""

WARM_SECONDS = 0.25
"""Seconds of running before times may count as steady: clocks of processors rise that slowly."""

WARM_RUNS = 200
"""Runs after which warm-up ends, steady or not."""

FLOOR = 8
"""Runs below which a median of theirs has no interval of 95 %; they are made whatever the budget is."""

GROWTH = 1.25
"""The number of runs from one look at the interval to the next grows by this: few looks, few chances to stop early."""

HOST_BOUND = 0.8
"""The share of a run's time that its enqueueing takes at least where the host is what one waits for."""


@dataclass(frozen=True)
class Sample:
    """One run."""

    seconds: float
    """From the first kernel's turn to the last one's end."""
    enqueue: float
    """Seconds until the host was free again; on a CPU that is all of it."""


@dataclass(frozen=True)
class Warmup:
    """What happened before the first run that counts."""

    runs: int
    steady: bool | None
    """Whether times had settled by the rule; None if the number of runs was given."""
    seconds: float
    """What its runs took in sum, compiling and cuDNN's trials included."""


@dataclass(frozen=True)
class Series:
    """The runs that count, in order."""

    warmup: Warmup
    samples: tuple[Sample, ...]
    figure: float
    """Seconds: the median, or the mean, as was asked."""
    low: float
    high: float
    """Ends of the interval that holds the true figure with `LEVEL`."""

    @property
    def precise(self) -> float:
        """Width of the interval as a fraction of the figure."""
        return (self.high - self.low) / self.figure if self.figure else 0.0


def interval(
    values: Sequence[float], statistic: Literal["median", "mean"] = "median", level: float = CAUTIOUS
) -> tuple[float, float]:
    """Ends of a bootstrap interval: blocks of neighbouring values are drawn, since neighbours resemble each other.

    A block is the cube root of the number of values long, and they stand in a ring. The draw has a fixed seed: the same
    values have the same interval.
    """
    drawn = resampled(values, statistic)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def resampled(values: Sequence[float], statistic: Literal["median", "mean"] = "median") -> NDArray[np.float64]:
    """The statistic of `RESAMPLES` draws of blocks."""
    known = np.asarray(values, dtype=np.float64)
    n, length = len(known), max(1, round(len(known) ** (1 / 3)))
    generator = np.random.default_rng(0)
    reduce = np.median if statistic == "median" else np.mean
    found = []
    at_once = max(1, 2**20 // n)  # a thousand draws of ten thousand values would take 80 MB at once
    for first in range(0, RESAMPLES, at_once):
        starts = generator.integers(0, n, (min(at_once, RESAMPLES - first), -(-n // length)))
        drawn = (starts[:, :, None] + np.arange(length)).reshape(len(starts), -1)[:, :n] % n
        found.append(reduce(known[drawn], axis=1))
    return np.concatenate(found)


def steady(samples: Sequence[float]) -> bool:
    """The rule: at least two windows of `WINDOW` runs and `WARM_SECONDS`, and the medians of the last two windows
    differ by less than `STEADY`."""
    if len(samples) < 2 * WINDOW or sum(samples) < WARM_SECONDS:
        return False
    before, last = np.median(samples[-2 * WINDOW : -WINDOW]), np.median(samples[-WINDOW:])
    return bool(abs(last - before) < STEADY * before)


def warm(run: Callable[[], Sample], runs: int, seconds: float, clock: Clock = time.perf_counter) -> Warmup:
    """Run as often as was asked; if that is 0, until `steady`, `WARM_RUNS` or `seconds` are reached.

    One run is made in any case, and none is cut short.
    """
    start, seen = clock(), list[float]()
    while len(seen) < (runs or WARM_RUNS):
        seen.append(run().seconds)
        if not runs and (steady(seen) or clock() - start >= seconds):
            break
    return Warmup(len(seen), None if runs else steady(seen), clock() - start)


def repeat(run: Callable[[], Sample], timing: Timing, clock: Clock = time.perf_counter) -> Series:
    """Warm up, at most half the budget long, and run until the interval is narrow enough or the budget is spent.

    At least `FLOOR` runs are made, whatever they take; a given number of runs is made whole.
    """
    warmup = warm(run, timing.warmup, timing.budget / 2, clock)
    start, look = clock(), FLOOR
    samples = list[Sample]()
    while len(samples) < timing.runs or not timing.runs:
        samples.append(run())
        over = len(samples) >= FLOOR and clock() - start >= timing.budget
        if not timing.runs and (over or len(samples) == look):
            found = _series(warmup, samples, timing)
            if over or found.precise < timing.precision:
                return found
            look = next_look(look)
    return _series(warmup, samples, timing)


def next_look(look: int) -> int:
    """The number of runs at which an interval is looked at again."""
    return math.ceil(look * GROWTH)


def _series(warmup: Warmup, samples: Sequence[Sample], timing: Timing) -> Series:
    seconds = [s.seconds for s in samples]
    figure = float(np.median(seconds) if timing.statistic == "median" else np.mean(seconds))
    return Series(warmup, tuple(samples), figure, *interval(seconds, timing.statistic))


def host_bound(samples: Sequence[Sample]) -> bool:
    """The rule: the median time to enqueue a run is more than `HOST_BOUND` of the median time of a run."""
    return bool(np.median([s.enqueue for s in samples]) > HOST_BOUND * np.median([s.seconds for s in samples]))


def sample(call: Callable[[], Any], device: str, clock: Clock = time.perf_counter) -> Sample:
    """Time one call: on a CUDA device by events, its output synchronised and nothing queued before; else by the clock.

    The collector of garbage is not held back, since a user's is not.
    """
    if device != "cuda":
        start = clock()
        call()
        seconds = clock() - start
        return Sample(seconds, seconds)
    import torch

    torch.cuda.synchronize()
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start = clock()
    first.record()
    call()
    last.record()
    enqueue = clock() - start
    last.synchronize()
    return Sample(first.elapsed_time(last) / 1e3, enqueue)  # an event counts milliseconds


def device(execution: Execution) -> torch.device:
    """The device of an execution, or a UserError if it is not here or cannot do what is asked of it."""
    import torch

    if execution.device == "cuda" and not torch.cuda.is_available():
        built = "torch sees none" if torch.version.cuda else f"torch {torch.__version__} is built without CUDA"
        raise UserError(
            f"A measurement on a CUDA device was asked for, and there is none here: {built}. "
            "Run it where there is one, or take the CPU: --protocol cpu, or steady."
        )
    if execution.compile == "graph" and execution.device != "cuda":
        raise UserError(
            "A CUDA graph was asked for on the CPU, which has none. Add +cuda to the protocol, or leave +graph out."
        )
    return torch.device(execution.device)


@contextmanager
def set_up(execution: Execution) -> Iterator[dict[str, Any]]:
    """Put torch's switches as an execution wants them, and say how they stand; they are put back at the end."""
    import torch

    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = (torch.get_num_threads(), cudnn.benchmark, cudnn.allow_tf32, products.allow_tf32)

    def put(threads: int, benchmark: bool, convolutions: bool, multiply: bool) -> None:
        torch.set_num_threads(threads)
        cudnn.benchmark = benchmark
        cudnn.allow_tf32 = convolutions
        products.allow_tf32 = multiply

    try:
        threads = machine.threads(execution.threads)
        put(threads, execution.cudnn_benchmark, execution.tf32_convolutions, execution.tf32_products)
        yield {
            "device": execution.device,
            "threads": torch.get_num_threads(),
            "compile": execution.compile,
            "cudnn_benchmark": cudnn.benchmark,
            "tf32_convolutions": cudnn.allow_tf32,
            "tf32_products": products.allow_tf32,
        }
    finally:
        put(*before)


def prepared(model: nn.Module, x: Tensor, execution: Execution) -> Callable[[], Tensor]:
    """One run of a network as a call without arguments: plain, compiled, or the replay of a CUDA graph.

    Compiling happens in the first call, so it is part of warm-up. A network that makes tensors on the host in its
    forward cannot be captured; torch's own error says so.
    """
    import torch

    if execution.compile == "graph":
        return _captured(model, x)
    network = torch.compile(model) if execution.compile == "compile" else model

    def run() -> Tensor:
        with torch.inference_mode():
            out: Tensor = network(x)
        return out

    return run


def _captured(model: nn.Module, x: Tensor) -> Callable[[], Tensor]:
    import torch

    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    graph = torch.cuda.CUDAGraph()
    with torch.inference_mode():
        with torch.cuda.stream(aside):
            for _ in range(3):  # what is made lazily must not be made while capturing
                model(x)
        torch.cuda.current_stream().wait_stream(aside)
        with torch.cuda.graph(graph):
            out: Tensor = model(x)

    def run() -> Tensor:
        graph.replay()
        return out

    return run


def checked(out: Tensor) -> None:
    """Refuse an output that is not finite: the time of such a run is no figure of the network."""
    if not bool(out.isfinite().all()):
        share = float((~out.isfinite()).float().mean())
        raise ValueError(f"the network put out values that are not finite ({share:.0%} of them), so it was not timed")
