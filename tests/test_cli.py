"""The command line: what it prints where, what it ends with, and the one line a user gets who can mend something."""

import importlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tomllib

import pytest

from workbench import building, environment, execute, judge, models, papers, probes, protocols, report, store
from workbench.cli.options import NARROWEST, spread
from workbench.spec import UserError

FIELDS = {"variant", "protocol", "probe", "unit", "values", "status", "reason", "recorded_at", "machine"}
COUNTS = ("--probe", "params", "--probe", "macs")
CELL = {"method", "scale", "column", "reported", "measured", "unit", "protocol", "verdict", "why"}


def start(root, *words, **keywords):
    """`python -m workbench` in a process and a process group of its own."""
    command = [sys.executable, "-m", "workbench", *map(str, words)]
    return subprocess.Popen(command, cwd=root, text=True, start_new_session=True, stderr=subprocess.PIPE, **keywords)


# --- what a user can mend: one line on stderr, exit code 2, nothing on stdout

MISTAKES = {
    "an unknown variant": (
        ("measure", "esc_lite_x2"),
        "No variant 'esc_lite_x2'. Did you mean 'esc-light-x2'",
        f"{len(models.VARIANTS)} are known; list them: workbench variants",
    ),
    "a glob that picks nothing": (("measure", "xyz*"), "No variant 'xyz*'.", "list them: workbench variants"),
    "an unknown probe": (("measure", "esc-x4", "--probe", "flops"), "No probe 'flops'.", "workbench probes"),
    "an unknown protocol": (
        ("measure", "esc-x4", "--protocol", "ECS+ceil"),
        "No protocol 'ECS'. Did you mean 'esc'",
        "Known: esc, hitsr, fvcore, torch, hooks, steady, cpu, quality.",
    ),
    "an unknown modifier": (
        ("measure", "esc-x4", "--protocol", "esc+cel"), "No modifier of a protocol 'cel'. Did you mean 'ceil'",
        "workbench protocols",
    ),
    "two modifiers at odds": (
        ("measure", "esc-x4", "--protocol", "esc+sdpa+flex"), "+sdpa and +flex both set 'attention'", "keep one",
    ),
    "a plus with nothing behind it": (
        ("measure", "esc-x4", "--protocol", "esc+"), "Protocol 'esc+' has a + without a modifier", "such as esc+ceil.",
    ),
    "nothing to explain": (("explain",), "Explain what?", "--variant NAME with a figure"),
    "a table and a variant": (
        ("explain", "esc-table2", "--variant", "esc-x4"), "The table esc-table2 and --variant esc-x4 ask for two",
        "cells of a table are named by --cell",
    ),
    "a figure without its unit": (
        ("explain", "--variant", "esc-x4", "--macs", "40.9"), "The figure '40.9' has no unit", "as in 40.9G or 40.9K.",
    ),
    "a variant without a figure": (("explain", "--variant", "esc-x4"), "For --variant esc-x4", "--macs 244.2G"),
    "an unparsable figure": (
        ("explain", "--variant", "esc-x4", "--macs", "about 3"), "The figure 'about 3' cannot be read", "244.2G, 772K",
    ),
    "an unknown variant to explain": (
        ("explain", "--variant", "esc-x5", "--macs", "1G"), "No variant 'esc-x5'.", "workbench variants",
    ),
    "an unknown method": (
        ("explain", "esc-table2", "--cell", "ESCC"), "No method in esc-table2 'ESCC'.", "workbench table esc-table2",
    ),
    "a cell that is not counted": (
        ("explain", "esc-table2", "--cell", "ESC:x4:set5_psnr"),
        "No counted or estimated cell 'ESC:x4:set5_psnr' in esc-table2.",
        "such columns: Memory, FLOPs, Params",
    ),
    "an unknown table": (("table", "esc-table1"), "No table 'esc-table1'. Did you mean 'esc-table", "esc-table2"),
    "an unknown format": (
        ("table", "esc-table2", "--format", "pdf"), "No format 'pdf'.", "Known: md, csv, tex, html, json."
    ),
    "an unknown command": (("mesure", "esc-x4"), "No such command 'mesure'.", "See: workbench --help"),
    "an unknown option": (("measure", "esc-x4", "--fast"), "No such option: --fast", "See: workbench measure --help"),
    "a misspelt command": (("mesure", "esc-x4"), "'mesure'. Did you mean 'measure'? See: ", "workbench --help"),
    "a misspelt option": (("tables", "--jsn"), "option: --jsn. Did you mean '--json'?", "See: workbench tables"),
    "a part of a name": (("weights", "fetch", "imdn"), "Did you mean 'imdn-x2-div2k' or ", "workbench weights list"),
    "no argument": (("measure",), "Missing argument 'NAME|GLOB...'.", "See: workbench measure --help"),
    "no argument of a table": (("table",), "Missing argument 'ID|FILE.toml'.", "See: workbench table --help"),
    "an option of another command": (
        ("variants", "--records", "x"), "No such option: --records. ", "See: workbench variants --help",
    ),
    "an option without its value": (("measure", "esc-x4", "--probe"), "'--probe' requires an argument", "--help"),
    "a timeout that is no number": (("measure", "esc-x4", "--timeout", "soon"), "'--timeout'", "measure --help"),
    **{
        f"a timeout of {given}": (
            ("measure", "esc-x4", "--timeout", given), f"given {told} seconds", "above 0 and up to 1,000,000, or leave",
        )
        for given, told in (("0", "0"), ("-1", "-1"), ("nan", "nan"), ("inf", "inf"), ("1e12", "1e+12"))
    },
    **{
        f"an empty word, {shlex.join(words)}": (
            words, f"There is an empty word after {words[-1] or words[-2]}, as from a shell's", "or leave it and its",
        )
        for words in (
            ("measure", "esc-x4", "--records", ""), ("reproduce", "--quick", "--results", ""), ("audit", ""),
            ("upscale", "a.png", "--model", "imdn-x4", "-o", ""), ("data", "add", "x", ""), ("measure", "--records="),
            ("table", "esc-table2", "--format", ""), ("trace", "esc-x4", "--device", ""), ("records", "--sql", ""),
        )
    },
    "weights that nothing reads": (
        ("measure", "esc-x4", "--probe", "macs", "--weights", "a.pth"),
        "--weights a.pth would be read by none of the probes that were asked for: macs.", "leave --weights out",
    ),
    "two formats": (("table", "esc-table2", "--json", "--format", "tex"), "--json and --format tex", "give one"),
    "a blank query": (("records", "--sql", ";"), "The query ';' is empty.", "Try: select * from records"),
    "a bad query": (("records", "--sql", "selct"), "The query 'selct' failed: ", "table 'records': variant, protocol"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_has_one_sentence_and_ends_with_2(workbench, tmp_path, mistake):
    words, asked, mend = MISTAKES[mistake]
    ran = workbench(*words, *(("--records", tmp_path) if words[0] == "records" else ()))
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("workbench: ")
    assert ran.err.count("\n") == 1
    assert asked in ran.err
    assert mend in ran.err


def test_a_sentence_of_several_lines_is_told_in_one(workbench, monkeypatch):
    def refuse(*_):
        raise UserError("asked,\n  found")

    monkeypatch.setattr(papers, "find_table", refuse)
    assert workbench("table", "esc-table2").err == "workbench: asked, found\n"


@pytest.mark.parametrize(
    "words",
    [("records",), ("table", "esc-table2"), ("measure", "esc-x4"), ("reproduce",)],
    ids=lambda words: words[0],
)
def test_a_file_in_place_of_the_records_has_its_sentence(workbench, tmp_path, words):
    file = tmp_path / "file"
    file.touch()
    ran = workbench(*words, "--records", file)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        f"workbench: Cannot read the records in {file}: Not a directory. Name a readable folder with --records.\n"
    )


def test_records_that_cannot_be_written_are_told_before_anything_is_measured(workbench, tmp_path, monkeypatch):
    monkeypatch.setattr(execute, "measure", lambda request: pytest.fail("it was measured"))
    (tmp_path / "file").touch()
    ran = workbench("measure", "esc-x4", "--records", tmp_path / "file" / "records")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.endswith("Name a writable folder with --records.\n")


def test_a_full_disk_has_its_sentence_and_keeps_what_is_finished(python, tmp_path):
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))\n"
        "from workbench.cli import main; sys.argv = ['workbench', *sys.argv[1:]]; main()"
    )
    ran = python(script, "measure", "esc-*", "--probe", "params", "--records", tmp_path)
    said, *told = [line for line in ran.err.splitlines() if not line.startswith("[")]
    assert said == "measure: 9 missing of 9"
    assert (ran.code, ran.out) == (2, "")
    assert len(told) == 1
    assert told[0].startswith(f"workbench: Cannot write a record to {tmp_path}: ")
    read = store.read(tmp_path)
    assert len(read.records) == len(ran.err.splitlines()) - 2 > 0
    assert read.problems == ()


