"""The clockwork, on clocks of our own: warm-up, when to stop, intervals that hold, and torch's switches put back."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from workbench import machine, timing
from workbench.spec import Execution, Timing, UserError
from workbench.timing import Sample, Warmup, interval, repeat, sample, steady, warm


class Machine:
    """A clock that runs take time on: each next one of `times`, the last again and again."""

    def __init__(self, *times):
        self.now, self.times, self.runs = 1000.0, list(times), 0

    def clock(self):
        return self.now

    def run(self):
        seconds = self.times[min(self.runs, len(self.times) - 1)]
        self.runs += 1
        self.now += seconds
        return Sample(seconds, seconds / 2)


# --- warm-up


def test_times_are_steady_when_two_windows_agree_and_enough_time_has_gone():
    assert steady([0.1] * 10)
    assert not steady([0.1] * 9)
    assert not steady([0.01] * 10)  # 0.1 s: a processor's clock may still rise
    assert steady([0.01] * 25)
    assert steady([9.0] * 3 + [0.1] * 10)  # what was long ago is forgotten
    assert not steady([0.103] * 5 + [0.1] * 5)
    assert steady([0.1019] * 5 + [0.1] * 5)
    assert steady([0.1, 0.1, 5.0, 0.1, 0.1] * 2)  # a spike moves no median


def test_warm_up_goes_on_until_times_are_steady():
    falling = Machine(8.0, *(0.1 + 0.1 * 0.8**k for k in range(20)), 0.1)
    found = warm(falling.run, 0, 1000, falling.clock)
    assert found.steady
    assert found.runs == falling.runs > 10
    assert found.seconds == pytest.approx(falling.now - 1000)
    assert not steady(falling.times[: falling.runs - 1])
    assert np.median(falling.times[falling.runs - 10 :]) < 0.105  # it did not stop on the slope


def test_warm_up_ends_unsteady_after_so_many_runs_or_seconds():
    rising = Machine(*(1.01**k for k in range(1000)))
    assert warm(rising.run, 0, math.inf, rising.clock) == Warmup(timing.WARM_RUNS, False, rising.now - 1000)
    slow = Machine(3.0)
    assert warm(slow.run, 0, 5.0, slow.clock) == Warmup(2, False, 6.0)
    slower = Machine(60.0)
    assert warm(slower.run, 0, 5.0, slower.clock) == Warmup(1, False, 60.0)


def test_a_given_number_of_warm_up_runs_is_made_and_not_judged():
    machine = Machine(1.0)
    assert warm(machine.run, 13, 0.001, machine.clock) == Warmup(13, None, 13.0)


# --- how many runs


def test_runs_stop_when_the_interval_is_narrow():
    machine = Machine(0.1)
    series = repeat(machine.run, Timing(), machine.clock)
    assert (series.warmup.runs, series.warmup.steady, len(series.samples)) == (10, True, timing.FLOOR)
    assert (series.figure, series.low, series.high, series.precise) == (0.1, 0.1, 0.1, 0.0)


def test_noisy_runs_stop_when_the_budget_is_spent_and_steadier_ones_before():
    def noisy(width):
        generator = np.random.default_rng(1)
        machine = Machine(*(0.01 * np.exp(width * generator.normal(size=5000))))
        return repeat(machine.run, Timing(budget=10.0), machine.clock), machine

    wild, machine = noisy(1.0)
    assert wild.precise > 0.02
    assert 10 <= machine.now - 1000 - wild.warmup.seconds < 10.2
    calm, machine = noisy(0.05)
    assert calm.precise < 0.02
    assert machine.now - 1000 < 10
    assert timing.FLOOR < len(calm.samples) < len(wild.samples)


def test_slow_runs_are_made_at_least_so_often_that_there_is_an_interval():
    machine = Machine(60.0)
    series = repeat(machine.run, Timing(budget=10.0), machine.clock)
    assert (series.warmup.runs, len(series.samples)) == (1, timing.FLOOR)


def test_a_given_number_of_runs_is_made_whole_whatever_the_budget():
    machine = Machine(*range(1, 200))
    series = repeat(machine.run, Timing(warmup=3, runs=5, budget=0.001), machine.clock)
    assert [s.seconds for s in series.samples] == [4, 5, 6, 7, 8]
    assert series.figure == 6
    assert repeat(Machine(1, 1, 4).run, Timing(warmup=1, runs=2, statistic="mean"), lambda: 0.0).figure == 2.5


def test_looks_at_the_interval_grow_rarer():
    looks = [8]
    while looks[-1] < 1000:
        looks.append(timing.next_look(looks[-1]))
    assert looks[:4] == [8, 10, 13, 17]
    assert len(looks) < 25


# --- intervals


def test_the_same_values_have_the_same_interval():
    values = list(np.random.default_rng(3).lognormal(size=200))
    assert interval(values) == interval(values)
    low, high = interval(values)
    assert low < np.median(values) < high
    assert interval(values, level=0.5)[1] < high
    assert interval([2.0] * 9) == interval([2.0]) == (2.0, 2.0)


def test_an_interval_of_a_mean_is_that_of_the_textbook():
    values = np.random.default_rng(5).normal(10, 2, size=4000)
    low, high = interval(list(values), "mean", 0.95)
    half = 1.96 * values.std() / math.sqrt(len(values))
    assert low == pytest.approx(values.mean() - half, abs=0.2 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.2 * half)


def test_blocks_make_the_interval_wider_where_neighbours_resemble_each_other():
    generator, values = np.random.default_rng(6), [0.0]
    for _ in range(1999):
        values.append(0.8 * values[-1] + generator.normal())
    shuffled = generator.permutation(values)
    width, without = (high - low for low, high in (interval(v) for v in (values, list(shuffled))))
    assert width > 1.4 * without


def test_ten_thousand_values_are_drawn_in_pieces_and_all_of_them():
    drawn = timing.resampled(np.arange(10_000))
    assert len(drawn) == timing.RESAMPLES
    assert drawn.mean() == pytest.approx(4999.5, rel=0.01)
    assert 0 < drawn.std() < 500


def test_the_interval_of_a_median_holds_it_as_often_as_it_says():
    generator = np.random.default_rng(7)
    held = sum(low <= 1 <= high for low, high in (interval(generator.lognormal(0, 0.1, 40)) for _ in range(300)))
    assert held >= 0.95 * 300
    narrow = sum(
        low <= 1 <= high for low, high in (interval(generator.lognormal(0, 0.1, 40), level=0.5) for _ in range(300))
    )
    assert narrow < 0.8 * 300  # so it can miss


# --- one run


def test_on_the_cpu_a_run_is_timed_by_the_clock():
    machine = Machine(0.25)
    assert sample(machine.run, "cpu", machine.clock) == Sample(0.25, 0.25)


class Cuda:
    """A device whose kernels take a second each, after a host that enqueues them in a tenth."""

    def __init__(self, monkeypatch):
        self.now, self.done, self.log = 0.0, 0.0, []
        device = self

        class Event:
            def __init__(self, enable_timing):
                assert enable_timing

            def record(self):
                device.log.append("record")
                self.at = max(device.now, device.done)

            def synchronize(self):
                device.log.append("wait")
                device.now = max(device.now, self.at)

            def elapsed_time(self, other):
                assert device.now >= other.at, "an event was read that the device had not reached"
                return 1e3 * (other.at - self.at)

        def synchronize():
            device.log.append("drain")
            device.now = max(device.now, device.done)

        monkeypatch.setattr(torch.cuda, "Event", Event)
        monkeypatch.setattr(torch.cuda, "synchronize", synchronize)

    def call(self):
        self.log.append("call")
        self.now += 0.1
        self.done = max(self.now, self.done) + 1.0


def test_on_cuda_a_run_is_timed_by_events_after_the_queue_is_empty(monkeypatch):
    cuda = Cuda(monkeypatch)
    cuda.call()  # something that is still running
    cuda.log.clear()
    found = sample(cuda.call, "cuda", lambda: cuda.now)
    assert found.seconds == pytest.approx(1.1)
    assert found.enqueue == pytest.approx(0.1)
    assert cuda.log == ["drain", "record", "call", "record", "wait"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_real_device_more_work_takes_longer_than_its_enqueueing():
    a = torch.rand(4096, 4096, device="cuda")
    found = [sample(lambda: [a @ a for _ in range(20)], "cuda") for _ in range(5)][-1]
    assert found.seconds > found.enqueue > 0
    assert not timing.host_bound([found])


def test_a_network_is_host_bound_when_enqueueing_takes_most_of_its_time():
    assert timing.host_bound([Sample(1.0, 0.81)] * 3)
    assert not timing.host_bound([Sample(1.0, 0.79)] * 3)
    assert not timing.host_bound([Sample(1.0, 0.1), Sample(1.0, 0.1), Sample(1.0, 5.0)])


# --- where it runs


def test_without_a_gpu_cuda_is_refused_in_a_sentence(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError) as refused:
        timing.device(Execution(device="cuda"))
    assert str(refused.value).startswith("A measurement on a CUDA device was asked for, and there is none here: torch ")
    assert str(refused.value).endswith("or take the CPU: --protocol cpu, or steady.")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert timing.device(Execution(device="cuda", compile="graph")) == torch.device("cuda")
    assert timing.device(Execution()) == torch.device("cpu")


def test_a_graph_on_the_cpu_is_refused_in_a_sentence():
    with pytest.raises(UserError, match=r"^A CUDA graph was asked for on the CPU, .* leave \+graph out\.$"):
        timing.device(Execution(compile="graph"))


def switches():
    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    return torch.get_num_threads(), cudnn.benchmark, cudnn.allow_tf32, products.allow_tf32


def test_switches_stand_as_asked_and_are_put_back_whatever_happens():
    before = switches()
    wanted = Execution(threads=2, cudnn_benchmark=not before[1], tf32_convolutions=False, tf32_products=True)

    def fail():
        with timing.set_up(wanted) as settings:
            assert switches() == (2, not before[1], False, True)
            assert settings == {
                "device": "cpu", "threads": 2, "compile": "none",
                "cudnn_benchmark": not before[1], "tf32_convolutions": False, "tf32_products": True,
            }  # fmt: skip
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert switches() == before


def test_no_number_of_threads_means_all_that_may_be_used(monkeypatch):
    monkeypatch.setattr(machine, "threads", lambda asked: asked or 3)
    with timing.set_up(Execution()) as settings:
        assert settings["threads"] == torch.get_num_threads() == 3
        assert (settings["tf32_convolutions"], settings["tf32_products"]) == (True, False)  # torch's default


def test_a_run_computes_the_network_and_keeps_no_gradients():
    network, x = nn.Conv2d(3, 4, 3), torch.rand(1, 3, 8, 8)
    out = timing.prepared(network, x, Execution())()
    torch.testing.assert_close(out, network(x))
    assert out.is_inference()


def test_a_compiled_run_goes_through_torch_compile(monkeypatch):
    network, x = nn.Conv2d(3, 4, 3), torch.rand(1, 3, 8, 8)
    monkeypatch.setattr(torch, "compile", lambda given: lambda x: given(x) + 1)
    torch.testing.assert_close(timing.prepared(network, x, Execution(compile="compile"))(), network(x) + 1)


def test_a_graph_is_captured_after_runs_aside_and_then_replayed(monkeypatch):
    log = []

    class Here:
        def __init__(self, *_):
            pass

        def __enter__(self):
            log.append(type(self).__name__)

        def __exit__(self, *_):
            log.append("end")

    class Capture(Here):
        pass

    stream = SimpleNamespace(wait_stream=lambda other: log.append("wait"))
    monkeypatch.setattr(torch.cuda, "Stream", lambda: stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: stream)
    monkeypatch.setattr(torch.cuda, "stream", Here)
    monkeypatch.setattr(torch.cuda, "graph", Capture)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: SimpleNamespace(replay=lambda: log.append("replay")))

    def network(x):
        log.append("run")
        return x + 1

    run = timing.prepared(network, torch.zeros(1), Execution(device="cuda", compile="graph"))
    assert log == ["wait", "Here", "run", "run", "run", "end", "wait", "Capture", "run", "end"]
    assert run().item() == run().item() == 1
    assert log[10:] == ["replay", "replay"]


def test_an_output_that_is_not_finite_is_refused():
    timing.checked(torch.ones(4))
    for wrong in (math.nan, math.inf):
        with pytest.raises(ValueError, match=r"^the network put out values that are not finite \(25% of them\)"):
            timing.checked(torch.tensor([1.0, 1.0, 1.0, wrong]))
