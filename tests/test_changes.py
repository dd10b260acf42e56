"""What changed: exactly what is counted, and of times no more false alarms than are promised, on made workloads."""

import json
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from workbench import bundles, changes, states, store
from workbench.changes import Change, between, holm
from workbench.report import answers, standings
from workbench.spec import UserError

LATE = "2026-02-01T00:00:00.000000Z"
DIFFS, THINGS, RUNS = 150, 10, 60


def runs(generator, seconds=0.05, number=RUNS, memory=0.3, noise=0.02, spikes=0.03):
    """Times that remember: each one's noise is in part the last one's, and some are far too long."""
    level, found = 0.0, []
    for kick, spike, far in zip(*generator.normal(size=(2, number)), generator.random(number), strict=True):
        level = memory * level + noise * kick
        found.append(float(seconds * np.exp(level) * (1 + abs(spike) * (far < spikes))))
    return tuple(found)


@pytest.fixture
def timed(make_record):
    base = make_record("esc-x4", "latency", "steady", values=(1.0,))

    def make(values, name="esc-x4", **fields):
        return replace(base, variant=name, values=tuple(values), **fields)

    return make


def known(*records):
    return store.Contents(tuple(records), ()).newest()


# --- how often it is wrong


def simulated(template, diffs, slower=1.0, margin=0.0, things=THINGS, **noise):
    """For each of many diffs of made times, the changes that their tests are of."""
    generator = np.random.default_rng(5)

    def one():
        a, b = (replace(template, values=runs(generator, s, **noise)) for s in (0.05, 0.05 * slower))
        return Change("slower", a, b, p=changes.test(a, b, margin))

    return [[one() for _ in range(things)] for _ in range(diffs)]


def alarms(diffs, corrected):
    """The share of diffs in which anything is called slower or faster, and that of tests."""
    told = [sum(c.kind != "same" for c in corrected(found)) for found in diffs]
    return np.mean(np.array(told) > 0), sum(told) / sum(map(len, diffs))


def uncorrected(found):
    return [c if c.p <= changes.RATE else replace(c, kind="same") for c in found]


@pytest.mark.untraced
def test_of_diffs_of_the_same_with_itself_at_most_one_in_twenty_says_anything(timed):
    diffs = simulated(timed([1.0]), DIFFS)
    noise = 2.5 * (changes.RATE * (1 - changes.RATE) / DIFFS) ** 0.5
    assert alarms(diffs, holm)[0] <= changes.RATE + noise
    assert alarms(diffs, uncorrected)[0] > 4 * changes.RATE  # so the line above can fail


@pytest.mark.untraced
def test_what_is_a_tenth_slower_is_found_nearly_always_and_within_the_margin_hardly_ever(timed):
    assert alarms(simulated(timed([1.0]), 25, slower=1.1), holm)[1] > 0.95
    assert alarms(simulated(timed([1.0]), 25, slower=1.03, margin=0.05), holm)[1] <= 0.01


def test_the_correction_is_holm_s():
    """By hand: 0.01 * 4, 0.02 * 3, then 0.06 stays since it is more than 0.025 * 2, then 0.06 again for 0.05 * 1."""
    found = holm([Change("slower", None, None, p=p) for p in (0.025, 0.01, 0.05, 0.02)] + [Change("new", None, None)])
    assert [c.p for c in found] == pytest.approx([0.06, 0.04, 0.06, 0.06, None])
    assert [c.kind for c in found] == ["same", "slower", "same", "same", "new"]


def test_the_test_is_welch_s_on_medians_of_blocks(timed, monkeypatch):
    from scipy import stats

    generator = np.random.default_rng(1)
    a, b = timed(runs(generator, number=20)), timed(runs(generator, 0.051, number=30))
    monkeypatch.setattr(changes, "_number", lambda values: 10)
    halves = [np.log([np.median(part) for part in np.array_split(r.values, 10)]) for r in (a, b)]
    assert changes.test(a, b, 0.0) == pytest.approx(stats.ttest_ind(*halves, equal_var=False).pvalue)


# --- what is said of what


def test_what_is_counted_is_compared_exactly(make_record):
    before = known(make_record(values=(967500,)), make_record("esc-x3", values=(5,)))
    after = known(make_record(values=(967501,), recorded_at=LATE), make_record("esc-x3", values=(5,), recorded_at=LATE))
    first, second = between(before, after)
    assert (first.kind, first.record.variant, first.p) == ("changed", "esc-x4", None)
    assert first.ratio == pytest.approx(967501 / 967500)
    assert second.kind == "same"