def test_a_bug_shows_its_traceback(python):
    script = (
        "import sys; from workbench import cli, papers\n"
        "papers.find_table = lambda name: 1 / 0\n"
        "sys.argv = ['workbench', 'table', 'esc-table2']; cli.main()"
    )
    ran = python(script)
    assert ran.code == 1
    assert ran.err.startswith("Traceback")
    assert ran.err.endswith("ZeroDivisionError: division by zero\n")


# --- help and listings


def test_no_word_at_all_is_a_call_for_help(workbench):
    bare = workbench()
    assert bare == workbench("--help")
    assert (bare.code, bare.err) == (0, "")
    assert bare.out.startswith("Usage: workbench [OPTIONS] COMMAND [ARGS]...\n")
    for command in "variants protocols probes tables devices measure trace table records reproduce doctor".split():
        assert f"\n  {command} " in bare.out


@pytest.mark.parametrize(
    ("command", "key", "known"),
    [
        ("variants", "name", models.VARIANTS),
        ("protocols", "name", [*protocols.PROTOCOLS, *(f"+{m}" for m in protocols.MODIFIERS), "+set:NAME"]),
        ("probes", "name", probes.PROBES),
        ("tables", "id", papers.TABLES),
    ],
)
def test_listings_are_for_eyes_and_for_scripts(workbench, command, key, known):
    read = json.loads(workbench(command, "--json").out)
    assert [entry[key] for entry in read] == list(known)
    head, *lines = workbench(command).out.splitlines()
    assert head.split()[0] == key
    assert [line.split()[0] for line in lines] == list(known)
    assert not any(line != line.rstrip() for line in lines)


