"""The doctor: what was looked at, how it stands, and what to do where it does not stand well."""

import json
import os

import pytest

from workbench import doctor, environment, store


def test_everything_a_measurement_depends_on_is_looked_at(workbench, tmp_path):
    read = json.loads(workbench("doctor", "--json", "--records", tmp_path).out)
    seen = {f["what"]: f for f in read}
    assert seen.keys() == {
        "Python", "pins", "torch", "GPU", "processor", "commit", "records", "notebooks", "probes",
    }  # fmt: skip
    for finding in read:
        assert finding["state"] in ("ok", "limited", "missing")
        assert finding["found"]
        assert finding["advice"] or finding["state"] == "ok"
    assert (seen["Python"]["state"], seen["torch"]["state"], seen["records"]["state"]) == ("ok", "ok", "ok")
    assert list(tmp_path.iterdir()) == []


def test_people_get_a_line_for_each_finding(workbench, tmp_path):
    assert len(workbench("doctor", "--records", tmp_path).out.splitlines()) == 1 + len(doctor.examine(tmp_path))


@pytest.fixture
def findings(tmp_path):
    def examine(folder=tmp_path):
        return {f.what: f for f in doctor.examine(folder)}

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

    monkeypatch.setattr(store, "check", refuse)
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
