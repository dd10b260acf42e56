"""Plans: what is done, what is missing and for how long, what does not fit; and the two commands on this machine."""

import json

import pytest

from workbench import cluster, environment, execute, plans, probes, protocols, store
from workbench.devices import DEVICES
from workbench.spec import UserError

GRID = '[[grid]]\nmodels = ["rfdn", "imdn"]\nscale = 4\nprobes = ["params", "macs"]\n'
WAY = "steady+cuda+rtx-3090"
NEEDS = 24 * 2**30


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "sweep.toml"
    path.write_text(GRID)
    return path


def test_what_is_asked_is_done_missing_or_left_out(request_for, make_record):
    asked = [request_for(v, "latency", WAY) for v in ("esc-x2", "esc-x3", "esc-x4")]
    asked += [request_for("esc-x4"), request_for("esc-x2")]
    here = {"machine": environment.machine(), "took": 60.0}
    records = [make_record("esc-x2", "latency", WAY, **here), make_record("esc-x4")]
    records += [make_record(v, "planned-memory", WAY, values=(n,)) for v, n in (("esc-x3", NEEDS), ("esc-x4", 2e9))]
    known = store.Contents(tuple(records), ()).newest()
    found = plans.make(asked, known, records)
    assert [str(r) for r in found.missing] == ["latency of esc-x4 under " + asked[0].protocol.name, str(asked[4])]
    assert list(found.left_out) == [asked[1].identity]
    assert found.left_out[asked[1].identity] == (
        "planned to need 25.8 GB, where rtx-3090 has 25.3 GB; --insist measures it"
    )
    latency, params = found.rows
    assert (latency.asked, latency.done, latency.missing, latency.left_out) == (3, 1, 1, 1)
    assert (latency.seconds, latency.peak) == (60, 2e9)
    assert (params.asked, params.done, params.missing, params.seconds, params.peak) == (2, 1, 1, None, None)
    assert found.sentences()[-1] == "5 measurements: 2 done, 2 missing, 1 left out; at least 60 s one after the other."
    assert found.sentences()[0].startswith("left out: latency of esc-x3 under steady+rtx-3090+cuda: planned to need")
    assert [r["variant"] for r in found.as_object()["missing"]] == ["esc-x4", "esc-x2"]
    insisted = plans.make(asked, known, records, insist=True)
    assert len(insisted.missing) == 3
    assert insisted.left_out == {}


def test_memory_is_planned_for_what_runs_on_a_gpu_that_is_named(request_for):
    named = request_for("esc-x4", "latency", WAY)
    assert plans.room(named) == DEVICES["rtx-3090"].memory - plans.CONTEXT
    (planned,) = plans.peaks([named, request_for("esc-x4", "memory", WAY)])
    assert (planned.probe.name, planned.protocol) == ("planned-memory", named.protocol)
    others = (("latency", "steady+cuda"), ("latency", "steady+rtx-3090"), ("roofline", WAY), ("quality", WAY))
    assert [plans.room(request_for("esc-x4", probe, way)) for probe, way in others] == [None] * 4
    assert plans.peaks(request_for("esc-x4", probe, way) for probe, way in others) == []


def test_what_a_named_gpu_answered_elsewhere_is_done(request_for, make_record):
    asked = [request_for("esc-x4", "latency", WAY), request_for("esc-x4", "latency", "cpu"), request_for("esc-x4")]
    there = ["NVIDIA A100-SXM4-80GB + cpu, 8 cores", "2 x NVIDIA GeForce RTX 3090 + cpu, 8 cores"]
    assert [r.machine for r in plans.bound(asked, there)] == [there[1], None, None]
    assert [r.machine for r in plans.bound(asked, there[:1])] == ["a machine with rtx-3090", None, None]
    bound = plans.bound(asked, there)
    known = {bound[0].identity: make_record("esc-x4", "latency", WAY)}
    assert plans.make(bound, known, []).done == 1


@pytest.mark.parametrize(
    ("device", "machine", "there"),
    [
        ("a100", "NVIDIA A100-SXM4-80GB + cpu", True),
        ("rtx-4090", "NVIDIA GeForce RTX 4090 + cpu", True),
        ("rtx-a6000", "NVIDIA RTX A6000", True),
        ("rtx-a6000", "NVIDIA RTX 6000 Ada", False),
        ("h100", "NVIDIA H200", False),
        ("h100", "cpu, 100 cores", False),
    ],
)
def test_a_device_is_found_in_the_words_of_a_machine(device, machine, there):
    assert protocols.is_in(device, machine) is there
    assert protocols.device(protocols.find(f"esc+flex+{device}")) == device
    assert protocols.device(protocols.find("esc+flex")) is None


def test_a_sweep_here_measures_what_its_plan_says(workbench, file, tmp_path):
    records = ("--records", tmp_path / "records")
    before = workbench("plan", file, *records, "--json")
    assert json.loads(before.out)["done"] == 0
    assert not (tmp_path / "records").exists()
    ran = workbench("sweep", file, *records)
    assert ran.code == 0, ran.err
    assert "sweep: 4 missing of 4\n" in ran.err
    assert ran.out == "4 asked, 4 measured, 0 already known.\n"
    after = workbench("plan", file, *records)
    assert after.out.splitlines() == [
        "probe   protocol  asked  done  missing  left out  time  peak",
        "params  esc       2      2     0        0",
        "macs    esc       2      2     0        0",
        "4 measurements: 4 done, 0 missing.",
    ]
    again = workbench("sweep", file, *records, "--json")
    assert again.err == "4 asked, 0 measured, 4 already known.\n"
    assert [(r["variant"], r["probe"]) for r in json.loads(again.out)] == [
        (v, p) for v in ("imdn-x4", "rfdn-x4") for p in ("params", "macs")
    ]


