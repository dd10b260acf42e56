"""The state of a machine: what is read of it, and when a figure is marked, on machines made of files."""

import json
import os
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from workbench import environment, machine, nvml
from workbench.machine import Counters

HERTZ = os.sysconf("SC_CLK_TCK")


@pytest.fixture
def tree(monkeypatch, tmp_path):
    """A machine of two CPUs made of files; all else of it is silent."""
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    monkeypatch.setattr(machine, "_cpus", lambda: [0, 1])
    monkeypatch.setattr(environment, "cores", lambda: 2)

    def write(path, text):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    return write


# --- threads


@pytest.mark.parametrize(
    ("asked", "quota", "threads"), [(0, None, 2), (0, 1.5, 1), (0, 0.5, 1), (0, 64, 2), (3, None, 3), (3, 1.0, 3)]
)
def test_threads_are_those_asked_for_or_those_that_affinity_and_quota_leave(monkeypatch, asked, quota, threads):
    monkeypatch.setattr(environment, "cores", lambda: 2)
    monkeypatch.setattr(machine, "quota", lambda: quota)
    assert machine.threads(asked) == threads


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/a/b\n"}, None),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "max 100000\n"}, None),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "150000 100000\n"}, 1.5),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"}, 0.5),
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/cpu.max": "400000 100000\n",
                "sys/fs/cgroup/a/b/cpu.max": "800000 100000\n",
            },
            4,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/m\n1:cpu,cpuacct:/c\n",
                "sys/fs/cgroup/cpu/c/cpu.cfs_quota_us": "200000\n",
                "sys/fs/cgroup/cpu/c/cpu.cfs_period_us": "100000\n",
            },
            2,
        ),
        (
            {
                "proc/self/cgroup": "1:cpu:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
    ],
)
def test_the_quota_is_the_narrowest_of_the_groups_we_are_in(tree, files, cores):
    for path, text in files.items():
        tree(path, text)
    assert machine.quota() == cores


# --- what can be read


def test_a_machine_that_tells_nothing_is_no_error(tree):
    seen = machine.look("cpu")
    assert seen == {"load": seen["load"], "hertz": None, "governors": [], "quota_cores": None, "gpu": None}
    counted = Counters.read()
    assert (counted.busy, counted.waited, counted.held_back) == (None, None, None)
    assert machine.packages() == []


