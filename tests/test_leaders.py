"""Leaderboards: a board for each device and way to measure, ranks that intervals bear, names that harm no format."""

import csv
import io
import json
from dataclasses import replace

import pytest

from workbench import leaders
from workbench.report import standings


@pytest.fixture
def timed(make_record):
    base = make_record("esc-x4", "latency", "steady", values=(1.0,))

    def make(name, values, machine="A", **fields):
        conditions = dict(base.conditions) | {"machine": machine}
        return replace(base, variant=name, values=tuple(values), machine=machine, conditions=conditions, **fields)

    return make


def spread(middle):
    """Runs whose interval is narrow: hundreds that differ by 1 %."""
    return [middle * (1 + 0.01 * ((7 * n) % 11 - 5) / 5) for n in range(200)]


def test_devices_protocols_and_conditions_are_never_on_one_board(timed):
    odd = timed("esc-x3", [1.0] * 9)
    odd = replace(odd, conditions=dict(odd.conditions) | {"timing": {"statistic": "mean"}})
    records = [
        timed("esc-x4", [1.0] * 9),
        timed("esc-fp-x4", [2.0] * 9, machine="B"),
        timed("esc-light-x4", [2.0] * 9, protocol="cpu"),
        timed("esc-x2", [2.0] * 9),
        odd,
    ]
    found = leaders.boards(records)
    assert [(b.device, b.protocol, b.scale, [p.variant for p in b.places]) for b in found] == [
        ("A", "cpu", "x4", ["esc-light-x4"]),
        ("A", "steady", "x2", ["esc-x2"]),
        ("A", "steady", "x3", ["esc-x3"]),
        ("A", "steady", "x4", ["esc-x4"]),
        ("B", "steady", "x4", ["esc-fp-x4"]),
    ]


def test_who_cannot_be_told_apart_shares_a_rank(timed):
    records = [timed(n, spread(m)) for n, m in (("d-x4", 2.0), ("a-x4", 1.0), ("b-x4", 1.0005), ("c-x4", 1.5))]
    (board,) = leaders.boards(records)
    assert [(p.rank, p.variant) for p in board.places] == [(1, "a-x4"), (1, "b-x4"), (3, "c-x4"), (4, "d-x4")]
    mine = board.places[0].figures["latency"]
    assert mine.low < mine.value < mine.high


def test_what_stands_beside_is_of_the_same_device_and_way(timed, make_record):
    latency = timed("esc-x4", [1.0] * 9)
    same = {p: latency.conditions[p] for p in ("input", "build", "execution")}
    memory = make_record("esc-x4", "memory", "steady", values=(5e6,))
    ours, other = (replace(memory, conditions=same | {"machine": m}, values=(v,)) for m, v in (("A", 5e6), ("B", 7e6)))
    elsewhere = replace(ours, conditions=ours.conditions | {"input": {"hr": [1, 1]}}, values=(9e6,))
    params = make_record("esc-x4", values=(967500,))
    (board,) = leaders.boards([latency, other, elsewhere, params, replace(params, variant="esc-x3"), ours])
    (place,) = board.places
    assert {p: f.value for p, f in place.figures.items()} == {"latency": 1.0, "memory": 5e6, "params": 967500}
    assert leaders.boards([latency], "memory") == []


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0.609, "609.0"),
        (0.4878, "487.8"),
        (0.99996, "1,000"),
        (1.2345, "1,234"),
        (0.0, "0.000"),
        (6e199, "6e+202"),
        (-0.00123456, "-1.235"),
    ],
)
def test_figures_have_four_digits_and_large_ones_powers(value, told):
    assert standings._shown(leaders.Figure(value), "latency") == told


def test_on_a_page_ranks_stand_to_the_right_and_names_to_the_left(timed):
    (page,) = (standings.render(leaders.boards([timed("a-x4", [1.0] * 9)]), "html"),)
    assert "<th class=rank>Rank</th><th class=name data-sort=text>Network</th>" in page
    assert "<tr><td class=rank>1</td><td class=name>a-x4</td><td>1,000" in page
    assert page.index("td:first-child { text-align: left; }") < page.index("td.rank, th.rank { text-align: right; }")


def test_failures_old_versions_and_disturbances(timed):
    old = timed("a-x4", [1.0] * 9, probe_version=99)
    failed = timed("b-x4", [], status="failed", reason="x")
    loud = timed("c-x4", [1.0] * 9, details={"state": {"why": ["others were busy"]}})
    (board,) = leaders.boards([old, failed, loud])
    assert [p.variant for p in board.places] == ["c-x4"]
    assert "‡" in standings.render([board], "md")


EVIL = '<script>alert("1")</script>|`*&%$#_{}\\=1'


@pytest.mark.parametrize("format", standings.FORMATS)
def test_names_from_elsewhere_are_text_in_every_format(timed, format):
    text = standings.render(leaders.boards([timed(EVIL, [1.0] * 9), timed("=1+1", [2.0] * 9, machine="=A")]), format)
    assert ("<script>alert" in text) == (format in ("csv", "json"))
    if format == "html":
        assert "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;|" in text
    if format == "md":
        assert '&lt;script&gt;alert("1")&lt;/script&gt;\\|\\`\\*&amp;%$#\\_{}\\\\=1' in text
    if format == "tex":
        row = next(line for line in text.splitlines() if "script" in line)
        assert row.startswith(r"1 & \textless{}script\textgreater{}alert(")
        assert r"\textbar{}`*\&\%\$\#\_\{\}\textbackslash{}=1" in row
    if format == "csv":
        rows = list(csv.DictReader(io.StringIO(text)))
        assert [(r["device"], r["variant"]) for r in rows] == [("'=A", "'=1+1"), ("A", EVIL)]
    if format == "json":
        assert {p["variant"] for b in json.loads(text) for p in b["places"]} == {EVIL, "=1+1"}


def test_the_site_s_page_of_records_shows_them_as_text(timed):
    from workbench.report import raw

    shown = raw.content([timed(EVIL, [1.0] * 9, machine=EVIL, details={"a": EVIL})])
    assert "<script" not in shown
    assert shown.count("&lt;script&gt;") >= 4


def test_the_command(timed, filled, workbench):
    folder = filled(timed("esc-x4", spread(0.05)), timed("esc-fp-x4", spread(0.07)))
    ran = workbench("leaderboard", "--records", folder)
    assert (ran.code, ran.err) == (0, "")
    assert "## A, protocol steady, x4" in ran.out
    assert "| 1 | esc-x4 | 50.00 [" in ran.out
    assert (
        workbench("leaderboard", "--select", "variant=esc-fp*", "--json", "--records", folder).out.count('"rank"') == 1
    )
    for words, told in (
        (("--by", "macs"), "No quantity to rank by 'macs'."),
        (("--by", "energy"), "No record of energy is there to rank."),
        (("--select", "machine=B"), "No record of latency is there to rank that --select picks."),
        (("--format", "pdf"), "No format 'pdf'."),
        (("--format", "md", "--json"), "--json and --format md ask for two formats"),
    ):
        ran = workbench("leaderboard", *words, "--records", folder)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1), ran.err
        assert told in ran.err
