"""Faults: a sweep that is killed, robbed of its child, or in company still ends in one record of each thing.

What one measurement makes of memory that runs out, of an exit and of garbage is tested with `execute` and `fresh`, what
a full disk does to a line with `store`, what a clock that jumps does to a record with `sweep`.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import children
import pytest

from workbench import execute, progress, store, sweep

SWEEPING = Path(__file__).with_name("sweeping.py")
KILLS = 50


def sweeps(root, *words):
    """What `sweeping.py` has found."""
    command = [sys.executable, str(SWEEPING), *map(str, words)]
    environment = os.environ | {"PYTHONPATH": str(root)}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


# --- sweeps that are killed, and sweeps at once


def test_two_sweeps_at_once_measure_each_of_40_things_once(root, tmp_path):
    found = sweeps(root, "together", tmp_path / "records", 40)
    assert sum(found["each"]) == 40
    assert min(found["each"]) > 0
    assert len(found["stored"]) == 40
    assert set(found["stored"].values()) == set(found["begun"].values()) == {1}
    assert not list((tmp_path / "records").glob(".*"))


def test_without_reservations_they_would_not_so_the_test_above_can_fail(root, tmp_path):
    for go in range(5):  # on a busy machine one may be so far ahead that the other finds all of it done
        found = sweeps(root, "unreserved", tmp_path / f"records-{go}", 40)
        if max(found["stored"].values()) > 1:
            break
    assert len(found["stored"]) == 40
    assert max(found["stored"].values()) == 2
    assert sum(found["each"]) > 40


def test_sweeps_killed_at_50_instants_lose_nothing_and_measure_nothing_twice(root, tmp_path):
    found = sweeps(root, "killed", tmp_path, 24, KILLS)
    assert found["kills"] >= KILLS
    assert found["midway"] >= 10  # kills after which there was something stored, and something to do
    assert found["lost"] == []
    assert found["twice"] == []
    assert found["too_often"] == []  # a kill costs the one measurement that it interrupts
    assert set(found["survivors"]) == {24}  # the other of the two did what the killed one had begun
    assert found["left"] == []


# --- the command, its server and its child


def alive(session):
    """The processes of a session that have not ended."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, its = stat.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(its) == session and state != "Z":
            found.append(int(stat.parent.name))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_command_that_is_killed_takes_its_processes_along_and_is_resumed(root, tmp_path, workbench):
    words = ("measure", "esc-fp-*", "--probe", "params", "--records", str(tmp_path))
    command = [sys.executable, "-m", "workbench", *words, "--apart"]
    with subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True, start_new_session=True) as running:
        assert running.stderr
        for line in running.stderr:
            if line.startswith("[1/3]"):
                break
        assert len(alive(running.pid)) > 1
        running.kill()
        for _ in range(200):
            if not alive(running.pid):
                break
            time.sleep(0.05)
        assert not alive(running.pid)
    before = store.read(tmp_path).records
    assert 1 <= len(before) < 3
    again = workbench(*words)
    assert again.code == 0
    assert f"measure: {3 - len(before)} missing of 3" in again.err
    assert f"3 asked, {3 - len(before)} measured, {len(before)} already known." in again.err
    records = store.read(tmp_path).records
    assert len({r.variant for r in records}) == len(records) == 3
    assert [r for r in records if r in before] == list(before)
    assert not list(tmp_path.glob(".*"))


def test_children_that_die_hang_and_leave_become_records_and_the_sweep_goes_on(request_for, tmp_path, monkeypatch):
    ways = [children.killed, children.hanging, children.leaving, children.loud]
    asked = [request_for(v) for v in ("esc-x2", "esc-x3", "esc-x4", "esc-fp-x4")]

    def how(request):
        monkeypatch.setattr(execute, "_child", ways[asked.index(request)])
        return execute.measure_apart(request, 0.2 if request is asked[1] else None)

    with store.Writer(tmp_path) as writer:
        done = list(sweep.run(asked, writer, how, store.read(tmp_path)))
    killed, *others = [d.record.status for d in done]
    assert killed in ("failed", "out-of-memory")  # which of them the kernel's count decides
    assert others == ["timeout", "failed", "ok"]
    assert store.read(tmp_path).records == tuple(d.record for d in done)


def test_a_child_that_somebody_kills_is_a_record_at_once_and_measured_again(request_for, tmp_path, monkeypatch):
    asked = [request_for("esc-fp-x4")]
    monkeypatch.setattr(execute, "_child", children.hanging)
    monkeypatch.setattr(execute.fresh, "_out_of_memory_kills", lambda: 0)

    def kill():
        while not (found := execute.fresh.multiprocessing.active_children()):
            time.sleep(0.01)
        os.kill(found[0].pid, signal.SIGKILL)

    somebody = threading.Thread(target=kill)
    somebody.start()
    with store.Writer(tmp_path) as writer:
        (done,) = sweep.run(asked, writer, execute.measure_apart, store.read(tmp_path))
    somebody.join()
    assert (done.record.status, done.record.reason) == (
        "failed",
        "its process was killed by somebody; the kernel killed none for memory",
    )
    monkeypatch.undo()
    contents = store.read(tmp_path)
    with store.Writer(tmp_path) as writer:
        (again,) = sweep.run(execute.missing(asked, contents.newest()), writer, execute.measure, contents)
    assert again.record.values == (539263,)
    assert store.read(tmp_path).newest()[asked[0].identity] == again.record


# --- what is said


def test_a_sweep_that_waits_for_another_says_so_and_both_count_what_they_did(
    root, tmp_path, workbench, make_record, monkeypatch
):
    """Another process is at one of two things, and finishes it when it is waited for."""
    script = (
        "import sys; from pathlib import Path; from workbench import reservations, execute, store\n"
        "folder, line = Path(sys.argv[1]), sys.argv[2]\n"
        "(asked,) = execute.requests(['esc-x4'], ['params'], ['esc'])\n"
        "with reservations.Reservations(folder, print).reserve(asked.identity), store.Writer(folder) as writer:\n"
        "    print('reserved', flush=True); sys.stdin.readline()\n"
        "    writer.append([store.parse(line)])\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path), json.dumps(store.to_json(make_record(values=(7,))))]
    with subprocess.Popen(command, cwd=root, stdin=-1, stdout=-1, text=True) as other:
        assert other.stdin
        assert other.stdout
        assert other.stdout.readline() == "reserved\n"

        def waits(view, left):
            said(view, left)
            other.stdin.write("\n")
            other.stdin.flush()

        said = progress._Lines.waits
        monkeypatch.setattr(progress._Lines, "waits", waits)
        ran = workbench("measure", "esc-x3", "esc-x4", "--probe", "params", "--records", tmp_path)
    assert ran.code == 0
    assert re.sub(r" \(about .* left\)", "", ran.err).splitlines() == [
        "measure: 2 missing of 2",
        "[1/2] params of esc-x3 under esc",
        "waiting for another process, which is at params of esc-x4 under esc",
        "[2/2] params of esc-x4 under esc, by another process",
        "2 asked, 1 measured, 1 measured meanwhile by another sweep, 0 already known.",
    ]
    assert ran.out.splitlines()[1].split() == ["esc-x4", "params", "esc", "7"]
    assert len(store.read(tmp_path).records) == 2
