"""Energy: on devices whose power is known, and whose counter moves in steps, as counters do."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from workbench import protocols
from workbench.probes import energy
from workbench.spec import UserError

ESC = protocols.find("esc")


class Device:
    """Takes so many watts idle and at work, and counts them every `period` seconds of a clock of its own.

    `after` work it idles at another level for as long as nobody asks it to work again.
    """

    def __init__(self, idle=60.0, busy=300.0, period=0.1, run=0.03, after=None):
        self.idle, self.busy, self.period, self.run = idle, busy, period, run
        self.after = idle if after is None else after
        self.level, self.clock, self.taken, self.shown, self.due = idle, 0.0, 0.0, 1000.0, period
        self.runs = 0

    def pass_by(self, seconds, watts):
        while self.clock + seconds >= self.due:
            step = self.due - self.clock
            self.taken += step * watts
            self.clock, seconds = self.due, seconds - step
            self.shown, self.due = 1000.0 + self.taken, self.due + self.period
        self.clock += seconds
        self.taken += seconds * watts

    def work(self, *_):
        self.runs += 1
        self.pass_by(self.run, self.busy)
        self.level = self.after

    def warm(self, model, x, times):
        for _ in range(times):
            self.work()
        self.level = self.idle  # as it is once some time has gone by

    def sleep(self, seconds):
        self.pass_by(seconds, self.level)


class Batch:
    """An input, as far as it is asked."""

    def __init__(self, images, is_cuda=True):
        self.images, self.is_cuda = images, is_cuda

    def __len__(self):
        return self.images


class NVMLError(Exception):
    """As pynvml calls its own."""


def attach(monkeypatch, device, counts=True):
    """Let the probe run on a device, asked through a driver that counts in millijoules."""

    def joules(handle):
        if not counts:
            raise NVMLError
        return int(device.shown * 1000)

    driver = SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetTotalEnergyConsumption=joules,
    )
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    monkeypatch.setattr(energy, "time", SimpleNamespace(perf_counter=lambda: device.clock, sleep=device.sleep))
    monkeypatch.setattr(energy, "once", device.work)
    monkeypatch.setattr(energy, "warm", device.warm)


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("run", [0.0007, 0.03, 1.3])
@pytest.mark.parametrize(("idle", "after"), [(60.0, 60.0), (60.0, 120.0), (5.0, 10.0)])
def test_joules_per_image_are_those_of_the_device_within_the_stated_share(monkeypatch, batch, run, idle, after):
    device = Device(run=run, idle=idle, after=after)
    attach(monkeypatch, device)
    reading = energy.measure(None, Batch(batch), ESC)
    (joules,) = reading.values
    assert joules * batch == pytest.approx(device.busy * run, rel=energy.FINENESS)
    told = reading.details
    assert told["counter"] == "NVML total energy"
    assert told["idle_watts"] == pytest.approx(idle, rel=0.01)
    assert told["step_joules"] == pytest.approx(idle * device.period, rel=0.01)
    assert told["fineness"] <= energy.FINENESS
    assert told["repetitions"] == device.runs - energy.WARM
    assert told["seconds"] == pytest.approx(told["repetitions"] * run)
    assert told["joules"] == pytest.approx(joules * batch * told["repetitions"])
    assert told["mean_watts"] == pytest.approx(device.busy, rel=0.03)
    assert told["idle_seconds"] == energy.IDLE


def test_a_finer_counter_needs_fewer_runs(monkeypatch):
    runs = []
    for period in (0.02, 0.1):
        device = Device(period=period)
        attach(monkeypatch, device)
        runs.append(energy.measure(None, Batch(1), ESC).details["repetitions"])
    assert runs[0] < runs[1]


def unsupported(protocol=ESC, cuda=True):
    with pytest.raises(UserError) as error:
        energy.measure(None, Batch(1, cuda), protocol)
    return str(error.value)


def test_a_gpu_without_a_counter_is_unsupported_and_nothing_is_run(monkeypatch):
    device = Device()
    attach(monkeypatch, device, counts=False)
    assert unsupported().startswith("The GPU has no energy counter")
    assert device.runs == 0


def test_a_gpu_that_the_driver_does_not_find_is_unsupported(monkeypatch):
    monkeypatch.setattr(energy.nvml, "gpu", lambda: None)
    assert unsupported() == "Energy on CUDA is counted by NVML, which does not find the GPU here."


def test_a_counter_that_stands_still_counts_nothing(monkeypatch):
    attach(monkeypatch, Device(idle=0.0, busy=0.0))
    assert unsupported() == "The energy counter has not moved in 10 s, so it cannot be measured."


def test_the_network_is_measured_as_it_is():
    protocol = replace(ESC, execution=replace(ESC.execution, compile="graph"))
    assert unsupported(protocol).startswith("Energy is measured of the network as it is, not with 'graph'")


# --- CPUs


@pytest.fixture
def powercap(monkeypatch, tmp_path):
    """A machine with two packages, and a part of the first that is counted in it."""
    monkeypatch.setattr(energy.machine, "ROOT", tmp_path)

    def write(*microjoules, full=1_000_000):
        for zone, value in zip(("intel-rapl:0", "intel-rapl:1", "intel-rapl:0:0"), microjoules, strict=False):
            folder = tmp_path / "sys/class/powercap" / zone
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "energy_uj").write_text(f"{value}\n")
            (folder / "max_energy_range_uj").write_text(f"{full - 1}\n")
        return tmp_path / "sys/class/powercap/intel-rapl:0"

    return write


def test_the_packages_of_a_cpu_are_added_and_start_again_when_full(powercap):
    powercap(100_000, 900_000, 77)
    joules, told = energy._counter(Batch(1, False))
    assert told == "RAPL packages"
    assert joules() == 0
    powercap(150_000, 950_000, 99)
    assert joules() == pytest.approx(0.1)
    powercap(150_000, 50_000, 99)
    assert joules() == pytest.approx(0.2)


def test_a_cpu_without_a_counter_is_unsupported(monkeypatch, tmp_path):
    monkeypatch.setattr(energy.machine, "ROOT", tmp_path)
    assert unsupported(cuda=False).startswith("This CPU shows no energy counter (RAPL, under /sys/class/powercap)")


def test_a_counter_that_is_root_s_alone_says_so(powercap):
    zone = powercap(1)
    (zone / "energy_uj").unlink()
    (zone / "energy_uj").mkdir()
    assert unsupported(cuda=False) == (
        f"The CPU's energy counter cannot be read (Is a directory); root can: sudo chmod a+r {zone}/energy_uj"
    )