@pytest.mark.parametrize(
    ("a", "b", "kind"),
    [
        ("ok", "failed", "lost"),
        ("failed", "ok", "gained"),
        ("timeout", "failed", "same"),
        (None, "ok", "new"),
        ("ok", None, "gone"),
    ],
)
def test_values_that_come_and_go(make_record, a, b, kind):
    (found,) = between(
        *(known(*([make_record(status=s, reason=None if s == "ok" else "x")] if s else [])) for s in (a, b))
    )
    assert found.kind == kind


def test_times_are_judged_by_direction_and_by_machine(timed):
    generator = np.random.default_rng(3)
    quick, slow = runs(generator), runs(generator, 0.07)
    assert between(known(timed(quick)), known(timed(slow)))[0].kind == "slower"
    assert between(known(timed(slow)), known(timed(quick)))[0].kind == "faster"
    assert between(known(timed(quick)), known(timed(slow)), margin=0.5)[0].kind == "same"
    elsewhere = timed(slow, conditions=dict(timed(slow).conditions) | {"machine": "another"})
    assert sorted(c.kind for c in between(known(timed(quick)), known(elsewhere))) == ["gone", "new"]


@pytest.mark.parametrize(("values", "kind"), [((2.0, 2.1), "untested"), ((1.01,), "same"), ((1.0,) * 5, "untested")])
def test_too_few_runs_are_no_test(timed, values, kind):
    (found,) = between(known(timed((1.0,))), known(timed(tuple(v + 0.5 * (len(values) == 5) for v in values))))
    assert (found.kind, found.p) == (kind, None)


def test_runs_without_any_noise_are_no_division_by_nothing(timed):
    assert between(known(timed([1.0] * 8)), known(timed([2.0] * 8)))[0].kind == "slower"
    assert between(known(timed([1.0] * 8)), known(timed([1.01] * 8)))[0].kind == "same"
    assert between(known(timed([0.0] * 8)), known(timed([1.0] * 8)))[0].kind == "untested"


def test_what_is_gone_is_listed_up_to_ten(make_record):
    records = [make_record("esc-x4", values=(n,), conditions={"n": n}) for n in range(1, 13)]
    said = [standings.changes(between(known(*records[:n]), {}), 0.05, 0.05).splitlines() for n in (10, 12)]
    assert said[0][9:] == ["gone: params of esc-x4 under esc: 10 count, only in the first", "10 compared: 10 gone."]
    assert said[1][9:] == [said[0][9], "gone: and 2 more", "12 compared: 12 gone."]


# --- the command


@pytest.fixture
def two(make_record, timed, tmp_path):
    """Two stores: the second has a slower network, another count, and one network more."""
    generator = np.random.default_rng(4)
    folders = tmp_path / "a", tmp_path / "b"
    for n, folder in enumerate(folders):
        with store.Writer(folder) as writer:
            writer.append([make_record(values=(967500 + n,)), timed(runs(generator, 0.05 + 0.02 * n))])
            writer.append([make_record("esc-x2")] * n)
    return folders


def test_the_command_says_it_and_a_lab_s_ci_can_fail_on_it(two, workbench, tmp_path):
    a, b = two
    ran = workbench("diff", a, b, "--check")
    assert (ran.code, ran.err) == (3, "")
    slower, changed, *rest = ran.out.splitlines()
    assert slower.startswith("slower: latency of esc-x4 under steady on ")
    assert "seconds, +4" in slower
    assert changed == "changed: params of esc-x4 under esc: 967,500 to 967,501 count, +0.0001%"
    assert rest[0] == "3 compared: 1 slower, 1 changed, 1 new."
    assert rest[1].startswith("1 test of times: where none changed by more than 5%, at most 5% of diffs call any")
    assert workbench("diff", a, b).code == 0
    assert workbench("diff", a, a, "--check").code == 0
    back = workbench("diff", b, a, "--check", "--select", "variant=esc-x2")
    assert back.code == 3
    assert back.out.startswith("gone: params of esc-x2 under esc: 967,500 count, only in the first\n")
    none = workbench("diff", a, b, "--select", "variant=zz")
    assert (none.code, none.out) == (2, "")
    assert f"--select variant=zz picks no record of {a} or {b}, so nothing would be compared." in none.err
    assert workbench("diff", a, b, "--check", "--select", "probe=latency", "--margin", "0.9").code == 0
    (tmp_path / "b.zip").write_bytes(bundles.packed(store.read(b).records, b))
    told = json.loads(workbench("diff", a, tmp_path / "b.zip", "--json").out)
    assert [t["kind"] for t in told] == ["slower", "changed", "new"]
    assert (told[1]["before"], told[1]["after"]) == (967500, 967501)


@pytest.mark.parametrize(
    ("margin", "code"), [("0.9", 0), ("90%", 0), (" 90 % ", 0), ("1", 0), ("5", 2), ("0.05", 3), ("5%", 3)]
)
def test_a_margin_is_a_fraction_or_per_cent(two, workbench, margin, code):
    ran = workbench("diff", *two, "--check", "--select", "probe=latency", f"--margin={margin}")
    assert ran.code == code, ran.err


