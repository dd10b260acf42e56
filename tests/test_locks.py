"""Locks: one holder at a time, and none once its process has ended, however that was."""

import fcntl
import subprocess
import sys

import pytest

from workbench.locks import Lock

HOLDER = """
import subprocess, sys
from pathlib import Path
from workbench.locks import Lock
lock = Lock(Path(sys.argv[1]))
print(lock.take(), flush=True)
sleeping = subprocess.Popen(["sleep", "60"])
print(sleeping.pid, flush=True)
sleeping.wait()
"""


def test_one_holds_it_until_it_is_given_back(tmp_path):
    one, other = Lock(tmp_path / "a"), Lock(tmp_path / "a")
    assert (one.take(), other.take()) == (True, False)
    one.release()
    assert (other.take(), one.take()) == (True, False)
    other.release()
    other.release()  # which does nothing
    assert list(tmp_path.iterdir()) == []


def test_many_share_it_and_the_one_that_wants_it_alone_gets_it_after_them(tmp_path):
    one, other, alone = (Lock(tmp_path / "a") for _ in range(3))
    assert one.take(shared=True)
    assert other.take(shared=True)
    assert not alone.take()
    one.release()
    assert not alone.take()
    other.release()
    assert alone.take()
    assert not one.take(shared=True)


def test_a_file_that_was_removed_while_one_waited_for_it_is_no_lock(tmp_path, monkeypatch):
    """Who waits has opened the file of the one before; that is gone with it, and a third would take a new one."""
    path, real = tmp_path / "a", fcntl.flock
    first, third = Lock(path), Lock(path)
    assert first.take()

    def late(file, kind):
        monkeypatch.setattr(fcntl, "flock", real)
        first.release()
        assert third.take()
        real(file, kind)  # granted: it is of a file that nobody finds any more

    monkeypatch.setattr(fcntl, "flock", late)
    assert not Lock(path).take()
    third.release()
    assert Lock(path).take()


def test_it_dies_with_its_process_though_a_program_that_was_started_lives(root, tmp_path):
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "a")]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "True\n"
        sleeping = int(holder.stdout.readline())
        mine = Lock(tmp_path / "a")
        assert not mine.take()
        holder.kill()
        holder.wait()
        try:
            assert mine.take()
        finally:
            subprocess.run(["kill", str(sleeping)], check=True)


def test_one_that_sleeps_for_it_gets_it_when_the_holder_is_killed(root, tmp_path):
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "a")]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "True\n"
        sleeping = holder.stdout.readline().strip()
        script = "import os, sys, time; time.sleep(0.2); os.kill(int(sys.argv[1]), 9); os.kill(int(sys.argv[2]), 15)"
        with subprocess.Popen([sys.executable, "-c", script, str(holder.pid), sleeping]):
            assert Lock(tmp_path / "a").take(wait=True)


def test_a_link_in_its_place_is_not_followed(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        Lock(tmp_path / "a").take()
    assert not (tmp_path / "elsewhere").exists()
