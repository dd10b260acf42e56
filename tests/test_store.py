"""The store: what is appended is read back, whatever happens to the writer, the disk or the file."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import pytest

from workbench import store
from workbench.spec import SCHEMA, UserError

ROOT = Path(store.__file__).resolve().parent.parent

WRITER = """
import os, sys
from dataclasses import replace
from pathlib import Path
from workbench import store
folder, name, number, padding, record = sys.argv[1:]
record = replace(store.parse(record), details={"padding": "x" * int(padding)})
with store.Writer(Path(folder)) as writer:
    for i in range(int(number)):
        writer.append([replace(record, variant=f"{name}-{i}")])
        os.write(1, f"{name}-{i}\\n".encode())  # append has returned
"""


def write(folder, name, record, number, padding=0):
    command = [sys.executable, "-c", WRITER, *map(str, (folder, name, number, padding)), as_line(record)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0, cwd=ROOT)


def as_line(record):
    return json.dumps(store.to_json(record))


def lines_in(folder, *lines, name="20260101T000000Z-1-aa.jsonl"):
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"".join(line if isinstance(line, bytes) else line.encode() + b"\n" for line in lines))
    return store.read(folder)


# --- what is written is read back


def test_records_come_back_as_they_were(make_record, filled):
    records = [
        make_record(),
        make_record("esc-x3", "macs", values=(267612860160, 0.5), details={"by": {"conv": 1}, "text": "–×\n|"}),
        make_record(status="failed", reason='it "failed"\nin two lines', environment={"cores": 2}),
    ]
    read = store.read(filled(*records))
    assert list(read.records) == records
    assert read.problems == ()


def test_a_record_is_one_line_of_json_with_the_public_fields(make_record, filled):
    folder = filled(make_record(reason=None))
    (line,) = next(folder.glob("*.jsonl")).read_text().splitlines()
    fields = json.loads(line)
    public = "variant protocol probe unit values status reason recorded_at machine schema probe_version".split()
    assert fields.keys() >= set(public)
    assert fields["schema"] == SCHEMA


def test_each_writer_has_a_file_of_its_own_that_appears_with_its_first_record(make_record, tmp_path):
    with store.Writer(tmp_path) as one, store.Writer(tmp_path) as other, store.Writer(tmp_path) as idle:
        idle.check()
        assert list(tmp_path.iterdir()) == []
        for _ in range(2):
            one.append([make_record()])
            other.append([make_record()])
    files = sorted(tmp_path.iterdir())
    assert [len(f.read_text().splitlines()) for f in files] == [2, 2]


def test_a_missing_folder_is_empty_and_is_made_when_written_to(make_record, tmp_path):
    folder = tmp_path / "a" / "b"
    assert store.read(folder) == store.Contents((), ())
    with store.Writer(folder) as writer:
        writer.append([make_record()])
    assert len(store.read(folder).records) == 1


def test_only_files_of_records_are_read(make_record, filled):
    folder = filled(make_record())
    (folder / ".gitkeep").touch()
    (folder / "README.md").write_text("no record")
    assert (len(store.read(folder).records), store.read(folder).problems) == (1, ())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_value_that_is_no_number_is_refused_and_leaves_nothing_behind(make_record, tmp_path, value):
    with store.Writer(tmp_path) as writer:
        writer.append([make_record()])
        with pytest.raises(ValueError, match="not JSON compliant"):
            writer.append([make_record(values=(value,))])
        writer.append([make_record("esc-x2")])
    assert [r.variant for r in store.read(tmp_path).records] == ["esc-x4", "esc-x2"]


def test_a_record_is_one_write_and_is_on_the_disk_when_append_returns(make_record, tmp_path, monkeypatch):
    calls = []

    def watch(name):
        real = getattr(os, name)

        def watched(handle, *rest):
            calls.append(f"{name} {'folder' if os.path.isdir(f'/dev/fd/{handle}') else 'file'}")
            return real(handle, *rest)

        monkeypatch.setattr(os, name, watched)

    with store.Writer(tmp_path) as writer:
        for name in ("write", "fsync"):
            watch(name)
        writer.append([make_record(), make_record("esc-x2")])
    assert calls == ["fsync folder", "write file", "fsync file", "write file", "fsync file"]


# --- which record wins


def test_the_newest_record_of_a_thing_wins_and_older_ones_stay(make_record, filled):
    new = make_record(recorded_at="2026-02-01T00:00:00.000000Z", values=(2,))
    old = make_record(recorded_at="2026-01-01T00:00:00.000000Z", values=(1,))
    read = store.read(filled(new, old))
    assert list(read.newest().values()) == [new]
    assert list(read.records) == [new, old]


def test_of_two_with_one_time_the_later_line_wins(make_record, filled):
    read = store.read(filled(make_record(values=(1,)), make_record(values=(2,))))
    assert [r.values for r in read.newest().values()] == [(2,)]


def test_times_are_compared_as_times_not_as_texts(make_record, filled):
    times = ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.5Z", "2026-01-01T01:00:00.1+01:00"]
    read = store.read(filled(*(make_record(recorded_at=t, values=(n,)) for n, t in enumerate(times))))
    assert [r.values for r in read.newest().values()] == [(1,)]


@pytest.mark.parametrize("status", ["failed", "timeout", "out-of-memory", "unsupported"])
@pytest.mark.parametrize("first", [True, False])
def test_a_newer_failure_hides_no_value_and_the_newest_value_wins(make_record, filled, status, first):
    values = [make_record(recorded_at=f"2026-0{month}-01T00:00:00.000000Z", values=(month,)) for month in (1, 3, 2)]
    failure = make_record(status=status, reason="x", recorded_at="2027-01-01T00:00:00.000000Z")
    read = store.read(filled(failure, *values) if first else filled(*values, failure))
    assert [r.values for r in read.newest().values()] == [(3,)]
    assert len(read.records) == 4


def test_of_failures_the_newest_stands(make_record, filled):
    old, new = (
        make_record(status=s, reason="x", recorded_at=f"{year}-01-01T00:00:00.000000Z")
        for s, year in (("timeout", 2026), ("failed", 2027))
    )
    assert list(store.read(filled(new, old)).newest().values()) == [new]


def test_a_thing_is_its_variant_probe_version_and_conditions(make_record, filled):
    one = make_record()
    others = [
        make_record("esc-x2"),
        make_record(probe="macs"),
        make_record(probe_version=one.probe_version + 1),
        make_record(conditions={"counting": {"parameters": "trainable"}}),
    ]
    same = [make_record(protocol="esc+ceil"), make_record(machine="another"), make_record(environment={"cores": 1})]
    assert len(store.read(filled(one, *others, *same)).newest()) == 1 + len(others)


def test_the_order_of_conditions_makes_no_difference():
    assert store.identity("v", "p", 1, {"a": 1, "b": 2}) == store.identity("v", "p", 1, {"b": 2, "a": 1})


# --- what is no record


FOREIGN = {
    "nothing like JSON": (b"<html>", "not a whole line of JSON"),
    "torn": (b'{"variant": "esc-x4", "pro', "not a whole line of JSON"),
    "zeros after a crash": (b"\0" * 512, "not a whole line of JSON"),
    "no text": (b"\xff\xfe\x00", "not a whole line of JSON"),
    "too deep": (b"[" * 100_000, "not a whole line of JSON"),
    "a list": (b"[1, 2]", "JSON, but of type list and no record"),
    "a string": (b'"record"', "of type str and no record"),
    "a number": (b"12", "of type int and no record"),
    "null": (b"null", "of type NoneType and no record"),
    "another object": (b'{"variant": "esc-x4"}', "it lacks conditions, machine, probe"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_a_foreign_line_is_reported_with_file_and_line_and_skipped(make_record, tmp_path, case):
    line, why = FOREIGN[case]
    good = as_line(make_record())
    read = lines_in(tmp_path, good, "", line + b"\n", good)
    assert len(read.records) == 2
    (problem,) = read.problems
    assert (problem.file.parent, problem.line) == (tmp_path, 3)
    assert why in problem.why
    assert str(problem).startswith(f"{problem.file}:3: ")
    assert str(problem).endswith("; the line was skipped")


WRONG = {
    "values": [None, 5, True, "967500", [True], ["1"], [[1]], {"a": 1}, [], [float("nan")], [float("inf")]],
    "status": ["fine", None, ["ok"], "failed"],
    "variant": [None, 5, ["esc-x4"]],
    "unit": [None, 1],
    "recorded_at": [None, 1767225600, "", "yesterday", "2026-01-01", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z"],
    "machine": [None, {}],
    "probe_version": ["1", None, 1.5, True],
    "conditions": [None, [], "x"],
    "details": [None, [], "x"],
    "environment": [None, [], "x"],
    "schema": [None, "1", True, 0, SCHEMA + 1],
    "reason": [5, ["x"]],
}


@pytest.mark.parametrize(("field", "value"), [(f, v) for f, values in WRONG.items() for v in values])
def test_a_field_of_the_wrong_kind_makes_it_no_record(make_record, tmp_path, field, value):
    fields = store.to_json(make_record())
    read = lines_in(tmp_path, json.dumps(fields), json.dumps(fields | {field: value}))
    assert len(read.records) == 1
    assert [p.line for p in read.problems] == [2]
    assert read.frame().shape[0] == 1


def test_a_record_of_a_newer_schema_says_so(make_record, tmp_path):
    fields = store.to_json(make_record()) | {"schema": SCHEMA + 1, "values": "in another way"}
    (problem,) = lines_in(tmp_path, json.dumps(fields)).problems
    assert problem.why == (
        f"a record of schema {SCHEMA + 1}, newer than this workbench's {SCHEMA}; update the workbench"
    )


def test_a_field_that_came_later_is_passed_over(make_record, tmp_path):
    record = make_record()
    assert lines_in(tmp_path, json.dumps(store.to_json(record) | {"colour": "red"})).records == (record,)


def test_wherever_the_last_line_is_torn_the_ones_before_stand(make_record):
    first, last = (as_line(r).encode() for r in (make_record(), make_record("esc-x2")))
    assert store.parse(last).variant == "esc-x2"
    assert store.parse(first).variant == "esc-x4"
    for cut in range(1, len(last)):
        with pytest.raises(ValueError, match="torn"):
            store.parse(last[:cut])


def test_a_file_that_cannot_be_read_is_reported_and_the_others_are(make_record, filled):
    folder = filled(make_record())
    (folder / "folder.jsonl").mkdir()
    (folder / "nowhere.jsonl").symlink_to(folder / "missing")
    read = store.read(folder)
    assert len(read.records) == 1
    assert [p.file.name for p in read.problems] == ["folder.jsonl", "nowhere.jsonl"]
    assert str(read.problems[0]) == f"{folder}/folder.jsonl: cannot be read (Is a directory); the file was skipped"
    assert "nowhere.jsonl: cannot be read (No such file or directory); the file" in str(read.problems[1])


def test_the_committed_example_is_read_as_it_was_when_it_was_written(example):
    read = store.read(example)
    assert [(r.variant, r.probe, r.values, r.status) for r in read.records] == [
        ("esc-fp-x4", "params", (539263,), "ok"),
        ("esc-fp-x4", "macs", (60840592000,), "ok"),
        ("hit-srf-x3", "macs", (101422543848,), "ok"),
        ("esc-x4", "params", (1,), "ok"),
        ("esc-x4", "params", (967500,), "ok"),
        ("atd-light-x4", "macs", (), "out-of-memory"),
    ]
    assert [(p.line, p.why.split(";")[0]) for p in read.problems] == [
        (5, "a record of schema 9001, newer than this workbench's 1"),
        (8, "not a whole line of JSON (torn by a crash, or foreign)"),
    ]
    assert [r.values for r in read.newest().values() if r.variant == "esc-x4"] == [(967500,)]


# --- many writers, and writers that die


def test_eight_processes_lose_nothing_and_write_nothing_twice(make_record, tmp_path):
    number = 200
    writers = [write(tmp_path, f"w{i}", make_record(), number) for i in range(8)]
    outputs = [w.communicate(timeout=300)[0] for w in writers]
    assert [w.returncode for w in writers] == [0] * 8
    assert [len(o.splitlines()) for o in outputs] == [number] * 8
    read = store.read(tmp_path)
    assert read.problems == ()
    assert Counter(r.variant for r in read.records) == Counter(f"w{i}-{n}" for i in range(8) for n in range(number))
    assert len(list(tmp_path.iterdir())) == 8


def test_a_writer_killed_at_any_instant_loses_nothing_it_has_finished(make_record, tmp_path):
    instants = random.Random(2026)
    writers = [write(tmp_path, f"w{i}", make_record(), 10**6, padding=200_000) for i in range(8)]
    finished = [w.stdout.readline() for w in writers]  # each has begun
    for i, writer in enumerate(writers):
        time.sleep(instants.uniform(0, 0.05))
        writer.send_signal(signal.SIGKILL)
        finished[i] += writer.communicate(timeout=60)[0]
        assert writer.returncode == -signal.SIGKILL
    reported = {name for text in finished for name in text.decode().split("\n")[:-1]}
    read = store.read(tmp_path)
    stored = Counter(r.variant for r in read.records)
    assert reported <= stored.keys()
    assert set(stored.values()) == {1}
    assert len(stored) <= len(reported) + len(writers)  # written, and killed before it could say so
    assert len({p.file for p in read.problems}) == len(read.problems)  # at most one torn line a writer
    for problem in read.problems:
        assert "torn" in problem.why
        assert problem.line == len(problem.file.read_bytes().split(b"\n"))  # its last


# --- a disk that is full, a folder that is none

FILL = """
import sys
from pathlib import Path
from workbench import store
from workbench.spec import UserError
folder, record = Path(sys.argv[1]), store.parse(sys.argv[2])
written = 0
with store.Writer(folder) as writer:
    try:
        while written < 10**5:
            writer.append([record])
            written += 1
    except UserError as error:
        print(error)
