"""weights: what a file is by its content, the user's folder, and downloads from a server of this test's own."""

from __future__ import annotations

import contextlib
import http.server
import json
import re
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from workbench import models, weights
from workbench.spec import UserError
from workbench.weights import fetching, manifest


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A checkpoint of rfdn-x2, in the form that the field uses."""
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("download") / "some name.pth"
    torch.save({"params": models.create("rfdn-x2").state_dict()}, path)
    return path


@pytest.fixture
def listed(monkeypatch):
    """Put an entry of one's own into the manifest."""

    def put(**changes):
        entry = replace(manifest.Published("rfdn-x2-mine", ("rfdn-x2",), "DF2K", "https://page", "mine.pth"), **changes)
        monkeypatch.setitem(manifest.WEIGHTS, entry.name, entry)
        return entry

    return put


# --- the manifest


def test_names_variants_and_hashes_of_the_manifest_are_what_they_seem():
    for name, entry in weights.WEIGHTS.items():
        assert name == entry.name
        assert set(entry.variants) <= models.VARIANTS.keys()
        assert entry.trained_on in ("DIV2K", "DF2K", "DFLIP", "unknown")
        assert entry.page.startswith("https://")
        assert entry.url is None or entry.url.endswith(str(entry.file))
        assert entry.sha256 is None or re.fullmatch("[0-9a-f]{64}", entry.sha256)
        assert name.startswith(models.find(entry.variants[0]).model)
    known = [w.sha256 for w in weights.WEIGHTS.values() if w.sha256]
    assert len(known) == len(set(known)) == 6


def test_every_variant_is_published_by_somebody_for_the_tables():
    assert [v for v in models.VARIANTS if weights.of(v, "DIV2K") is None] == []


# --- a file by its content


def test_a_file_is_what_it_holds_whatever_its_name(checkpoint, tmp_path):
    kept = weights.add(checkpoint, tmp_path)
    assert kept.variants == ("rfdn-x2",)
    assert kept.trained_on == "unknown"
    assert kept.name == f"rfdn-x2-{kept.sha256[:8]}"
    assert kept.file == "some name.pth"
    assert kept.path.read_bytes() == checkpoint.read_bytes()
    assert weights.held(tmp_path) == [kept]
    assert weights.choose("rfdn-x2", None, tmp_path) == kept
    assert weights.choose("rfdn-x2", kept.name, tmp_path) == kept


def test_a_network_of_all_scales_has_one_file(tmp_path):
    file = tmp_path / "carn.pth"
    torch.save(models.create("carn-m-x2").state_dict(), file)
    assert weights.read(file).variants == ("carn-m-x2", "carn-m-x3", "carn-m-x4")


def test_the_training_set_is_the_user_s_to_say_and_can_be_said_later(checkpoint, tmp_path):
    weights.add(checkpoint, tmp_path)
    weights.add(checkpoint, tmp_path, trained_on="DF2K")
    (kept,) = weights.held(tmp_path)
    assert kept.trained_on == "DF2K"
    assert "trained on DF2K" in weights.described(kept)


def test_what_nobody_knows_is_said_to_be_unknown_and_how_to_mend_it(checkpoint, tmp_path):
    told = weights.described(weights.add(checkpoint, tmp_path))
    assert (
        "trained on unknown: --trained-on SET says it; if it is one of rfdn-x2-div2k, say so with --published" in told
    )


def test_a_known_hash_says_all(checkpoint, tmp_path, listed):
    listed(sha256=weights.sha256(checkpoint), pixels=(0.0, 255.0))
    kept = weights.add(checkpoint, tmp_path)
    assert (kept.name, kept.trained_on, kept.pixels) == ("rfdn-x2-mine", "DF2K", (0.0, 255.0))
    with pytest.raises(UserError, match=r"said to be trained on DIV2K, but is rfdn-x2-mine, trained on DF2K.*leave"):
        weights.add(checkpoint, tmp_path, trained_on="DIV2K")
    with pytest.raises(UserError, match=r"said to be rfdn-x2-div2k, but is rfdn-x2-mine by its hash; leave --publ"):
        weights.add(checkpoint, tmp_path, published="rfdn-x2-div2k")


