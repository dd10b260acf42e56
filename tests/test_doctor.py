"""The doctor: what was looked at, how it stands, and what to do where it does not stand well."""

import json
import os
from types import SimpleNamespace

import pytest
from PIL import Image

from workbench import doctor, environment, machine, nvml, store, testsets


def test_everything_a_measurement_depends_on_is_looked_at(workbench, tmp_path):
    read = json.loads(workbench("doctor", "--json", "--records", tmp_path, "--data", tmp_path).out)
    seen = {f["what"]: f for f in read}
    assert seen.keys() == {
        "Python", "pins", "torch", "GPU", "processor", "timing", "energy", "commit", "records", "test sets", "weights",
        "notebooks", "probes",
    }  # fmt: skip
    for finding in read:
        assert finding["state"] in ("ok", "limited", "missing", "none yet")
        assert finding["found"]
        assert finding["advice"] or finding["state"] == "ok"
    assert (seen["Python"]["state"], seen["torch"]["state"], seen["records"]["state"]) == ("ok", "ok", "ok")
    assert list(tmp_path.iterdir()) == []


def test_people_get_a_line_for_each_finding(workbench, tmp_path):
    assert len(workbench("doctor", "--records", tmp_path, "--data", tmp_path).out.splitlines()) == 1 + len(
        doctor.examine(tmp_path, tmp_path)
    )


@pytest.fixture
def findings(tmp_path):
    def examine(folder=tmp_path, home=tmp_path / "home"):
        return {f.what: f for f in doctor.examine(folder, home)}

    return examine


def captured(monkeypatch, **changes):
    seen = environment.capture() | changes
    monkeypatch.setattr(environment, "capture", lambda: seen)


def test_bad_lines_are_counted_and_the_first_is_named(findings, make_record, filled):
    folder = filled(make_record())
    (folder / "torn.jsonl").write_text("torn\ntorn\n")
    seen = findings(folder)["records"]
    assert (seen.state, seen.found) == ("limited", f"1 record in {folder}, 2 skipped")
    assert seen.advice.startswith(f"first: {folder}/torn.jsonl:1: ")


def test_records_that_cannot_be_kept_are_missing(findings, tmp_path):
    (tmp_path / "file").touch()
    seen = findings(tmp_path / "file")["records"]
    assert (seen.state, seen.advice) == ("missing", "name another folder with --records")
    assert seen.found.startswith("Cannot read the records in ")


def test_records_that_take_no_file_are_missing(findings, tmp_path, monkeypatch):
    def refuse(folder):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(store.places.Folder, "check", refuse)
    seen = findings()["records"]
    assert (seen.state, seen.advice) == ("missing", "name another folder with --records")
    assert seen.found.startswith(f"Cannot write a record to {tmp_path}: Read-only file system. ")


def test_a_folder_that_does_not_exist_yet_is_a_state_of_its_own_and_is_not_made(findings, tmp_path, monkeypatch):
    folder = tmp_path / "a" / "records"
    seen = findings(folder)["records"]
    assert (seen.state, seen.found) == ("none yet", f"no folder {folder}")
    assert seen.advice == "nothing: the first measurement makes it"
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    seen = findings(folder)["records"]
    assert (seen.state, seen.found) == ("missing", f"no folder {folder}, and {tmp_path} takes none")


def test_a_machine_without_a_gpu_is_told_what_it_can_do(findings, monkeypatch):
    captured(monkeypatch, gpus=[], driver=None)
    assert findings()["GPU"].state == "missing"
    assert findings()["GPU"].advice == "counts need none; latency, memory and energy of a GPU do"


def test_a_gpu_that_torch_cannot_use_is_told(findings, monkeypatch):
    captured(monkeypatch, gpus=["NVIDIA H100"], driver="570.1")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    seen = findings()["GPU"]
    assert (seen.state, seen.advice) == ("limited", "install the CUDA build of torch")
    assert seen.found.startswith("NVIDIA H100, driver 570.1")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert findings()["GPU"].state == "ok"


@pytest.mark.parametrize(("load", "state"), [(0.0, "ok"), (64.0, "limited")])
def test_a_busy_machine_is_no_place_for_timing(findings, monkeypatch, load, state):
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.setattr(environment, "cores", lambda: 2)
    assert findings()["processor"].state == state


@pytest.fixture
def quiet(monkeypatch):
    """A machine on which nobody else is, of two cores, without a GPU."""
    monkeypatch.setattr(machine, "crowded", lambda *_: ())
    monkeypatch.setattr(machine, "quota", lambda: None)
    monkeypatch.setattr(machine, "governors", lambda: ["performance"])
    monkeypatch.setattr(environment, "cores", lambda: 2)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(nvml, "gpu", lambda: None)
    monkeypatch.setattr(doctor, "SPAN", 0.0)


