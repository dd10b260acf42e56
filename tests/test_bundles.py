"""Bundles: the same records give the same bytes; what comes from elsewhere is data, and refused if it is not whole."""

import gzip
import hashlib
import io
import json
import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from workbench import bundles, merging, probes, sidefiles, store
from workbench.spec import UserError
from workbench.store import lines

TIMES = [f"2026-01-0{day}T00:00:00.000000Z" for day in range(1, 10)]


@pytest.fixture
def here(make_record, filled):
    """A store of two machines, one record twice, one with a side file."""
    array = sidefiles.put(filled().parent / "records", np.arange(5.0))
    one = make_record(values=(1,), recorded_at=TIMES[0], environment={"commit": "abc", "versions": {"torch": "2"}})
    other = make_record("esc-x3", recorded_at=TIMES[1], machine="NVIDIA H100", details={"array": array, "n": [1, "x"]})
    return filled(other, one, one)


def rewritten(path, change=lambda name, content: content, extra=(), manifest=None):
    """A bundle with its members changed by somebody."""
    with zipfile.ZipFile(path) as file:
        held = {n: change(n, file.read(n)) for n in file.namelist()}
    if manifest:
        told = json.loads(held["manifest.json"])
        held["manifest.json"] = json.dumps(manifest(told) or told).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in [*((n, c) for n, c in held.items() if c is not None), *extra]:
            file.writestr(name, content)
    return path


def packed(folder, path):
    path.write_bytes(bundles.packed(store.read(folder).records, folder))
    return path


# --- there and back


def test_the_same_records_give_the_same_bytes_whatever_their_files(here, tmp_path, make_record):
    once = bundles.packed(store.read(here).records, here)
    other = tmp_path / "other"
    for record in reversed(store.read(here).records):
        with store.Writer(other) as writer:
            writer.append([record])
    (other / "arrays").mkdir()
    for side in (here / "arrays").iterdir():
        (other / "arrays" / side.name).write_bytes(side.read_bytes())
    assert bundles.packed(store.read(other).records, other) == once
    assert bundles.packed([*store.read(other).records, make_record("esc-x2")], other) != once


def test_what_is_exported_is_imported_once_with_its_machine_and_side_files(here, tmp_path, workbench):
    there, bundle = tmp_path / "there", tmp_path / "a.zip"
    told = workbench("export", bundle, "--records", here)
    assert (told.code, told.err) == (0, "")
    assert told.out.startswith(f"{bundle}: 2 records, 1 side file, ")
    digest = told.out.split()[-1]
    ran = workbench("import", bundle, "--records", there, "--digest", digest)
    assert ran.out == ("2 new records, 0 known already, 1 new side file.\n  1 of NVIDIA H100\n  1 of a machine\n"), (
        ran.err
    )
    files = sorted(there.iterdir())
    assert workbench("import", bundle, "--records", there).out.startswith("0 new records, 2 known already, 0 new side")
    assert sorted(there.iterdir()) == files
    assert len(files) == 2
    came = store.read(there).newest()
    assert came == store.read(here).newest()
    name = next(r for r in came.values() if r.variant == "esc-x3").details["array"]
    assert list(sidefiles.get(there, name)) == [0, 1, 2, 3, 4]
    manifest = json.loads(zipfile.ZipFile(bundle).read("manifest.json"))
    assert manifest["format"] == 1
    assert manifest["machines"] == {"NVIDIA H100": 1, "a machine": 1}
    ran = workbench("import", bundle, "--records", tmp_path / "third", "--digest", "0" * 64)
    assert (ran.code, ran.out) == (2, "")
    assert f"has the digest {digest}, and '000" in ran.err
    assert not (tmp_path / "third").exists()


