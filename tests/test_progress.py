"""Progress: what is said before, during and after, on a terminal and in a log."""

import re
import sys
from unittest.mock import Mock

import pytest

from workbench import environment, execute, fresh, models, progress, store, sweep
from workbench.execute import missing


@pytest.fixture
def how(make_record):
    """Each takes 100 seconds, as its record says."""
    return lambda r: make_record(r.variant.name, r.probe.name, took=100.0, machine=environment.machine())


@pytest.fixture
def asked(request_for):
    return [request_for(v) for v in ("esc-x2", "esc-x3", "esc-x4")]


def test_a_log_says_what_is_done_and_how_long_the_rest_may_take(asked, how, tmp_path, capsys):
    progress.run(asked, tmp_path, how)
    assert capsys.readouterr() == (
        "",
        "[1/3] params of esc-x2 under esc (about 3 min left)\n"
        "[2/3] params of esc-x3 under esc (about 2 min left)\n"
        "[3/3] params of esc-x4 under esc\n",
    )


def test_what_is_expected_is_said_once_before(asked, how, tmp_path, capsys, request_for):
    progress.run(asked, tmp_path, how, store.read(tmp_path), 7)
    assert capsys.readouterr().err.startswith("measure: 3 missing of 7\n[1/3] ")
    contents = store.read(tmp_path)
    progress.run(asked, tmp_path, how, contents, 7)
    assert capsys.readouterr().err.startswith("measure: 3 missing of 7, about 5 min\n[1/3] ")
    progress.run([*asked, request_for("esc-x4", "macs")], tmp_path, how, contents, 7)
    assert capsys.readouterr().err.startswith("measure: 4 missing of 7, at least 5 min\n[1/4] ")
    assert progress.run([], tmp_path, how, contents, 7) == []
    assert capsys.readouterr().err == ""


def test_what_a_failure_says_stands_before_the_time(asked, make_record, tmp_path, capsys):
    def failing(request):
        fields = {"status": "failed", "reason": "so", "took": 9.0, "machine": environment.machine()}
        return make_record(request.variant.name, **fields)

    progress.run(asked[:2], tmp_path, failing)
    assert capsys.readouterr().err.splitlines()[0] == ("[1/2] params of esc-x2 under esc: failed: so (about 9 s left)")


def test_what_was_recorded_after_it_was_asked_for_is_not_measured_again(asked, how, tmp_path, make_record, capsys):
    with store.Writer(tmp_path) as other:
        other.append([make_record("esc-x3"), make_record("esc-x4", status="failed", reason="so")])
    records = [done.record for done in progress.run(asked, tmp_path, how)]
    assert [r.variant for r in records] == ["esc-x2", "esc-x3", "esc-x4"]
    assert [r.took for r in records] == [100.0, None, 100.0]
    assert "[2/2] " in capsys.readouterr().err
    assert missing(asked, store.read(tmp_path).newest()) == []


def test_a_terminal_gets_a_bar_with_what_runs_and_how_long_the_rest_may_take(
    asked, how, tmp_path, capsys, monkeypatch, make_record
):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    shown, begins = [], progress._Bar.begins

    def watched(bar, request, left):
        begins(bar, request, left)
        shown.append(bar.bar.tasks[0])

    monkeypatch.setattr(progress._Bar, "begins", watched)
    lines = []

    def looking(request):
        task = shown[-1]
        lines.append((task.completed, task.description, task.fields["left"]))
        return how(request)

    progress.run(asked, tmp_path, looking)
    assert lines == [
        (0, "params of esc-x2 under esc", ""),
        (1, "params of esc-x3 under esc", "about 3 min"),
        (2, "params of esc-x4 under esc", "about 2 min"),
    ]
    told = re.sub(r"\x1b\[[\d;?]*\w", "", capsys.readouterr().err)
    assert re.search(r"3/3 +params of esc-x4 under esc", told)


def test_a_measurement_notes_how_long_it_took(request_for, filled):
    record = execute.measure(request_for())
    assert record.took > 0
    assert store.read(filled(record)).records == (record,)


def test_several_processes_share_what_is_counted_and_each_thing_is_counted_once(request_for, tmp_path):
    names = [name for name in models.VARIANTS if name.endswith("x4")]
    wanted = [request_for(name) for name in names]
    found = [done.record for done in progress.run(wanted, tmp_path, hands=2)]
    assert [r.variant for r in found] == names
    assert {r.status for r in found} == {"ok"}
    assert sorted(r.variant for r in store.read(tmp_path).records) == sorted(names)


def test_what_the_other_processes_fail_to_do_is_done_here(request_for, tmp_path, monkeypatch):
    monkeypatch.setattr(sweep.fresh, "call", Mock(side_effect=fresh.NoAnswerError("failed", "killed")))
    wanted = [request_for(name) for name in models.VARIANTS if name.endswith("x4")]
    assert {done.record.status for done in progress.run(wanted, tmp_path, hands=2)} == {"ok"}
    assert sweep.fresh.call.called


def test_few_are_done_by_one(request_for, tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "crew", Mock())
    progress.run([request_for("esc-x4")], tmp_path, hands=2)
    assert not sweep.crew.called


def test_a_terminal_s_bar_has_no_colour_where_none_is_wanted(monkeypatch):
    for wanted in ("", "1"):
        monkeypatch.setenv("NO_COLOR", wanted)
        assert progress._Bar(1).bar.console.no_color == bool(wanted)


def test_a_sweep_whose_reader_has_gone_measures_on(asked, how, tmp_path, monkeypatch):
    def gone(text):
        raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Mock(write=gone, isatty=lambda: False))
    assert len(progress.run(asked, tmp_path, how)) == len(store.read(tmp_path).records) == 3
