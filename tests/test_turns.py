"""Turns: whoever times on a device has it alone, and those who wait say so."""

import os
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from workbench import comparison, execute, turns
from workbench.locks import Lock
from workbench.turns import turn


@pytest.fixture(autouse=True)
def place(monkeypatch, tmp_path):
    monkeypatch.setattr(turns, "PLACE", tmp_path / "turns")
    monkeypatch.setattr(turns, "PATIENCE", 0.0)
    return tmp_path / "turns"


def free(place, name, shared=False):
    """Whether a device could be had at this moment."""
    lock = Lock(place / f"{name}.lock")
    try:
        return lock.take(shared=shared)
    finally:
        lock.release()


def test_the_cpu_is_had_alone(place):
    with turn("cpu"):
        assert not free(place, "cpu")
        assert not free(place, "cpu", shared=True)
    assert free(place, "cpu")


def test_gpus_are_had_alone_by_their_names_and_share_the_cpu(place, monkeypatch):
    gpus = iter(["GPU-1", "GPU-2"])
    monkeypatch.setattr(turns.nvml, "gpu", lambda: SimpleNamespace(ask=lambda question: next(gpus)))
    with turn("cuda"), turn("cuda"):
        assert (free(place, "GPU-1"), free(place, "GPU-2"), free(place, "GPU-3")) == (False, False, True)
        assert (free(place, "cpu"), free(place, "cpu", shared=True)) == (False, True)
    assert all(free(place, name) for name in ("GPU-1", "GPU-2", "cpu"))


def test_a_gpu_that_tells_no_name_is_had_alone_all_the_same(place, monkeypatch):
    for gpu in (None, SimpleNamespace(ask=lambda question: None)):
        monkeypatch.setattr(turns.nvml, "gpu", lambda gpu=gpu: gpu)
        with turn("cuda"):
            assert not free(place, "gpu")


def test_who_waits_says_for_whom_and_gets_its_turn(place, capsys):
    order = []

    def second():
        with turn("cpu"):
            order.append("second")

    with turn("cpu"):
        waiting = threading.Thread(target=second)
        waiting.start()
        while not (told := capsys.readouterr().err):
            pass
        order.append("first")
    waiting.join()
    assert told == f"workbench: waiting for the CPU, which process {os.getpid()} measures on\n"
    assert order == ["first", "second"]


def test_who_does_not_wait_says_nothing(capsys):
    with turn("cpu"):
        pass
    assert capsys.readouterr().err == ""


def test_a_turn_ends_with_an_error_too(place):
    with pytest.raises(ZeroDivisionError), turn("cpu"):
        raise ZeroDivisionError
    assert free(place, "cpu")


@pytest.mark.parametrize("spoil", ["a file", "a link", "no locks"])
def test_where_no_lock_can_be_had_that_is_said_and_it_goes_on(place, monkeypatch, capsys, spoil):
    if spoil == "a file":
        place.touch()
    elif spoil == "a link":
        place.symlink_to(place.parent)
    else:
        monkeypatch.setattr("fcntl.flock", lambda *_: (_ for _ in ()).throw(OSError(37, "No locks available")))
    with turn("cpu"):
        told = capsys.readouterr().err
    why = {"a file": "File exists", "a link": "it belongs to somebody else", "no locks": "No locks available"}[spoil]
    assert told == (
        f"workbench: no lock for the CPU in {place}: {why}; measurements of other processes may run at the same time\n"
    )


def test_the_place_is_the_same_for_every_shell_of_a_user(root):
    script = "from workbench import turns; print(turns.PLACE)"
    places = {
        subprocess.run(
            [sys.executable, "-c", script], cwd=root, env=os.environ | more, stdout=-1, text=True, check=True
        ).stdout
        for more in ({}, {"TMPDIR": str(root)}, {"XDG_RUNTIME_DIR": str(root)})
    }
    assert places == {f"/tmp/workbench-{os.getuid()}\n"}


# --- who takes them


def test_what_is_timed_takes_its_turn_and_what_is_counted_does_not(place, request_for, monkeypatch):
    seen = {}

    def call(work, request, held, **_):
        seen[request.probe.name] = (not free(place, "cpu"), len(held))
        return {"status": "ok", "reason": None, "values": [1], "details": {}}

    monkeypatch.setattr(execute.fresh, "call", call)
    place.mkdir()
    for probe in ("latency", "memory", "energy"):
        execute.measure(request_for(probe=probe, protocol="steady"))
    execute.measure_apart(request_for(probe="params"))
    assert seen == {"params": (False, 0)} | dict.fromkeys(("latency", "memory", "energy"), (True, 1))


def test_no_timeout_runs_while_it_waits_and_waiting_is_no_part_of_what_it_took(request_for, monkeypatch):
    passed = []

    class Slow:
        def __enter__(self):
            passed.append(100.0)

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(execute.time, "monotonic", lambda: sum(passed))
    monkeypatch.setattr(execute, "_turn", lambda request: Slow())
    monkeypatch.setattr(execute, "_outcome", lambda request: passed.append(2.0) or execute.Outcome("unsupported", "so"))
    assert execute.measure(request_for()).took == 2.0


def test_a_comparison_takes_its_turn(place, monkeypatch):
    seen = []

    def play(*_):
        seen.append(free(place, "cpu"))
        raise ZeroDivisionError

    monkeypatch.setattr(comparison, "play", play)
    monkeypatch.setattr(comparison, "_run", lambda *_: None)
    with pytest.raises(ZeroDivisionError):
        comparison.compare(["imdn-x4", "rfdn-x4"])
    assert seen == [False]
    assert free(place, "cpu")
