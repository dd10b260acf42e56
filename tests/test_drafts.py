"""Drafts: what a killed process left goes, what a living one writes stays."""

import os
import subprocess
import sys

import pytest

from workbench import drafts, store


@pytest.fixture(scope="module")
def gone():
    """The number of a process that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def left(folder, name, seconds_ago):
    path = folder / name
    path.touch()
    at = path.stat().st_mtime - seconds_ago
    os.utime(path, (at, at))
    return path


def test_what_killed_processes_left_is_removed_by_the_next_writer(tmp_path, gone, make_record):
    old = [left(tmp_path, f".{name}-{gone}-0123abcd", 3600) for name in ("writable", "index.html", "a-b.md")]
    jumped = left(tmp_path, f".ahead-{gone}-0123abcd", -3600)  # a clock was set back
    kept = [
        left(tmp_path, f".just-now-{gone}-0123abcd", 1),
        left(tmp_path, f".living-{os.getpid()}-0123abcd", 3600),
        left(tmp_path, f".gitkeep-{gone}", 3600),
        left(tmp_path, f"seen-{gone}-0123abcd", 3600),
        left(tmp_path, f"20260101T000000Z-{gone}-0123abcd.jsonl", 3600),
    ]
    with store.Writer(tmp_path) as writer:
        writer.check()
    assert not any(p.exists() for p in [*old, jumped])
    assert sorted(tmp_path.iterdir()) == sorted(kept)


def test_drafts_of_results_are_swept_where_results_are_written(tmp_path, gone):
    (tmp_path / "report").mkdir()
    draft = left(tmp_path / "report", f".index.html-{gone}-0123abcd", 3600)
    store.check_results(tmp_path)
    assert not draft.exists()


def test_a_folder_that_is_called_like_a_draft_does_not_stop_a_writer(tmp_path, gone):
    folder = tmp_path / f".x-{gone}-0123abcd"
    folder.mkdir()
    os.utime(folder, (0, 0))
    store.check(tmp_path)
    assert folder.is_dir()


def test_a_new_draft_has_the_name_of_one_and_no_other_has_it(tmp_path):
    one, other = (drafts.beside(tmp_path / "a.md") for _ in range(2))
    assert one != other
    assert drafts.NAME.fullmatch(one.name)[1] == str(os.getpid())


@pytest.mark.parametrize("number", [10**12, 10**30])
def test_numbers_that_no_process_has_are_of_none(number):
    assert drafts._is_gone(number)
