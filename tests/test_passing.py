"""What is being done now: one line on a terminal, lines now and then in a log, nothing of what is quick."""

import sys

from workbench import passing


def test_a_terminal_keeps_no_line(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with passing.passing() as say:
        say("one")
        say("x" * 200)
    assert capsys.readouterr() == ("", f"\r\x1b[Kone\r\r\x1b[K{'x' * 78}\r\r\x1b[K")


def test_a_log_hears_nothing_of_what_is_quick_and_a_line_now_and_then_of_the_rest(monkeypatch, capsys):
    monkeypatch.setattr(passing, "PATIENCE", 5.0)
    now = iter([0.0, 1.0, 5.0, 5.0, 9.9, 10.5, 10.5])
    monkeypatch.setattr(passing.time, "monotonic", lambda: next(now))
    with passing.passing() as say:
        for line in ("at 1", "at 5", "at 9.9", "at 10.5"):
            say(line)
    assert capsys.readouterr() == ("", "at 5\nat 10.5\n")


def test_what_ends_badly_leaves_no_line_behind(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    try:
        with passing.passing() as say:
            say("one")
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert capsys.readouterr().err.endswith("\r\x1b[K")