@pytest.mark.parametrize("margin", ["five", "5%%", "%", "nan", "5 percent"])
def test_what_is_no_margin_says_what_to_write(two, workbench, margin):
    ran = workbench("diff", *two, "--margin", margin)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (f"workbench: --margin was given {margin}; write a fraction or per cent, such as 0.05 or 5%.\n")


def test_digits_are_those_that_mean_something_or_tell_two_apart(make_record, timed):
    def told(a, b):
        return standings.changes(between(known(a), known(b), 0.0), 0.0, 0.05).splitlines()

    quality = [make_record(unit="decibels", values=(v,)) for v in (32.123456789, 32.123456999, 33.0)]
    assert told(quality[0], quality[2])[0].endswith(": 32.12 to 33 decibels, +2.7%")
    assert told(*quality[:2])[0].endswith(": 32.1234568 to 32.123457 decibels, +7e-07%")
    slow, fast = timed([0.123456789] * 20), timed([0.0987654321] * 20)
    calm = told(fast, slow)
    assert calm[0].endswith(": 0.09877 to 0.1235 seconds, +25.0%, p 0")
    assert not any("‡" in line for line in calm)
    busy = replace(slow, details={"state": {"why": ["others kept 1.2 of 2 cores busy"]}})
    marked = told(fast, busy)
    assert ": 0.09877 to 0.1235‡ seconds, +25.0%" in marked[0]
    assert marked[-1] == (
        "‡ taken on a machine that was busy with something else or held its clocks down: others kept 1.2 of 2 cores "
        "busy. 1 of 2 times that were tested; what differs may be that."
    )


def test_what_is_no_figure_has_no_unit_and_a_large_one_is_a_power(timed):
    was, now = timed([0.5003] * 9), timed([], status="failed", reason="boom")
    shown = [
        standings.changes(between(known(a), known(b)), 0.05, 0.05).splitlines()[0] for a, b in ((was, now), (now, was))
    ]
    assert shown[0].endswith(": 0.5003 seconds to failed (boom)")
    assert shown[1].endswith(": failed (boom) to 0.5003 seconds")
    assert answers.figure(timed([6e202])) == "6e+202"
    assert answers.figure(timed([591983033600.0])) == "591,983,033,600"


def test_a_margin_too_large_is_told_its_bounds(two, workbench):
    ran = workbench("diff", *two, "--margin", "1e9")
    assert (ran.code, ran.out) == (2, "")
    assert "--margin was given 1e9: 1e+09 is 1e+11 %; write 100% at most." in ran.err


def test_a_commit_s_records_are_a_state(make_record, tmp_path, monkeypatch, workbench):
    monkeypatch.setattr(states.environment, "home", lambda: tmp_path)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=b@c"]
    subprocess.run([*git, "init", "-q"], check=True)
    for n in range(2):
        with store.Writer(tmp_path / "results" / "records") as writer:
            writer.append([make_record(values=(n + 1,), recorded_at=f"2026-01-0{n + 1}T00:00:00Z")])
        (tmp_path / "results" / "records" / "torn.jsonl").write_text("torn\n")
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "-qm", "x"], check=True)
    assert [r.values for r in states.state("git:HEAD~1").records] == [(1,)]
    assert str(states.state("git:HEAD").problems[0].file) == "git:HEAD/torn.jsonl"
    ran = workbench("diff", "git:HEAD~1", "git:HEAD", "--check")
    assert (ran.code, ran.out.splitlines()[0]) == (3, "changed: params of esc-x4 under esc: 1 to 2 count, +100.0%")
    for named in ("git:nothing", "git:", "git:--output=x", "git:HEAD:results"):
        with pytest.raises(UserError, match=r"^No commit '.*' in .*Give one of `git log`, such as git:HEAD~1\.$"):
            states.state(named)
    subprocess.run([*git, "rm", "-rq", "results"], check=True)
    subprocess.run([*git, "commit", "-qm", "y"], check=True)
    with pytest.raises(UserError, match=r"^The commit 'HEAD' has no results/records, so no records\."):
        states.state("git:HEAD")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nowhere", "nowhere"), "There is no 'nowhere' to compare. Give a folder of records, a bundle"),
        (("", "nowhere"), "There is an empty word after diff, "),
        (("nowhere.zip", "a"), "There is no bundle nowhere.zip."),
        ((".", ".", "--margin", "-1"), "--margin was given -1; give a fraction from 0 to 1"),
        ((".", ".", "--margin", "nan"), "--margin was given nan; write a fraction or per cent"),
    ],
)
def test_what_cannot_be_compared_has_its_sentence(workbench, words, told):
    ran = workbench("diff", *words)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1), ran.err
    assert told in ran.err