def test_two_machines_stores_merge_either_way_to_the_same(make_record, tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    shared = make_record(recorded_at=TIMES[0])
    for folder, own in ((a, "one"), (b, "other")):
        with store.Writer(folder) as writer:
            writer.append([shared, make_record(machine=own, recorded_at=TIMES[1], values=(2,))])
    first, second = packed(a, tmp_path / "a.zip"), packed(b, tmp_path / "b.zip")
    assert merging.merge(bundles.opened(second), a).came == {"other": 1}
    assert merging.merge(bundles.opened(first), b).came == {"one": 1}
    assert bundles.packed(store.read(a).records, a) == bundles.packed(store.read(b).records, b)
    assert len(store.read(a).records) == 3


@pytest.mark.parametrize(
    ("select", "found"),
    [
        ((), {"esc-x3", "esc-x4"}),
        (("variant=esc-x3",), {"esc-x3"}),
        (("machine=NVIDIA*",), {"esc-x3"}),
        (("variant=esc-x3", "variant=esc-x4", "probe=par*"), {"esc-x3", "esc-x4"}),
        (("variant=esc-x4", "machine=NVIDIA*"), set()),
    ],
)
def test_records_are_selected_by_what_they_are_of(here, select, found):
    assert {r.variant for r in bundles.selected(store.read(here).records, select)} == found


def test_what_cannot_be_exported_has_its_sentence(here, tmp_path, workbench):
    (tmp_path / "file").touch()
    for words, told in (
        (("a.tar",), "'a.tar' is named otherwise; give a name that ends in .zip"),
        (("a.zip", "--select", "colour=red"), "No field to select by 'colour'."),
        (("a.zip", "--select", "esc*"), "--select 'esc*' names nothing; give FIELD=GLOB"),
        (("a.zip", "--select", "variant=none"), "No record that variant=none picks in"),
        ((tmp_path / "file" / "a.zip",), "Cannot write"),
    ):
        ran = workbench("export", *words, "--records", here)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1), ran.err
        assert told in ran.err


# --- conflicts and clocks


def test_another_value_of_one_measurement_is_refused_or_left_out(here, tmp_path, workbench, make_record):
    there, bundle = tmp_path / "there", packed(here, tmp_path / "a.zip")
    with store.Writer(there) as writer:
        writer.append([make_record(values=(7,), recorded_at=TIMES[0])])
    before = sorted(there.iterdir())
    ran = workbench("import", bundle, "--records", there)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert "1 of 2 records say something else than is known here of the same measurement, and nothing" in ran.err
    assert f"params of esc-x4 on a machine at {TIMES[0]} is 7 here and 1 there." in ran.err
    assert sorted(there.iterdir()) == before
    ran = workbench("import", bundle, "--records", there, "--skip-conflicts", "--json")
    assert json.loads(ran.out) == {"came": {"NVIDIA H100": 1}, "known": 0, "conflicts": 1, "side_files": 1}
    assert "is 7 here and 1 there; what is here stays as it is." in ran.err
    assert sorted(r.values for r in store.read(there).records) == [(7,), (967500,)]


def test_a_conflict_of_the_same_values_names_the_fields(make_record, tmp_path):
    mine = make_record(recorded_at=TIMES[0])
    its = replace(mine, details={"a": 1}, took=3.0)
    said = f"params of esc-x4 on a machine at {TIMES[0]}"
    assert merging.differing(mine, its) == f"{said} has the same values, and differs in its details, took"
    assert merging.differing(mine, replace(its, values=(2,))) == f"{said} is 967500 here and 2 there"
    large = merging.differing(replace(mine, values=(591983033600.0,)), replace(mine, values=(1183966067200.0,)))
    assert large == f"{said} is 591983033600 here and 1183966067200 there"


def test_a_bundle_at_odds_with_itself_is_refused(make_record, tmp_path):
    one = make_record(recorded_at=TIMES[0])
    path = tmp_path / "a.zip"
    path.write_bytes(bundles.packed([one, replace(one, values=(2,))], tmp_path))
    with pytest.raises(UserError, match="1 of 2 records say something else"):
        merging.merge(bundles.opened(path), tmp_path / "records")


def test_a_later_count_that_is_another_is_refused_on_whatever_machine(make_record, filled, tmp_path, workbench):
    there, path = filled(make_record(recorded_at=TIMES[0])), tmp_path / "a.zip"
    doubled = make_record(recorded_at=TIMES[1], values=(2 * 967500,), machine="another")
    again, failed = make_record(recorded_at=TIMES[2]), make_record(recorded_at=TIMES[3], status="failed", values=())
    path.write_bytes(bundles.packed([doubled, again, failed], tmp_path))
    ran = workbench("import", path, "--records", there)
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert (
        f"params of esc-x4 is 967500 (on a machine at {TIMES[0]}) here and 1935000 (on another at {TIMES[1]}) there, "
        "and a count is the same everywhere. Take the others: --skip-conflicts"
    ) in ran.err
    ran = workbench("import", path, "--records", there, "--skip-conflicts")
    assert ran.out.startswith("2 new records, 0 known already")
    assert {r.values for r in store.read(there).newest().values()} == {(967500,)}


