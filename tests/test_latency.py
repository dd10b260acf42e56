"""The latency probe: every run kept, what it ran under, and what it refuses."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from workbench import building, environment, execute, judge, models, papers, protocols, store, timing
from workbench.probes import PROBES, latency
from workbench.spec import Execution, Input, Protocol, Timing
from workbench.timing import Sample

QUICK = Protocol(
    "quick", "a few runs", Input(hr=(32, 32)), execution=Execution(threads=1), timing=Timing(warmup=2, runs=5)
)


class Clock:
    """A clock that a network's forward moves on by the next of `times`."""

    def __init__(self, *times):
        self.now, self.times = 0.0, iter(times)

    def __call__(self):
        return self.now

    def forward(self, x):
        self.now += next(self.times)
        return x


class Slow(nn.Module):
    def __init__(self, clock):
        super().__init__()
        self.forward = clock.forward


def test_values_are_the_runs_after_warm_up_in_order():
    clock = Clock(100.0, 9.0, 8.0, 5.0, 1.0, 4.0, 2.0, 3.0)  # the first run shows the output; two warm up
    reading = latency.measure(Slow(clock), torch.ones(1), QUICK, clock)
    assert reading.values == (5.0, 1.0, 4.0, 2.0, 3.0)
    assert reading.details["median"] == 3.0
    low, high = reading.details["interval"]
    assert 1 <= low < 3 < high <= 5
    assert reading.details["warmup"] == {"runs": 2, "steady": None, "seconds": 17.0}
    assert reading.details["precise"] is False
    assert (reading.details["enqueue"], reading.details["host_bound"]) == (3.0, None)  # on a CPU there is no queue


def test_the_mean_is_a_figure_where_the_protocol_says_so():
    clock = Clock(1.0, 1.0, 1.0, 1.0, 1.0, 10.0)
    way = replace(QUICK, timing=Timing(warmup=1, runs=4, statistic="mean"))
    details = latency.measure(Slow(clock), torch.ones(1), way, clock).details
    assert details["mean"] == 3.25
    assert "median" not in details


def test_it_says_what_it_ran_under(monkeypatch):
    monkeypatch.setattr(environment, "cores", lambda: 2)
    seen = []

    class Looks(nn.Module):
        def forward(self, x):
            seen.append((torch.get_num_threads(), torch.backends.cudnn.benchmark, torch.is_inference_mode_enabled()))
            return x

    before = torch.get_num_threads()
    way = replace(QUICK, execution=Execution(threads=0, cudnn_benchmark=True))
    details = latency.measure(Looks(), torch.ones(1, dtype=torch.float64), way).details
    assert set(seen) == {(2, True, True)}
    assert {k: details[k] for k in ("threads", "dtype", "device", "compile", "cudnn_benchmark")} == {
        "threads": 2, "dtype": "float64", "device": "cpu", "compile": "none", "cudnn_benchmark": True,
    }  # fmt: skip
    assert (details["tf32_convolutions"], details["tf32_products"]) == (True, False)
    assert torch.get_num_threads() == before


def test_on_a_gpu_the_times_to_enqueue_are_kept_and_show_a_host_that_is_waited_for(monkeypatch):
    times = iter([Sample(1.0, 0.9), Sample(1.0, 0.9), *(Sample(float(n), 0.9 * n) for n in range(1, 6))])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(timing, "sample", lambda call, device, clock: next(times))
    way = replace(QUICK, execution=Execution(device="cuda"))
    reading = latency.measure(nn.Identity(), torch.ones(1), way)
    assert reading.values == (1, 2, 3, 4, 5)
    assert reading.details["enqueue"] == pytest.approx([0.9, 1.8, 2.7, 3.6, 4.5])
    assert reading.details["host_bound"] is True
    assert reading.details["host_bound_rule"] == "median time to enqueue over 80% of the median time"


# --- records


@pytest.fixture
def quick(monkeypatch):
    """`quick` as a protocol that has a name."""
    monkeypatch.setitem(protocols.PROTOCOLS, "quick", QUICK)


def asked(protocol, variant="imdn-x4"):
    return execute.Request(models.find(variant), protocols.find(protocol), PROBES["latency"])


def test_a_real_network_has_a_record_that_is_read_back_the_same(quick):
    record = execute.measure(asked("quick"))
    assert (record.status, record.reason, record.unit, len(record.values)) == ("ok", None, "seconds", 5)
    assert min(record.values) > 0
    assert record.value == sorted(record.values)[2] == record.details["median"]
    assert record.conditions["machine"] == environment.machine()
    assert record.conditions["timing"]["runs"] == 5
    assert record.conditions["execution"]["device"] == "cpu"
    again = store.parse(json.dumps(store.to_json(record)))
    assert again.value == record.value
    assert store.Contents((again,), ()).newest().keys() == {asked("quick").identity}


