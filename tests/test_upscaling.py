"""upscaling: ranges, tiles, the eight turns and the seed, each on networks that can be followed by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from workbench import fits, models, planner, protocols
from workbench.planner import Look
from workbench.spec import Quality, UserError
from workbench.upscaling import SURE, Upscaler, starts
from workbench.weights import Weights

WEIGHTS = Weights("mine", ("imdn-x2",), "unknown", "0" * 64, "mine.pth", Path("mine.pth"))
RAMP = np.arange(12 * 10 * 3, dtype=np.uint8).reshape(12, 10, 3)


class Nearest(nn.Module):
    """Every pixel twice along both sides; keeps what it was fed."""

    def __init__(self):
        super().__init__()
        self.fed = []

    def forward(self, x):
        self.fed.append(x.clone())
        return F.interpolate(x, scale_factor=2, mode="nearest")


class Corner(Nearest):
    """Adds 0.5 to the first pixel that it puts out, so that turns and tiles can be seen."""

    def forward(self, x):
        y = super().forward(x)
        y[..., 0, 0] += 0.5
        return y


@pytest.fixture
def upscaler(monkeypatch):
    def make(network=None, variant="imdn-x2", weights=WEIGHTS, room=2**40, **quality):
        monkeypatch.setattr(models, "create", lambda name: network or Nearest())
        monkeypatch.setattr(models, "load_checkpoint", lambda model, path: model)
        return Upscaler(variant, weights, Quality(**quality), room)

    return make


@pytest.mark.parametrize(
    ("variant", "pixels", "fed"),
    [
        ("imdn-x2", None, (0, 1)),
        ("edsr-baseline-x2", None, (0, 255)),
        ("omnisr-x2", None, (-1, 1)),
        ("imdn-x2", (0.0, 255.0), (0, 255)),
    ],
)
def test_black_and_white_are_the_model_s_or_the_weights_own(upscaler, variant, pixels, fed):
    network = Nearest()
    weights = Weights("mine", (variant,), "unknown", "0" * 64, "m.pth", Path("m.pth"), pixels)
    image = np.zeros((4, 4, 3), np.uint8)
    image[2:] = 255
    made = upscaler(network, variant, weights)(image)
    assert (network.fed[0].min(), network.fed[0].max()) == fed
    assert np.array_equal(made.image, image.repeat(2, 0).repeat(2, 1))
    assert made.cut is None


def test_every_model_s_range_is_told_once():
    named = {m for family in models.FAMILIES for m in family.models}
    assert models.PIXELS.keys() <= named
    for model, (_, white) in models.PIXELS.items():
        family = next(f.name for f in models.FAMILIES if model in f.models)
        source = (Path(models.__file__).parent / f"{family}.py").read_text()
        assert white == 1 or "255" in source


def test_what_is_out_of_range_is_clipped_and_halves_are_rounded(upscaler):
    class Beyond(nn.Module):
        def forward(self, x):
            return torch.tensor([-0.5, 0.1 / 255, 0.6 / 255, 2.0]).expand(1, 3, 1, 4)

    assert upscaler(Beyond())(np.zeros((1, 2, 3), np.uint8)).image[0, :, 0].tolist() == [0, 0, 1, 255]


def test_not_a_number_is_a_defect(upscaler):
    class Broken(nn.Module):
        def forward(self, x):
            return x.new_full((1, 3, 2, 2), torch.nan)

    with pytest.raises(ValueError, match="imdn-x2 put out 12 numbers of 12 that are NaN or infinite"):
        upscaler(Broken())(np.zeros((1, 1, 3), np.uint8))


# --- tiles


@pytest.mark.parametrize(
    ("length", "tile", "overlap", "found"),
    [(64, 64, 24, [0]), (65, 64, 24, [0, 1]), (104, 64, 24, [0, 40]), (128, 64, 24, [0, 40, 64]), (5, 2, 0, [0, 2, 3])],
)
def test_tiles_begin_at_every_step_and_the_last_ends_with_the_image(length, tile, overlap, found):
    assert list(starts(length, tile, overlap)) == found


def test_tiles_are_put_where_they_belong(upscaler):
    network = Nearest()
    made = upscaler(network, tile=6, overlap=2)(RAMP)
    assert np.array_equal(made.image, RAMP.repeat(2, 0).repeat(2, 1))
    assert [tuple(x.shape[2:]) for x in network.fed] == [(6, 6)] * 6  # rows 0, 4, 6; columns 0, 4
    assert (made.cut.height, made.cut.width, made.cut.overlap, made.cut.why) == (6, 6, 2, "protocol")


def test_where_tiles_overlap_the_mean_is_taken(upscaler):
    made = upscaler(Corner(), tile=4, overlap=2)(np.zeros((4, 6, 3), np.uint8)).image
    assert made[0, 0, 0] == 128  # seen by the first tile only: 0.5
    assert made[0, 4, 0] == 64  # the second tile's corner, and the first tile's 0
    assert made.astype(int).sum() == 3 * (128 + 64)


def test_a_tile_is_never_larger_than_the_image(upscaler):
    network = Nearest()
    made = upscaler(network, tile=64, overlap=24)(RAMP)
    assert made.cut is None
    assert tuple(network.fed[0].shape) == (1, 3, 12, 10)
    wide = upscaler(network, tile=11, overlap=4)(RAMP)
    assert (wide.cut.height, wide.cut.width) == (11, 10)


def test_memory_cuts_what_would_not_fit_and_the_picture_says_so(upscaler, monkeypatch):
    asked = []

    def image(planner, room, height, width, overlap):
        asked.append((planner.variant.name, planner.protocol.build.forward, room.free, height, width))
        look = Look((8, 10), 1, 1, True)
        return fits.Answer("imdn-x2", "", room, look, (1, 1), False, None, fits.Tiles(look, 2, 1, overlap, 0.0), 1)

    monkeypatch.setattr(fits, "image", image)
    room = 12 * 10 * SURE - 1
    made = upscaler(room=room)(RAMP)
    assert asked == [("imdn-x2", "lean", room, 12, 10)]
    assert (made.cut.height, made.cut.width, made.cut.why) == (8, 10, "memory")
    assert np.array_equal(made.image, RAMP.repeat(2, 0).repeat(2, 1))
    assert upscaler(room=room + 1)(RAMP).cut is None  # surely enough: nothing is planned
    assert len(asked) == 1


def test_a_real_plan_cuts_a_real_image():
    planned = planner.Planner("rfdn-x2", protocols.find("fvcore+lean"))
    peak = planned.look(96, 96).peak
    assert peak < 96 * 96 * SURE
    answer = fits.image(planned, fits.Room(peak - 1, 0), 96, 96, 24)
    assert answer.tiles is not None
    assert max(answer.tiles.tile.lr) <= 96


# --- the eight turns


def test_an_ensemble_of_turns_is_put_back(upscaler):
    network = Nearest()
    made = upscaler(network, ensemble="x8")(RAMP)
    assert np.array_equal(made.image, RAMP.repeat(2, 0).repeat(2, 1))
    assert len({x.numpy().tobytes() for x in network.fed}) == 8


def test_an_ensemble_is_the_mean_before_rounding(upscaler):
    made = upscaler(Corner(), ensemble="x8")(np.zeros((4, 6, 3), np.uint8)).image
    corners = {(y, x) for y in (0, -1) for x in (0, -1)}  # each is first in two of the eight
    assert [made[at][0] for at in corners] == [32] * 4  # 2 / 8 of 0.5 is 31.9
    assert made.astype(int).sum() == 3 * 4 * 32


def test_an_ensemble_in_tiles_turns_the_tiles_too(upscaler):
    made = upscaler(ensemble="x8", tile=6, overlap=2)(RAMP[:, :5])
    assert np.array_equal(made.image, RAMP[:, :5].repeat(2, 0).repeat(2, 1))


# --- what official code draws


def test_a_seed_gives_the_same_picture_and_lets_the_router_draw(upscaler):
    class Drawing(nn.Module):
        noise = False

        def forward(self, x):
            y = F.interpolate(x, scale_factor=2)
            return torch.rand_like(y) if self.noise else y

    once, again, other = (upscaler(Drawing(), seed=s)(RAMP).image for s in (0, 0, 1))
    assert np.array_equal(once, again)
    assert not np.array_equal(once, other)
    assert np.array_equal(upscaler(Drawing())(RAMP).image, RAMP.repeat(2, 0).repeat(2, 1))


def test_a_seed_for_what_draws_nothing_is_refused(upscaler):
    with pytest.raises(UserError, match=r"imdn-x2 draws nothing at random in evaluation.*leave it out"):
        upscaler(seed=0)


def test_the_network_that_draws_is_the_one_with_a_router():
    assert any(hasattr(m, "noise") for m in models.create("mambairv2-light-x4", device="meta").modules())