def test_two_counts_of_one_thing_in_one_bundle_are_refused_and_two_times_are_not(make_record, tmp_path):
    def two(probe):
        made = [make_record(probe=probe, recorded_at=TIMES[n], values=(float(n + 1),), unit=unit) for n in (0, 1)]
        return bundles.Bundle(tuple(made), {}, "")

    unit = "seconds"
    assert sum(merging.merge(two("latency"), tmp_path / "times").came.values()) == 2
    unit = "count"
    with pytest.raises(UserError, match=r"1 of 2 records say something else .* is 1 .* here and 2 .* there"):
        merging.merge(two("params"), tmp_path / "counts")
    assert not (tmp_path / "counts").exists()


def test_another_machine_s_clock_that_is_ahead_is_told(make_record, tmp_path, workbench):
    path = tmp_path / "a.zip"
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    path.write_bytes(bundles.packed([make_record(recorded_at=soon), make_record()], tmp_path))
    ran = workbench("import", path, "--records", tmp_path / "records")
    assert ran.code == 0
    assert ran.err.startswith(f"workbench: 1 record dated later than now by this clock, up to {soon}: until")


def test_records_of_another_day_to_come_are_not_taken_and_the_others_can_be(make_record, tmp_path, workbench):
    path, there, late = tmp_path / "a.zip", tmp_path / "records", "2150-01-01T00:00:00Z"
    path.write_bytes(bundles.packed([make_record(recorded_at=late), make_record()], tmp_path))
    ran = workbench("import", path, "--records", there)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert f"1 of 2 records are dated more than a day later than now by this machine's clock, up to {late}," in ran.err
    assert not there.exists()
    ran = workbench("import", path, "--records", there, "--skip-conflicts")
    assert (ran.code, ran.err.count("\n")) == (0, 1)
    assert ran.err.endswith(f"up to {late}: left out, and in {path} still.\n")
    assert [r.recorded_at for r in store.read(there).records] == [make_record().recorded_at]


def test_what_was_here_before_is_no_news_whatever_its_date(make_record, filled, tmp_path, workbench):
    there, path = filled(make_record(recorded_at="2150-01-01T00:00:00Z")), tmp_path / "a.zip"
    path.write_bytes(bundles.packed(store.read(there).records, there))
    assert workbench("import", path, "--records", there).out.startswith("0 new records, 1 known already")


def test_a_probe_of_a_newer_version_is_kept_and_said(make_record, tmp_path, workbench):
    path, there = tmp_path / "a.zip", tmp_path / "records"
    new = replace(make_record(), probe="warmth", unit="kelvins", values=(-3.0,))
    path.write_bytes(bundles.packed([new, replace(make_record(), probe="attention", unit="1")], tmp_path))
    ran = workbench("import", path, "--records", there)
    assert (ran.code, ran.out.splitlines()[0]) == (0, "2 new records, 0 known already, 0 new side files.")
    assert ran.err.startswith("workbench: 1 record of what this version knows no probe for: warmth. Kept for one that")
    assert new in store.read(there).records


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"values": (-5,)}, "line 1 of records.jsonl is a record whose values have -5 count, and there is no less tha"),
        ({"variant": " "}, "line 1 of records.jsonl is a record whose variant is empty"),
        ({"unit": "seconds"}, "line 1 of records.jsonl has params in 'seconds', which is in count"),
        ({"took": -1.0}, "line 1 of records.jsonl is a record whose took is no number of seconds"),
    ],
)
def test_what_cannot_be_true_of_a_probe_is_refused_with_its_line(make_record, tmp_path, workbench, changes, told):
    path = tmp_path / "a.zip"
    path.write_bytes(bundles.packed([replace(make_record(), **changes)], tmp_path))
    ran = workbench("import", path, "--records", tmp_path / "records")
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert f"The bundle {path} was refused, and nothing of it taken: {told}" in ran.err


def test_studies_of_attention_are_called_as_they_call_themselves():
    from workbench.attention import fields, study

    assert {study.PROBE, fields.TRIAL.probe} < set(probes.STUDIES)


# --- what is torn, changed, or meant to harm

