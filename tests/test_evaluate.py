"""evaluate: means over sets that can be followed by hand, what is resumed, and what is missing from a set."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from workbench import evaluate, execute, models, probes, protocols, store, testsets, weights
from workbench.images import metrics, resize
from workbench.models import checkpoint
from workbench.spec import UserError
from workbench.upscaling import Made

SHARED = Path(__file__).parents[2] / "shared" / "data"
PROTOCOL = protocols.find("quality+set:mine")


def picture(seed, height=48, width=40):
    """Something with structure, so that making it small loses some of it."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (height // 4 + 1, width // 4 + 1, 3))
    fine = coarse.repeat(4, 0).repeat(4, 1)[:height, :width] + rng.integers(0, 30, (height, width, 3))
    return np.clip(fine, 0, 255).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Three images, one of them with sides that 2 does not divide."""
    made = tmp_path / "images"
    made.mkdir()
    for name, size in (("a", (48, 40)), ("b", (41, 55)), ("c", (44, 44))):
        Image.fromarray(picture(ord(name), *size)).save(made / f"{name}.png")
    return made


class Bicubic:
    """In place of a network; counts the images that it was given."""

    made = 0

    def __init__(self, variant, held, quality):
        self.scale = models.find(variant).scale

    def __call__(self, low):
        Bicubic.made += 1
        return Made(resize.imresize(low, self.scale), None)


@pytest.fixture
def subject(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(evaluate, "Upscaler", Bicubic)
    Bicubic.made = 0
    home = tmp_path / "home"
    testsets.add("mine", folder, home)
    held = weights.Weights("w", ("imdn-x2",), "DIV2K", "5" * 64, "w.pth", tmp_path / "w.pth")
    return lambda: evaluate.Subject(held, testsets.find("mine", home), home)


def by_hand(seed, height, width, scale=2):
    original = picture(seed, height, width)[: height // scale * scale, : width // scale * scale]
    made = resize.imresize(resize.imresize(original, 1 / scale), scale)
    return metrics.psnr(made, original, scale), metrics.ssim(made, original, scale)


def test_every_image_gives_a_value_and_the_figure_is_their_mean(subject):
    reading = evaluate.measure("imdn-x2", subject(), PROTOCOL, "quality")
    expected = [by_hand(ord("a"), 48, 40)[0], by_hand(ord("b"), 41, 55)[0], by_hand(ord("c"), 44, 44)[0]]
    assert reading.values == tuple(expected)
    assert reading.details["images"] == ["a", "b", "c"]
    assert reading.details["complete"] is True
    assert reading.details["missing"] == {}
    request = execute.Request(models.find("imdn-x2"), PROTOCOL, probes.find("quality"), subject())
    record = execute.measure(request)
    assert record.value == pytest.approx(sum(expected) / 3, abs=1e-12)
    assert store.parse(json.dumps(store.to_json(record))) == record


def test_ssim_is_the_same_evaluation(subject):
    evaluate.measure("imdn-x2", subject(), PROTOCOL, "quality")
    reading = evaluate.measure("imdn-x2", subject(), PROTOCOL, "ssim")
    assert reading.values[1] == by_hand(ord("b"), 41, 55)[1]
    assert Bicubic.made == 3


def test_an_image_is_told_once_however_many_probes_read_it(subject):
    told = []
    with evaluate.watched(lambda done, total, name: told.append((done, total, name))):
        for probe in ("quality", "ssim"):
            evaluate.measure("imdn-x2", subject(), PROTOCOL, probe)
    assert told == [(1, 3, "a"), (2, 3, "b"), (3, 3, "c")]


def test_border_and_space_reach_the_comparison(subject):
    plain, edged, rgb = (
        evaluate.measure("imdn-x2", subject(), protocols.find(f"quality+{m}set:mine"), "quality").values[0]
        for m in ("", "no-border+", "rgb+")
    )
    original = picture(ord("a"))
    made = resize.imresize(resize.imresize(original, 0.5), 2)
    assert plain == metrics.psnr(made, original, 2)
    assert edged == metrics.psnr(made, original, 0)
    assert rgb == metrics.psnr(made, original, 2, "rgb")
    assert Bicubic.made == 9  # three protocols, nothing shared


# --- a run that was cut off


def test_what_was_judged_before_an_interrupt_is_not_judged_again(subject, monkeypatch):
    def interrupted(done, total, name):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), evaluate.watched(interrupted):
        evaluate.measure("imdn-x2", subject(), PROTOCOL, "quality")
    before = Bicubic.made
    told = []
    with evaluate.watched(lambda *now: told.append(now)):
        reading = evaluate.measure("imdn-x2", subject(), PROTOCOL, "quality")
    assert len(reading.values) == 3
    assert before == 3  # the third was at work when the second was told
    assert Bicubic.made == 4
    assert told == [(3, 3, "c")]  # the others were told before


def test_a_torn_line_of_the_journal_costs_one_image(subject):
    evaluate.measure("imdn-x2", subject(), PROTOCOL, "quality")
    journal = evaluate.Journal.of("imdn-x2", subject(), PROTOCOL.quality).path
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:2]) + lines[2][:-20] + b"\n[]\nnull\n{}\n")
    evaluate.measure("imdn-x2", subject(), PROTOCOL, "quality")
    assert Bicubic.made == 4


def test_other_weights_another_way_and_other_images_are_judged_anew(subject, folder, tmp_path):
    first = subject()
    evaluate.measure("imdn-x2", first, PROTOCOL, "quality")
    other = replace(first, weights=replace(first.weights, sha256="6" * 64))
    evaluate.measure("imdn-x2", other, PROTOCOL, "quality")
    assert Bicubic.made == 6
    assert first.conditions["weights"] != other.conditions["weights"]
    Image.fromarray(picture(9)).save(folder / "d.png")
    testsets.add("mine", folder, first.home)
    assert len(evaluate.measure("imdn-x2", subject(), PROTOCOL, "quality").values) == 4
    assert Bicubic.made == 7
    assert subject().conditions["images"] != first.conditions["images"]


def test_what_is_forgotten_is_judged_again(subject):
    evaluate.measure("imdn-x2", subject(), PROTOCOL, "quality")
    evaluate.forget("imdn-x2", subject(), PROTOCOL)
    evaluate.measure("imdn-x2", subject(), PROTOCOL, "quality")
    assert Bicubic.made == 6


def test_a_journal_that_cannot_be_written_has_its_sentence(subject):
    (subject().home / "journal").write_text("in the way")
    with pytest.raises(UserError, match=r"Cannot (read|write) .*journal.*Name another folder with --data\."):
        evaluate.measure("imdn-x2", subject(), PROTOCOL, "quality")


# --- sets that are not whole


def test_an_image_that_was_changed_is_left_out_and_the_set_is_not_whole(subject, folder):
    subject()
    (folder / "b.png").write_bytes((folder / "b.png").read_bytes()[:300])
    reading = evaluate.measure("imdn-x2", subject(), PROTOCOL, "quality")
    assert reading.details["images"] == ["a", "c"]
    assert reading.details["complete"] is False
    assert reading.details["missing"] == {"b": "not in the folder, or not what it was"}
    assert reading.details["status"] == {"a": "ok", "b": "missing", "c": "ok"}


def test_a_file_that_could_not_be_read_when_it_was_registered_is_missing_with_its_reason(subject, folder):
    (folder / "d.png").write_bytes(b"")
    testsets.add("mine", folder, subject().home)
    reading = evaluate.measure("imdn-x2", subject(), PROTOCOL, "quality")
    assert reading.details["status"] == {"a": "ok", "b": "ok", "c": "ok", "d.png": "missing"}
    (told,) = reading.details["missing"].values()
    assert told == "d.png is no image that can be read: it is empty. Get it again from where it came from."


def test_an_image_that_the_network_refuses_does_not_stop_the_others(subject, monkeypatch):
    def refuse(self, low):
        if low.shape[:2] == (20, 27):
            raise UserError("RFDN takes 32 pixels at least.")
        return Made(resize.imresize(low, 2), None)

    monkeypatch.setattr(Bicubic, "__call__", refuse)
    reading = evaluate.measure("imdn-x2", subject(), PROTOCOL, "ssim")
    assert reading.details["missing"] == {"b": "RFDN takes 32 pixels at least."}
    assert reading.details["status"] == {"a": "ok", "b": "failed", "c": "ok"}
    assert len(reading.values) == 2


def test_an_image_that_comes_out_perfect_has_no_finite_psnr_and_is_named(subject, monkeypatch):
    monkeypatch.setattr(Bicubic, "__call__", lambda self, low: Made(picture(ord("a")), None))
    with pytest.raises(UserError, match="No image of mine could be judged; the first: a came out equal"):
        evaluate.measure("imdn-x2", first_only(subject()), PROTOCOL, "quality")


def first_only(whole):
    return replace(whole, images=replace(whole.images, images=whole.images.images[:1]))


def test_a_network_that_breaks_is_a_defect_and_not_an_image_left_out(subject, monkeypatch):
    def broken(self, low):
        raise ValueError("NaN")

    monkeypatch.setattr(Bicubic, "__call__", broken)
    record = execute.measure(execute.Request(models.find("imdn-x2"), PROTOCOL, probes.find("quality"), subject()))
    assert (record.status, record.reason) == ("failed", "ValueError: NaN")


# --- what is asked of it


def test_static_probes_do_not_read_weights(subject):
    with_them = execute.with_subjects(execute.requests(["imdn-x2"], ["params"], ["esc"]), None, subject().home)
    assert "weights" not in with_them[0].conditions


def test_without_weights_or_images_the_request_says_what_is_missing(tmp_path):
    wanted = execute.requests(["imdn-x4"], ["quality"], ["quality"])
    with pytest.raises(UserError, match="There are no weights for imdn-x4 yet"):
        execute.with_subjects(wanted, None, tmp_path)
    assert execute.measure(wanted[0]).status == "unsupported"


def test_conditions_hold_content_and_no_path(subject):
    request = execute.Request(models.find("imdn-x2"), PROTOCOL, probes.find("quality"), subject())
    told = json.dumps(store.to_json(execute.measure(request)))
    assert str(subject().home.parent) not in told
    assert request.conditions["quality"]["border"] == 2
    assert request.conditions["weights"] == {"sha256": "5" * 64, "trained_on": "DIV2K"}


def test_the_named_sets_are_those_of_the_room_of_sets():
    assert set(protocols.SETS) == {*testsets.SETS, testsets.PHOTOS}


def test_the_command_measures_a_set_and_says_whose_mean_it_is(workbench, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "fitting", lambda *_: ["rfdn-x2"])  # which takes seconds to find out
    torch.manual_seed(0)
    file = tmp_path / "x.pth"
    torch.save(models.create("rfdn-x2").state_dict(), file)
    home, records = tmp_path / "home", tmp_path / "records"
    testsets.add("mine", folder, home)
    words = ("measure", "rfdn-x2", "--probe", "quality", "--protocol", "quality+set:mine", "--weights", file)
    ran = workbench(*words, "--data", home, "--records", records)
    assert ran.code == 0
    assert "dB, the mean over 3 images, with rfdn-x2-" in ran.out
    assert "  [3/3] c\n" in ran.err
    assert "0 measured, 1 already known" in workbench(*words, "--data", home, "--records", records).err
    assert "1 measured, 0 already known" in workbench(*words, "--data", home, "--records", records, "--force").err


def test_imdn_on_set5_is_as_published(tmp_path):
    if not (SHARED / "testsets" / "Set5").is_dir():
        pytest.skip("Set5 and IMDN's weights are not beside the checkout, in ../shared/data")
    found = testsets.add("set5", SHARED / "testsets" / "Set5", tmp_path)
    held = weights.choose("imdn-x4", str(SHARED / "weights" / "imdn_x4.pth"), tmp_path)
    reading = evaluate.measure("imdn-x4", evaluate.Subject(held, found, tmp_path), protocols.find("quality"), "quality")
    assert sum(reading.values) / 5 == pytest.approx(32.210, abs=0.001)  # published: 32.21
    assert reading.details["complete"]