def test_timings_of_a_quiet_machine_can_be_trusted(findings, quiet):
    seen = findings()["timing"]
    assert (seen.state, seen.found, seen.advice) == (
        "ok", "2 threads on 2 of 8 CPUs, quota none, governor performance", "",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("room", "name", "value", "why"),
    [
        (machine, "crowded", lambda *_: ["others are here"], "others are here"),
        (machine, "quota", lambda: 1.5, "a quota of 1.5 cores stops whoever takes more"),
        (machine, "governors", lambda: ["powersave"], "the governor powersave changes the clocks"),
    ],
)
def test_or_else_it_is_said_why_not(findings, quiet, monkeypatch, room, name, value, why):
    monkeypatch.setattr(room, name, value)
    seen = findings()["timing"]
    assert seen.state == "limited"
    assert seen.found.endswith(f"; {why}")
    assert seen.advice == "what is timed now is kept and may be marked ‡"


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ({"slowed_by": ["power cap"], "processes": 0}, "the GPU runs below its clocks for: power cap"),
        ({"slowed_by": [], "processes": 2}, "2 other processes were on the GPU"),
        ({"slowed_by": None, "processes": None}, None),
    ],
)
def test_a_gpu_is_looked_at_for_timing_and_energy(findings, quiet, monkeypatch, state, why):
    monkeypatch.setattr(nvml, "gpu", lambda: SimpleNamespace(look=lambda: state, joules=lambda: 1.0))
    seen = findings()
    assert seen["timing"].found.endswith(f"; {why}" if why else "governor performance")
    assert (seen["energy"].state, seen["energy"].found) == ("ok", "the GPU's counter (NVML)")


def test_joules_are_told_where_a_counter_can_be_read(findings, quiet, monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    seen = findings()["energy"]
    assert (seen.state, seen.advice) == ("missing", "all else can be measured")
    zone = tmp_path / "sys/class/powercap/intel-rapl:0"
    zone.mkdir(parents=True)
    assert findings()["energy"].advice == "sudo chmod a+r /sys/class/powercap/*/energy_uj"
    (zone / "energy_uj").write_text("1")
    assert (findings()["energy"].state, findings()["energy"].found) == ("ok", "the CPU's counter (RAPL)")


@pytest.mark.parametrize(
    ("commit", "dirty", "state"), [(None, None, "limited"), ("a" * 40, True, "limited"), ("a" * 40, False, "ok")]
)
def test_records_can_name_their_code_only_from_a_clean_checkout(findings, monkeypatch, commit, dirty, state):
    captured(monkeypatch, commit=commit, dirty=dirty)
    assert findings()["commit"].state == state


def test_versions_other_than_the_pins_are_named(findings, monkeypatch, tmp_path):
    pins = tmp_path / "checkout"
    pins.mkdir()
    monkeypatch.setattr(environment, "SOURCE", pins)
    assert "no constraints.txt" in findings()["pins"].found
    (pins / "constraints.txt").write_text("# pins\nno-such-package==1.0\npandas==0.1\n")
    seen = findings()["pins"]
    assert seen.state == "limited"
    assert seen.found.startswith("pandas ")
    assert seen.found.endswith(" instead of 0.1")


def test_test_sets_and_weights_of_a_user_s_folder_are_named(findings, tmp_path):
    seen = findings()
    assert [(seen[what].state, seen[what].found.split(" in ")[0]) for what in ("test sets", "weights")] == [
        ("none yet", "none registered"), ("none yet", "none"),
    ]  # fmt: skip
    assert "workbench data add" in seen["test sets"].advice
    assert "workbench weights add" in seen["weights"].advice
    images, home = tmp_path / "images", tmp_path / "home"
    images.mkdir()
    for name in ("a", "b"):
        Image.new("RGB", (32, 32)).save(images / f"{name}.png")
    testsets.add("mine", images, home)
    note = {"name": "some-x4", "trained_on": "DIV2K", "sha256": "ab", "file": "f", "variants": [], "pixels": None}
    (home / "weights").mkdir()
    (home / "weights" / "ab.json").write_text(json.dumps(note))
    seen = findings()
    assert (seen["test sets"].state, seen["test sets"].found) == ("ok", f"mine in {home}")
    assert (seen["weights"].state, seen["weights"].advice) == ("limited", "add it again, its file is gone: some-x4")
    (home / "weights" / "ab.pth").touch()
    assert (findings()["weights"].state, findings()["weights"].found) == ("ok", f"some-x4 in {home}")
    (images / "a.png").unlink()
    seen = findings()["test sets"]
    assert (seen.state, seen.found) == ("limited", f"mine (incomplete) in {home}")
    assert seen.advice.startswith("first: mine: 1 of 2 images; gone or changed since: a")