read = store.read(folder)
print(written, len(read.records), len(read.problems), all(f.read_bytes().endswith(b"\\n") for f in folder.iterdir()))
"""


def full(told, folder):
    """What `FILL` has to say, and nothing is lost or torn."""
    sentence, counts = told.splitlines()
    written, kept, torn, whole = counts.split()
    assert int(written) == int(kept) > 0
    assert (torn, whole) == ("0", "True")
    assert sentence.startswith(f"Cannot write a record to {folder}: ")
    assert "Records written before are safe" in sentence
    assert sentence.endswith("Free some space and run the same command again.")


def test_a_full_disk_has_its_sentence_and_tears_no_line(make_record, tmp_path, python):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
    full(python(limit + FILL, tmp_path, as_line(make_record())).out, tmp_path)


def test_a_full_file_system_has_its_sentence_and_tears_no_line(make_record, tmp_path):
    mount = f"mount -t tmpfs -o size=64k tmpfs {tmp_path} && exec {sys.executable} -c"
    namespace = ["unshare", "--mount", "sh", "-c"]  # the mount ends with the process
    try:
        able = subprocess.run([*namespace, f"{mount} pass"], capture_output=True, text=True, cwd=ROOT, check=False)
    except FileNotFoundError:
        pytest.skip("no `unshare` here, so no file system of its own that could be filled")
    if able.returncode:
        pytest.skip(f"no mount namespace here: {able.stderr.strip()}")
    words = [*namespace, f'{mount} "$0" "$@"', FILL, str(tmp_path), as_line(make_record())]
    full(subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=True).stdout, tmp_path)


def test_a_file_in_place_of_the_folder_has_its_sentences(make_record, tmp_path):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(UserError) as reading:
        store.read(file)
    assert str(reading.value) == (
        f"Cannot read the records in {file}: Not a directory. Name a readable folder with --records."
    )
    for folder in (file, file / "below"):
        with store.Writer(folder) as writer, pytest.raises(UserError) as writing:
            writer.append([make_record()])
        assert str(writing.value).startswith(f"Cannot write a record to {folder}: ")
        assert str(writing.value).endswith("Name a writable folder with --records.")
        with store.Writer(folder) as writer, pytest.raises(UserError, match="Name a writable folder"):
            writer.check()


@pytest.fixture
def read_only(tmp_path):
    """A folder that exists and takes no file: root may write anywhere but into the kernel's own."""
    if os.geteuid():
        tmp_path.chmod(0o555)
        yield tmp_path
        tmp_path.chmod(0o755)
    elif Path("/proc/self").is_dir():
        yield Path("/proc/self")
    else:
        pytest.skip("run as root on a system without /proc: no folder refuses a file")


