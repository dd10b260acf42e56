"""The index of records: it gives what the text gives, parses less, and is believed only of bytes that are the same."""

import json
import os
from dataclasses import replace

import pytest

from workbench import judge, lazily, ledger, papers, report, store
from workbench.spec import UserError
from workbench.store import compacting, writing


@pytest.fixture
def folder(make_record, tmp_path):
    """Two files: values, a failure after a value, an older copy after a newer one, equal times, lines that are none."""
    old, new = "2026-01-01T00:00:00.000000Z", "2026-01-01T00:00:00.000001Z"
    records = [
        make_record("esc-x4", values=(967_500,), recorded_at=new),
        make_record("esc-x4", values=(1,), recorded_at=old),
        make_record("esc-x4", status="failed", reason="x", recorded_at="2027-01-01T00:00:00Z"),
        make_record("esc-x3", values=(1,), recorded_at=old),
        make_record("esc-x3", values=(955_383,), recorded_at="2026-01-01T01:00:00.000000+01:00"),
        make_record("esc-x4", "macs", values=(149_190_176_000,)),
    ]
    lines = [json.dumps(store.to_json(r)) for r in records]
    (tmp_path / "a.jsonl").write_text("\n".join([*lines[:3], "", "torn", lines[3]]) + "\n")
    (tmp_path / "b.jsonl").write_text("\n".join([*lines[4:], '{"schema": 1}']) + "\n" + lines[0][:40])
    return tmp_path


@pytest.fixture
def plain(folder):
    """What the text says before there is an index."""
    return store.read(folder)


def told(contents):
    newest = contents.newest()
    return tuple(contents.records), contents.problems, contents.ends, {k: newest[k] for k in newest}


def indexed(folder):
    contents = store.read(folder)
    assert isinstance(contents.records, lazily.Records)
    return contents


def test_it_says_what_the_text_says(folder, plain):
    assert compacting.index(folder) == 6
    contents = indexed(folder)
    assert told(contents) == told(plain)
    assert contents.newest() == plain.newest()
    assert len(contents.records) == 6
    assert (contents.records[-1], contents.records[1:3]) == (plain.records[-1], plain.records[1:3])
    assert {r.variant: r.value for r in contents.newest().values() if r.probe == "params"} == {
        "esc-x4": 967_500, "esc-x3": 955_383,
    }  # fmt: skip


def test_a_table_is_the_same_and_parses_only_what_it_asks_for(folder, plain, monkeypatch):
    table = papers.TABLES["esc-table2"]
    once = report.render(table, judge.judge(table, plain.newest()), "html")
    compacting.index(folder)
    parsed = []
    real = store.parse
    monkeypatch.setattr(store, "parse", lambda line: parsed.append(line) or real(line))
    assert report.render(table, judge.judge(table, indexed(folder).newest()), "html") == once
    assert len(parsed) == 3 + 1  # the newest of each, and the torn line that is behind the index


@pytest.mark.parametrize("more", ["whole", "torn", "none"])
def test_what_is_appended_later_counts(folder, make_record, more):
    compacting.index(folder)
    later = make_record("esc-x4", values=(5,), recorded_at="2026-02-01T00:00:00Z")
    with (folder / "a.jsonl").open("a") as file:
        file.write({"whole": json.dumps(store.to_json(later)) + "\n", "torn": '{"sch', "none": "\n\n"}[more])
    (folder / "c.jsonl").write_text(json.dumps(store.to_json(replace(later, variant="esc-x2"))) + "\n")
    contents = indexed(folder)
    (folder / ledger.FOLDER / "files.json").unlink()
    assert told(contents) == told(store.read(folder))
    assert (5,) in [r.values for r in contents.newest().values() if r.variant == "esc-x2"]


def test_a_file_that_was_changed_is_read_as_text(folder):
    compacting.index(folder)
    text = (folder / "a.jsonl").read_text()
    (folder / "a.jsonl").write_text(text.replace("967500", "967501"))
    (folder / "b.jsonl").unlink()
    contents = store.read(folder)
    assert max(r.value for r in contents.newest().values()) == 967_501
    assert {p.file.name for p in contents.problems} == {"a.jsonl"}


