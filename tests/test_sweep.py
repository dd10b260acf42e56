"""Sweeps: stored one by one, shared with others, and later than what was known."""

import threading
from dataclasses import replace
from datetime import datetime

import pytest

from workbench import execute, store, sweep
from workbench.reservations import Reservations
from workbench.spec import UserError
from workbench.sweep import Done

NAMES = ("esc-x2", "esc-x3", "esc-x4")
NOTHING = store.Contents((), ())


@pytest.fixture
def asked(request_for):
    return [request_for(name) for name in NAMES]


@pytest.fixture
def measured():
    return []


@pytest.fixture
def how(make_record, measured):
    def measure(request):
        measured.append(request.variant.name)
        return make_record(request.variant.name)

    return measure


def test_each_record_is_stored_before_the_next_is_begun(asked, how, tmp_path):
    stored = []

    def counting(request):
        stored.append(len(store.read(tmp_path).records))
        return how(request)

    with store.Writer(tmp_path) as writer:
        done = list(sweep.run(asked, writer, counting, NOTHING))
    assert stored == [0, 1, 2]
    assert done == [Done(r, d, True) for r, d in zip(asked, store.read(tmp_path).records, strict=True)]


def test_what_another_sweep_finished_since_is_its_answer_and_not_measured(asked, how, measured, make_record, tmp_path):
    since = store.read(tmp_path)
    theirs = make_record("esc-x3", status="timeout", reason="no result after 1 s")
    with store.Writer(tmp_path) as other, store.Writer(tmp_path) as writer:
        other.append([theirs])
        done = list(sweep.run(asked, writer, how, since))
    assert [d.ours for d in done] == [True, False, True]
    assert done[1].record == theirs
    assert measured == ["esc-x2", "esc-x4"]


def test_what_was_known_when_it_was_asked_for_is_measured_all_the_same(asked, how, measured, make_record, filled):
    folder = filled(*(make_record(name) for name in NAMES))
    with store.Writer(folder) as writer:
        assert all(d.ours for d in sweep.run(asked, writer, how, store.read(folder)))
    assert measured == list(NAMES)


def test_two_that_measure_anew_at_once_share_that_too(asked, how, measured, make_record, filled):
    folder = filled(*(make_record(name) for name in NAMES))
    since = store.read(folder)  # by both
    with store.Writer(folder) as writer, store.Writer(folder) as other:
        one, two = (sweep.run(asked, w, how, since) for w in (writer, other))
        turns = [next(one), next(two), next(two), next(two), next(one), next(one)]
    assert [d.ours for d in turns] == [True, False, True, True, False, False]
    assert measured == list(NAMES)


def test_what_another_is_at_comes_last_and_is_waited_for(asked, how, measured, make_record, tmp_path):
    waiting, finish = threading.Event(), threading.Event()
    told = []

    def work(begun):
        with Reservations(tmp_path, print).reserve(asked[0].identity) as mine, store.Writer(tmp_path) as other:
            begun.set()
            finish.wait()
            other.append([make_record("esc-x2", values=(7,))] * mine)

    def waits(left):
        told.append([r.variant.name for r in left])
        finish.set()

    other = threading.Thread(target=work, args=(waiting,))
    other.start()
    waiting.wait()
    with store.Writer(tmp_path) as writer:
        done = list(sweep.run(asked, writer, how, NOTHING, waits))
    other.join()
    assert [(d.request.variant.name, d.ours) for d in done] == [("esc-x3", True), ("esc-x4", True), ("esc-x2", False)]
    assert done[-1].record.values == (7,)
    assert measured == ["esc-x3", "esc-x4"]
    assert told == [["esc-x2"]]


def test_what_another_has_begun_and_not_finished_is_measured_here(asked, how, measured, tmp_path):
    mine = Reservations(tmp_path, print).reserve(asked[1].identity)
    mine.__enter__()
    told = []

    def waits(left):
        told.append([r.variant.name for r in left])
        mine.__exit__(None, None, None)  # as when it is killed

    with store.Writer(tmp_path) as writer:
        done = list(sweep.run(asked, writer, how, NOTHING, waits))
    assert measured == ["esc-x2", "esc-x4", "esc-x3"]
    assert all(d.ours for d in done)
    assert told == [["esc-x3"]]


