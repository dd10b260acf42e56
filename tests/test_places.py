"""Places: a folder, and buckets of a real S3 server on loopback and of fsspec's memory; the same tests on each."""

import errno
import importlib
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from workbench import reservations, sidefiles, store
from workbench.spec import UserError
from workbench.store import buckets, compacting, copies
from workbench.store import objects as objects_

WRITERS = Path(__file__).with_name("writers.py")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
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
        "XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache")),
    }
    with pytest.MonkeyPatch.context() as environment:
        for name, value in found.items():
            environment.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        yield
    s3fs.S3FileSystem.clear_instance_cache()
    serving.stop()


@pytest.fixture(scope="module")
def google(tmp_path_factory):
    """A server of Google's protocol of this machine, found by the variable of its clients."""
    pytest.importorskip("gcsfs", reason="no gcsfs here, which speaks to gs://: pip install gcsfs")
    emulated = pytest.importorskip("gcp_storage_emulator.server", reason="none here: pip install gcp-storage-emulator")
    serving = emulated.create_server("127.0.0.1", 0, in_memory=True, default_bucket="bucket")
    serving.start()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{serving._api._httpd.server_port}")
        environment.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield
    serving.stop()


@pytest.fixture(params=["folder", "memory", "s3", "gs"])
def place(request, tmp_path):
    """A place that holds nothing yet."""
    if request.param == "folder":
        return tmp_path / "records"
    if request.param == "memory":
        return store.where(f"memory://{tmp_path}/records")
    if request.param == "gs":
        request.getfixturevalue("google")
        return store.where(f"gs://bucket/{tmp_path.name}/records")
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


def test_writers_of_which_one_is_killed_lose_nothing_and_write_nothing_twice(place, make_record):
    """What is killed has written what its `append` had returned for; readers and one who merges are at it meanwhile.

    Few records, since a request costs the server milliseconds; of 8 times 1,000: tests/bench/bucket.py.
    """
    if str(place).startswith("memory"):
        pytest.skip("fsspec's memory is that of one process")
    line = json.dumps(store.to_json(make_record()))
    fed = os.environ | {"PYTHONPATH": os.pathsep.join([str(WRITERS.parent.parent), os.environ.get("PYTHONPATH", "")])}
    writers, number = (4, 51) if isinstance(place, store.Url) else (8, 200)  # more than a writer merges itself
    words = [sys.executable, str(WRITERS), str(place), str(writers), str(number), "1", line]
    with subprocess.Popen(words, env=fed, stdout=subprocess.PIPE, text=True) as running:
        seen = 0
        while running.poll() is None:
            time.sleep(0.3)
            contents = store.read(place)
            names = [r.variant for r in contents.records]
            assert len(names) == len(set(names)) >= seen
            assert contents.problems == ()
            seen = len(names)
            if names:
                compacting.compact(place)
        told = json.loads(running.communicate()[0])
    assert running.returncode == 0
    stored = Counter(r.variant for r in store.read(place).records)
    assert set(told["finished"]) <= stored.keys()
    assert set(stored.values()) == {1}
    assert number * (writers - 1) <= len(told["finished"]) < number * writers
    assert len(stored) - len(told["finished"]) <= 1  # written, and killed before it could say so


# --- what only buckets have


@pytest.fixture
def bucket(place):
    if not isinstance(place, store.Url):
        pytest.skip("a folder has nothing to merge")
    return place


def objects(bucket):
    """What lies in a bucket, whatever it shows of it."""
    return {each.name for each in store.at(bucket)._listed()}


def variants(bucket):
    return sorted(r.variant for r in store.read(bucket).records)


def write(bucket, make_record, *names):
    with store.Writer(bucket) as writer:
        for name in names:
            writer.append([named(make_record, name)])


def test_each_append_is_an_object_and_merged_they_keep_their_names(bucket, make_record):
    with store.Writer(bucket) as writer:
        for n in range(5):
            writer.append([named(make_record, f"v{n}")])
        before = store.read(bucket)
        assert [name.rpartition("-")[2] for name in before.ends] == [f"0000{n}.jsonl" for n in range(1, 6)]
        assert objects(bucket) == before.ends.keys()
        assert compacting.compact(bucket) == "5 objects merged into fewer; each of their lines stays as it is."
        assert store.read(bucket) == before
        assert {name.partition("-")[0] for name in objects(bucket)} == {"merged"}
        assert store.read(bucket).ends == before.ends
        writer.append([named(make_record, "later")])
    assert compacting.compact(bucket).startswith("2 objects")
    assert compacting.compact(bucket).startswith("0 objects")
    assert len(objects(bucket)) == 2
    assert [r.variant for r in store.read(bucket).records] == ["v0", "v1", "v2", "v3", "v4", "later"]


