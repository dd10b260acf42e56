"""Places: a folder, and buckets of a real S3 server on loopback and of fsspec's memory; the same tests on each."""

import errno
import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from workbench import reservations, sidefiles, store
from workbench.spec import UserError
from workbench.store import buckets, compacting

WRITERS = Path(__file__).with_name("writers.py")


@pytest.fixture(scope="module")
def server():
    """An S3 server of this machine, which clients find by their own variables."""
    s3fs = pytest.importorskip("s3fs", reason="no s3fs here, which speaks to S3: pip install s3fs")
    moto = pytest.importorskip("moto.server", reason="no moto here, which serves S3: pip install 'moto[s3]' flask-cors")
    import logging

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    serving = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    serving.start()
    found = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{serving.get_host_and_port()[1]}",
        "AWS_ACCESS_KEY_ID": "made",
        "AWS_SECRET_ACCESS_KEY": "made",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as environment:
        for name, value in found.items():
            environment.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        yield
    s3fs.S3FileSystem.clear_instance_cache()
    serving.stop()


@pytest.fixture(params=["folder", "memory", "s3"])
def place(request, tmp_path):
    """A place that holds nothing yet."""
    if request.param == "folder":
        return tmp_path / "records"
    if request.param == "memory":
        return store.where(f"memory://{tmp_path}/records")
    request.getfixturevalue("server")
    import s3fs

    bucket = f"b{abs(hash(tmp_path)):x}"
    s3fs.S3FileSystem(use_listings_cache=False).mkdir(bucket)
    return store.where(f"s3://{bucket}/team/records")


def silent(sentence):
    pytest.fail(sentence)


def named(make_record, name):
    return replace(make_record(), variant=name)


# --- one interface


def test_what_is_written_is_read_and_the_newest_wins(place, make_record):
    assert store.read(place) == store.Contents((), ())
    with store.Writer(place) as one, store.Writer(place) as other:
        one.check()
        assert store.read(place).records == ()
        one.append([make_record(values=(1,)), make_record("esc-x2")])
        other.append([make_record(values=(2,), recorded_at="2026-02-01T00:00:00Z")])
        one.append([make_record("esc-x3")])
    contents = store.read(place)
    assert Counter(r.variant for r in contents.records) == {"esc-x4": 2, "esc-x2": 1, "esc-x3": 1}
    assert contents.problems == ()
    assert {r.variant: r.value for r in contents.newest().values()}["esc-x4"] == 2
    assert str(contents.query("select count(*) as n from records")["n"][0]) == "4"


def test_a_tail_sees_what_is_appended_and_each_once(place, make_record):
    with store.Writer(place) as writer:
        writer.append([make_record(values=(1,))])
        tail = reservations.Tail(place, store.read(place))
        assert tail.news() == []
        writer.append([make_record(values=(2,)), make_record(values=(3,))])
        writer.append([make_record(values=(4,))])
        assert [r.values for r in tail.news()] == [(2,), (3,), (4,)]
        compacting.compact(place)
        assert tail.news() == []
        writer.append([make_record(values=(5,))])
        assert [r.values for r in tail.news()] == [(5,)]


def test_side_files_lie_beside_the_records(place):
    import numpy as np

    name = sidefiles.put(place, np.arange(6.0))
    assert sidefiles.put(place, np.arange(6.0)) == name
    assert sidefiles.there(place, name)
    assert not sidefiles.there(place, "0" * 64)
    assert list(sidefiles.get(place, name)) == [0, 1, 2, 3, 4, 5]
    store.at(place).put(f"arrays/{name}.npy.gz", b"else")
    with pytest.raises(UserError, match=r"arrays/.* was changed since it was written\. Remove it"):
        sidefiles.get(place, name)
    with pytest.raises(UserError, match=r"^Cannot read .*, which a record names: .*Bring the folder arrays along"):
        sidefiles.get(place, "0" * 64)
    assert store.read(place).records == ()


def test_a_foreign_object_is_reported_by_name_and_line(place, make_record):
    with store.Writer(place) as writer:
        writer.append([make_record()])
    store.at(place).put("a.jsonl", b"\ntorn\n")
    store.at(place).put("notes.txt", b"no record")
    contents = store.read(place)
    assert len(contents.records) == 1
    (problem,) = contents.problems
    assert (problem.file, problem.line) == (place / "a.jsonl", 2)
    assert str(problem).startswith(f"{place}/a.jsonl:2: not a whole line")


