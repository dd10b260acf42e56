"""Pictures as arrays: files whole or refused, MATLAB's bicubic by definition, PSNR and SSIM by hand and by oracle."""

import math
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import metrics as oracle

from workbench.images import files, metrics, resize
from workbench.spec import UserError

SET5 = Path(__file__).parents[2] / "shared" / "data" / "testsets" / "Set5"


@pytest.fixture(scope="session")
def noise():
    """Images of noise, the same at every call: noise(height, width, seed)."""

    def make(height, width, seed=0):
        return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)

    return make


def saved(path, mode_or_image, kind, **options):
    image = Image.new(mode_or_image, (5, 4)) if isinstance(mode_or_image, str) else Image.fromarray(mode_or_image)
    image.save(path, kind, **options)
    return path


def png(width, height, depth=8, rows=b""):
    """A PNG put together by hand: colour type 2, any depth, any content."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


# --- files


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.webp", "a.tif", "a.TIFF"])
def test_what_is_written_is_read_back_in_every_sample(tmp_path, noise, name):
    image = noise(13, 7)
    files.write(tmp_path / "new" / name, image)
    assert (files.read(tmp_path / "new" / name) == image).all()
    assert files.size(tmp_path / "new" / name) == (13, 7)
    assert [p.name for p in (tmp_path / "new").iterdir()] == [name]


def test_a_lossy_format_is_not_written(tmp_path, noise):
    with pytest.raises(UserError, match=r"names no lossless format\. Known: \.png, \.bmp, \.webp"):
        files.write(tmp_path / "a.jpg", noise(8, 8))


def test_a_folder_that_takes_no_file_has_its_sentence(tmp_path, noise):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"Cannot write .*a.png: .*\. Name a writable folder\."):
        files.write(tmp_path / "file" / "a.png", noise(8, 8))


@pytest.mark.parametrize(("mode", "kind"), [("L", "PNG"), ("1", "PNG"), ("P", "PNG"), ("RGB", "JPEG"), ("L", "TIFF")])
def test_grey_and_palettes_have_three_channels(tmp_path, mode, kind):
    image = files.read(saved(tmp_path / "a", mode, kind))
    assert (image.shape, image.dtype) == ((4, 5, 3), np.uint8)


def test_grey_is_repeated_and_a_name_says_nothing_about_the_format(tmp_path):
    grey = np.arange(20, dtype=np.uint8).reshape(4, 5)
    assert (files.read(saved(tmp_path / "a.bmp", grey, "PNG")) == grey[..., None]).all()


def test_a_camera_s_orientation_is_applied(tmp_path, noise):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter to the right
    image = noise(4, 6)
    assert (files.read(saved(tmp_path / "a", image, "PNG", exif=exif)) == np.rot90(image, -1)).all()


BAD = {
    "alpha": (lambda p: saved(p, "RGBA", "PNG"), "has an alpha channel", "Flatten it"),
    "grey alpha": (lambda p: saved(p, "LA", "PNG"), "has an alpha channel", "Flatten it"),
    "a transparent colour": (lambda p: saved(p, "P", "PNG", transparency=0), "has an alpha channel", "Flatten it"),
    "16 bits of grey": (lambda p: saved(p, "I;16", "PNG"), "more than 8 bits a sample", "8-bit RGB or grey PNG"),
    "16 bits of RGB": (
        lambda p: p.write_bytes(png(2, 2, 16, (b"\0" + bytes(12)) * 2)),
        "more than 8 bits a sample",
        "8-bit RGB",
    ),
    "floats": (lambda p: saved(p, "F", "TIFF"), "more than 8 bits a sample", "8-bit RGB"),
    "CMYK": (lambda p: saved(p, "CMYK", "JPEG"), "is in CMYK, not RGB or grey", "8-bit RGB"),
    "two pictures": (
        lambda p: Image.new("L", (5, 4)).save(p, "TIFF", save_all=True, append_images=[Image.new("L", (5, 4))]),
        "has 2 pictures in one file",
        "Save one",
    ),
    "a bomb": (lambda p: p.write_bytes(png(40000, 40000)), "decompression bomb", "Cut it"),
    "nearly a bomb": (
        lambda p: p.write_bytes(png(14000, 13000)),
        "claims more than 178,956,970 pixels",
        "Cut it",
    ),
    "no samples": (lambda p: p.write_bytes(png(9, 9)), "is not whole", "Get it again"),
    "nothing": (lambda p: p.touch(), "it is empty", "Get it again"),
    "HTML": (lambda p: p.write_text("\n<!DOCTYPE html><html>"), "it is an HTML page", "Get it again"),
    "a pointer": (lambda p: p.write_text("version https://git-lfs.github.com/spec/v1"), "Git LFS", "git lfs pull"),
    "a text": (lambda p: p.write_text("hello"), "begins with b'hello' and is none of PNG", "Save it"),
    "a folder": (lambda p: p.mkdir(), "Cannot read", "Is a directory"),
    "no file": (lambda p: None, "Cannot read", "No such file"),
    "a link to itself": (lambda p: p.symlink_to(p.name), "Cannot read", "symbolic links"),
}


@pytest.mark.parametrize("bad", BAD)
def test_what_would_be_a_guess_is_refused_with_the_file_s_name(tmp_path, bad):
    make, found, mend = BAD[bad]
    path = tmp_path / "odd.png"
    make(path)
    with pytest.raises(UserError) as refused:
        files.read(path)
    told = str(refused.value)
    assert str(path) in told
    assert found in told
    assert mend in told
    assert "\n" not in told


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("WEBP", {"lossless": True}),
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
    ],
    ids=str,
)
def test_a_file_that_was_cut_off_gives_every_sample_or_its_sentence(tmp_path, noise, kind, options):
    path = saved(tmp_path / "a", noise(33, 41), kind, **options)
    content, whole, refused = path.read_bytes(), files.read(path), 0
    cuts = range(0, len(content), 97)
    for end in cuts:
        path.write_bytes(content[:end])
        try:
            assert (files.read(path) == whole).all()
        except UserError:
            refused += 1
    assert refused >= len(cuts) - 1


def test_the_hash_of_pixels_is_of_size_and_samples_alone(tmp_path, noise):
    image = noise(12, 6)
    again = files.read(saved(tmp_path / "a", image, "BMP"))
    assert files.pixels(again) == files.pixels(image) == files.pixels(np.asfortranarray(image))
    assert files.pixels(image.reshape(6, 12, 3)) != files.pixels(image)
    assert files.pixels(image ^ np.uint8(1)) != files.pixels(image)
    assert files.sha256(tmp_path / "a") != files.pixels(image)


# --- resize


def slowly(line, factor):
    """One line of numbers by the definition of imresize, in plain loops."""
    out, stretch = [], min(factor, 1)
    for place in range(1, math.ceil(len(line) * factor) + 1):
        centre = place / factor + 0.5 * (1 - 1 / factor)
        total = weight = 0.0
        for near in range(math.floor(centre - 2 / stretch) - 1, math.ceil(centre + 2 / stretch) + 2):
            x = abs(centre - near) * stretch
            if x > 2:
                continue
            w = 1.5 * x**3 - 2.5 * x**2 + 1 if x <= 1 else -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
            index = near - 1
            while not 0 <= index < len(line):
                index = -1 - index if index < 0 else 2 * len(line) - 1 - index
            total, weight = total + w * line[index], weight + w
        out.append(min(max(math.floor(total / weight + 0.5), 0), 255))
    return out


@pytest.mark.parametrize("factor", [1 / 2, 1 / 3, 1 / 4, 2, 4, 0.7, 1])
@pytest.mark.parametrize(("height", "width"), [(12, 24), (7, 5), (2, 1)])
def test_imresize_is_its_definition_rows_first_and_rounded_between(noise, factor, height, width):
    image = noise(height, width)[..., :1]
    rows = np.array([slowly(column.tolist(), factor) for column in image[..., 0].T]).T
    want = np.array([slowly(row.tolist(), factor) for row in rows])
    found = resize.imresize(image, factor)[..., 0]
    assert found.shape == (math.ceil(height * factor), math.ceil(width * factor))
    away = np.abs(found.astype(int) - want)  # a third is no binary number: a tie may fall either way
    assert away.max() <= (0 if factor in (1 / 2, 1 / 4, 1) else 1)
    assert (away > 0).mean() <= 0.02


def test_a_line_followed_by_hand():
    edge = np.repeat(np.uint8([0, 0, 0, 0, 255, 255, 255, 255]), 3).reshape(1, 8, 3)
    # at 1/2 the weights are (-3, -9, 29, 111, 111, 29, -9, -3) / 256: 255 * 17 / 256 is 16.9, and -12 is below 0
    assert resize.imresize(np.repeat(edge, 8, 0), 0.5)[0, :, 0].tolist() == [0, 17, 238, 255]


def test_a_flat_image_stays_what_it_is():
    assert (resize.imresize(np.full((9, 12, 3), 77, np.uint8), 1 / 3) == 77).all()


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_low_resolution_of_set5_is_the_published_one_in_every_sample(scale):
    if not SET5.is_dir():
        pytest.skip("wants Set5 in ../shared/data/testsets")
    samples = 0
    for path in sorted((SET5 / "HR").iterdir()):
        published = files.read(SET5 / "LR_bicubic" / f"X{scale}" / f"{path.stem}x{scale}.png")
        made = resize.low(files.read(path), scale)
        assert made.shape == published.shape
        assert np.count_nonzero(made != published) == 0
        samples += made.size
    assert samples == {2: 425592, 3: 187962, 4: 106398}[scale]


@pytest.mark.parametrize("factor", [1 / 2, 1 / 4, 2, 4])
def test_sums_by_a_product_are_those_in_the_order_of_the_taps(noise, factor, monkeypatch):
    images = [noise(37, 50), 255 * (noise(64, 48) > 127).astype(np.uint8), noise(4, 4), noise(1, 130)]
    found = [resize.imresize(image, factor) for image in images]
    monkeypatch.setattr(resize, "_product", resize._in_order)
    assert all((a == resize.imresize(image, factor)).all() for a, image in zip(found, images, strict=True))
    _, weights = resize._taps(64, factor)
    assert (weights * resize.PARTS % 1 == 0).all()  # so it was a product
    assert 255 * resize.PARTS * np.abs(weights).sum(1).max() < 2**24


def test_weights_that_are_no_whole_parts_are_summed_in_order(noise, monkeypatch):
    monkeypatch.delattr(resize, "_product")
    with pytest.raises(NameError):
        resize.low(noise(12, 12), 4)
    assert resize.low(noise(12, 12), 3).shape == (4, 4, 3)


def test_sides_are_cut_to_the_scale_from_the_top_left(noise):
    image = noise(11, 14)
    assert (resize.cropped(image, 4) == image[:8, :12]).all()
    assert resize.low(image, 4).shape == (2, 3, 3)


def test_what_cannot_be_resized_has_its_sentence(noise):
    with pytest.raises(UserError, match="An image of 1x1 holds no 4x4 pixels, so it has no low resolution at x4"):
        resize.low(noise(1, 1), 4)
    with pytest.raises(UserError, match="cannot be resized by nan; give a factor above 0"):
        resize.imresize(noise(4, 4), math.nan)


# --- metrics

COLOURS = np.uint8([[[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255], [1, 2, 3]]])


@pytest.mark.parametrize(
    ("planes", "want"),
    [
        (metrics.luma, [16, 235, 81.481, 144.553, 40.966, 17.5588]),
        (metrics.luma_rounded, [16, 235, 81, 145, 41, 18]),
        (metrics.luma_full, [0, 255, 76, 150, 29, 2]),
    ],
)
def test_luma_of_colours_by_hand(planes, want):
    assert planes(COLOURS)[0] == pytest.approx(want, abs=1e-4)


def test_a_half_goes_up():
    halves = [(r, g, b) for r in range(9) for g in range(256) for b in range(256)
              if (21827 * r + 42851 * g + 8322 * b) % 85000 == 42500]  # fmt: skip
    assert halves
    for colour in halves[:5]:
        image = np.uint8([[colour]])
        assert metrics.luma_rounded(image)[0, 0] == metrics.luma(image)[0, 0] + 0.5


def test_psnr_by_hand(noise):
    a = noise(20, 30)
    b = a.copy()
    b[10, 10] ^= 1  # one level in each of three samples of 20 x 30 x 3
    assert metrics.psnr(a, b, 0, "rgb") == pytest.approx(10 * math.log10(255**2 * 600))
    assert metrics.psnr(a, b, 4, "rgb") == pytest.approx(10 * math.log10(255**2 * 12 * 22))
    assert metrics.psnr(a, a, 4, "y") == math.inf
    a[0, 0] = b[0, 0] ^ 128
    assert metrics.psnr(a, b, 1, "rgb") == pytest.approx(10 * math.log10(255**2 * 18 * 28))


@pytest.mark.parametrize("space", metrics.SPACES)
@pytest.mark.parametrize(("height", "width", "border"), [(40, 60, 4), (11, 11, 0), (43, 75, 0), (90, 33, 2)])
def test_both_are_scikit_image_s(noise, space, height, width, border):
    a = noise(height, width)
    b = np.clip(a.astype(int) + noise(height, width, 1) // 8 - 16, 0, 255).astype(np.uint8)
    inner = (slice(border, height - border), slice(border, width - border))
    planes = [metrics.SPACES[space].planes(i[inner]) for i in (a, b)]
    assert metrics.psnr(a, b, border, space) == pytest.approx(oracle.peak_signal_noise_ratio(*planes, data_range=255))
    maps = [
        oracle.structural_similarity(
            *pair, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255, full=True
        )[1][5:-5, 5:-5]
        for pair in zip(*planes, strict=True)
    ]
    assert metrics.ssim(a, b, border, space) == pytest.approx(np.mean(maps), abs=1e-12)
    assert metrics.both(a, b, border, space) == (metrics.psnr(a, b, border, space), metrics.ssim(a, b, border, space))
    assert metrics.ssim(a, a, border, space) == pytest.approx(1, abs=1e-12)


def test_the_full_range_costs_the_field_s_disputed_decibels(noise):
    a = noise(64, 64)
    b = np.clip(a.astype(int) + noise(64, 64, 1) // 16, 0, 255).astype(np.uint8)
    lower = metrics.psnr(a, b, 4, "y") - metrics.psnr(a, b, 4, "y-jpeg")
    assert lower == pytest.approx(20 * math.log10(255 / 219), abs=0.05)


def test_what_cannot_be_compared_has_its_sentence(noise):
    for one, other, border, told in (
        (noise(8, 9), noise(8, 8), 0, "An image of 9x8 cannot be compared with one of 8x8"),
        (noise(8, 9), noise(8, 9), 4, "An image of 9x8 has nothing left within a border of 4"),
        (noise(8, 9), noise(8, 9), -1, "within a border of -1"),
    ):
        with pytest.raises(UserError, match=told):
            metrics.psnr(one, other, border, "y")
    with pytest.raises(
        UserError, match="with 10x12 pixels within a border of 2 is smaller than SSIM's window of 11x11"
    ):
        metrics.ssim(noise(16, 14), noise(16, 14), 2, "y")
    with pytest.raises(UserError, match=r"No colour space 'Y'\. Did you mean 'y'"):
        metrics.psnr(noise(8, 8), noise(8, 8), 0, "Y")