def test_a_writer_merges_its_own_and_goes_on_where_nothing_may_be_removed(bucket, make_record, monkeypatch):
    monkeypatch.setattr(buckets, "FOLDED", 3)
    write(bucket, make_record, *"abcd")
    assert sorted(name.partition("-")[0] == "merged" for name in objects(bucket)) == [False, True, True]

    def refuse(self, names):
        raise OSError(errno.EACCES, "Access Denied")

    monkeypatch.setattr(buckets.Bucket, "_remove", refuse)
    write(bucket, make_record, *"efghijk")
    assert len(objects(bucket)) == 3 + 7 + 2  # it has tried once
    assert variants(bucket) == list("abcdefghijk")
    with pytest.raises(UserError, match=r"^Cannot write .*: Access Denied\. "):
        compacting.compact(bucket)
    monkeypatch.undo()
    compacting.compact(bucket)
    assert len(objects(bucket)) == 2
    assert variants(bucket) == list("abcdefghijk")


def test_while_objects_are_merged_each_line_is_seen_once(bucket, make_record, monkeypatch):
    write(bucket, make_record, "v0", "v1", "v2")
    compacting.compact(bucket)
    write(bucket, make_record, "v3")
    seen = []
    for step in ("put", "_remove"):
        real = getattr(buckets.Bucket, step)

        def watched(self, *rest, real=real):
            real(self, *rest)
            seen.append(variants(bucket))

        monkeypatch.setattr(buckets.Bucket, step, watched)
    compacting.compact(bucket)
    assert seen == [["v0", "v1", "v2", "v3"]] * len(seen)
    assert len(seen) >= 4
    assert len(objects(bucket)) == 2


def test_two_that_merge_at_the_same_time_show_each_line_once(bucket, make_record, monkeypatch):
    write(bucket, make_record, "v0", "v1")
    real = buckets.Bucket.fold

    def fold(self, parts, objects):
        """As late as can be: when somebody else has merged the same, and one more."""
        monkeypatch.setattr(buckets.Bucket, "fold", real)
        write(bucket, make_record, "v2")
        compacting.compact(bucket)
        real(self, parts, objects)

    monkeypatch.setattr(buckets.Bucket, "fold", fold)
    compacting.compact(bucket)
    assert len(objects(bucket)) == 4
    assert variants(bucket) == ["v0", "v1", "v2"]
    compacting.compact(bucket)
    assert variants(bucket) == ["v0", "v1", "v2"]
    assert len(objects(bucket)) == 2


def test_what_was_put_by_hand_is_never_merged_nor_hidden(bucket, make_record):
    write(bucket, make_record, "v0", "v1")
    place, line = store.at(bucket), json.dumps(store.to_json(named(make_record, "new"))).encode() + b"\n"
    place.put("merged-old.json", json.dumps([["a.jsonl", len(line)]]).encode())  # as it was done before
    place.put("merged-old.jsonl", line.replace(b"new", b"old"))
    place.put("a.jsonl", line)
    for _ in range(2):
        assert variants(bucket) == ["new", "old", "v0", "v1"]
        compacting.compact(bucket)
    assert "a.jsonl" in objects(bucket)


def test_a_note_that_does_not_say_what_is_there_is_refused(bucket, make_record):
    write(bucket, make_record, "v0", "v1")
    compacting.compact(bucket)
    (note,) = (name for name in objects(bucket) if name.endswith(".json"))
    for wrong in (b"{}", b"[[", b'[["v", 3]]'):
        store.at(bucket).put(note, wrong)
        buckets._copies.cache_clear()
        with pytest.raises(UserError, match=rf"{note} does not say what is in merged-.*: one was changed since\. "):
            store.read(bucket)


def test_an_object_that_was_merged_and_is_gone_before_it_is_fetched_is_listed_again(bucket, make_record, monkeypatch):
    write(bucket, make_record, "v0", "v1")
    buckets._copies.cache_clear()
    real, times = buckets.Bucket._fetch, []

    def fetch(self, wanted):
        times.append(wanted := list(wanted))
        if len(times) == 2:
            compacting.compact(bucket)
            buckets._copies.cache_clear()
            self._copies = buckets.Copies(f"{bucket}/elsewhere")
        return real(self, wanted)

    monkeypatch.setattr(buckets.Bucket, "_fetch", fetch)
    contents = store.read(bucket)
    assert ([r.variant for r in contents.records], contents.problems) == (["v0", "v1"], ())


@pytest.mark.usefixtures("server")
def test_what_was_fetched_once_is_not_fetched_again(make_record, monkeypatch, tmp_path):
    import s3fs

    s3fs.S3FileSystem(use_listings_cache=False).mkdir("once")
    place, fetched = store.where("s3://once/records"), []
    real = copies.Copies.keep

    def watched(self, contents):
        fetched.append(len(contents))
        real(self, contents)

    monkeypatch.setattr(copies.Copies, "keep", watched)

    def anew():
        """As another process reads: how many objects it has fetched."""
        buckets._copies.cache_clear()
        fetched.clear()
        return len(store.read(place).records), sum(fetched)

    write(place, make_record, "v0", "v1", "v2")
    assert [anew(), anew()] == [(3, 3), (3, 0)]
    write(place, make_record, "v3")
    assert [anew(), anew()] == [(4, 1), (4, 0)]
    compacting.compact(place)
    assert [anew(), anew()] == [(4, 2), (4, 0)]
    packs = list(store.at(place)._copies._folder.iterdir())
    assert len(packs) == 2  # the note and the merged one; what is gone there is gone here
    for pack in packs:
        pack.write_bytes(pack.read_bytes()[:-3])
    assert [anew(), anew()] == [(4, 2), (4, 0)]
    folder = store.at(place)._copies._folder
    for pack in folder.iterdir():
        pack.unlink()
    folder.rmdir()
    folder.write_text("no folder")
    assert [anew(), anew(), anew()] == [(4, 2), (4, 2), (4, 2)]
    assert (len(store.read(place).records), sum(fetched)) == (4, 2)