def test_the_first_file_of_a_name_decides_its_hash(checkpoint, tmp_path, listed):
    listed()
    first = weights.add(checkpoint, tmp_path, published="rfdn-x2-mine")
    assert (first.name, first.trained_on) == ("rfdn-x2-mine", "DF2K")
    other = tmp_path / "other.pth"
    torch.save(models.create("rfdn-x2").state_dict(), other)
    with pytest.raises(UserError, match=r"not the rfdn-x2-mine that was used here before: its sha256 is .*remove"):
        weights.add(other, tmp_path, published="rfdn-x2-mine")
    assert weights.held(tmp_path) == [first]


@pytest.mark.parametrize(
    ("published", "sentence"),
    [
        ("rfdn-x2", "No published weights 'rfdn-x2'. Did you mean "),
        ("rfdn-x4-div2k", "is not rfdn-x4-div2k: it fits rfdn-x2, not rfdn-x4."),
        ("rfdn-x4-aim2020", "is not rfdn-x4-aim2020: its sha256 is "),
    ],
)
def test_a_file_that_is_not_what_it_is_said_to_be(checkpoint, tmp_path, published, sentence):
    with pytest.raises(UserError) as refused:
        weights.add(checkpoint, tmp_path, published=published)
    assert sentence in str(refused.value)
    assert weights.held(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"<!DOCTYPE html><html>sign in</html>", "is a web page, not a checkpoint; download the file itself."),
        (b"", "is empty; get it again."),
        (b"\x89PNG\r\n\x1a\nxxxxxxxxxxxx", "is no checkpoint that torch or safetensors can read"),
    ],
)
def test_what_is_no_checkpoint_is_refused(tmp_path, content, sentence):
    file = tmp_path / "weights.pth"
    file.write_bytes(content)
    with pytest.raises(UserError) as refused:
        weights.add(file, tmp_path / "home")
    assert f"{file} {sentence}" in str(refused.value)


def test_what_is_not_there_or_a_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"There is no checkpoint .*none\.pth; check the path\."):
        weights.read(tmp_path / "none.pth")
    with pytest.raises(UserError, match="is a folder; name the checkpoint file in it"):
        weights.read(tmp_path)


def test_a_checkpoint_that_fits_nothing_is_refused(tmp_path):
    torch.save({"conv.weight": torch.zeros(3, 3)}, tmp_path / "x.pth")
    with pytest.raises(UserError, match=r"fits no variant of this workbench: its 1 entries.*workbench variants"):
        weights.add(tmp_path / "x.pth", tmp_path)


# --- choosing


def test_a_copy_that_was_changed_is_noticed(checkpoint, tmp_path):
    kept = weights.add(checkpoint, tmp_path)
    kept.path.write_bytes(kept.path.read_bytes() + b"x")
    with pytest.raises(UserError, match=r"The weights rfdn-x2-\w+ were changed: .*add the file again"):
        weights.choose("rfdn-x2", None, tmp_path)


def test_of_several_one_is_named(checkpoint, tmp_path):
    weights.add(checkpoint, tmp_path)
    torch.save(models.create("rfdn-x2").state_dict(), tmp_path / "other.pth")
    weights.add(tmp_path / "other.pth", tmp_path)
    with pytest.raises(UserError, match=r"There are 2 weights for rfdn-x2: .*Name one with --weights"):
        weights.choose("rfdn-x2", None, tmp_path)


def test_a_file_can_be_used_where_it_lies(checkpoint, tmp_path):
    assert weights.choose("rfdn-x2", str(checkpoint), tmp_path).path == checkpoint
    assert weights.held(tmp_path) == []
    with pytest.raises(UserError, match=r"The weights .* fit rfdn-x2, not imdn-x4\."):
        weights.choose("imdn-x4", str(checkpoint), tmp_path)


@pytest.mark.parametrize(
    ("variant", "asked", "sentence"),
    [
        ("imdn-x4", None, "There are no weights for imdn-x4 yet. Fetch them: workbench weights fetch imdn-x4-div2k"),
        ("rcan-x4", None, "published at https://github.com/yulunzhang/RCAN; then: workbench weights add FILE --publ"),
        ("imdn-x4", "imdn-x4-div2k", "The weights imdn-x4-div2k are not here yet. Fetch them: workbench weights fetch"),
        ("imdn-x4", "imdn-x4-div", "No weights 'imdn-x4-div'. Did you mean 'imdn-x4-div2k'"),
        ("imdn-x4", "no/such.pth", "There is no checkpoint no/such.pth"),
    ],
)
def test_what_is_not_here_says_how_to_get_it(tmp_path, variant, asked, sentence):
    with pytest.raises(UserError) as refused:
        weights.choose(variant, asked, tmp_path)
    assert sentence in str(refused.value)