def test_the_network_is_the_protocol_s_and_the_same_each_time(quick):
    one, other = (building.real(models.find("imdn-x4"), protocols.find("quick+train")) for _ in range(2))
    for (model, x), training in ((one, True), (building.real(models.find("imdn-x4"), QUICK), False)):
        assert tuple(x.shape) == (1, 3, 8, 8)
        assert (x.device.type, x.dtype, model.training) == ("cpu", torch.float32, training)
    torch.testing.assert_close(one[1], other[1])
    assert all(torch.equal(a, b) for a, b in zip(one[0].parameters(), other[0].parameters(), strict=True))


def test_an_output_of_nan_is_a_record_that_says_so(quick, monkeypatch):
    def broken(*_, **__):
        model = nn.Conv2d(3, 3, 1)
        nn.init.constant_(model.weight, math.nan)
        return model

    monkeypatch.setattr(models, "create", broken)
    record = execute._outcome(asked("quick"))  # here, where the network can be spoilt
    assert (record.status, record.values) == ("failed", ())
    assert record.reason == (
        "ValueError: the network put out values that are not finite (100% of them), so it was not timed"
    )


def test_cuda_without_a_gpu_is_unsupported_and_builds_nothing(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(models, "create", lambda *_, **__: pytest.fail("a network was built"))
    for protocol in ("esc", "steady+cuda", "steady+cuda+graph"):
        record = execute.measure(asked(protocol))
        assert record.status == "unsupported"
        assert record.reason.startswith("A measurement on a CUDA device was asked for, and there is none here: ")
    assert execute.measure(asked("steady+graph")).reason.startswith("A CUDA graph was asked for on the CPU")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("protocol", ["steady+cuda", "steady+cuda+graph"])
def test_on_a_real_gpu(protocol):
    record = execute.measure(asked(protocol))
    assert record.status == "ok", record.reason
    assert len(record.details["enqueue"]) == len(record.values)


# --- reading


def test_the_figure_of_repetitions_is_the_statistic_of_the_protocol(make_record):
    def of(values, **timing):
        return make_record(values=values, conditions={"timing": timing} if timing else {}).value

    assert of((1.0, 2.0, 9.0), statistic="median") == 2.0
    assert of((1.0, 2.0, 9.0), statistic="mean") == 4.0
    assert of((7,), statistic="mean") == 7
    assert type(of((967500,), statistic="median")) is int
    assert of((3, 1, 2)) == 3  # a search is no repetition


def test_a_measured_time_stands_beside_the_printed_one_with_its_machine(make_record):
    table = papers.TABLES["esc-table2"]
    row = next(r for r in table.rows if r.variant == "rcan-x4")
    (column,) = (c for c in table.columns if c.probe == "latency")
    record = make_record("rcan-x4", "latency", values=(0.3, 0.1, 0.2), unit="seconds", machine="a GPU")
    cell = judge.cell(table, row, column, store.Contents((record,), ()).newest())
    assert cell.measured == pytest.approx(200)
    command = "workbench measure esc-x4 --probe latency --protocol esc+flex"
    assert cell.why == f"200 ms on a GPU; for its ratio ESC is missing: {command}"
    without = judge.cell(table, row, column, {})
    assert (without.measured, without.verdict) == (None, "not measured")
    assert without.why == "needs a CUDA GPU: workbench measure rcan-x4 --probe latency --protocol esc"


def test_people_read_the_figure_with_its_interval(workbench, tmp_path, quick):
    words = ("measure", "imdn-x4", "--probe", "latency", "--protocol", "quick", "--records", tmp_path)
    first = workbench(*words)
    (record,) = store.read(tmp_path).records
    low, high = record.details["interval"]
    told = f"seconds [{low:.4g}, {high:.4g}] of 5 runs"
    assert told in first.out
    assert first.out.startswith(
        f"imdn-x4                latency        quick              {np.median(record.values):.4g}"
    )
    assert "0 measured, 1 already known" in workbench(*words).err


def test_measure_takes_no_time_unless_asked(workbench, tmp_path):
    workbench("measure", "imdn-x4", "--records", tmp_path)
    assert {r.probe for r in store.read(tmp_path).records} == {
        name for name, probe in PROBES.items() if not probe.across and not probe.real
    }