def test_what_a_machine_tells_is_read(tree):
    tree("proc/cpuinfo", "model name : x\ncpu MHz : 1000.5\ncpu MHz : 2000.5\n")
    tree("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n")
    tree("sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "powersave\n")
    seen = machine.look("cpu")
    assert (seen["hertz"], seen["governors"]) == (1500.5e6, ["powersave"])
    tree(
        "proc/stat", "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 1 2 4 800 800 8 16 32 1 0\ncpu1 64 0 0 5 5 0 0 0 0 0\ncpu2 9 9 9\n"
    )
    tree("proc/pressure/cpu", "some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\nfull avg10=0.00 total=7\n")
    tree("proc/self/cgroup", "0::/\n")
    tree("sys/fs/cgroup/cpu.stat", "usage_usec 1\nnr_periods 9\nnr_throttled 4\n")
    counted = Counters.read()
    assert (counted.busy, counted.waited, counted.held_back) == (127 / HERTZ, 2.5, 4)
    assert counted.own > 0


def test_this_machine_can_be_read_and_written_into_a_record():
    watch = machine.Watch("cpu")
    watch.begin(1)
    state = watch.end()
    assert json.loads(json.dumps(state)) == state
    assert state["contended"] == bool([w for w in state["why"] if "others" in w])


# --- flags


START = Counters(at=100.0, busy=50.0, own=10.0, waited=1.0, held_back=3)


def after(seconds, busy=0.0, own=0.0, held_back=0):
    return replace(
        START,
        at=START.at + seconds,
        busy=START.busy + busy + own,
        own=START.own + own,
        held_back=START.held_back + held_back,
    )


@pytest.mark.parametrize(
    ("busy", "threads", "contended"),
    [
        (0.0, 2, False),
        (0.9, 2, False),  # in ten seconds: a tenth of a core is the daemons'
        (1.1, 2, True),
        (1.1, 1, False),  # the other core has room for that
        (10.9, 1, False),
        (11.1, 1, True),
        (1.1, 4, True),
    ],
)
def test_contended_is_when_others_take_what_we_were_to_have(monkeypatch, busy, threads, contended):
    monkeypatch.setattr(environment, "cores", lambda: 2)
    told = list(machine.crowded(START, after(10, busy=busy, own=10 * threads), threads))
    assert bool(told) == contended
    if contended:
        assert told == [f"others kept {busy / 10:.1f} of 2 cores busy, of which this was to have {min(threads, 2)}"]


def test_a_moment_is_too_short_to_tell(monkeypatch):
    monkeypatch.setattr(environment, "cores", lambda: 2)
    assert not list(machine.crowded(START, after(0.01, busy=4 / HERTZ), 2))
    assert list(machine.crowded(START, after(0.01, busy=6 / HERTZ), 2))
    assert not list(machine.crowded(START, replace(after(10, busy=9), busy=None), 2))
    assert not list(machine.crowded(START, START, 2))


class NVMLError(Exception):
    """As pynvml calls its own."""


class Driver:
    """A driver with one GPU; what is None in `facts` it does not tell."""

    NVMLError = NVMLError
    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0

    def __init__(self, **facts):
        self.facts = {
            "ClockInfo": {1: 1980, 2: 2619},
            "MaxClockInfo": {1: 1980},
            "Temperature": {0: 41},
            "CurrentClocksThrottleReasons": 1,
            "PowerUsage": 70_500,
            "EnforcedPowerLimit": 700_000,
            "ViolationStatus": {0: SimpleNamespace(violationTime=0), 1: SimpleNamespace(violationTime=2_000_000_000)},
            "ComputeRunningProcesses": [],
            "TotalEnergyConsumption": 1_500,
        } | facts
        self.asked = []

    def nvmlInit(self):  # noqa: N802  # its name in pynvml
        if not self.facts:
            raise NVMLError

    def nvmlDeviceGetHandleByIndex(self, index):  # noqa: N802  # its name in pynvml
        self.asked.append(index)
        return "handle"

    def nvmlDeviceGetHandleByUUID(self, name):  # noqa: N802  # its name in pynvml
        self.asked.append(name)
        return "handle"

    def __getattr__(self, name):
        if not name.startswith("nvmlDeviceGet"):
            raise AttributeError(name)

        def answer(handle, *more):
            fact = self.facts[name.removeprefix("nvmlDeviceGet")]
            if fact is None:
                raise NVMLError
            return fact[more[0]] if more else fact

        return answer


@pytest.fixture
def driver(monkeypatch):
    def install(**facts):
        made = Driver(**facts)
        monkeypatch.setitem(sys.modules, "pynvml", made)
        return made

    return install


def test_a_gpu_is_looked_at_in_base_units(driver):
    driver()
    seen = machine.look("cuda")["gpu"]
    assert seen == {
        "sm_hertz": 1980e6, "memory_hertz": 2619e6, "most_sm_hertz": 1980e6, "celsius": 41, "watts": 70.5,
        "limit_watts": 700.0, "slowed_by": [], "slowed_seconds": {"power": 0.0, "heat": 2.0}, "processes": 0,
    }  # fmt: skip
    assert nvml.gpu().joules() == 1.5
    assert machine.look("cpu")["gpu"] is None


def test_what_a_gpu_does_not_tell_is_none(driver):
    driver(**dict.fromkeys(Driver().facts))
    seen = machine.look("cuda")["gpu"]
    assert set(seen.pop("slowed_seconds").values()) == {None}
    assert set(seen.values()) == {None}
    watch = machine.Watch("cuda")
    watch.begin(2)
    assert not watch.end()["throttled"]


def test_without_a_driver_there_is_no_gpu(monkeypatch):
    class Nothing:
        NVMLError = NVMLError

        def nvmlInit(self):  # noqa: N802  # its name in pynvml
            raise NVMLError

    monkeypatch.setitem(sys.modules, "pynvml", Nothing())
    assert nvml.gpu() is None


@pytest.mark.parametrize(("visible", "asked"), [(None, 0), ("1,0", 1), ("GPU-5,1", "GPU-5")])
def test_the_gpu_is_the_one_that_torch_sees_first(driver, monkeypatch, visible, asked):
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    made = driver()
    nvml.gpu()
    assert made.asked == [asked]


@pytest.mark.parametrize("visible", ["", "-1", "NoDevFiles"])
def test_where_none_is_visible_there_is_none(driver, monkeypatch, visible):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    driver()
    assert nvml.gpu() is None


def process(pid, used=100):
    return SimpleNamespace(pid=pid, usedGpuMemory=used)


@pytest.mark.parametrize(
    ("here", "used"),
    [
        ([], None),
        ([process(1, 7)], 7),  # alone, whatever our number is outside the container
        ([process(1, 7), process(os.getpid(), 8)], 8),
        ([process(1, 7), process(2, 8)], None),
        (None, None),
    ],
)
def test_what_this_process_takes_of_a_gpu(driver, here, used):
    driver(ComputeRunningProcesses=here)
    assert nvml.gpu().own_bytes() == used


def watched(driver, before, after):
    """The state over a measurement in which the facts of the GPU went from one to the other."""
    made = driver(**before)
    watch = machine.Watch("cuda")
    watch.begin(1)
    made.facts |= after
    return watch.end()


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ([], [process(1)], None),  # our own
        ([], [process(1), process(2)], "1 other process was on the GPU"),
        ([process(2)], [process(1)], "1 other process was on the GPU"),
        ([process(2), process(3)], [process(1), process(2)], "2 other processes were on the GPU"),
        (None, None, None),
    ],
)
def test_a_gpu_is_contended_when_anybody_else_is_on_it(driver, monkeypatch, before, after, why):
    monkeypatch.setattr(machine, "crowded", lambda *_: ())
    state = watched(driver, {"ComputeRunningProcesses": before}, {"ComputeRunningProcesses": after})
    assert state["why"] == ([why] if why else [])
    assert (state["contended"], state["throttled"]) == (bool(why), False)


