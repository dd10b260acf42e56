"""Forecasts: from what is most like it, said as roughly as it is known."""

import pytest

from workbench import environment, execute, forecast, tracing
from workbench.forecast import Forecast


@pytest.fixture
def record(make_record):
    def make(variant="esc-x4", probe="params", protocol="esc", took=1.0, **changes):
        return make_record(variant, probe, protocol, took=took, **{"machine": environment.machine()} | changes)

    return make


def test_what_is_most_like_it_tells_most(record, request_for):
    known = [
        *(record("esc-x4", took=t) for t in (1, 2, 30)),
        record("esc-x2", took=100),
        record("esc-x2", took=200),
        record("hit-srf-x4", "params", "fvcore", took=1000),
        record("esc-x4", "macs", took=5),
    ]
    found = Forecast(known)
    assert found.seconds(request_for("esc-x4")) == 2  # the same: the median of 1, 2, 30
    assert found.seconds(request_for("esc-x3")) == 30  # the probe under the protocol: of 1, 2, 30, 100, 200
    assert found.seconds(request_for("esc-x3", protocol="torch")) == 65  # the probe: of those and 1000
    assert found.seconds(request_for("esc-x4", "activations")) is None


def test_only_records_of_this_machine_that_noted_it_tell_anything(record, request_for):
    found = Forecast([record(took=9, machine="another"), record(took=None)])
    assert found.seconds(request_for("esc-x4")) is None
    assert found.told([request_for("esc-x4")]) == ""


def test_where_nothing_is_known_the_pace_so_far_tells(record, request_for):
    found = Forecast()
    found.note(record("esc-x4", took=None))
    assert found.told([request_for("esc-x4", "macs")]) == ""
    for took in (2, 4):
        found.note(record("esc-x4", took=took))
    assert found.seconds(request_for("hit-srf-x4")) == 3
    assert found.seconds(request_for("esc-x4", "macs")) == 3


def test_a_failure_tells_the_pace_and_nothing_of_its_like(record, request_for):
    killed = record("esc-x4", took=0.5, status="failed", reason="so")
    assert Forecast([killed]).seconds(request_for("esc-x4")) is None
    found = Forecast([record("esc-x4", took=100)])
    found.note(killed)
    assert found.seconds(request_for("esc-x4")) == 100
    assert found.seconds(request_for("esc-x4", "macs")) == 0.5


def test_old_measurements_are_forgotten(record, request_for):
    found = Forecast([record(took=1000)] * 100 + [record(took=1)] * 25)
    assert found.seconds(request_for("esc-x4")) == 1


def test_it_is_said_as_roughly_as_it_is_known(record, request_for):
    found = Forecast([record(took=100)])
    some = [request_for(v) for v in ("esc-x2", "esc-x3", "esc-x4")]
    assert found.told(some) == "about 5 min"
    assert found.told([*some, request_for("esc-x4", "macs")]) == "at least 5 min"
    assert found.told([]) == ""


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.001, "1 s"), (1.6, "2 s"), (89.4, "89 s"), (90, "2 min"), (301, "5 min"), (5399, "90 min"), (5400, "1.5 h")],
)
def test_seconds_minutes_hours(seconds, words):
    assert forecast.words(seconds) == words


def test_the_first_measurement_of_a_process_takes_no_longer_than_others(python, monkeypatch, request_for):
    """Torch imports for over a second at the first walk: that is no part of what a measurement takes."""
    order = []
    monkeypatch.setattr(tracing, "ready", lambda: order.append("ready"))
    monkeypatch.setattr(execute, "_outcome", lambda _: order.append("measured") or execute.Outcome("failed", "so"))
    execute.measure(request_for("imdn-x4", "macs"))
    assert order == ["ready", "measured"]
    script = (
        "import sys, torch; from workbench import models, tracing; from workbench.models import imdn\n"
        "tracing.ready(); before = set(sys.modules)\n"
        "tracing.trace(models.create('imdn-x4', 'meta'), torch.empty(1, 3, 8, 8, device='meta'))\n"
        "print(sorted(m for m in sys.modules.keys() - before if m.startswith(('torch', 'sympy'))))"
    )
    assert python(script).out == "[]\n"
