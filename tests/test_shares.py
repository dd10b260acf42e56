"""Sharing and fields over images: what is recorded, what is known again, what a plan takes, and how it is told."""

import json

import numpy as np
import pytest
import torch

from workbench import models, store
from workbench.attention import field, fields, pictures, planning, shares, trials
from workbench.attention.capture import Geometry, Layer
from workbench.attention.saving import Saved
from workbench.attention.sharing import Pair
from workbench.images import files
from workbench.images.metrics import psnr
from workbench.spec import UserError

DATA = ("--data", "nowhere")
SHARE = (
    "share",
    "asid-x4",
    *DATA,
    "--crop",
    16,
    "--layer",
    "g0.channel",
    "--layer",
    "g1.channel",
    "--layer",
    "g2.channel",
)
FIELD = ("field", "imdn-x4", *DATA, "--crop", 24, "--steps", 4)


@pytest.fixture
def photographs(tmp_path):
    """Two images of noise that is not white: 96x96."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for seed, name in enumerate(("first", "second")):
        noise = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
        files.write(folder / f"{name}.png", noise.repeat(8, 0).repeat(8, 1))
    return folder


def images_of(folder):
    return pictures.find([folder], folder, 4, hr=True)


# --- a plan


def layer(name):
    return Layer(name, name, name, Geometry("window", 8, 0, 1, 64, 64, True))


A, B, C, D = (layer(name) for name in "abcd")


def told(found):
    return [(f"{pair}", loss) for pair, loss in found]


def test_a_map_is_always_that_of_a_layer_that_makes_one():
    steps = [Pair(C, D), Pair(B, C), Pair(A, B)]  # each time the giver takes a map itself
    assert [str(p) for p in planning.settled(steps[:2])] == ["b for d", "b for c"]
    assert [str(p) for p in planning.settled(steps)] == ["a for d", "a for c", "a for b"]
    assert [str(p) for p in planning.settled([Pair(A, B), Pair(C, D)])] == ["a for b", "c for d"]


def test_a_plan_goes_on_while_any_pair_stays_within_the_bound():
    tried = []

    def loss(chosen):
        tried.append(" ".join(sorted(map(str, chosen))))
        return {"b for c": 0.02, "a for b a for c": 0.05, "a for b a for c a for d": 0.2}.get(tried[-1], 0.3)

    order = [Pair(B, C), Pair(C, D), Pair(B, D), Pair(A, B), Pair(A, C), Pair(A, D)]
    steps = planning.plan(order, loss, 0.1)
    assert told(steps) == [("b for c", 0.02), ("a for b", 0.05), ("a for d", 0.2)]  # the last one is beyond
    assert tried == ["b for c", "b for c b for d", "a for b a for c", "a for b a for c a for d"]


def test_a_pair_that_lost_too_much_is_tried_again_on_top_of_others():
    losses = {"a for b": 0.3, "c for d": 0.2, "a for c": 0.05, "a for b a for c": 0.09, "a for c a for d": 0.4}

    def loss(chosen):
        return losses.get(" ".join(sorted(map(str, chosen))), 0.5)

    order = [Pair(A, B), Pair(C, D), Pair(A, C), Pair(A, D)]
    assert told(planning.plan(order, loss, 0.1)) == [("a for c", 0.05), ("a for b", 0.09), ("a for d", 0.5)]
    assert told(planning.plan(order, loss, 0.01)) == [("a for c", 0.05)]
    assert planning.plan([], loss, 1) == []


def test_the_plan_that_is_kept_ends_with_the_last_step_inside_the_bound():
    def kept(*losses):
        steps = tuple(shares.Step(Pair(A, B), loss, Saved(1, 1)) for loss in losses)
        return len(shares.Shares("t", "v", False, ("i",), 8, 30.0, (A, B), (), {}, Saved(1, 1), 0.1, steps).kept)

    assert kept(0.01, 0.05, 0.2) == 2
    assert kept(0.2) == 0
    assert kept() == 0
    assert kept(-0.1, 0.1) == 2


# --- the command share


def test_share_tells_every_pair_and_the_plan_and_knows_them_again(workbench, tmp_path, photographs):
    words = (*SHARE, "--images", photographs, "--records", tmp_path / "records")
    ran = workbench(*words, "--json")
    assert ran.code == 0, ran.err
    assert "first: 3 pairs, about " in ran.err
    assert "(an estimate from one pass of" in ran.err
    rows = json.loads(ran.out)
    keys = {"variant", "layer_a", "layer_b", "rolled", "measure", "value", "low", "high", "images", "trained"}
    assert all(keys <= row.keys() for row in rows)
    losses = [row for row in rows if row["measure"] == "loss"]
    named = [(r["layer_a"], r["layer_b"]) for r in losses]
    assert named == [("g0.channel", "g1.channel"), ("g0.channel", "g2.channel"), ("g1.channel", "g2.channel")]
    assert all(r["low"] <= r["value"] <= r["high"] and r["images"] == 2 and r["trained"] is False for r in losses)
    assert {r["measure"] for r in rows} >= {"psnr-to-untouched", "multiply-adds-saved", "seconds-saved", "plan-loss"}
    again = workbench(*words, "--json")
    assert again.out == ran.out
    assert again.err.count(": known") == 2
    assert "pairs" not in again.err
    probes = [r.probe for r in store.read(tmp_path / "records").records]
    assert sorted(probes) == ["sharing", "sharing", "sharing-plan"]
    text = workbench(*words)
    assert text.out.startswith("asid-x4, untrained: 3 legal pairs on 2 images of 16x16 LR pixels; untouched it has ")
    assert "plan for asid-x4, untrained: " in text.out


def test_the_loss_is_that_of_the_papers_metric(photographs, tmp_path):
    net = trials.network("asid-x4")
    (image, _) = trials.middles(images_of(photographs), 16, 4)
    study = shares.Study(net, [image], ["g0.channel", "g1.channel"])
    found = study.run(tmp_path, 0.1)
    (one,) = found.outcomes
    x = net.given(image)
    plain, shared = net.model(x), study.bench.shared(x, [one.pair])
    assert net.range == (-1, 1)
    assert x.min() >= -1
    before, after = (psnr(net.seen(y), image.hr, 4) for y in (plain, shared))
    assert one.loss == pytest.approx(before - after)
    assert found.quality == pytest.approx(before)
    error = ((shared - plain) / 2)[..., 4:-4, 4:-4].square().mean()
    assert one.psnr == pytest.approx(float(-10 * error.log10()), rel=1e-5)
    assert (one.low, one.high) == (None, None)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("share", "imdn-x4"), "imdn-x4 has no attention; with attention: esc, esc-light,"),
        (("share", "asid-x4", "--layer", "g7.window"), "No attention layer 'g7.window'. Did you mean"),
        (
            ("share", "asid-x4", "--layer", "g0.channel"),
            "shared by two layers, and one was named: g0.channel.",
        ),
        (("share", "esc-light-x4", "--crop", 32), "smaller than two windows of b0, which are 32 wide; take --crop 64"),
        ((*SHARE, "--bound", 0), "--bound was given 0 dB; a loss that is allowed is above 0, such as 0.1."),
        ((*SHARE, "--images", ""), "There is an empty word after --images, "),
        ((*SHARE, "--picture", "plan.jpg"), "--picture was given plan.jpg; give a name that ends in .pdf or "),
        (("field", "imdn-x4", "--crop", 0), "--crop was given 0; a crop has at least 1 LR pixel a side"),
        (("field", "imdn-x4", "--crop", 129), "too small for a crop of 129x129 LR pixels: its low resolution at x4 is"),
        ((*FIELD[:-1], 0), "--steps was given 0; a path has at least 1 step"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(workbench, tmp_path, words, said):
    ran = workbench(*words, "--records", tmp_path, *(() if "--data" in words else DATA))
    assert ran.code == 2
    assert said in ran.err
    assert [line for line in ran.err.splitlines() if line.startswith("workbench: ")] == ran.err.splitlines()[-1:]
    assert not list(tmp_path.iterdir())


def test_layers_that_cannot_share_are_told_with_the_reason(workbench, tmp_path, photographs):
    words = ("share", "asid-x4", *DATA, "--crop", 16, "--layer", "g0.channel", "--layer", "g0.b1.window")
    ran = workbench(*words, "--images", photographs, "--records", tmp_path / "records")
    assert ran.code == 2
    assert "No two of these layers of asid-x4 could share a map (maps of two kinds: 1)." in ran.err
    assert ": measured" not in ran.err  # the first image shows it
    assert not store.read(tmp_path / "records").records


def test_a_network_of_one_attention_layer_has_nobody_to_share_with():
    net = trials.Network(models.find("asid-x4"), None, None)
    with pytest.raises(UserError, match="asid-x4 has one attention layer only, a; a map is shared by two layers"):
        shares.check(net, [A], 16, [])


# --- the command field


def test_field_tells_figures_and_knows_them_again(workbench, tmp_path, photographs):
    records, picture = tmp_path / "records", tmp_path / "field.svg"
    words = (*FIELD, "--images", photographs, "--records", records)
    ran = workbench(*words, "--picture", picture)
    assert ran.code == 0, ran.err
    assert ran.out.startswith("imdn-x4, untrained, 2 images of 24x24 LR pixels\n")
    assert "90 % of the centre's gradient energy lies in " in ran.out
    assert "imdn-x4, untrained: LR pixels that hold" in picture.read_text()
    again = workbench(*words)
    assert ran.out == f"{again.out}written: {picture}\n"
    assert again.err.count(": known") == 2
    for array in (records / "arrays").iterdir():
        array.unlink()
    assert workbench(*words).err.count(": measured") == 2  # figures alone were kept
    rows = json.loads(workbench(*words, "--json").out)
    assert [r["measure"] for r in rows] == [
        *("area-20 area-50 area-90 side-20 side-50 side-90 reach-20 reach-50 reach-90 diffusion".split())
    ]
    assert all(r["low"] <= r["value"] <= r["high"] and r["trained"] is False for r in rows)


def test_a_field_over_images_counts_each_alike(photographs, tmp_path):
    net = trials.network("imdn-x4")
    images = trials.middles(images_of(photographs), 24, 4)
    found = fields.study(net, images, tmp_path, steps=2)
    each = [field.energy(field.gradient(net.model, net.given(i))).numpy() for i in images]
    assert np.allclose(found.energy, sum(each) / 2, atol=1e-7)
    assert found.energy.sum() == pytest.approx(1)
    assert found.patch == 4
    by_name = {f.measure: f.value for f in found.figures}
    assert by_name["diffusion"] == pytest.approx(sum(found.diffusions) / 2)
    map = torch.from_numpy(np.abs(found.attributions[0]))
    assert found.diffusions[0] == pytest.approx(field.diffusion(map), rel=1e-4)


# --- images


def test_the_middle_of_an_image_is_the_same_in_both_resolutions(photographs):
    (image, _) = trials.middles(images_of(photographs), 10, 4)
    whole = files.read(photographs / "first.png")
    assert np.array_equal(image.hr, whole[28:68, 28:68])
    assert image.lr.shape == (10, 10, 3)
    blocks = image.hr.reshape(10, 4, 10, 4, 3).mean((1, 3))
    assert np.abs(blocks - image.lr).mean() < 12
    assert image.sha256 == files.pixels(whole[28:68, 28:68])


def test_outputs_are_seen_in_the_range_of_each_model():
    for name, (black, white) in (("elan-light-x4", (0, 255)), ("omnisr-x4", (-1, 1)), ("imdn-x4", (0, 1))):
        net = trials.Network(models.find(name), None, None)
        image = trials.Image("i", np.zeros((1, 1, 3), np.uint8), np.array([[[0, 255, 51]]], np.uint8))
        x = net.given(image)
        assert x.flatten().tolist() == pytest.approx([black, white, black + (white - black) / 5])
        assert net.seen(x).flatten().tolist() == [0, 255, 51]


def test_an_image_that_cannot_be_cropped_is_named(photographs):
    with pytest.raises(UserError, match=r"first.png is too small for a crop of 25x25 LR pixels: .* at x4 is 24x24"):
        trials.middles(images_of(photographs), 25, 4)