def test_the_command_line_takes_it(place, make_record, workbench, monkeypatch):
    words = ("measure", "esc-fp-*", "--probe", "params", "--records", place)
    ran = workbench(*words)
    assert ran.code == 0, ran.err
    assert ran.err.count("has no locks, so nothing can be reserved") == isinstance(place, store.Url)
    assert "3 asked, 3 measured, 0 already known." in ran.err
    assert "3 asked, 0 measured, 3 already known." in workbench(*words).err
    assert len(json.loads(workbench("records", "--json", "--records", place).out)) == 3
    assert workbench("table", "esc-table2", "--records", place).code == 0
    assert "3 records in" in workbench("doctor", "--records", place).out
    assert workbench("records", "--compact", "--records", place).code == 0
    assert "3 asked, 0 measured, 3 already known." in workbench(*words).err


def test_writers_of_which_one_is_killed_lose_nothing_and_write_nothing_twice(place, make_record, request):
    """1,000 records each; what is killed has written what its `append` had returned for. A bucket gets half as many
    writers and 100 records in each object, since one request costs its server milliseconds: tests/bench/bucket.py.
    """
    if str(place).startswith("memory"):
        pytest.skip("fsspec's memory is that of one process")
    line = json.dumps(store.to_json(make_record()))
    fed = os.environ | {"PYTHONPATH": str(WRITERS.parent.parent)}
    writers, at_once = (4, 100) if isinstance(place, store.Url) else (8, 1)
    words = [sys.executable, str(WRITERS), str(place), str(writers), "1000", str(at_once), line]
    ran = subprocess.run(words, env=fed, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    stored = Counter(r.variant for r in store.read(place).records)
    assert set(told["finished"]) <= stored.keys()
    assert set(stored.values()) == {1}
    assert len(told["finished"]) >= 1000 * (writers - 1)
    assert len(stored) - len(told["finished"]) <= at_once  # written, and killed before it could say so
    assert len(told["finished"]) < 1000 * writers


# --- what only buckets have


@pytest.fixture
def bucket(place):
    if not isinstance(place, store.Url):
        pytest.skip("a folder has nothing to merge")
    return place


def test_each_append_is_an_object_and_merged_they_are_one(bucket, make_record):
    with store.Writer(bucket) as writer:
        for n in range(5):
            writer.append([named(make_record, f"v{n}")])
        before = store.read(bucket)
        assert [name.rpartition("-")[2] for name in before.ends] == [f"0000{n}.jsonl" for n in range(1, 6)]
        assert compacting.compact(bucket) == "5 objects merged into one; each of their lines stays as it is."
        assert store.read(bucket).records == before.records
        (merged,) = store.read(bucket).ends
        assert merged.startswith("merged-")
        writer.append([named(make_record, "later")])
    assert compacting.compact(bucket).startswith("0 objects")
    assert len(store.read(bucket).records) == 6


def test_while_objects_are_merged_each_line_is_seen_once(bucket, make_record, monkeypatch):
    with store.Writer(bucket) as writer:
        for n in range(3):
            writer.append([named(make_record, f"v{n}")])
    seen = []
    for step in ("put", "_remove"):
        real = getattr(buckets.Bucket, step)

        def watched(self, *rest, real=real):
            real(self, *rest)
            seen.append(sorted(r.variant for r in store.read(bucket).records))

        monkeypatch.setattr(buckets.Bucket, step, watched)
    compacting.compact(bucket)
    assert seen == [["v0", "v1", "v2"]] * 3


def test_two_that_merge_at_the_same_time_show_each_line_once(bucket, make_record, monkeypatch):
    with store.Writer(bucket) as writer:
        writer.append([named(make_record, "v0")])
        writer.append([named(make_record, "v1"), named(make_record, "v2")])
        real = buckets.Bucket._shown
        with monkeypatch.context() as slow:
            slow.setattr(buckets.Bucket, "_remove", lambda self, names: None)
            early = store.at(bucket).names()
            compacting.compact(bucket)
            writer.append([named(make_record, "v3")])
            slow.setattr(buckets.Bucket, "_shown", lambda self: early + [n for n in real(self) if "-00003" in n.name])
            compacting.compact(bucket)
    contents = store.read(bucket)
    assert len(contents.ends) == 2
    assert sorted(r.variant for r in contents.records) == ["v0", "v1", "v2", "v3"]


def test_an_object_that_was_merged_and_is_gone_before_it_is_fetched_is_listed_again(bucket, make_record, monkeypatch):
    with store.Writer(bucket) as writer:
        writer.append([named(make_record, "v0")])
        writer.append([named(make_record, "v1")])
    buckets._HELD.clear()
    real, times = buckets.Bucket._fetch, []

    def fetch(self, wanted):
        times.append(wanted)
        if len(times) == 1:
            compacting.compact(bucket)
            buckets._HELD[self._root].clear()
        real(self, wanted)

    monkeypatch.setattr(buckets.Bucket, "_fetch", fetch)
    contents = store.read(bucket)
    assert (sorted(r.variant for r in contents.records), contents.problems) == (["v0", "v1"], ())


# --- addresses


def test_an_address_is_no_folder_and_says_so():
    url = store.where("s3://bucket/a/b/")
    assert (str(url), str(url / "c"), str(url.parent)) == ("s3://bucket/a/b", "s3://bucket/a/b/c", "s3://bucket/a")
    assert store.where("file:///tmp/x") == Path("/tmp/x")
    assert store.where("a/b") == Path("a/b")
    for use in (url.exists, url.mkdir, url.read_bytes):
        with pytest.raises(UserError, match=r"^s3://bucket/a/b is no folder of this machine, and one is needed"):
            use()


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("s3://", "The address 's3://' names no bucket; give one, and a prefix in it: s3://bucket/records"),
        ("s4://bucket/x", "No storage 's4', of s4://bucket/x. Known are a folder, s3://, gs://"),
        ("hdfs://nowhere/x", "hdfs://nowhere/x"),
    ],
)
def test_an_address_that_leads_nowhere_has_its_sentence(workbench, address, told):
    ran = workbench("records", "--records", address)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1), ran.err
    assert told in ran.err


