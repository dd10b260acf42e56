"""pictures, crops and their commands: what is written where, what is refused, and what a strip shows."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from workbench import crops, pictures, weights
from workbench.images import files, metrics, resize
from workbench.report import strips
from workbench.spec import UserError
from workbench.upscaling import Cut, Made

HELD = weights.Weights("mine", ("imdn-x2", "imdn-x4"), "DIV2K", "0" * 64, "mine.pth", None)


@pytest.fixture(autouse=True)
def network(monkeypatch):
    """Every pixel repeated, in place of a network."""

    class Repeat:
        def __init__(self, variant, held, quality):
            self.scale, self.quality = int(variant[-1]), quality
            Repeat.last = self

        def __call__(self, low):
            cut = Cut(4, 4, 2, "memory") if low.shape[0] > 40 else None
            return Made(low.repeat(self.scale, 0).repeat(self.scale, 1), cut)

    for room in (pictures, crops):
        monkeypatch.setattr(room, "Upscaler", Repeat)
        monkeypatch.setattr(room.weights, "choose", lambda variant, asked, home: HELD)
    return Repeat


@pytest.fixture
def image(tmp_path):
    def make(name="a.png", height=24, width=32, mode="RGB"):
        y, x = np.mgrid[:height, :width]
        made = np.stack([x * 7 % 256, y * 9 % 256, (x + y) * 5 % 256], 2).astype(np.uint8)
        Image.fromarray(made).convert(mode).save(tmp_path / name)
        return tmp_path / name

    return make


# --- upscale


def test_one_image_goes_to_a_file(workbench, image, tmp_path, network):
    out = tmp_path / "big.png"
    ran = workbench("upscale", image(), "--model", "imdn-x2", "-o", out, "--ensemble")
    assert (ran.code, ran.out) == (0, f"{out}: 64x48\n")
    assert np.array_equal(files.read(out), files.read(image()).repeat(2, 0).repeat(2, 1))
    assert network.last.quality.ensemble == "x8"


def test_several_go_to_a_folder_and_a_bad_one_stops_none(workbench, image, tmp_path):
    alpha, tall = image("alpha.png", mode="RGBA"), image("tall.png", height=44)
    out = tmp_path / "big"
    ran = workbench("upscale", image(), alpha, tmp_path / "none.png", tall, "--model", "imdn-x4", "-o", out)
    assert ran.code == 2
    assert ran.out.splitlines() == [
        f"{out / 'a-x4.png'}: 128x96",
        f"{out / 'tall-x4.png'}: 128x176, in tiles of 4x4 that overlap by 2",
    ]
    first, second = ran.err.splitlines()
    assert first.startswith(f"workbench: {alpha} has an alpha channel")
    assert second.startswith(f"workbench: Cannot read {tmp_path / 'none.png'}: No such file")
    assert sorted(p.name for p in out.iterdir()) == ["a-x4.png", "tall-x4.png"]


def test_grey_is_repeated(image, tmp_path):
    (done,) = pictures.upscale([image("g.png", mode="L")], "imdn-x2", None, tmp_path / "o.png", False, tmp_path)
    assert done.size == (48, 64)
    assert files.read(done.out).shape == (48, 64, 3)


def test_json_names_every_picture(workbench, image, tmp_path):
    ran = workbench(
        "upscale", image(), tmp_path / "none.png", "--model", "imdn-x2", "-o", tmp_path / "big", "--json"
    )  # fmt: skip
    good, bad = json.loads(ran.out)
    assert (good["width"], good["height"], good["tiles"], good["why"]) == (64, 48, None, None)
    assert (bad["width"], bad["height"]) == (None, None)
    assert "No such file" in bad["why"]


@pytest.mark.parametrize(
    ("names", "out", "sentence"),
    [
        (
            ("a.png", "b.png"),
            "big.png",
            "for one image give a file that ends in .png, .bmp, .webp, .tif, .tiff, for se",
        ),
        (("a.png",), "big.jpg", "for one image give a file that ends in .png"),
        (("a.png",), "a.png", "would be written over a picture that is read; name another place with -o."),
        (("a.png", "sub/a.png"), "big", "would both become"),
    ],
)
def test_where_nothing_can_be_written_is_told_before_anything_is_made(image, tmp_path, names, out, sentence):
    (tmp_path / "sub").mkdir()
    with pytest.raises(UserError) as refused:
        list(pictures.upscale([image(n) for n in names], "imdn-x2", None, tmp_path / out, False, tmp_path))
    assert sentence in str(refused.value)


def test_an_unknown_model_has_its_sentence(workbench, image, tmp_path):
    ran = workbench("upscale", image(), "--model", "imdn", "-o", tmp_path / "o.png")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "No variant 'imdn'. Did you mean 'imdn-x" in ran.err


# --- crops


def test_a_strip_holds_the_region_as_everything_makes_it(image, tmp_path):
    path = image(height=50, width=41)
    strip = crops.strip(path, (8, 12, 10, 9), ["imdn-x4", "imdn-x4=other"], tmp_path)
    original = files.read(path)[:48, :40]
    low = resize.low(original, 4)
    assert [p.name for p in strip.panels] == ["HR", "bicubic", "imdn-x4", "imdn-x4"]
    assert np.array_equal(strip.panels[0].image, original[12:21, 8:18])
    assert np.array_equal(strip.panels[1].image, resize.imresize(low, 4)[12:21, 8:18])
    large = low.repeat(4, 0).repeat(4, 1)
    assert np.array_equal(strip.panels[2].image, large[12:21, 8:18])
    assert strip.panels[2].psnr == metrics.psnr(large, original, 4)
    assert strip.panels[2].ssim == metrics.ssim(large, original, 4)
    assert strip.panels[0].psnr is None


@pytest.mark.parametrize("text", ["1,2,3", "a,b,c,d", "-1,0,20,20", "1,2,9,9,9", ""])
def test_a_region_is_four_numbers(text):
    with pytest.raises(UserError, match=r"--region was given .*; give x,y,w,h in pixels of the original"):
        crops.region(text)


def test_a_region_that_shows_nothing_is_refused():
    assert crops.region(" 1, 2,8,9 ") == (1, 2, 8, 9)
    with pytest.raises(UserError, match=r"--region 0,0,7,20 is 7x20; give one of at least 8x8"):
        crops.region("0,0,7,20")


@pytest.mark.parametrize(
    ("region", "names", "sentence"),
    [
        ((30, 0, 8, 8), ["imdn-x4"], "--region 30,0,8,8 reaches beyond a.png, which is 32x24 where x4 divides it"),
        ((0, 0, 8, 8), ["imdn-x4", "imdn-x2"], "--models was given imdn-x4, imdn-x2; give variants of one scale"),
        ((0, 0, 8, 8), ["imdn-x5"], "No variant 'imdn-x5'."),
    ],
)
def test_a_strip_that_cannot_be_made(image, tmp_path, region, names, sentence):
    with pytest.raises(UserError) as refused:
        crops.strip(image(), region, names, tmp_path)
    assert sentence in str(refused.value)


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_command_draws_a_strip_and_the_same_one_twice_is_the_same_file(workbench, image, tmp_path, suffix):
    words = ("crops", image(height=60, width=80), "--region", "4,4,16,12", "--models", "imdn-x4, imdn-x4=b", "-o")
    first, second = tmp_path / f"one{suffix}", tmp_path / f"two{suffix}"
    ran = workbench(*words, first)
    assert ran.code == 0
    assert ran.out.splitlines()[0].startswith("bicubic ")
    assert ran.out.splitlines()[1].endswith(" mine")
    assert workbench(*words, second, "--json").code == 0
    assert first.read_bytes() == second.read_bytes()
    if suffix == ".svg":
        text = first.read_text()
        assert all(told in text for told in ("HR", "bicubic", "imdn-x4", "of the whole image", "a.png, x4"))
    else:
        with Image.open(first) as drawn:
            assert drawn.width > drawn.height > 300


def test_what_is_no_picture_is_refused_before_anything_is_read(workbench, tmp_path):
    ran = workbench("crops", "none.png", "--region", "0,0,9,9", "--models", "imdn-x4", "-o", tmp_path / "s.pdf")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "give a file that ends in .png or .svg." in ran.err
    for given, told in (
        ("imdn-x4,,", "--models was given 'imdn-x4,,', which has a comma without a name beside it; give variants"),
        (
            "imdn-x4,imdn-x4",
            "--models was given imdn-x4 twice; name each once, or as VARIANT=WEIGHTS with other weights.",
        ),
    ):
        ran = workbench("crops", "none.png", "--region", "0,0,9,9", "--models", given, "-o", tmp_path / "s.png")
        assert (ran.code, ran.err.count("\n")) == (2, 1)
        assert told in ran.err


def test_a_caption_names_the_figures():
    assert strips.caption(crops.Panel("HR", "", np.zeros((1, 1, 3)), None, None)) == "HR\noriginal"
    assert (
        strips.caption(crops.Panel("imdn-x4", "w", np.zeros((1, 1, 3)), 23.456, 0.71231)) == "imdn-x4\n23.46 / 0.7123"
    )


@pytest.mark.parametrize(("height", "width"), [(60, 60), (60, 120), (120, 60)])
def test_no_caption_reaches_beyond_the_picture(tmp_path, height, width):
    picture = np.zeros((height, width, 3), np.uint8)
    panels = tuple(crops.Panel(n, "", picture[:16, :16], 23.4, 0.7) for n in ("bicubic", "imdn-x4"))
    strip = crops.Strip("a-name-of-some-length.png", 4, picture, (0, 0, 16, 16), panels)
    strips.write(strip, tmp_path / "strip.png")
    drawn = np.asarray(Image.open(tmp_path / "strip.png").convert("L"))
    below = drawn[int(0.8 * len(drawn)) :]
    assert below.min() < 128  # captions are there
    assert min(below[-1].min(), below[:, 0].min(), below[:, -1].min()) == 255


def test_a_strip_is_not_drawn_over_the_picture_that_it_is_of(workbench, image):
    path = image(height=60, width=80)
    before = path.read_bytes()
    ran = workbench("crops", path, "--region", "4,4,16,12", "--models", "imdn-x4", "-o", path)
    assert (ran.code, path.read_bytes()) == (2, before)
    assert ran.err == f"workbench: {path} would be written over the picture that is read; name another place with -o.\n"
