"""Test sets: recognised by what they hold, in any layout; looked at again when used; their low resolution is kept."""

import dataclasses
import multiprocessing
import os
import shutil
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from workbench import testsets
from workbench.images import files, resize
from workbench.spec import UserError
from workbench.testsets import fingerprint, known, lows, recognise

SHARED = Path(__file__).parents[2] / "shared" / "data" / "testsets"
NAMES = ("baby", "bird", "butterfly", "head", "woman")


@pytest.fixture(scope="module")
def pictures():
    """Five images that stand for Set5's: smooth noise of 131x107, so that a cut to 2, 4 and 12 are three sizes."""
    made = {}
    for seed, name in enumerate(NAMES):
        seeds = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
        made[name] = np.ascontiguousarray(resize.imresize(seeds, 28)[:107, :131])
    return made


@pytest.fixture(autouse=True)
def content(monkeypatch, pictures):
    """The known content of Set5 is that of the pictures; no other set's is known."""
    images = tuple(known.KnownImage(n, fingerprint.take(i), f"{n}.png", "") for n, i in pictures.items())
    monkeypatch.setattr(known, "_images", lambda: {"set5": images})


@pytest.fixture
def fill(tmp_path, pictures):
    """Write the pictures, changed, into a folder of this test: fill("HR", change, "{}x4.png")."""

    def write(folder, change=lambda i: i, name="{}.png", **options):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        for stem, image in pictures.items():
            Image.fromarray(change(image)).save(tmp_path / folder / name.format(stem), **options)
        return tmp_path / folder

    return write


def cut(multiple):
    return lambda i: i[: i.shape[0] // multiple * multiple, : i.shape[1] // multiple * multiple]


def refusal(*words):
    with pytest.raises(UserError) as refused:
        testsets.add(*words)
    return str(refused.value)


# --- what the sets are known by


def test_every_known_image_is_there_and_no_two_of_a_set_could_be_confused(monkeypatch):
    monkeypatch.undo()
    for one in testsets.SETS.values():
        assert len(one.images) in (0, one.count)
        assert len({k.name for k in one.images} | {k.fingerprint.content for k in one.images}) == 2 * len(one.images)
        assert all(len(k.sha256) == 64 and k.source.endswith(".png") for k in one.images)
        distances = [a.fingerprint.far(b.fingerprint) for a in one.images for b in one.images if a is not b]
        assert min(distances, default=99) > recognise.SAME
    assert {n: s.how for n, s in testsets.SETS.items() if not s.images} == {
        "b100": "number and size only", "manga109": "number only", "div2k-val": "number and size only",
    }  # fmt: skip


def test_a_fingerprint_by_hand():
    image = np.zeros((25, 26, 3), np.uint8)
    image[:, 13:] = 200
    seen = fingerprint.take(image)
    assert (seen.height, seen.width, seen.colour) == (25, 26, False)
    assert seen.cells == bytes([0, 0, 0, 0, 200, 200, 200, 200] * 8)
    assert seen.points == bytes([0] * 6 + [200] * 6) * 12  # at columns 1, 3, ... 23
    assert seen.content == fingerprint.take(image[:24, :24]).content != fingerprint.take(image[:25, :12]).content
    assert seen.far(fingerprint.take(np.zeros((3, 3, 3), np.uint8))) == 100


# --- layouts


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("HR", "{}.png"), ("GTmod12", "{}.bmp"), ("image_SRF_4", "{}_SRF_4_HR.png"), ("", "{}.tif"),
        ("Set5/original", "{}.png"), ("Set5", "{}.WEBP"),
    ],
)  # fmt: skip
def test_layouts_that_people_have(tmp_path, fill, folder, name):
    fill(f"x/{folder}", name=name, **({"lossless": True} if "WEBP" in name else {}))
    low = partial(resize.low, scale=4)
    fill("x/LR_bicubic/X4", low, "{}x4.png")
    fill("x/LRbicx4", low)
    if "HR" in name:
        fill("x/image_SRF_4", low, "{}_SRF_4_LR.png")
        fill("x/image_SRF_4", low, "{}_SRF_4_bicubic.png")
    (tmp_path / "x" / "LRbicx4" / "._baby.png").touch()
    found = testsets.add("Set5", tmp_path / "x", tmp_path / "home")
    assert (found.name, found.title, found.complete, found.sentence) == ("set5", "Set5", True, "all 5 images")
    assert [i.name for i in found.images] == list(NAMES)
    assert found.folder == tmp_path / "x" / folder