def test_a_variant_is_listed_with_its_five_facts(workbench):
    assert json.loads(workbench("variants", "--json").out)[0] == {
        "name": "esc-x2", "model": "esc", "family": "esc", "scale": 2, "paper": "ESC (ICCV 2025)",
    }  # fmt: skip


# --- measure


def test_json_on_stdout_is_one_array_of_records(workbench, tmp_path):
    ran = workbench("measure", "esc-fp-x4", *COUNTS, "--json", "--records", tmp_path)
    read = json.loads(ran.out)
    assert [(r["variant"], r["probe"], r["protocol"]) for r in read] == [
        ("esc-fp-x4", "params", "esc"), ("esc-fp-x4", "macs", "esc"),
    ]  # fmt: skip
    for fields in read:
        assert fields.keys() >= FIELDS
        assert (fields["status"], fields["reason"]) == ("ok", None)
    assert [(r["values"], r["unit"]) for r in read] == [
        ([539263], "count"), ([60840592000], "count"),
    ]  # fmt: skip
    assert ran.code == 0
    assert "[2/2] macs of esc-fp-x4 under esc" in ran.err
    assert [store.to_json(r) for r in store.read(tmp_path).records] == [
        fields | {"values": tuple(fields["values"])} for fields in read
    ]


def test_asked_again_it_measures_nothing_and_answers_the_same(workbench, tmp_path):
    words = ("measure", "esc-fp-x4", *COUNTS, "--records", tmp_path, "--json")
    first = workbench(*words)
    before = sorted(tmp_path.iterdir())
    again = workbench(*words)
    assert (again.code, again.out, again.err) == (0, first.out, "")
    assert sorted(tmp_path.iterdir()) == before
    assert "0 measured, 2 already known" in workbench(*words[:-1]).err