X = hashlib.sha256(b"x").hexdigest()
HARM = {
    "a changed line": (
        {"change": lambda n, c: c.replace(b"[1]", b"[2]") if n == "records.jsonl" else c},
        "'records.jsonl' is not what the manifest says; it was changed",
    ),
    "a changed side file": (
        {"change": lambda n, c: c if n[0] != "a" else c[:-1] + b"x"},
        "is not what the manifest says; it was changed",
    ),
    "a member that is gone": (
        {"change": lambda n, c: None if n == "records.jsonl" else c}, "'records.jsonl' is missing",
    ),
    "no manifest": ({"change": lambda n, c: None if n[0] == "m" else c}, "it has no manifest.json"),
    "a manifest that is none": ({"change": lambda n, c: b"[" * 10**4 if n[0] == "m" else c}, "manifest.json is none"),
    "a stranger": ({"extra": [("extra.txt", b"x")]}, "its manifest does not know 'extra.txt'"),
    "a path that leaves": (
        {
            "extra": [("../../evil.jsonl", b"x")],
            "manifest": lambda m: m["members"].update({"../../evil.jsonl": {"sha256": X}}),
        },
        "'../../evil.jsonl' is no place of a side file, and nothing is written elsewhere",
    ),
    "an absolute path": (
        {"manifest": lambda m: m["members"].update({"/etc/x": {}}), "extra": [("/etc/x", b"x")]}, "no place of a side",
    ),
    "another number of records": ({"manifest": lambda m: m.update(records=-1)}, "its manifest.json says {'records'"),
    "other machines": ({"manifest": lambda m: m.update(machines={"<script>": 2})}, "its manifest.json says"),
    "a member without facts": ({"manifest": lambda m: m["members"].update({"records.jsonl": 5})}, "is none"),
    "a bomb": ({"extra": [("b", b"\0" * 10**7)]}, "its manifest does not know 'b'"),
    "a known bomb": (
        {"change": lambda n, c: b"\0" * 10**7 if n[0] == "r" else c}, "unpacks to more than 500 times its size",
    ),
}  # fmt: skip


@pytest.mark.parametrize("harm", HARM)
def test_a_bundle_that_was_changed_is_refused_and_nothing_is_written(here, tmp_path, workbench, harm):
    how, told = HARM[harm]
    bundle = rewritten(packed(here, tmp_path / "a.zip"), **how)
    ran = workbench("import", bundle, "--records", tmp_path / "there")
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1), ran.err
    assert f"The bundle {bundle} was refused, and nothing of it taken: " in ran.err
    assert told in ran.err
    assert not (tmp_path / "there").exists()
    assert not (tmp_path / "evil.jsonl").exists()


def test_wherever_a_bundle_is_torn_it_is_refused(here, tmp_path):
    whole = packed(here, tmp_path / "a.zip").read_bytes()
    for cut in range(0, len(whole), 37):
        (tmp_path / "a.zip").write_bytes(whole[:cut])
        with pytest.raises(UserError, match=r"is no whole bundle|was refused"):
            bundles.opened(tmp_path / "a.zip")


def test_whatever_bit_turns_nothing_false_comes_through(here, tmp_path):
    whole, records = packed(here, tmp_path / "a.zip").read_bytes(), bundles.opened(tmp_path / "a.zip").records
    refused = 0
    for at in range(0, len(whole), 11):
        (tmp_path / "a.zip").write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        try:
            assert bundles.opened(tmp_path / "a.zip").records == records  # of what the format leaves unused
        except UserError:
            refused += 1
    assert refused > len(whole) / 11 / 2


def test_a_newer_format_says_so(here, tmp_path):
    path = rewritten(packed(here, tmp_path / "a.zip"), manifest=lambda m: {"format": 2, "all": "else"})
    with pytest.raises(
        UserError, match=r"is a bundle of format 2, newer than this workbench's 1; update the workbench"
    ):
        bundles.opened(path)


def test_a_bundle_of_lines_that_are_no_records_is_refused(make_record, tmp_path, monkeypatch):
    monkeypatch.setattr(bundles, "line", lambda record: b'{"schema": 9}')
    (tmp_path / "a.zip").write_bytes(bundles.packed([make_record()], tmp_path))
    with pytest.raises(UserError, match=r"line 1 of records.jsonl is a record of schema 9, newer than"):
        bundles.opened(tmp_path / "a.zip")