def test_neither_names_nor_order_matter(tmp_path, fill, pictures):
    folder = fill("a")
    for number, name in enumerate(reversed(NAMES), start=1):
        (folder / f"{name}.png").rename(folder / f"img_{number:03}.png")
    found = testsets.add("set5", folder, tmp_path)
    assert found.complete
    assert all((i.read() == pictures[i.name]).all() for i in found.images)
    assert found.digest == testsets.add("set5", fill("b", name="{}.bmp"), tmp_path).digest
    assert found.images[0].sha256 == files.sha256(folder / "img_005.png")


def test_low_resolution_beside_the_images_is_left_out(tmp_path, fill):
    fill("a")
    fill("a", lambda i: resize.low(i, 2), "{}x2.png")
    assert len(testsets.add("mine", tmp_path / "a", tmp_path / "home").images) == 5


def test_the_largest_of_several_cuts_is_taken(tmp_path, fill):
    fill("a/GTmod12", cut(12))
    fill("a/original")
    assert testsets.add("set5", tmp_path / "a", tmp_path / "home").folder.name == "original"


@pytest.mark.parametrize("multiple", [2, 4, 12])
def test_a_cut_is_the_set_and_is_told(tmp_path, fill, multiple):
    found = testsets.add("set5", fill("a", cut(multiple)), tmp_path / "home")
    assert found.complete
    assert found.sentence == f"all 5 images, cut to multiples of {multiple}"


# --- what is not the set