def test_a_folder_that_takes_no_file_is_told_before_anything_is_measured(make_record, read_only):
    assert store.read(read_only).records == ()
    with store.Writer(read_only) as writer:
        for attempt in (writer.check, lambda: writer.append([make_record()])):
            with pytest.raises(UserError, match=f"Cannot write a record to {read_only}: .*Name a writable folder"):
                attempt()


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_a_folder_that_cannot_be_listed_has_its_sentence(tmp_path):
    tmp_path.chmod(0o000)
    try:
        with pytest.raises(UserError, match=r"Cannot read the records in .*: Permission denied\. Name a readable"):
            store.read(tmp_path)
    finally:
        tmp_path.chmod(0o755)


# --- asking


def test_the_frame_has_a_row_for_each_record(make_record, filled):
    frame = store.read(filled(make_record(), make_record("esc-x2", status="timeout", reason="slow"))).frame()
    assert list(frame["variant"]) == ["esc-x4", "esc-x2"]
    assert frame["conditions"][0] == {"counting": {"parameters": "total"}}
    assert list(frame["values"]) == [(967500,), ()]
    assert list(frame["status"]) == ["ok", "timeout"]


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("select variant from records order by variant", {"variant": ["esc-x2", "esc-x4"]}),
        ("select values[1] as v from records where status = 'ok'", {"v": [967500]}),
        ("select conditions ->> '$.counting.parameters' as p from records limit 1", {"p": ["total"]}),
        ("select count(*) as n from records", {"n": [2]}),
    ],
)
def test_records_can_be_asked_in_sql(make_record, filled, sql, found):
    read = store.read(filled(make_record(), make_record("esc-x2", status="timeout", reason="slow")))
    assert read.query(sql).to_dict("list") == found