def violated(power, heat):
    times = (power, heat)
    return {policy: SimpleNamespace(violationTime=time) for policy, time in enumerate(times)}


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ({"CurrentClocksThrottleReasons": 1}, {"CurrentClocksThrottleReasons": 2}, None),  # idle; the user's clocks
        ({}, {"CurrentClocksThrottleReasons": 4}, "power cap"),
        ({"CurrentClocksThrottleReasons": 64 + 8}, {"CurrentClocksThrottleReasons": 4}, None),
        ({}, {"ViolationStatus": violated(1, 2_000_000_000)}, "power"),
        ({}, {"ViolationStatus": violated(0, 2_000_000_001)}, "heat"),
        ({"ViolationStatus": None}, {"ViolationStatus": None}, None),
    ],
)
def test_a_gpu_is_throttled_when_the_driver_names_a_reason(driver, monkeypatch, before, after, why):
    monkeypatch.setattr(machine, "crowded", lambda *_: ())
    state = watched(driver, before, after)
    if before.get("CurrentClocksThrottleReasons") == 72:
        why = "hardware slowdown, heat (hardware), power cap"
    assert state["why"] == ([f"the GPU ran below its clocks for: {why}"] if why else [])
    assert (state["contended"], state["throttled"]) == (False, bool(why))


def test_a_quota_that_stopped_us_is_throttling():
    assert list(machine._stopped(START, after(1))) == []
    assert list(machine._stopped(START, after(1, held_back=2))) == [
        "the quota of its control group held it back 2 times"
    ]
    assert list(machine._stopped(replace(START, held_back=None), after(1))) == []
