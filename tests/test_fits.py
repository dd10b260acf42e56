"""What fits: sizes as typed, the largest input that fits, tiles, and the sentences about what does not."""

import json

import pytest

from workbench import fits, planner
from workbench.protocols import find
from workbench.spec import UserError

ESC = find("esc")


@pytest.mark.parametrize(
    ("text", "size"),
    [("8GB", 8 * 10**9), ("8GiB", 8 * 2**30), ("500MB", 500 * 10**6), ("1.5 gb", 1500 * 10**6), ("1234567", 1234567)],
)
def test_sizes_are_read_as_people_write_them(text, size):
    assert fits.size(text, "--gpu") == size


@pytest.mark.parametrize("text", ["", "8 elephants", "-8GB", "GB", "8GBit"])
def test_a_size_that_is_none_has_its_sentence(text):
    with pytest.raises(UserError, match=rf"--gpu was given {text!r}; give a size such as 8GB, 8GiB, 500MB"):
        fits.size(text, "--gpu")


@pytest.mark.parametrize(("text", "said"), [("1", "1 byte"), ("8", "8 bytes")])
def test_a_size_without_its_unit_says_what_it_would_be(text, said):
    with pytest.raises(UserError, match=rf"--memory was given '{text}', which is {said}; write its unit too: {text}GB"):
        fits.size(text, "--memory")


def test_what_cuda_s_context_takes_is_subtracted():
    assert fits.room("8GB", "500MB").free == 7500 * 10**6
    with pytest.raises(
        UserError, match="--gpu 400MB leaves nothing beside the 500 MB that are kept for CUDA's context"
    ):
        fits.room("400MB", "500MB")


def small(bytes_):
    return fits.Room(bytes_, 0)


@pytest.fixture(scope="module")
def carn():
    """No window, so no step: its memory follows the pixels."""
    return planner.Planner("carn-x4", ESC)


@pytest.fixture(scope="module")
def esc_fp():
    """Windows of 32."""
    return planner.Planner("esc-fp-x4", ESC)


def test_one_pixel_more_does_not_fit(carn):
    room = small(200 * 10**6)
    answer = fits.largest(carn, room)
    side = answer.whole.lr[0]
    assert answer.whole.lr == (side, side)
    assert answer.hr == (4 * side, 4 * side)
    assert answer.more.lr == (side + 1, side + 1)
    assert answer.whole.exact
    assert answer.whole.peak == carn.look(side, side).peak <= room.free < answer.more.peak


def test_windows_make_steps(esc_fp):
    less, whole, more = (esc_fp.look(side, side).peak for side in (63, 64, 65))
    assert more - whole > 10 * (whole - less)


def test_an_aspect_is_kept(carn):
    answer = fits.largest(carn, small(200 * 10**6), (16, 9))
    height, width = answer.whole.lr
    assert height == round(width * 9 / 16)
    assert fits.largest(carn, small(200 * 10**6), (9, 16)).whole.lr == (width, height)


def test_the_shortest_side_is_the_network_s_own_and_named_where_nothing_fits():
    planned = planner.Planner("rfdn-x4", ESC)
    assert planned.least == 15
    with pytest.raises(UserError, match=r"each side needs at least 15 pixels"):
        planned.look(14, 40)
    with pytest.raises(UserError) as told:
        fits.largest(planned, small(10**6))
    assert str(told.value).startswith(
        "rfdn-x4 does not fit into 1 MB under esc: the smallest input, 15x15 pixels, is planned to need "
    )
    assert str(told.value).endswith(" MB. Give more with --gpu.")


@pytest.mark.parametrize("guess", [1, 16, 40, 97, 300])
@pytest.mark.parametrize("least", [1, 15])
def test_the_edge_is_found_from_any_guess(guess, least):
    for last in (*range(least, least + 40), 447, 448, 449):
        assert fits._edge(lambda side, last=last: side <= last, least, guess) == (last, last + 1)


def test_where_windows_begin_is_looked_at_first():
    asked = []
    assert fits._edge(lambda side: asked.append(side) or side <= 448, 192, 463) == (448, 449)
    assert asked == [448, 464, 449]


def test_the_least_side_is_looked_for_only_where_it_matters(carn, monkeypatch):
    monkeypatch.setattr(planner.Planner, "least", property(lambda _: pytest.fail("it was looked for")))
    assert fits.largest(carn, small(500 * 10**6)).whole.lr[0] > planner.STEP


def test_every_size_that_is_walked_is_said():
    said = []
    planner.Planner("carn-x4", ESC, say=said.append).look(20, 30)
    assert said == ["carn-x4 under esc: planning for 30x20 pixels"]


def test_an_image_of_too_many_tiles_is_not_said_to_need_more_than_there_is(carn):
    with pytest.raises(
        UserError, match=r"^99999999x99999999 pixels would take more than 4,096 tiles for carn-x4 in 1,000"
    ):
        fits.image(carn, small(10**9), 99999999, 99999999, 16)