def test_force_measures_again_and_answers_with_the_new_record(workbench, tmp_path):
    words = ("measure", "esc-fp-x4", "--probe", "params", "--json", "--records", tmp_path)
    first, again = (json.loads(workbench(*words, *more).out) for more in ((), ("--force",)))
    assert len(store.read(tmp_path).records) == 2
    assert again[0]["recorded_at"] > first[0]["recorded_at"]


def test_globs_probes_and_protocols_are_asked_for_together(workbench, tmp_path):
    words = "measure esc-fp-* --probe params --probe macs --protocol esc --protocol esc+ceil --json".split()
    read = json.loads(workbench(*words, "--records", tmp_path).out)
    assert [(r["variant"], r["protocol"], r["probe"]) for r in read] == [
        (f"esc-fp-x{scale}", protocol, probe)
        for scale in (2, 3, 4) for protocol in ("esc", "esc+ceil") for probe in ("params", "macs")
    ]  # fmt: skip
    assert len(store.read(tmp_path).records) == 3 + 4  # parameters once a scale, multiply-adds twice at x3


def test_people_get_a_line_for_each_answer(workbench, tmp_path):
    ran = workbench("measure", "esc-fp-x4", *COUNTS, "--records", tmp_path)
    assert [line.split() for line in ran.out.splitlines()] == [
        ["esc-fp-x4", "params", "esc", "539,263"],
        ["esc-fp-x4", "macs", "esc", "60,840,592,000"],
    ]
    assert ran.err.endswith("2 asked, 2 measured, 0 already known.\n")


def test_an_estimate_is_called_one(workbench, tmp_path):
    ran = workbench("measure", "esc-fp-x4", "--probe", "roofline", "--records", tmp_path)
    assert re.fullmatch(r"esc-fp-x4 +roofline +esc +0\.0\d+ seconds \(an estimate\)\n", ran.out)


