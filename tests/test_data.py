"""`workbench data`: what it prints of sets that are here, gone or elsewhere, and what it fetches when asked."""

import dataclasses
import http.server
import io
import json
import shutil
import sys
import threading
import zipfile
from functools import partial

import numpy as np
import PIL.Image
import pytest

from workbench import testsets
from workbench.images import files
from workbench.spec import UserError
from workbench.testsets import fingerprint, known

NAMES = ("baby", "bird", "butterfly", "head", "woman")


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A server that publishes five images as Set5, one by one, and remembers what it was asked for."""
    folder, images = tmp_path / "site", []
    for seed, name in enumerate(NAMES):
        image = np.random.default_rng(seed).integers(0, 256, (24, 36, 3), dtype=np.uint8)
        files.write(folder / f"{name}.png", image)
        images.append(
            known.KnownImage(name, fingerprint.take(image), f"{name}.png", files.sha256(folder / f"{name}.png"))
        )

    class Handler(http.server.SimpleHTTPRequestHandler):
        asked: list[str] = []  # noqa: RUF012  # one class for each server, and a handler for each request

        def log_message(self, *_):
            self.asked.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        monkeypatch.setattr(known, "_images", lambda: {"set5": tuple(images)})
        publish(monkeypatch, "set5", known.Source(address, 0.1))
        yield folder, address, Handler.asked
        server.shutdown()


def publish(monkeypatch, name, source):
    one = dataclasses.replace(known.SETS[name], source=source)
    monkeypatch.setitem(known.SETS, name, one)


def row(ran, name):
    return next(r for r in json.loads(ran.out) if r["name"] == name)


# --- list, add, check


def test_a_set_is_added_listed_and_checked(workbench, site, tmp_path):
    home = ("--data", tmp_path / "home")
    assert row(workbench("data", "list", "--json", *home), "set5")["state"] == "not here"
    added = workbench("data", "add", "Set5", site[0], *home)
    assert (added.code, added.out) == (0, f"Set5: all 5 images. {site[0]}\n")
    listed = row(workbench("data", "list", "--json", *home), "set5")
    assert (listed["state"], listed["images"], listed["missing"]) == ("complete", 5, [])
    assert workbench("data", "check", *home).code == 0
    (site[0] / "bird.png").unlink()
    checked = workbench("data", "check", "set5", "--json", *home)
    assert (checked.code, row(checked, "set5")["missing"]) == (2, ["bird"])
    shutil.rmtree(site[0])
    assert row(workbench("data", "list", "--json", *home), "set5")["state"] == "gone"
    checked = workbench("data", "check", *home)
    assert checked.code == 2
    assert f"The folder of set5 is gone: {site[0]}. Register it where it is now" in checked.out


def test_the_list_is_for_eyes_too(workbench, tmp_path):
    head, *lines = workbench("data", "list", "--data", tmp_path).out.splitlines()
    assert head.split() == ["name", "images", "state", "found", "folder"]
    assert [line.split()[0] for line in lines] == [*testsets.SETS, "skimage-photos"]
    assert "workbench data fetch manga109" not in lines[4]
    assert "workbench data add manga109 FOLDER; where to get it: http://www.manga109.org/en/" in lines[4]
    assert "; where to get it: workbench data fetch set5" in lines[0]


def test_a_terminal_sees_what_is_looked_at(workbench, site, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    ran = workbench("data", "add", "set5", site[0], "--json", "--data", tmp_path / "home")
    assert "[5/5] woman.png" in ran.err
    assert row(ran, "set5")["state"] == "complete"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("add", "set5", "nowhere"), "nowhere is not there; name the folder"),
        (("add", "set5"), "Missing argument 'PATH'. See: workbench data add --help"),
        (("check", "set6"), "No test set 'set6'. Did you mean 'set5'"),
        (("check", "set5"), "Set5 is not registered here."),
        (("fetch", "set55"), "No published test set 'set55'. Did you mean 'set5'"),
        (("get",), "No such command 'get'. See: workbench data --help"),
        ((), "Missing command. See: workbench data --help"),
    ],
)
def test_a_mistake_has_one_sentence(workbench, tmp_path, words, told):
    where = ("--data", tmp_path) if words and words[0] != "get" else ()
    ran = workbench("data", *words, *where)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert told in ran.err


def test_a_folder_that_takes_nothing_has_its_sentence(workbench, site, tmp_path):
    (tmp_path / "file").touch()
    ran = workbench("data", "add", "mine", site[0], "--data", tmp_path / "file" / "home")
    assert (ran.code, ran.out) == (2, "")
    assert "Cannot write" in ran.err
    assert "Name a writable folder" in ran.err


# --- fetch


def test_nothing_is_fetched_unasked(workbench, site, tmp_path):
    told = workbench("data", "fetch", "--data", tmp_path / "home")
    assert told.code == 0
    assert "http://www.manga109.org/en/" in told.out
    assert "No address that lasts is known: it is not downloaded." in told.out
    named = workbench("data", "fetch", "set5", "--data", tmp_path / "home")
    assert named.out.endswith("Not downloaded. To download it: workbench data fetch set5 --yes\n")
    none = workbench("data", "fetch", "manga109", "--yes", "--data", tmp_path / "home")
    assert (none.code, none.err) == (
        2, "workbench: No address that lasts is known of Manga109, so it was not fetched; see above.\n"
    )  # fmt: skip
    assert site[2] == []
    assert not (tmp_path / "home").exists()


def test_a_set_is_fetched_once_when_asked_for(workbench, site, tmp_path):
    home = tmp_path / "home"
    ran = workbench("data", "fetch", "Set5", "--yes", "--data", home)
    assert ran.code == 0, ran.err
    assert ran.out.endswith(f"Set5: all 5 images. {home / 'sets' / 'set5'}\n")
    assert next(line for line in ran.err.splitlines() if line.startswith("[")) == "[1/5] baby"
    assert site[2] == [f"/{n}.png" for n in NAMES]
    assert testsets.find("set5", home).complete
    assert sorted(p.name for p in home.iterdir()) == ["downloads", "sets", "testsets"]


def test_what_is_whole_is_not_fetched_again(site, tmp_path):
    (site[0] / "head.png").rename(site[0] / "hidden")
    with pytest.raises(UserError, match=r"Cannot fetch .*/head\.png: 404 .*what is whole is kept\. Its authors"):
        testsets.fetch(testsets.SETS["set5"], tmp_path / "home", lambda _: None)
    assert not testsets.registered("set5", tmp_path / "home")
    (site[0] / "hidden").rename(site[0] / "head.png")
    site[2].clear()
    assert testsets.fetch(testsets.SETS["set5"], tmp_path / "home", lambda _: None).complete
    assert site[2] == ["/head.png", "/woman.png"]


@pytest.mark.parametrize("sent", [b"<!DOCTYPE html><html>sign in</html>", b""])
def test_what_is_not_what_was_published_is_not_kept(site, tmp_path, sent):
    (site[0] / "bird.png").write_bytes(sent)
    with pytest.raises(UserError, match=r"What .*/bird\.png sent is not what was published: its checksum differs"):
        testsets.fetch(testsets.SETS["set5"], tmp_path / "home", lambda _: None)
    assert not testsets.registered("set5", tmp_path / "home")
    assert not list((tmp_path / "home").rglob("bird*"))


def test_a_server_that_is_not_there_has_its_sentence(site, tmp_path, monkeypatch):
    publish(monkeypatch, "set5", known.Source("http://127.0.0.1:1/", 0.1))
    with pytest.raises(UserError, match=r"Cannot fetch http://127\.0\.0\.1:1/baby\.png: Connection refused\. Try"):
        testsets.fetch(testsets.SETS["set5"], tmp_path / "home", lambda _: None)


def test_an_archive_is_unpacked_without_its_folders(site, tmp_path, monkeypatch):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in NAMES:
            file.write(site[0] / f"{name}.png", f"../../deep/{name}.png")
        file.writestr("deep/readme.txt", "read me")
    (site[0] / "set.zip").write_bytes(buffer.getvalue())
    publish(monkeypatch, "set5", known.Source(f"{site[1]}set.zip", 0.1, files.sha256(site[0] / "set.zip")))
    found = testsets.fetch(testsets.SETS["set5"], tmp_path / "home", lambda _: None)
    assert found.complete
    assert sorted(p.name for p in found.folder.iterdir()) == [f"{n}.png" for n in NAMES]
    assert [p.name for p in (tmp_path / "home" / "sets").iterdir()] == ["set5"]


def test_what_has_no_lasting_address_is_not_fetched(tmp_path):
    with pytest.raises(UserError, match=r"B100 has no address that lasts, .*bsds/ \(the 100 images of the folder"):
        testsets.fetch(testsets.SETS["b100"], tmp_path, lambda _: None)


def test_a_sentence_has_one_full_stop(workbench, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    PIL.Image.new("RGB", (32, 32)).save(folder / "a.png")
    (folder / "b.png").write_bytes(b"none")
    ran = workbench("data", "add", "mine", folder, "--data", tmp_path / "home")
    assert ran.code == 0
    assert ".." not in ran.out.replace(str(folder), "")
    assert ran.out.endswith(f". {folder}\n")


def test_a_file_is_no_folder_of_test_sets(workbench, tmp_path):
    file = tmp_path / "file"
    file.touch()
    for words in (("data", "list"), ("weights", "list"), ("doctor",)):
        ran = workbench(*words, "--data", file)
        assert (ran.code, ran.out) == (2, "")
        assert ran.err == (
            f"workbench: --data was given {file}, which is a file; name a folder, or leave --data out for the "
            "default.\n"
        )