@pytest.mark.parametrize(
    ("change", "options", "told"),
    [
        (lambda i: resize.low(i, 2), {}, "Set5 at half its resolution (baby is 65x53, not 131x107)"),
        (lambda i: resize.imresize(i, 1 / 4), {}, "Set5 at a quarter of its resolution (baby is 33x27, not 131x107)"),
        (lambda i: resize.imresize(i, 0.7), {}, "Set5 at 0.70 times its resolution (baby is 92x75, not 131x107)"),
        (lambda i: np.minimum(i, 252) + np.uint8(3), {}, "Set5 re-encoded ("),
        (lambda i: i, {"format": "JPEG", "quality": 80}, "Set5 re-encoded ("),
        (lambda i: i, {"format": "WEBP", "quality": 80}, "Set5 re-encoded ("),
        (lambda i: i[..., :1].repeat(3, 2) // 2 + np.uint8(60), {}, "it has none of the 5 images of Set5 among its 5"),
        (lambda i: np.array(Image.fromarray(i).convert("L")), {}, "Set5 in grey (baby has lost its colours)"),
        (lambda i: i[:, ::-1], {}, "it has none of the 5 images of Set5 among its 5"),
    ],
)
def test_what_was_done_to_a_set_is_told_and_it_is_refused(tmp_path, fill, change, options, told):
    folder = fill("a", change, **options)
    sentence = refusal("set5", folder, tmp_path / "home")
    assert sentence.startswith(f"{folder} is not Set5 as published: {told}")
    assert f"Register it under another name (workbench data add my-set5 {folder}), or get the set" in sentence
    assert not (tmp_path / "home").exists()


def test_a_cut_that_is_none_of_the_usual_is_told(pictures):
    seen = {
        Path(n): dataclasses.replace(fingerprint.take(i), height=95, width=126, content=n) for n, i in pictures.items()
    }
    found = recognise.recognise(testsets.SETS["set5"], seen)
    assert found.state == "different"
    assert found.sentence == "Set5 cut to other sizes (baby is 126x95, not 131x107)"


def test_levels_are_counted(tmp_path, fill):
    sentence = refusal("set5", fill("a", lambda i: i - np.minimum(i, 2)), tmp_path / "home")
    assert "differs by 2.0 levels on average)" in sentence


def test_some_images_of_another_encoding_are_counted(tmp_path, fill, pictures):
    Image.fromarray(pictures["head"]).save(fill("a") / "head.png", "JPEG", quality=50)
    assert "Set5 re-encoded (head differs by" in refusal("set5", tmp_path / "a", tmp_path / "home")
    assert "1 of 5 images)" in refusal("set5", tmp_path / "a", tmp_path / "home")


def test_sets_whose_content_is_not_known_are_recognised_by_number_and_size(tmp_path):
    def folder(name, sizes):
        for number, (width, height) in enumerate(sizes):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.new("L", (width, height), number).save(tmp_path / name / f"{number:03}.bmp")
        return tmp_path / name

    home, sizes = tmp_path / "home", [(481, 321)] * 50 + [(321, 481)] * 50
    whole = testsets.add("B100", folder("b", sizes), home)
    assert (whole.complete, whole.sentence) == (True, "all 100 images, recognised by number and size only")
    few = testsets.add("b100", folder("few", [(480, 320)] * 98), home)
    assert (few.complete, few.missing) == (False, ("2 more",))
    assert "98 of 100 images" in few.sentence
    assert "B100 at half its resolution, by the sizes" in refusal("b100", folder("half", [(240, 160)] * 100), home)
    assert "000.bmp is 40x30, a size that none" in refusal("div2k-val", folder("odd", [(40, 30)]), home)
    assert "1 images, not 109" in refusal("manga109", tmp_path / "odd", home)


def test_more_than_the_set_is_left_out(tmp_path, fill):
    folder = fill("a")
    shutil.copy(folder / "bird.png", folder / "copy.png")
    (folder / "broken.png").touch()
    found = testsets.add("set5", folder, tmp_path / "home")
    assert (found.complete, found.sentence, len(found.images)) == (True, "all 5 images; files left out: 1", 5)


# --- bad folders


def test_a_broken_image_leaves_the_rest_and_the_set_is_incomplete(tmp_path, fill):
    bird = fill("a") / "bird.png"
    bird.write_bytes(bird.read_bytes()[:300])
    found = testsets.add("set5", tmp_path / "a", tmp_path / "home")
    assert [i.name for i in found.images] == ["baby", "butterfly", "head", "woman"]
    assert (found.complete, found.missing) == (False, ("bird",))
    assert found.sentence.startswith(f"4 of 5 images; missing: bird; {bird} is not whole")
    assert found.unread == {
        "bird": "bird.png is not whole: image file is truncated. Get it again from where it came from."
    }
    own = testsets.add("mine", tmp_path / "a", tmp_path / "home")
    assert (own.complete, len(own.images), own.missing) == (False, 4, ("bird.png",))
    assert own.unread == {"bird.png": found.unread["bird"]}
    assert testsets.find("mine", tmp_path / "home") == own


def test_every_image_that_cannot_be_read_is_named(tmp_path, fill, workbench):
    folder = fill("a")
    (folder / "bird.png").write_bytes(b"")
    (folder / "head.png").write_text("<html>")
    told = workbench("data", "add", "mine", folder, "--data", tmp_path / "home")
    for name in (
        "bird.png is no image that can be read: it is empty",
        "head.png is no image that can be read: it is an HTML",
    ):
        assert f"workbench: {name}" in told.err
    assert told.out.startswith("mine: 3 images, a set of your own; ")


def test_of_a_set_known_by_number_the_unread_are_named_and_the_rest_counted():
    prints = {Path(f"{n}.png"): fingerprint.take(np.zeros((321, 481, 3), np.uint8)) for n in range(97)}
    b100 = known.SETS["b100"]
    assert recognise.recognise(b100, prints, ["x.png", "y.png", "z.png"]).missing == ("x.png", "y.png", "z.png")
    assert recognise.recognise(b100, prints, ["x.png"]).missing == ("x.png", "2 more")
    assert recognise.recognise(b100, prints, list("abcde")).missing == ("3 more",)


def test_links_that_lead_back_are_followed_once(tmp_path, fill):
    folder = fill("a")
    (folder / "loop").symlink_to(folder)
    (folder / "self").symlink_to("self")
    (tmp_path / "link").symlink_to(folder)
    assert testsets.add("set5", tmp_path / "link", tmp_path / "home").complete


def test_folders_that_hold_no_set_have_their_sentence(tmp_path, fill):
    home = tmp_path / "home"
    assert refusal("set5", tmp_path / "no", home).endswith(
        "no is not there; name the folder that holds a set's images, unpacked."
    )
    (tmp_path / "zip").touch()
    assert "zip is a file; name the folder" in refusal("set5", tmp_path / "zip", home)
    (tmp_path / "empty").mkdir()
    assert "No images in" in refusal("mine", tmp_path / "empty", home)
    (tmp_path / "empty" / "page.png").write_text("<html>")
    assert "can be read. The first:" in refusal("set5", tmp_path / "empty", home)
    fill("two/a")
    fill("two/b")
    assert "has images in 2 folders" in refusal("mine", tmp_path / "two", home)
    assert "'a b' cannot name a test set" in refusal("a b", tmp_path / "two" / "a", home)
    assert "skimage-photos is always here" in refusal("skimage-photos", tmp_path / "two" / "a", home)


# --- sets that are here


def test_what_changed_since_is_seen_and_left_out(tmp_path, fill, pictures):
    folder, home = fill("a"), tmp_path / "home"
    testsets.add("set5", folder, home)
    files.write(folder / "bird.png", pictures["head"])
    (folder / "woman.png").unlink()
    os.utime(folder / "baby.png")  # touched, not changed
    found = testsets.find("SET5", home)
    assert (found.complete, found.missing) == (False, ("bird", "woman"))
    assert [i.name for i in found.images] == ["baby", "butterfly", "head"]
    assert found.sentence == "3 of 5 images; gone or changed since: bird, woman"


def test_check_reads_what_looks_unchanged(tmp_path, fill):
    folder, home = fill("a", name="{}.bmp"), tmp_path / "home"
    testsets.add("set5", folder, home)
    file = folder / "head.bmp"
    stat = file.stat()
    file.write_bytes(file.read_bytes()[:-200] + bytes(200))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert testsets.find("set5", home).complete
    found = testsets.check("set5", home)
    assert (found.complete, found.missing) == (False, ("head",))
    assert found.sentence.startswith(f"4 of 5 images; {file} is not what was registered as head.")


def test_what_is_not_here_says_how_it_gets_here(tmp_path, fill):
    with pytest.raises(UserError, match=r"Set14 is not registered here\. .*: workbench data add set14"):
        testsets.find("Set14", tmp_path)
    with pytest.raises(UserError, match=r"No test set 'set6'\. Did you mean 'set5'"):
        testsets.find("set6", tmp_path)
    testsets.add("mine", fill("a"), tmp_path)
    assert testsets.names(tmp_path) == [*testsets.SETS, "mine", "skimage-photos"]
    shutil.rmtree(tmp_path / "a")
    with pytest.raises(UserError, match=r"The folder of mine is gone: .*a\. Register it where it is now"):
        testsets.find("mine", tmp_path)
    (tmp_path / "testsets" / "mine.json").write_text("{")
    with pytest.raises(UserError, match=r"mine.json cannot be read\. Register the set again"):
        testsets.find("mine", tmp_path)


def test_photographs_are_always_here(tmp_path):
    found = testsets.find("skimage-photos", tmp_path)
    assert (found.complete, len(found.images)) == (True, 6)
    assert "no benchmark" in found.sentence
    assert found.digest == testsets.find("skimage-photos", tmp_path).digest


# --- low resolution, kept


def test_low_resolution_is_made_once_and_kept_by_content(tmp_path, pictures, monkeypatch):
    image = pictures["bird"]
    made = testsets.lows(image, 3, tmp_path)
    assert (made == resize.low(image, 3)).all()
    (entry,) = tmp_path.iterdir()
    monkeypatch.setattr(resize, "low", lambda *_: pytest.fail("it was made again"))
    assert (testsets.lows(image.copy(), 3, tmp_path) == made).all()
    assert (testsets.lows(cut(3)(image), 3, tmp_path) == made).all()
    monkeypatch.undo()
    for torn in (b"", entry.read_bytes()[:-1], entry.read_bytes()[:-1] + b"\0" * 2, b"\0" * len(entry.read_bytes())):
        entry.write_bytes(torn)
        assert (testsets.lows(image, 3, tmp_path) == made).all()
    assert len(testsets.lows(image, 2, tmp_path)) == 53
    assert len(list(tmp_path.iterdir())) == 2


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, pictures):
    (tmp_path / "file").touch()
    found = testsets.lows(pictures["bird"], 2, tmp_path / "file")
    assert (found == resize.low(pictures["bird"], 2)).all()