def test_many_small_packs_become_one_and_it_holds_what_is_listed(tmp_path, monkeypatch):
    monkeypatch.setattr(copies, "default", lambda: tmp_path)
    ours = copies.Copies("place")
    listed = [store.places.Listed(f"{n}.jsonl", n, f"e{n}") for n in range(copies.PACKS + 2)]
    for each in listed:
        ours.keep({each: b"x" * each.size})
    ours.tidy(listed[1:])
    (pack,) = tmp_path.rglob("*.pack")
    again = copies.Copies("place")
    again.look()
    for each in listed[1:]:
        assert (again.get(each), ours.get(each)) == (b"x" * each.size,) * 2
    assert listed[0] not in again
    pack.unlink()
    assert again.get(listed[1]) is None
    assert listed[1] not in again


def test_an_object_too_large_or_cut_short_is_reported_by_name(tmp_path, make_record, monkeypatch):
    place = store.where(f"memory://{tmp_path}")
    write(place, make_record, "v0")
    store.at(place).put("large.jsonl", b"x" * 2000)
    monkeypatch.setattr(buckets, "LARGEST", 1999)
    contents = store.read(place)
    assert [r.variant for r in contents.records] == ["v0"]
    assert [str(p) for p in contents.problems] == [
        f"{place}/large.jsonl: cannot be read (it has 2,000 bytes, and no more than 1,999 are fetched);"
        " the file was skipped"
    ]
    store.at(place).put("short.jsonl", b"y" * 100)
    files = type(store.at(place)._files)
    monkeypatch.setattr(files, "cat_ranges", lambda self, paths, *_, **__: [b"y" * 60 for _ in paths])
    monkeypatch.setattr(files, "cat_file", lambda self, path: b"y" * 60)
    assert "60 bytes came of 100" in [str(p) for p in store.read(place).problems][1]


# --- addresses


@pytest.mark.parametrize(("scheme", "package"), [("s3", "s3fs"), ("gs", "gcsfs")])
def test_what_an_address_needs_is_told_as_the_page_says_it(monkeypatch, scheme, package):
    monkeypatch.setattr("fsspec.url_to_fs", lambda *where, **how: importlib.import_module(f"no_such_{package}"))
    with pytest.raises(UserError) as error:
        store.read(store.where(f"{scheme}://bucket/x"))
    assert str(error.value).endswith(
        f" needs the package {package}, which is not installed: pip install -c constraints.txt -e '.[{scheme}]'"
    )


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
        monkeypatch.setattr(type(writer._place._files), "ls", refuse)
        with pytest.raises(UserError, match=r"^Cannot read the records in memory://.*: Access Denied\. look elsewhere"):
            store.read(place)
    assert objects_.plain(OSError(errno.EACCES, "no")).errno == errno.EACCES


@pytest.mark.parametrize(
    ("kind", "code", "told"),
    [
        ("ClientError", "ExpiredToken", "Said so (log in again; what was written stays)"),
        ("ClientError", "RequestTimeTooSkewed", "Said so (set this machine's clock: timedatectl set-ntp true)"),
        ("ClientError", "PermanentRedirect", "Said so (name the bucket's region: AWS_DEFAULT_REGION)"),
        ("ClientError", "SomethingElse", "Said so"),
        ("NoCredentialsError", None, "No credentials were found: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "),
        ("ReadTimeoutError", None, "Said so (tried several times, up to 15 s each: is the network up?)"),
    ],
)
def test_what_mends_a_refusal_is_said(kind, code, told):
    cause = type(kind, (Exception,), {"response": {"Error": {"Code": code}} if code else None})("Said so.")
    error = OSError(errno.EIO, "Said so.")
    error.__cause__ = cause
    assert objects_.sentence(error).startswith(told)
    assert objects_.sentence(cause).startswith(told)


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
    told = (
        "s3://nobody-has-this/x: The specified bucket does not exist (make it, or look at its name and AWS_PROFILE). "
    )
    assert ran.err.splitlines()[-1].startswith(f"workbench: Cannot read the records in {told}")
    with pytest.raises(UserError, match=re.escape(f"Cannot write a record to {told}Records written before are safe")):
        store.Writer("s3://nobody-has-this/x").check()


def test_an_address_is_the_same_wherever_one_stands():
    address = store.places.where("s3://bucket/records")
    assert str(address.absolute()) == "s3://bucket/records"
    assert (address / "arrays").absolute() == address / "arrays"
