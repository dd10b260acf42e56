"""Provenance: what is captured of a machine, and what never is."""

import getpass
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from workbench import environment


@pytest.fixture
def fresh():
    """Capture anew, and again for whoever comes after."""
    for cached in (environment.capture, environment.machine):
        cached.cache_clear()
    yield
    for cached in (environment.capture, environment.machine):
        cached.cache_clear()


def test_a_record_s_environment_is_json_and_has_the_facts():
    seen = environment.capture()
    assert json.loads(json.dumps(seen)) == seen
    assert seen.keys() == {
        "cpu", "cores", "memory_bytes", "gpus", "driver", "os", "architecture", "python", "versions", "commit", "dirty",
    }  # fmt: skip
    assert seen["cpu"]
    assert seen["cores"] >= 1
    assert seen["versions"].keys() == set(environment.VERSIONED)
    assert seen["versions"]["torch"].startswith("2.13.0")


def test_nobody_is_named():
    text = json.dumps(environment.capture())
    assert str(Path.home()) not in text
    assert str(environment.SOURCE) not in text
    if len(socket.gethostname()) > 3:
        assert socket.gethostname() not in text
    if len(getpass.getuser()) > 4:
        assert getpass.getuser() not in text


def test_the_machine_in_words(fresh, monkeypatch):
    monkeypatch.setattr(environment, "_cpu", lambda: "A CPU")
    monkeypatch.setattr(environment, "cores", lambda: 2)
    monkeypatch.setattr(environment, "_gpus", lambda: (["NVIDIA H100"], "570.1"))
    assert environment.machine() == "NVIDIA H100 + A CPU, 2 cores"


class NVMLError(Exception):
    """As pynvml calls its own."""


def nvml(*failing):
    """A driver with one GPU, or one that fails in some call."""

    def fail(*_):
        raise NVMLError

    calls = {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetCount": lambda: 1,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetName": lambda handle: "NVIDIA H100",
        "nvmlSystemGetDriverVersion": lambda: "570.1",
    }
    return SimpleNamespace(NVMLError=NVMLError, **calls | dict.fromkeys(failing, fail))


def test_gpus_and_their_driver_are_asked_of_the_driver(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", nvml())
    assert environment._gpus() == (["NVIDIA H100"], "570.1")
    for failing in ("nvmlInit", "nvmlDeviceGetName"):
        monkeypatch.setitem(sys.modules, "pynvml", nvml(failing))
        assert environment._gpus() == ([], None)


def test_what_cannot_be_found_out_is_none_and_no_error(tmp_path):
    assert environment._version("no-such-package") is None
    assert environment._run("no-such-program") is None
    assert environment._run("git", "-C", str(tmp_path), "rev-parse", "HEAD") is None


def git(folder, *words):
    who = ("-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", folder, *who, *words], check=True, capture_output=True)


def test_the_commit_and_whether_the_code_differs_from_it(fresh, tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "SOURCE", tmp_path)
    assert environment.commit() == {"commit": None, "dirty": None}
    git(tmp_path, "init")
    (tmp_path / "code.py").touch()
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "x")
    clean = environment.commit()
    assert len(clean["commit"]) == 40
    assert clean["dirty"] is False
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "new.jsonl").touch()
    assert environment.commit() == clean  # records are not code
    (tmp_path / "code.py").write_text("x")
    assert environment.commit() == clean | {"dirty": True}


def test_looking_at_the_checkout_writes_nothing_into_it(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "SOURCE", tmp_path)
    git(tmp_path, "init")
    (tmp_path / "code.py").touch()
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "x")
    os.utime(tmp_path / "code.py", (1, 1))  # a plain `git status` would refresh its index now
    index = (tmp_path / ".git" / "index").read_bytes()
    assert environment.commit()["dirty"] is False
    assert (tmp_path / ".git" / "index").read_bytes() == index


def test_a_machine_without_git_or_gpu_is_captured_too(fresh, monkeypatch):
    monkeypatch.setattr(environment, "_run", lambda *_: None)
    seen = environment.capture()
    assert (seen["commit"], seen["dirty"]) == (None, None)


def test_results_lie_in_the_checkout_or_else_here(monkeypatch, tmp_path):
    assert environment.home() == environment.SOURCE
    monkeypatch.setattr(environment, "SOURCE", tmp_path / "site-packages")
    monkeypatch.chdir(tmp_path)
    assert environment.home() == tmp_path