def test_a_foreign_note_is_passed_over(tmp_path):
    weights.folder(tmp_path).mkdir()
    for i, content in enumerate((b"{}", b"[1]", b"\xff", b'{"name": 1}')):
        (weights.folder(tmp_path) / f"{i}.json").write_bytes(content)
    assert weights.held(tmp_path) == []
    assert len(weights.listed(tmp_path)) == len(weights.WEIGHTS)


# --- downloads


class Server:
    """A server of one file that can be cut off, refuse, or not know how to go on."""

    def __init__(self, content):
        self.content, self.asked, self.cut, self.ranges, self.code, self.etag = content, [], None, True, 200, '"1"'
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answer(self)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/mine.pth"

    def answer(self, to):
        self.asked.append(to.headers.get("Range"))
        if self.code != 200:
            to.send_error(self.code)
            return
        same = to.headers.get("If-Range") == self.etag
        start = int(self.asked[-1][6:-1]) if self.asked[-1] and self.ranges and same else 0
        to.send_response(206 if start else 200)
        to.send_header("Content-Length", str(len(self.content) - start))
        to.send_header("ETag", self.etag)
        to.end_headers()
        with contextlib.suppress(OSError):
            to.wfile.write(self.content[start : self.cut])


@pytest.fixture
def server(checkpoint):
    made = Server(checkpoint.read_bytes())
    yield made
    made.server.shutdown()
    made.server.server_close()


def left(home):
    return sorted(p.suffix for p in weights.folder(home).iterdir())


def test_a_download_is_checked_kept_and_not_made_twice(server, checkpoint, listed, tmp_path, capsys):
    listed(url=server.url, sha256=weights.sha256(checkpoint))
    kept = fetching.fetch("rfdn-x2-mine", tmp_path)
    assert kept.path.read_bytes() == server.content
    assert (kept.name, kept.file) == ("rfdn-x2-mine", "mine.pth")
    assert capsys.readouterr().err == f"fetching rfdn-x2-mine, {len(server.content):,} bytes\n"
    assert fetching.fetch("rfdn-x2-mine", tmp_path) == kept
    assert server.asked == [None]
    assert left(tmp_path) == [".json", ".pth"]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_that_is_cut_off_is_gone_on_with(server, listed, tmp_path, ranges):
    listed(url=server.url)
    server.cut = 100_000
    with pytest.raises(
        UserError, match=r"could not be fetched: .*100,000 bytes are kept; the same command goes on\. They"
    ):
        fetching.fetch("rfdn-x2-mine", tmp_path)
    server.cut, server.ranges = None, ranges  # a server without ranges sends all of it again
    assert fetching.fetch("rfdn-x2-mine", tmp_path).path.read_bytes() == server.content
    assert server.asked == [None, "bytes=100000-"]
    assert left(tmp_path) == [".json", ".pth"]


def test_one_that_cannot_be_fetched_is_told_with_what_to_do_and_the_next_is_fetched(
    workbench, server, listed, tmp_path
):
    listed(url=server.url)
    page = next(name for name, entry in weights.WEIGHTS.items() if entry.url is None)
    ran = workbench("weights", "fetch", page, "rfdn-x2-mine", "--data", tmp_path)
    assert ran.code == 2
    assert ran.err.startswith(f"workbench: {page} is on a page that no program can fetch from. They are published at ")
    assert ran.out.startswith("rfdn-x2-mine")
    assert workbench("weights", "fetch", "rfdn-x2-mine", "rfdn-x9", "--data", tmp_path).out == ""  # names come first


def test_without_a_network_it_says_why_and_how_else(listed, tmp_path, monkeypatch):
    listed(url="http://127.0.0.1:1/mine.pth")
    with pytest.raises(UserError) as told:
        fetching.fetch("rfdn-x2-mine", tmp_path)
    assert str(told.value).startswith(
        "http://127.0.0.1:1/mine.pth could not be fetched: Connection refused. Try again. They are published at "
    )
    assert str(told.value).endswith("download them there, then: workbench weights add FILE --published rfdn-x2-mine")