def test_an_empty_store_can_be_asked(tmp_path):
    assert store.read(tmp_path).query("select count(*) as n from records")["n"][0] == 0
    assert list(store.read(tmp_path).frame().columns[:3]) == ["variant", "protocol", "probe"]


@pytest.mark.parametrize("sql", ["select colour from records", "selct", "select * from elsewhere"])
def test_a_query_that_fails_has_its_sentence(make_record, filled, sql):
    with pytest.raises(UserError) as told:
        store.read(filled(make_record())).query(sql)
    sentence = str(told.value)
    assert sentence.startswith(f"The query {sql!r} failed: ")
    assert "Columns of the table 'records': variant, protocol, probe," in sentence
    assert "\n" not in sentence
    assert not re.search(r"[.!?]\.", sentence)


@pytest.mark.parametrize(
    "sql",
    [
        "select * from '{file}'",
        "select * from read_text('{file}')",
        "copy records to '{file}.csv'",
        "attach '{file}.db'",
        "export database '{file}.d'",
        "load httpfs",
        "install httpfs",
        "set enable_external_access = true",
        "select * from variable",
    ],
)
def test_a_query_sees_the_records_and_nothing_else(make_record, filled, tmp_path, sql):
    variable = store.read(filled(make_record())).frame()
    assert len(variable) == 1
    (tmp_path / "file").write_text("a\n1\n")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=r"^The query .* failed: "):
        store.read(tmp_path / "records").query(sql.format(file=tmp_path / "file"))
    assert sorted(tmp_path.rglob("*")) == before