def test_what_the_storage_refuses_is_told(make_record, monkeypatch, tmp_path):
    place = store.where(f"memory://{tmp_path}")

    class RefusedError(Exception):
        pass

    def refuse(*_, **__):
        raise RefusedError("Access Denied.\nlook elsewhere.")

    with store.Writer(place) as writer:
        monkeypatch.setattr(writer._place._files, "pipe_file", refuse)
        for attempt in (writer.check, lambda: writer.append([make_record()])):
            with pytest.raises(UserError) as told:
                attempt()
            assert str(told.value).startswith(f"Cannot write a record to {place}: Access Denied. look elsewhere. Rec")
            assert str(told.value).endswith("Name a writable folder with --records.")
        monkeypatch.setattr(type(writer._place._files), "find", refuse)
        with pytest.raises(UserError, match=r"^Cannot read the records in memory://.*: Access Denied\. look elsewhere"):
            store.read(place)
    assert buckets._plain(OSError(errno.EACCES, "no")).errno == errno.EACCES


def test_an_address_that_nothing_lies_at_is_no_empty_store(workbench, tmp_path):
    nowhere = f"memory:/{tmp_path}/nowhere"
    ran = workbench("records", "--records", nowhere)
    assert (ran.code, ran.err) == (0, f"workbench: There is no folder {nowhere} yet, so there are no records.\n")
    ran = workbench("diff", nowhere, nowhere)
    assert (ran.code, ran.out) == (2, "")
    assert f"There is no {nowhere!r} to compare." in ran.err


@pytest.mark.usefixtures("server")
def test_a_bucket_that_is_not_there_has_its_sentences(workbench):
    ran = workbench("measure", "esc-fp-x4", "--probe", "params", "--records", "s3://nobody-has-this/x")
    assert (ran.code, ran.out) == (2, ""), ran.err
    assert "[1/1]" not in ran.err
    assert ran.err.splitlines()[-1].startswith(
        "workbench: Cannot write a record to s3://nobody-has-this/x: The specified bucket does not exist."
    )


def test_an_address_is_the_same_wherever_one_stands():
    address = store.places.where("s3://bucket/records")
    assert str(address.absolute()) == "s3://bucket/records"
    assert (address / "arrays").absolute() == address / "arrays"
