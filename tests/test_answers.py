"""What `measure` says of one measurement: figures with the digits that mean something, and every doubt there is."""

import pytest

from workbench import report

WHY = {"state": {"why": ["others kept 1.6 of 2 cores busy, of which this was to have 1"]}}
STEADY = {"interval": [0.49, 0.51], "precise": True, "warmup": {"runs": 12, "steady": True}}
SHAKY = {"interval": [0.4, 0.65], "precise": False, "warmup": {"runs": 6, "steady": False}}


def told(record):
    return report.answer(record).split(maxsplit=3)[3]


@pytest.mark.parametrize(
    ("details", "words"),
    [
        (STEADY, "0.5 seconds [0.49, 0.51] of 3 runs"),
        (STEADY | WHY, "0.5‡ seconds [0.49, 0.51] of 3 runs"),
        (
            SHAKY | WHY,
            "0.5‡ seconds [0.4, 0.65] of 3 runs; warm-up cut short after 6 runs, not yet steady; interval 50.0% wide",
        ),
        (SHAKY | {"warmup": {"runs": 1, "steady": None}}, "0.5 seconds [0.4, 0.65] of 3 runs; interval 50.0% wide"),
    ],
)
def test_a_time_says_what_speaks_against_it(make_record, details, words):
    record = make_record(probe="latency", protocol="cpu", unit="seconds", values=(0.4, 0.5, 0.65), details=details)
    assert told(record) == words


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"values": (967500,)}, "967,500"),
        ({"values": (0.0022061460950239583,), "unit": "seconds", "details": {"estimate": "so"}},
         "0.002206 seconds (an estimate)"),
        ({"values": (2185052672,), "unit": "bytes"}, "2,185,052,672 bytes"),
        ({"values": (12.3456,), "unit": "joules", "details": WHY}, "12.35‡ joules"),
        ({"status": "unsupported", "reason": "no GPU", "details": WHY}, "unsupported: no GPU"),
    ],
)  # fmt: skip
def test_figures_have_the_digits_that_mean_something(make_record, fields, words):
    assert told(make_record(**fields)) == words


def test_the_marks_are_explained_once(make_record):
    assert report.remarks([make_record(details=STEADY)]) == []
    marked = [make_record(details=WHY), make_record("esc-x2", details=WHY)]
    assert report.remarks(marked) == [
        "‡ taken on a machine that was busy with something else or held its clocks down: others kept 1.6 of 2 cores "
        "busy, of which this was to have 1."
    ]
    assert report.remarks([make_record(status="failed", reason="so", details=WHY)]) == []


def test_a_count_that_leaves_weight_out_is_marked(make_record):
    record = make_record(probe="macs", values=(7,), details={"uncounted_heavy": ["conv2d", "bmm"]})
    assert told(record) == "7†"
    assert report.remarks([record, record]) == [
        "† the convention left operators of weight uncounted, so this figure is incomplete; left out: conv2d, bmm."
    ]


@pytest.mark.parametrize(
    ("how", "mark", "words"),
    [
        ("meta", "", None),
        ("fake", " (on fake tensors)", "counted on fake tensors"),
        ("real+extrapolated", " (extrapolated)", "counted on real tensors, extrapolated"),
    ],
)
def test_a_count_says_on_which_tensors_it_was_made(make_record, how, mark, words):
    record = make_record(details={"how": how, "why": {"meta": "no data"}})
    assert told(record) == f"967,500{mark}"
    assert report.remarks([record]) == (
        [f"params of esc-x4: {words}: on meta tensors it said: no data"] if words else []
    )