def test_dates_in_an_answer_bring_no_warnings_of_others(make_record, filled):
    with warnings.catch_warnings(action="error"):
        assert len(store.read(filled(make_record())).query("select recorded_at::date as d from records")) == 1


# --- results


def test_a_result_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "tables" / "a.md"
    store.replace(path, "é\n")
    assert path.read_bytes() == "é\n".encode()
    store.replace(path, b"new")

    def full(self, content):
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError) as told:
        store.replace(path, "never")
    assert str(told.value) == (
        f"Cannot write {path}: No space left on device. Free some space and run the same command again."
    )
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


def test_results_in_place_of_a_folder_have_their_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"^Cannot write .*/file/a\.md: .*\. Name a writable folder with --results"):
        store.replace(tmp_path / "file" / "a.md", "")
    with pytest.raises(UserError, match=r"^Cannot write .*/file/tables: Not a directory\. Name a writable"):
        store.check_results(tmp_path / "file")
    store.check_results(tmp_path / "new")
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["figures", "report", "tables"]
    assert not any(p.is_file() for p in (tmp_path / "new").rglob("*"))


# --- what is written beside the records


def test_a_place_for_a_file_is_looked_at_before_and_no_folder_is_made(tmp_path):
    store.check_file(tmp_path / "a" / "b" / "c.png", "-o")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    for taken, why in ((tmp_path, "Is a directory"), (tmp_path / "file" / "a.png", "Not a directory")):
        with pytest.raises(UserError) as told:
            store.check_file(taken, "-o")
        assert str(told.value) == f"Cannot write {taken}: {why}. Name a writable folder with -o."


@pytest.mark.parametrize(
    "words",
    [
        ("trace", "esc-x4", "--picture", "{}"),
        ("share", "swinir-light-x4", "--picture", "{}"),
        ("field", "imdn-x4", "--picture", "{}"),
        ("figure", "esc-front", "-o", "{}"),
        ("crops", "none.png", "--region", "0,0,9,9", "--models", "imdn-x4", "-o", "{}"),
        ("export", "{}.zip"),
    ],
    ids=lambda words: words[0],
)
def test_no_command_works_for_what_it_cannot_write(workbench, tmp_path, words):
    (tmp_path / "file").touch()
    ran = workbench(*(word.format(tmp_path / "file" / "a.png") for word in words), "--json")
    assert (ran.code, ran.out) == (2, ""), ran.err
    assert ran.err.startswith(f"workbench: Cannot write {tmp_path / 'file'}/")
    assert ran.err.count("\n") == 1


def test_attention_looks_first_whether_its_results_can_be_written(workbench, tmp_path):
    (tmp_path / "file").touch()
    ran = workbench("attention", "swinir-light-x4", "--results", tmp_path / "file")
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert ran.err.startswith(f"workbench: Cannot write {tmp_path / 'file'}/tables: Not a directory.")