def test_what_is_no_bundle_has_its_sentence(tmp_path, workbench):
    (tmp_path / "text.zip").write_text("no zip")
    (tmp_path / "folder.zip").mkdir()
    for name, told in (
        ("nowhere.zip", "There is no bundle"),
        ("text.zip", "is no whole bundle (File is not a zip file)"),
        ("folder.zip", "Cannot read the bundle"),
    ):
        ran = workbench("import", tmp_path / name, "--records", tmp_path / "there")
        assert (ran.code, ran.err.count("\n")) == (2, 1), ran.err
        assert told in ran.err


@pytest.mark.parametrize("bound", ["MEMBERS", "WHOLE"])
def test_what_is_too_much_is_refused_before_it_is_unpacked(here, tmp_path, monkeypatch, bound):
    path = packed(here, tmp_path / "a.zip")
    monkeypatch.setattr(bundles, bound, 2)
    monkeypatch.setattr(bundles, "_read", lambda *_: pytest.fail("unpacked"))
    with pytest.raises(UserError, match=r"it (has 3 members|unpacks to [\d,]+ bytes, more than 2)"):
        bundles.opened(path)


def test_a_side_file_unpacks_to_what_its_name_says_and_to_no_more(tmp_path, monkeypatch):
    out = io.BytesIO()
    np.save(out, np.zeros(10))
    name = hashlib.sha256(out.getvalue()).hexdigest()
    content = gzip.compress(out.getvalue(), mtime=0)
    assert sidefiles.unpacked(content, name) == out.getvalue()
    assert sidefiles.unpacked(content + b"x", name) is None
    assert sidefiles.unpacked(content[:-1], name) is None
    assert sidefiles.unpacked(b"none", name) is None
    monkeypatch.setattr(sidefiles, "LARGEST", 100)
    assert sidefiles.unpacked(content, name) is None


def test_an_array_that_would_run_code_is_not_loaded(tmp_path):
    out = io.BytesIO()
    np.save(out, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    name = hashlib.sha256(out.getvalue()).hexdigest()
    store.at(tmp_path).put(f"arrays/{name}.npy.gz", gzip.compress(out.getvalue()))
    with pytest.raises(UserError, match=r"is no plain array: Object arrays cannot be loaded when allow_pickle=False"):
        sidefiles.get(tmp_path, name)


# --- a line from elsewhere

DEEP = {"a": 1}
for _ in range(lines.DEEPEST):
    DEEP = {"a": DEEP}

STRANGE = {
    "too deep": ({"details": DEEP}, "content is nested more than 64 deep"),
    "an integer beyond floats": ({"values": [10**400]}, "values are not finite numbers"),
    "half a character": ({"variant": "esc\ud800"}, "variant has characters that cannot be printed"),
    "half a character inside": ({"details": {"a": "\udfff"}}, "text has halves of characters"),
    "commands of a terminal": ({"machine": "\x1b[2J"}, "machine has characters that cannot be printed"),
    "a line in a name": ({"protocol": "esc\n"}, "protocol has characters that cannot be printed"),
    "a year nobody lives in": ({"recorded_at": "9999-12-31T23:59:59Z"}, "lies in the future"),
    "a year without computers": ({"recorded_at": "1066-10-14T09:00:00Z"}, "lies before the year 2000"),
    "a time without its zone": ({"recorded_at": "2026-01-01T00:00:00"}, "is no ISO time with its zone"),
}


@pytest.mark.parametrize("case", STRANGE)
def test_a_line_that_would_break_who_reads_it_is_no_record(make_record, case):
    change, why = STRANGE[case]
    fields = store.to_json(make_record())
    assert store.parse(json.dumps(fields)) == make_record()
    with pytest.raises(ValueError, match=why):
        store.parse(json.dumps(fields | change))


def test_an_integer_of_very_many_digits_and_a_line_without_end_are_no_records(make_record, monkeypatch):
    line = json.dumps(store.to_json(make_record()))
    with pytest.raises(ValueError, match="more digits than can be read"):
        store.parse(line.replace("967500", "9" * 5000))
    monkeypatch.setattr(lines, "LONGEST", len(line) - 1)
    with pytest.raises(ValueError, match=r"^a line of \d+ bytes, and no record has more than"):
        store.parse(line)
