"""Reservations: what others are told of, what is seen of them, and what happens where none can be made."""

import fcntl
import json
import os
import subprocess
import sys

import pytest

from workbench import reservations, store
from workbench.reservations import Reservations, Tail


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "records").mkdir()
    return tmp_path / "records"


def silent(sentence):
    pytest.fail(sentence)


def test_one_thing_is_reserved_by_one_and_another_by_another(folder):
    one, other = Reservations(folder, silent), Reservations(folder, silent)
    with one.reserve("a") as first, other.reserve("a") as second, other.reserve("b") as third:
        assert (first, second, third) == (True, False, True)
    with other.reserve("a") as now:
        assert now
    assert list(folder.iterdir()) == []


def test_a_reservation_ends_with_an_error_and_with_an_interrupt(folder):
    mine = Reservations(folder, silent)
    for error in (ZeroDivisionError, KeyboardInterrupt):
        with pytest.raises(error), mine.reserve("a"):
            raise error
    with Reservations(folder, silent).reserve("a") as free:
        assert free


KILLED = """
import os, signal, sys
from pathlib import Path
from workbench.reservations import Reservations
mine = Reservations(Path(sys.argv[1]), print)
with mine.reserve("a") as first, mine.reserve("b") as second:
    print(first, second, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_leaves_reserves_nothing_and_goes_with_the_next_sweep(root, folder):
    ran = subprocess.run([sys.executable, "-c", KILLED, str(folder)], cwd=root, stdout=-1, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (-9, "True True\n")
    assert len(list((folder / reservations.FOLDER).iterdir())) == 2
    with Reservations(folder, silent).reserve("a") as free:
        assert free
    assert list(folder.iterdir()) == []


def test_the_reservations_of_the_living_are_left_where_they_are(folder):
    with Reservations(folder, silent).reserve("a"):
        with Reservations(folder, silent).reserve("a") as again:
            assert not again
        assert len(list((folder / reservations.FOLDER).iterdir())) == 1


def test_who_reads_records_passes_reservations_over(folder, make_record):
    with store.Writer(folder) as writer:
        writer.append([make_record()])
    with Reservations(folder, silent).reserve("a"):
        assert (len(store.read(folder).records), store.read(folder).problems) == (1, ())


@pytest.mark.parametrize("spoil", ["no locks", "a file"])
def test_where_no_reservation_can_be_made_that_is_said_once_and_all_are_granted(folder, monkeypatch, spoil):
    def refuse(*_):
        raise OSError(37, "No locks available")

    if spoil == "no locks":
        monkeypatch.setattr(fcntl, "flock", refuse)
    else:
        (folder / reservations.FOLDER).touch()
    told = []
    one, other = Reservations(folder, told.append), Reservations(folder, told.append)
    for _ in range(3):
        with one.reserve("a") as first, other.reserve("a", wait=True) as second:
            assert (first, second) == (True, True)
    why = {"no locks": "No locks available", "a file": "File exists"}[spoil]
    late = "another sweep on it at the same time may measure the same"
    said = f"No reservations can be made in {folder}/.reserved: {why}; {late}"
    assert told == [said, said]


# --- what others append


def test_only_what_was_appended_is_read(folder, make_record, monkeypatch):
    parsed, parse = [], store.parse
    with store.Writer(folder) as writer, store.Writer(folder) as later:
        writer.append([make_record(values=(n,)) for n in range(50)])
        tail = Tail(folder, store.read(folder))
        monkeypatch.setattr(store, "parse", lambda line: parsed.append(line) or parse(line))
        assert tail.news() == []
        writer.append([make_record(values=(50,))])
        later.append([make_record(values=(51,))])
        assert sorted(r.values for r in tail.news()) == [(50,), (51,)]
        assert tail.news() == []
        later.append([make_record(values=(52,))])
        assert [r.values for r in tail.news()] == [(52,)]
    assert len(parsed) == 3


def test_a_line_is_told_when_it_is_whole(folder, make_record):
    line = json.dumps(store.to_json(make_record())).encode()
    file = folder / "a.jsonl"
    file.write_bytes(line[:40])
    contents = store.read(folder)
    assert contents.ends == {"a.jsonl": 0}
    tail = Tail(folder, contents)
    assert tail.news() == []
    file.write_bytes(line)
    assert tail.news() == []
    file.write_bytes(line + b"\n" + line[:10])
    assert tail.news() == [make_record()]
    assert store.read(folder).ends == {"a.jsonl": len(line) + 1}


def test_what_is_no_record_is_passed_over(folder, make_record):
    tail = Tail(folder, store.read(folder))
    newer = json.dumps(store.to_json(make_record()) | {"schema": store.SCHEMA + 1})
    good = json.dumps(store.to_json(make_record()))
    (folder / "a.jsonl").write_text(f"torn\n{newer}\n\n{good}\n")
    (folder / "b.jsonl").mkdir()
    os.symlink(folder / "nowhere", folder / "c.jsonl")
    (folder / "notes.txt").write_text(good + "\n")
    assert tail.news() == [make_record()]


def test_a_folder_that_is_not_there_yet_has_no_news(tmp_path):
    assert Tail(tmp_path / "later", store.read(tmp_path / "later")).news() == []