def test_waiting_is_told_once(asked, how, tmp_path):
    theirs = [Reservations(tmp_path, print).reserve(r.identity) for r in asked]
    for one in theirs:
        one.__enter__()
    told = []

    def waits(left):
        told.append(len(left))
        for one in theirs:
            one.__exit__(None, None, None)

    with store.Writer(tmp_path) as writer:
        assert len(list(sweep.run(asked, writer, how, NOTHING, waits))) == 3
    assert told == [3]


def test_nothing_is_reserved_while_whoever_asked_looks_at_a_record(asked, how, tmp_path):
    with store.Writer(tmp_path) as writer:
        for done in sweep.run(asked, writer, how, NOTHING):
            with Reservations(tmp_path, print).reserve(done.request.identity) as free:
                assert free


def test_a_full_disk_leaves_no_reservation_and_what_was_stored_stands(asked, how, measured, tmp_path, monkeypatch):
    append = store.Writer.append

    def full(self, records):
        if len(measured) == 2:
            raise UserError("Cannot write a record")
        append(self, records)

    monkeypatch.setattr(store.Writer, "append", full)
    with store.Writer(tmp_path) as writer, pytest.raises(UserError):
        list(sweep.run(asked, writer, how, NOTHING))
    monkeypatch.undo()
    contents = store.read(tmp_path)
    left = execute.missing(asked, contents.newest())
    assert [r.variant.name for r in left] == ["esc-x3", "esc-x4"]
    with store.Writer(tmp_path) as writer:
        assert all(d.ours for d in sweep.run(left, writer, how, contents))
    assert measured == ["esc-x2", "esc-x3", "esc-x3", "esc-x4"]


# --- clocks


@pytest.mark.parametrize(
    "clock",
    [
        ["2026-06-01T00:00:00.000000Z", "2026-05-01T00:00:00.000000Z", "2026-05-01T00:00:00.000001Z"],
        ["2099-01-01T00:00:00.000000Z", "1970-01-01T00:00:00.000000Z", "2026-01-01T00:00:00.000000Z"],
        ["2026-01-01T00:00:00.000000Z"] * 3,
        ["2026-01-01T00:30:00+01:00", "2026-01-01T00:00:00+01:00", "2025-12-31T23:15:00.000000Z"],
    ],
    ids=["a month back", "forward and to nothing", "standing", "zones"],
)
def test_the_later_measurement_stands_whatever_the_clock_does(asked, make_record, tmp_path, clock):
    for number, said in enumerate(clock):
        contents = store.read(tmp_path)
        with store.Writer(tmp_path) as writer:
            record = make_record("esc-x2", values=(number,), recorded_at=said)
            (done,) = sweep.run(asked[:1], writer, lambda request, record=record: record, contents)
        (newest,) = store.read(tmp_path).newest().values()
        assert newest.values == (number,)
        assert newest == done.record
        assert newest.details.get("clock", newest.recorded_at) == said
    stored = sorted(store.read(tmp_path).records, key=lambda r: r.values)
    times = [datetime.fromisoformat(r.recorded_at) for r in stored]
    assert times[0] < times[1] < times[2]


def test_a_record_of_another_thing_changes_no_time(asked, how, make_record, filled):
    ahead = "2099-01-01T00:00:00.000000Z"
    others = [make_record("esc-x2", "macs", recorded_at=ahead), make_record("esc-x3", recorded_at=ahead)]
    others.append(make_record("esc-x2", conditions={"counting": {"parameters": "trainable"}}, recorded_at=ahead))
    folder = filled(*others)
    with store.Writer(folder) as writer:
        (done,) = sweep.run(asked[:1], writer, how, store.read(folder))
    assert done.record == make_record("esc-x2")


def test_a_time_that_was_right_is_left_as_it_is(make_record):
    record = make_record(recorded_at="2026-01-02T00:00:00.000000Z")
    assert sweep.after(record, None) is record
    assert sweep.after(record, datetime.fromisoformat("2026-01-01T00:00:00Z")) is record
    moved = sweep.after(record, datetime.fromisoformat("2026-01-02T01:00:00+01:00"))
    assert moved == replace(record, recorded_at="2026-01-02T00:00:00.000001Z", details={"clock": record.recorded_at})