def test_a_change_that_size_time_and_ends_do_not_show_is_told_when_it_is_met(folder, make_record):
    file = folder / "a.jsonl"
    padding = make_record("esc-x2", details={"padding": "x" * 3 * ledger.END})
    line = json.dumps(store.to_json(padding))
    file.write_text("\n".join([line, file.read_text().splitlines()[0], line]) + "\n")
    compacting.index(folder)
    seen = file.stat()
    file.write_text(file.read_text().replace('"variant": "esc-x4"', '"variant": "esc-y4"'))
    os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    contents = indexed(folder)
    assert contents.records[0] == padding
    with pytest.raises(UserError, match=r"a\.jsonl was changed at byte \d+ after it was indexed, .* --compact$"):
        contents.records[1]
    os.utime(file)  # as a file is that was touched
    assert [r.variant for r in store.read(folder).records[:2]] == ["esc-x2", "esc-y4"]


def test_the_order_of_the_newest_is_that_of_the_text(folder, plain):
    compacting.index(folder)
    assert list(indexed(folder).newest()) == list(plain.newest())
    (folder / "b.jsonl").unlink()
    assert list(indexed(folder).newest()) == list(replace(plain, records=plain.records[:4]).newest())


def test_what_was_indexed_before_is_not_parsed_again(folder, make_record, monkeypatch):
    compacting.index(folder)
    with (folder / "b.jsonl").open("ab") as file:
        file.write(b"\n" + writing.as_line(make_record("esc-x2")))
    parsed = []
    real = compacting.parse
    monkeypatch.setattr(compacting, "parse", lambda line: parsed.append(line) or real(line))
    assert compacting.index(folder) == 7
    assert len(parsed) == 2  # the torn line, and the one behind it
    contents = indexed(folder)
    (folder / ledger.FOLDER / "files.json").unlink()
    assert told(contents) == told(store.read(folder))


@pytest.mark.parametrize("harm", ["parquet", "no parquet", "note", "no note", "newer schema", "other version"])
def test_an_index_that_cannot_be_trusted_is_none(folder, plain, harm):
    compacting.index(folder)
    note = folder / ledger.FOLDER / "files.json"
    lines = next((folder / ledger.FOLDER).glob("lines-*.parquet"))
    said = json.loads(note.read_text())
    {
        "parquet": lambda: lines.write_bytes(lines.read_bytes()[:-1] + b"x"),
        "no parquet": lines.unlink,
        "note": lambda: note.write_text("torn"),
        "no note": note.unlink,
        "newer schema": lambda: note.write_text(json.dumps(said | {"schema": 2})),
        "other version": lambda: note.write_text(json.dumps(said | {"version": 0})),
    }[harm]()
    assert store.read(folder) == plain
    assert isinstance(store.read(folder).records, tuple)


def test_indexing_again_leaves_one_index_and_no_draft(folder, plain):
    compacting.index(folder)
    (folder / "c.jsonl").write_bytes((folder / "a.jsonl").read_bytes())
    assert compacting.index(folder) == 10
    assert sorted(p.suffix for p in (folder / ledger.FOLDER).iterdir()) == [".json", ".parquet", ".parquet"]


def test_known_records_of_a_network_and_what_is_added(folder, make_record):
    compacting.index(folder)
    newest = indexed(folder).newest()
    assert [r.value for r in newest.of("esc-x3", "params")] == [955_383]
    assert newest.of("esc-x3", "macs") == []
    newest["new"] = added = make_record("esc-x3", values=(3,))
    assert newest["new"] is added
    assert len(newest) == 4
    assert added in newest.of("esc-x3", "params")
    assert "nothing" not in newest
    with pytest.raises(TypeError):
        del newest["new"]


def test_the_command_says_what_it_did_and_an_empty_folder_is_fine(workbench, folder, tmp_path):
    ran = workbench("records", "--compact", "--records", folder)
    assert (ran.code, ran.out) == (0, "6 records indexed; their text stays as it is, and the truth.\n")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert workbench("records", "--compact", "--records", empty).out.startswith("0 records indexed")
    assert store.read(empty).records == ()
    ran = workbench("records", "--compact", "--records", tmp_path / "nowhere")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert ran.err.endswith("nowhere, so there is nothing to index. Name one with --records.\n")
    assert workbench("records", "--compact", "--json").err.endswith("give --sql or --json without it.\n")


def test_a_folder_that_cannot_be_written_is_told_in_a_sentence(folder):
    (folder / ledger.FOLDER).write_text("in the way")
    with pytest.raises(UserError, match=r"^Cannot write .*\.compact: .* Name a writable folder with --records\.$"):
        compacting.index(folder)
    assert os.listdir(folder).count(ledger.FOLDER) == 1