def test_a_file_that_was_replaced_meanwhile_is_not_patched_together(server, listed, tmp_path):
    listed(url=server.url)
    server.cut = 100_000
    with pytest.raises(UserError):
        fetching.fetch("rfdn-x2-mine", tmp_path)
    server.cut, server.etag = None, '"2"'
    assert fetching.fetch("rfdn-x2-mine", tmp_path).path.read_bytes() == server.content


def test_another_file_than_the_known_one_is_refused(server, listed, tmp_path):
    listed(url=server.url, sha256="0" * 64)
    with pytest.raises(UserError, match=r"http://127\S+ is not rfdn-x2-mine: SHA256 hash"):
        fetching.fetch("rfdn-x2-mine", tmp_path)
    assert left(tmp_path) == []


@pytest.mark.parametrize("known", ["0" * 64, None])
def test_a_web_page_in_place_of_the_file_is_refused(server, listed, tmp_path, known):
    server.content = b"<!DOCTYPE html><html><body>Virus scan warning</body></html>"
    listed(url=server.url, sha256=known)
    with pytest.raises(UserError, match="is a web page, not"):
        fetching.fetch("rfdn-x2-mine", tmp_path)
    assert left(tmp_path) == []
    assert weights.held(tmp_path) == []


def test_a_refusal_names_the_page(server, listed, tmp_path):
    server.code = 404
    listed(url=server.url)
    with pytest.raises(UserError, match=r"was refused: 404 Not Found\. Visit https://page instead\."):
        fetching.fetch("rfdn-x2-mine", tmp_path)


def test_what_only_a_page_has_is_not_guessed_at(tmp_path, listed):
    listed()
    with pytest.raises(UserError, match=r"fetch from\. They are published at https://page as mine\.pth; download"):
        fetching.fetch("rfdn-x2-mine", tmp_path)
    with pytest.raises(UserError, match="No published weights 'imdn'"):
        fetching.fetch("imdn", tmp_path)


def test_nobody_there_has_its_sentence(server, listed, tmp_path):
    listed(url="http://127.0.0.1:1/x.pth", file="x.pth")
    with pytest.raises(UserError, match=r"could not be fetched: .*refused"):
        fetching.fetch("rfdn-x2-mine", tmp_path)


# --- the commands


def test_the_commands_add_list_and_say_so_in_json(workbench, checkpoint, tmp_path):
    bad = tmp_path / "page.pth"
    bad.write_bytes(b"<html></html>")
    ran = workbench("weights", "add", bad, checkpoint, "--trained-on", "DF2K", "--data", tmp_path / "home")
    assert ran.code == 2
    assert ran.err == f"workbench: {bad} is a web page, not a checkpoint; download the file itself.\n"
    assert ran.out.startswith(f"{checkpoint}: rfdn-x2-")
    ran = workbench("weights", "list", "--data", tmp_path / "home", "--json")
    (mine,) = [row for row in json.loads(ran.out) if row["here"] == "yes"]
    assert (mine["variants"], mine["trained_on"]) == ("rfdn-x2", "DF2K")
    shutil.rmtree(tmp_path / "home")
    assert "rfdn-x2-div2k" in workbench("weights", "list", "--data", tmp_path / "home").out


def test_published_is_said_of_one_file(workbench, checkpoint, tmp_path):
    ran = workbench("weights", "add", checkpoint, checkpoint, "--published", "rfdn-x2-div2k", "--data", tmp_path)
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "said of one file, not of 2; add them one by one" in ran.err


SHARED = Path(__file__).parents[2] / "shared" / "data" / "weights"


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("imdn_x4.pth", "imdn-x4-div2k"),
        ("carn_m_x234.pth", "carn-m-x234-div2k"),
        ("hit_srf_x4.pth", "hit-srf-x4-div2k"),
    ],
)
def test_official_files_are_known_by_their_hash(file, name):
    if not (SHARED / file).is_file():
        pytest.skip(f"{file} is not beside the checkout, in ../shared/data/weights")
    assert weights.read(SHARED / file).name == name
