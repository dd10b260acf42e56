"""Memory: what one run takes, on networks whose need is known, by whichever mark the machine keeps."""

import json
import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from workbench import protocols
from workbench.probes import memory
from workbench.spec import UserError

MIB = 2**20
ESC = protocols.find("esc")


class Hungry(nn.Module):
    """Holds a weight of 4 MiB and takes so many MiB while it runs, of which it keeps none."""

    def __init__(self, mib):
        super().__init__()
        self.mib = mib
        self.weight = nn.Parameter(torch.ones(MIB))

    def forward(self, x):
        taken = [torch.ones(MIB // 4 * 16) for _ in range(self.mib // 16)]
        return x + sum(t[0] for t in taken)


def measure(mib, x=None, protocol=ESC):
    return memory.measure(Hungry(mib), torch.zeros(1, 3, 8, 8) if x is None else x, protocol)


linux = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's marks in /proc")


@linux
@pytest.mark.parametrize("mib", [64, 192])
def test_what_a_run_takes_is_the_peak_beyond_the_loaded_model(mib):
    reading = measure(mib)
    (peak,) = reading.values
    assert peak == pytest.approx(mib * MIB, abs=3 * MIB)
    assert json.loads(json.dumps(reading.details)) == reading.details
    assert reading.details["method"].startswith("VmHWM, reset after a run")
    assert reading.details["peak_bytes"] - reading.details["loaded_bytes"] == peak
    assert (reading.details["weights_bytes"], reading.details["input_bytes"]) == (4 * MIB, 768)


@linux
def test_a_peak_of_before_is_not_counted():
    torch.ones(512 * MIB // 4).sum()
    measure(256)
    assert measure(32).values[0] < 64 * MIB


@linux
def test_where_the_mark_cannot_be_reset_it_is_that_of_the_first_run(monkeypatch, tmp_path):
    """It lasts as long as the process, so here all that can be said is how it is put together."""
    monkeypatch.setattr(memory, "PROCESS", tmp_path)
    marks = iter([100 * MIB, 356 * MIB])
    monkeypatch.setattr(memory, "_highest", lambda: next(marks))
    reading = measure(16)
    assert reading.values == (256 * MIB,)
    assert reading.details["method"] == "ru_maxrss, of the first run"


def test_the_mark_of_the_process_is_in_bytes():
    assert memory._highest() > sum(t.nbytes for t in [torch.ones(64 * MIB // 4)])


def test_an_output_that_is_no_image_is_a_failure():
    with pytest.raises(ValueError, match=r"^the network put out 192 numbers of 192 that are NaN or infinite$"):
        measure(16, torch.full((1, 3, 8, 8), float("nan")))


@pytest.mark.parametrize("how", ["compile", "graph"])
def test_it_is_measured_of_the_network_as_it_is(how):
    from dataclasses import replace

    with pytest.raises(UserError, match=rf"^Memory is measured of the network as it is, not with '{how}'"):
        measure(16, protocol=replace(ESC, execution=replace(ESC.execution, compile=how)))


class Cuda:
    """torch.cuda, as far as it is asked, and the order in which it is."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        def called(*_):
            self.calls.append(name)
            return {"max_memory_allocated": 7, "max_memory_reserved": 9}.get(name)

        return called


@pytest.mark.parametrize(("gpu", "process"), [(None, None), (SimpleNamespace(own_bytes=lambda: 11), 11)])
def test_on_a_gpu_the_allocator_counts_after_a_run_that_warmed_it_up(monkeypatch, gpu, process):
    cuda = Cuda()
    monkeypatch.setattr(memory.torch, "cuda", cuda)
    monkeypatch.setattr(memory, "once", lambda *_: cuda.run())
    monkeypatch.setattr(memory, "warm", lambda *_: cuda.warm())
    monkeypatch.setattr(memory, "wait", lambda *_: cuda.wait())
    monkeypatch.setattr(memory.nvml, "gpu", lambda: gpu)
    x = SimpleNamespace(is_cuda=True, nbytes=768, device="cuda:0")
    reading = memory.measure(Hungry(16), x, ESC)
    assert reading.values == (7,)
    assert reading.details == {
        "method": "max_memory_allocated", "reserved_bytes": 9, "process_bytes": process,
        "weights_bytes": 4 * MIB, "input_bytes": 768,
    }  # fmt: skip
    assert cuda.calls == [
        "warm", "empty_cache", "reset_peak_memory_stats", "run", "wait", "max_memory_allocated", "max_memory_reserved",
    ]  # fmt: skip


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_counts_weights_input_and_what_a_run_takes():
    x = torch.zeros(1, 3, 8, 8, device="cuda")
    net = nn.Sequential(nn.Upsample(scale_factor=128)).cuda()
    assert memory.measure(net, x, ESC).values[0] == pytest.approx(12 * MIB, abs=MIB)