def test_a_terminal_gets_a_bar_and_stdout_stays_clean(workbench, tmp_path, monkeypatch, make_record):
    monkeypatch.setattr(execute, "measure", lambda r: make_record(r.variant.name, status="timeout", reason="[slow]"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    ran = workbench("measure", "esc-fp-*", "--probe", "params", "--json", "--records", tmp_path)
    assert len(json.loads(ran.out)) == 3
    told = re.sub(r"\x1b\[[\d;?]*\w", "", ran.err)  # colours and movements
    assert re.search(r"3/3 .* params of esc-fp-x4 under esc\n", told)
    assert "params of esc-fp-x3 under esc: timeout: [slow]\n" in told


def test_a_measurement_that_fails_is_told_recorded_and_ends_with_1(workbench, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("by zero")

    building.kept.cache_clear()
    monkeypatch.setattr(models, "create", broken)
    words = ("measure", "esc-fp-x4", "--probe", "params", "--json", "--records", tmp_path)
    ran = workbench(*words)
    assert ran.code == 1
    assert "params of esc-fp-x4 under esc: failed: ZeroDivisionError: by zero" in ran.err
    (fields,) = json.loads(ran.out)
    assert (fields["status"], fields["values"]) == ("failed", [])
    monkeypatch.undo()  # mended, it is measured again
    (fields,) = json.loads(workbench(*words).out)
    assert (fields["status"], fields["values"]) == ("ok", [539263])
    assert sorted(r.status for r in store.read(tmp_path).records) == ["failed", "ok"]


def failing(statuses, make_record):
    """A measurement that ends as the variant's scale says, once."""

    def measure(request):
        status = statuses[request.variant.scale]
        details = {"traceback": f"Traceback: {status} in {request.variant.name}\n"} if status == "failed" else {}
        reason = None if status == "ok" else "so"
        return make_record(request.variant.name, status=status, reason=reason, details=details)

    return measure


@pytest.mark.parametrize(
    ("statuses", "code", "summary", "told"),
    [
        (("ok", "ok", "ok"), 0, "", []),
        (("unsupported", "ok", "ok"), 0, ", of which 1 unsupported", []),
        (
            ("timeout", "ok", "timeout"),
            2,
            ", of which 2 timed out",
            ["workbench: 2 measurements timed out; give more time: --timeout SECONDS."],
        ),
        (
            ("ok", "out-of-memory", "ok"),
            2,
            ", of which 1 ran out of memory",
            [
                "workbench: 1 measurement ran out of memory; free some, or take a machine with more, and measure again "
                "with --force."
            ],
        ),
        (
            ("failed", "timeout", "failed"),
            1,
            ", of which 2 failed and 1 timed out",
            [
                "workbench: 1 measurement timed out; give more time: --timeout SECONDS.",
                "workbench: 2 measurements failed, which is a defect; the first: params of esc-fp-x2 under esc: so",
                "The record of each has its traceback in the details. The first:",
                "Traceback: failed in esc-fp-x2",
            ],
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else None,
)
def test_what_did_not_succeed_is_counted_told_and_decides_the_exit_code(
    workbench, tmp_path, monkeypatch, make_record, statuses, code, summary, told
):
    monkeypatch.setattr(execute, "measure", failing(dict(zip((2, 3, 4), statuses, strict=True)), make_record))
    ran = workbench("measure", "esc-fp-*", "--probe", "params", "--records", tmp_path)
    assert ran.code == code
    _, _, _, _, line, *after = ran.err.splitlines()
    assert line == f"3 asked, 3 measured{summary}, 0 already known."
    assert after == told


def test_a_failure_without_a_traceback_has_its_reason(workbench, tmp_path, monkeypatch, make_record):
    monkeypatch.setattr(execute, "measure", lambda r: make_record(r.variant.name, status="failed", reason="it died"))
    ran = workbench("measure", "esc-x4", "--probe", "params", "--json", "--records", tmp_path)
    assert ran.code == 1
    assert ran.err.splitlines()[2:] == [
        "workbench: 1 measurement failed, which is a defect; the first: params of esc-x4 under esc: it died"
    ]


def test_bad_lines_are_told_and_do_not_stop_a_command(workbench, example):
    for words in (("records",), ("table", "esc-table2"), ("measure", "esc-fp-x4", "--probe", "params")):
        ran = workbench(*words, "--records", example)
        assert ran.code == 0
        told = [line for line in ran.err.splitlines() if line.endswith("the line was skipped")]
        assert [line.split(":")[2] for line in told] == ["5", "8"]
        assert all(line.startswith(f"workbench: {example}/") for line in told)


# --- table and records


def test_a_table_is_printed_from_the_records(workbench, example):
    text = workbench("table", "esc-table2", "--records", example).out
    known = store.read(example).newest()
    table = papers.TABLES["esc-table2"]
    assert text == report.render(table, judge.judge(table, known), "md")
    cells = json.loads(workbench("table", "esc-table2", "--format", "json", "--records", example).out)
    assert len(cells) == len(table.rows) * len(table.columns)
    assert all(cell.keys() >= CELL for cell in cells)


def test_records_shows_the_newest_of_each(workbench, example):
    newest = store.read(example).newest()
    read = json.loads(workbench("records", "--json", "--records", example).out)
    assert [r["variant"] for r in read] == [r.variant for r in newest.values()]
    assert len(workbench("records", "--records", example).out.splitlines()) == 1 + len(newest)


def test_values_are_listed_plainly(workbench, filled, make_record):
    many = make_record("esc-x2", values=(1, 2, 3, 4))
    none = make_record("esc-x3", status="timeout", reason="slow")
    folder = filled(make_record(values=(149190176000,)), many, none, make_record("hit-srf-x2", values=(1, 2.5)))
    head, *lines = workbench("records", "--records", folder).out.splitlines()
    assert [line[head.index("values") : head.index("status")].strip() for line in lines] == [
        "149190176000", "4 values", "", "1, 2.5",
    ]  # fmt: skip


def test_a_folder_that_was_named_and_is_not_there_is_told_and_not_made(workbench, tmp_path):
    folder = tmp_path / "nowhere"
    for words in (("records",), ("records", "--json"), ("table", "esc-table2")):
        ran = workbench(*words, "--records", folder)
        assert (ran.code, ran.err) == (0, f"workbench: There is no folder {folder} yet, so there are no records.\n")
        assert ran.out
    assert not folder.exists()


def test_json_of_a_table_is_one_of_its_formats(workbench, example):
    asked, named = (workbench("table", "esc-table2", *words, "--records", example) for words in (
        ("--json",), ("--format", "json"),
    ))  # fmt: skip
    assert asked == named
    assert json.loads(asked.out)


def test_times_in_an_answer_are_iso_texts_and_numbers_are_whole(workbench, filled, make_record):
    folder = filled(make_record(values=(1e-12,), recorded_at="2026-01-01T00:00:00.000001Z"))
    sql = "select recorded_at::timestamp as t, values[1] as v, 'é' as e from records"
    read = json.loads(workbench("records", "--sql", sql, "--json", "--records", folder).out)
    assert read == [{"t": "2026-01-01T00:00:00.000001", "v": 1e-12, "e": "é"}]


def test_a_count_has_all_its_digits_in_sql(workbench, filled, make_record):
    folder = filled(make_record("esc-x4", "macs", values=(118_614_144_960,)))
    assert "118614144960" in workbench("records", "--sql", "select values[1] from records", "--records", folder).out


def test_records_can_be_asked_in_sql(workbench, example):
    words = ("records", "--sql", "select values[1] as v from records where variant = 'esc-x4'", "--records", example)
    assert workbench(*words).out.split() == ["v", "1", "967500"]
    assert json.loads(workbench(*words, "--json").out) == [{"v": 1}, {"v": 967500}]


def test_without_a_folder_the_checkout_s_records_are_meant(workbench, tmp_path, monkeypatch):
    monkeypatch.setattr(store.environment, "home", lambda: tmp_path)
    workbench("measure", "esc-fp-x4", "--probe", "params")
    assert len(store.read(tmp_path / "results" / "records").records) == 1


# --- where the output goes


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [("variants",), ("--version",), ("table", "esc-table2")], ids=" ".join)
def test_an_output_that_takes_nothing_has_its_sentence(root, words, unbuffered):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    with open("/dev/full", "w") as full:
        running = start(root, *words, stdout=full, env={**os.environ, "PYTHONUNBUFFERED": unbuffered})
        _, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (
        2,
        "workbench: Cannot write to standard output: No space left on device. What was measured is stored; send the"
        " output elsewhere.\n",
    )


def test_a_closed_output_is_told_before_anything_is_measured(root, tmp_path):
    command = [sys.executable, "-m", "workbench", "measure", "esc-x4", "--records", str(tmp_path / "records")]
    closed = subprocess.run(["sh", "-c", '"$@" >&-', "sh", *command], cwd=root, stderr=-1, text=True, check=False)
    assert closed.returncode == 2
    assert closed.stderr == (
        "workbench: Standard output is closed, so nothing can be told; leave it open, or send it to a file or"
        " /dev/null.\n"
    )
    assert not (tmp_path / "records").exists()


def test_with_errors_closed_the_output_stays_clean(root):
    command = [sys.executable, "-m", "workbench", "table", "no-such-table"]
    closed = subprocess.run(["sh", "-c", '"$@" 2>&-', "sh", *command], cwd=root, stdout=-1, text=True, check=False)
    assert (closed.returncode, closed.stdout) == (2, "")


def test_an_error_of_a_file_is_not_taken_for_one_of_the_output(workbench, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(papers, "find_table", refuse)
    with pytest.raises(OSError, match="No space left on device"):
        workbench("table", "esc-table2")


def test_the_version_is_told(workbench):
    told, _, commit = workbench("--version").out.rstrip("\n").partition(", commit ")
    assert re.fullmatch(r"workbench(?: \d+\.\d+\.\d+|, imported from its folder and not installed)", told)
    assert commit.partition(" ")[0] == (environment.commit()["commit"] or "")[:12]


# --- a user who has seen enough


@pytest.mark.parametrize("how", ["the process", "its group, as a terminal does"])
def test_ctrl_c_is_one_sentence_and_loses_nothing_that_was_finished(root, tmp_path, how):
    apart = ["--apart"] if how != "the process" else []
    running = start(root, "measure", "*", "--protocol", "esc", *apart, "--records", tmp_path, stdout=subprocess.PIPE)
    said, first = running.stderr.readline(), running.stderr.readline()
    (os.killpg if apart else os.kill)(running.pid, signal.SIGINT)
    out, err = running.communicate(timeout=60)
    lines = err.splitlines()
    assert re.fullmatch(r"measure: (\d+) missing of \1\n", said)
    assert first.startswith("[1/")
    assert (running.returncode, out) == (2, "")
    assert lines[-1] == (
        "workbench: Interrupted. What was finished for a record is stored; the same command, run again, does the rest."
    )
    assert all(line.startswith("[") for line in lines[:-1])
    assert len(store.read(tmp_path).records) >= len(lines)  # the first line was read before


@pytest.mark.parametrize("words", [("--help",), ("probes",), ("table", "esc-table2", "--format", "html")], ids=" ".join)
def test_a_reader_that_went_away_is_no_error(root, words):
    reading, writing = os.pipe()
    os.close(reading)
    running = start(root, *words, stdout=writing)
    os.close(writing)
    _, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (0, "")


def test_the_installed_command_is_the_module(root):
    scripts = tomllib.loads((root / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {"workbench": "workbench.__main__:main"}
    assert callable(importlib.import_module("workbench.__main__").main)


# --- lists


def test_a_narrow_terminal_gets_narrow_columns(workbench, monkeypatch):
    wide = workbench("protocols").out
    assert max(map(len, wide.splitlines())) > 80
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "60")
    narrow = workbench("protocols").out
    assert max(map(len, narrow.splitlines())) <= 60
    assert "".join(narrow.split()).count("height") == "".join(wide.split()).count("height")
    monkeypatch.setenv("COLUMNS", "5")
    assert max(map(len, workbench("protocols").out.splitlines())) <= 2 * NARROWEST + 2


def test_a_glob_of_names_is_spread_and_a_name_that_is_typed_twice_is_meant_twice():
    assert spread(["imdn-x4", "imdn-x*", "esc-x4", "esc-x4"]) == [
        "imdn-x4", "imdn-x2", "imdn-x3", "esc-x4", "esc-x4",
    ]  # fmt: skip
    assert spread(["./net*.py:Net-x4"]) == ["./net*.py:Net-x4"]
    with pytest.raises(UserError, match=r"^No variant 'xyz\*'"):
        spread(["xyz*"])