def test_an_image_that_fits_is_not_cut(carn):
    answer = fits.image(carn, small(10**9), 90, 160, 16)
    assert (answer.fits, answer.tiles, answer.hr) == (True, None, (360, 640))


def test_an_image_that_does_not_fit_is_cut_into_balanced_tiles(carn):
    whole = carn.look(180, 320)
    answer = fits.image(carn, small(whole.peak // 3), 180, 320, 16)
    tiles = answer.tiles
    assert not answer.fits
    assert tiles.tile.peak <= whole.peak // 3
    assert tiles.tile.lr == (fits._side(180, tiles.rows, 16), fits._side(320, tiles.columns, 16))
    assert tiles.extra == tiles.tile.macs * tiles.rows * tiles.columns / whole.macs - 1 > 0
    for rows, columns in fits._grids(180, 320):
        if rows * columns >= tiles.rows * tiles.columns:
            break
        assert carn.look(fits._side(180, rows, 16), fits._side(320, columns, 16)).peak > whole.peak // 3


@pytest.mark.parametrize(
    ("full", "count", "overlap", "side"), [(100, 1, 16, 100), (100, 2, 0, 50), (100, 2, 16, 58), (101, 3, 10, 41)]
)
def test_tiles_cover_a_side_and_share_what_they_should(full, count, overlap, side):
    assert fits._side(full, count, overlap) == side
    assert count * side - (count - 1) * overlap >= full > count * (side - 1) - (count - 1) * overlap


def test_grids_come_with_the_fewest_tiles_first_and_the_squarest_of_those():
    grids = fits._grids(100, 400)
    assert [next(grids) for _ in range(5)] == [(1, 2), (2, 1), (1, 3), (3, 1), (1, 4)]


def test_tiles_that_cannot_be_have_their_sentences(carn):
    with pytest.raises(
        UserError, match="--overlap was given -1; give the pixels that neighbouring tiles share, 0 or more"
    ):
        fits.image(carn, small(10**7), 90, 160, -1)
    with pytest.raises(
        UserError, match=r"the smallest input with 80 pixels of overlap, 81x81 pixels, is planned to need"
    ):
        fits.image(carn, small(2 * 10**7), 90, 160, 80)


def test_beyond_patience_a_peak_is_estimated_and_the_answer_says_so(monkeypatch):
    planned = planner.Planner("carn-x4", ESC)
    monkeypatch.setattr(planner, "PATIENCE", 1)
    look = planned.look(500, 700)
    assert not look.exact
    planned.exact = True
    walked = planned.look(500, 700)
    assert walked.exact
    assert walked.peak <= look.peak <= 1.15 * walked.peak
    assert look.macs == pytest.approx(walked.macs * (512 * 704) / (500 * 700), rel=1e-3)


# --- the command


def test_the_command_answers_for_both_forwards(workbench):
    ran = workbench("fits", "carn-x4", "--gpu", "700MB", "--explain")
    assert ran.code == 0
    lean, faithful = ran.out.split("carn-x4 under ")[1:]
    assert lean.startswith("esc+lean, 200 MB of 700 MB (500 MB kept for CUDA's context, an estimate)\n  largest input ")
    assert faithful.startswith("esc, 200 MB of 700 MB")
    assert "\n  one pixel more does not fit: " in faithful
    assert faithful.splitlines()[4].split() == ["MB", "share", "shape", "made", "by", "in"]


def test_json_is_the_answers(workbench):
    words = ("fits", "carn-x4", "--gpu", "600MB", "--image", "320x180", "--protocol", "esc", "--explain", "--json")
    (answer,) = json.loads(workbench(*words).out)
    assert (answer["variant"], answer["protocol"], answer["fits"]) == ("carn-x4", "esc", False)
    assert answer["whole"]["lr"] == [180, 320]
    assert answer["room"] == {"gpu": 600000000, "context": 500000000}
    assert answer["tiles"]["overlap"] == 16
    assert answer["largest"][0]["bytes"] <= answer["explained"]["peak"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--gpu", "8GB", "--overlap", "8"), "--overlap 8 is for tiles of an image, and none is given; name one"),
        (("--gpu", "lots"), "--gpu was given 'lots'; give a size such as 8GB, 8GiB, 500MB or a number of bytes."),
        (("--gpu", "8GB", "--image", "320"), "--image was given '320'; give LR width and height, such as 320x180."),
        (
            ("--gpu", "8GB", "--aspect", "16x9"),
            "--aspect was given '16x9'; give the ratio of width to height, such as 16:9.",
        ),
        (
            ("--gpu", "8GB", "--context", "9GB"),
            "--gpu 8GB leaves nothing beside the 9,000 MB that are kept for CUDA's context",
        ),
    ],
)
def test_what_cannot_be_read_has_its_sentence(workbench, words, sentence):
    ran = workbench("fits", "carn-x4", *words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"workbench: {sentence}")
    assert ran.err.count("\n") == 1