def test_the_oldest_go_when_the_cache_is_full(tmp_path, pictures, monkeypatch):
    monkeypatch.setattr(sys.modules[lows.__module__], "MOST", 2 * (53 * 65 * 3 + 32))
    for age, image in enumerate(pictures.values()):
        testsets.lows(image, 2, tmp_path)
        for entry in tmp_path.iterdir():
            if entry.stat().st_mtime > 10**6:
                os.utime(entry, (age, age))
    kept = sorted(int(e.stat().st_mtime) for e in tmp_path.iterdir())
    assert kept == [3, 4]


def _fill_cache(folder):
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    return all((testsets.lows(image, 2, folder) == resize.low(image, 2)).all() for _ in range(20))


def test_a_cache_is_shared_by_processes(tmp_path):
    with multiprocessing.get_context("fork").Pool(3) as pool:
        assert pool.map(_fill_cache, [tmp_path] * 3) == [True] * 3
    assert len(list(tmp_path.iterdir())) == 1


# --- with the real sets


@pytest.mark.parametrize(("name", "count"), [("Set5", 5), ("Set14", 14)])
def test_the_real_sets_are_recognised(monkeypatch, tmp_path, name, count):
    if not (SHARED / name).is_dir():
        pytest.skip(f"wants {name} in ../shared/data/testsets")
    monkeypatch.undo()
    found = testsets.add(name, SHARED / name, tmp_path)
    assert (found.complete, len(found.images)) == (True, count)


def test_the_real_set5_is_recognised_cut_halved_and_re_encoded(monkeypatch, tmp_path):
    if not (SHARED / "Set5").is_dir():
        pytest.skip("wants Set5 in ../shared/data/testsets")
    monkeypatch.undo()
    (tmp_path / "jpeg").mkdir()
    for path in (SHARED / "Set5" / "HR").iterdir():
        hr = files.read(path)
        for folder, image in (("half", resize.low(hr, 2)), ("GTmod12", cut(12)(hr))):
            files.write(tmp_path / folder / f"{path.stem}.bmp", image)
        Image.fromarray(hr).save(tmp_path / "jpeg" / f"{path.stem}.jpg", quality=90)
    assert testsets.add("set5", tmp_path / "GTmod12", tmp_path).sentence == "all 5 images, cut to multiples of 12"
    assert "Set5 at half its resolution (" in refusal("set5", tmp_path / "half", tmp_path)
    assert "Set5 re-encoded (" in refusal("set5", tmp_path / "jpeg", tmp_path)