def test_what_would_not_fit_is_left_out_and_its_memory_was_counted_once(workbench, tmp_path, monkeypatch):
    monkeypatch.setattr(plans, "CONTEXT", 24 * 2**30 - 10**6)  # a card with a megabyte
    file = tmp_path / "sweep.toml"
    file.write_text('[[grid]]\nmodels = "imdn-x4"\nprobes = "latency"\nprotocols = "steady+cuda"\ngpu = "rtx-3090"\n')
    records = ("--records", tmp_path / "records")
    ran = workbench("plan", file, *records)
    assert "left out: latency of imdn-x4 under steady+rtx-3090+cuda: planned to need 0.0 GB" in ran.out
    assert ran.out.endswith("1 measurement: 0 done, 0 missing, 1 left out.\n")
    assert "memory to plan with: 1 missing of 1" in ran.err
    assert "memory to plan with" not in workbench("plan", file, *records).err
    assert "latency" in workbench("plan", file, *records, "--insist").out


def test_a_plan_needs_no_place_to_write_and_a_sweep_asks_for_one_first(workbench, tmp_path, monkeypatch):
    (tmp_path / "a-file").touch()
    records = ("--records", tmp_path / "a-file" / "records")
    gpu, here = tmp_path / "gpu.toml", tmp_path / "here.toml"
    gpu.write_text('[[grid]]\nmodels = "imdn-x4"\nprobes = "latency"\nprotocols = "steady+cuda"\ngpu = "rtx-3090"\n')
    here.write_text(GRID)
    ran = workbench("plan", gpu, *records)
    assert (ran.code, ran.out.splitlines()[-1]) == (
        0,
        "1 measurement: 0 done, 1 missing; no record of the like tells how long they take.",
    )
    assert ran.out.splitlines()[1].endswith(" GB")
    assert ran.err.count("Planned memory could not be stored, and is counted anew by each plan: Cannot write") == 1
    monkeypatch.setattr(execute, "measure", lambda request: pytest.fail("measured"))
    ran = workbench("sweep", here, *records)
    assert (ran.code, ran.out) == (2, "")
    assert "Cannot write a record to " in ran.err


@pytest.mark.parametrize("probe", [p.name for p in probes.PROBES.values() if p.timed])
@pytest.mark.parametrize("way", ["steady+cuda+h100", "steady+h100"])
def test_a_gpu_that_is_not_here_is_no_place_to_time_on(workbench, tmp_path, probe, way):
    told = workbench("measure", "imdn-x4", "--probe", probe, "--protocol", way, "--records", tmp_path)
    assert told.code == 2
    assert "is to be timed on the GPU h100, and this machine is: " in told.err
    assert "--on ray" in told.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("on", ["local", "slurm"])
def test_the_cpu_beside_a_gpu_that_is_named_is_not_timed_in_its_place(request_for, tmp_path, monkeypatch, on):
    monkeypatch.setattr(environment, "machine", lambda: "NVIDIA H100 + cpu, 8 cores")
    with (
        pytest.raises(UserError, match=r"is to be timed on the GPU h100, and its protocol runs on the CPU"),
        cluster.opened(on, [request_for("imdn-x4", "latency", "steady+h100")], {}, None, tmp_path, None, False, print),
    ):
        pass


def test_a_sweep_names_a_gpu_for_what_is_counted_and_none_is_needed(workbench, tmp_path):
    file = tmp_path / "sweep.toml"
    text = '[[grid]]\nmodels = "imdn-x4"\nprobes = [{}]\nprotocols = "steady"\ngpu = "a100"\n'
    records = ("--records", tmp_path / "records")
    file.write_text(text.format('"roofline", "planned-memory"'))
    assert "2 asked, 2 measured, 0 already known.\n" in workbench("sweep", file, *records).out
    file.write_text(text.format('"roofline", "latency"'))
    ran = workbench("sweep", file, *records)
    assert (ran.code, ran.out) == (2, "")
    assert "is to be timed on the GPU a100, and this machine is: " in ran.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--on", "dask"), "No engine 'dask'. Known: local, ray, slurm."),
        (("--on", "ray://"), "--on was given 'ray://'; give local, ray, ray://HOST:PORT, slurm or slurm://PARTITION."),
        (("--on", "local://here"), "--on was given 'local://here'"),
        (("--timeout", "0"), "--timeout was given 0 seconds"),
    ],
)
def test_what_is_asked_of_a_sweep_wrongly(workbench, file, tmp_path, words, told):
    ran = workbench("sweep", file, "--records", tmp_path / "records", *words)
    assert (ran.code, ran.out) == (2, "")
    assert told in ran.err
    assert ran.err.count("\n") == 1


def test_a_sweep_that_mends_what_had_failed_has_failed_in_nothing(workbench, tmp_path, make_record):
    file = tmp_path / "sweep.toml"
    file.write_text('[[grid]]\nmodels = "imdn-x4"\nprobes = ["params"]\n')
    with store.Writer(tmp_path / "records") as writer:
        writer.append([make_record("imdn-x4", status="failed", values=(), reason="its job was ended")])
    ran = workbench("sweep", file, "--records", tmp_path / "records")
    assert (ran.code, ran.out) == (0, "1 asked, 1 measured, 0 already known.\n")
