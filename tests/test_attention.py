"""Attention measured: streamed under a bound, image by image, as records and as a command."""

import csv
import json
import re

import numpy as np
import pytest
import torch

from workbench import attention, models, sidefiles, store, testsets, weights
from workbench.attention import choosing, measures, passes, pictures, reading, similarity, streaming, study
from workbench.images import files
from workbench.report import attention as report
from workbench.report.labels import settle
from workbench.spec import UserError

PAIRS = ("cosine", "averaged", "profile", "cka", "js")


@pytest.fixture(scope="module")
def swin():
    return study.subject("swinir-light-x4")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three images of noise with some order in it."""
    made = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        image = rng.integers(0, 256, (40, 48, 3)) // 2 + np.linspace(0, 127, 48).astype(int)[:, None]
        files.write(made / f"{name}.png", image.astype(np.uint8))
    return made


def picture(side=16, seed=0):
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(seed))


def images(path):
    return pictures.find([path], path, 4)


def found(subject, *names, x=None, **how):
    return streaming.measure(subject.model, picture() if x is None else x, subject.layers, measures.find(names), **how)


# --- streaming


def test_streamed_figures_are_those_of_maps_kept_whole(swin):
    x = picture(24)
    got = found(swin, *PAIRS, "entropy", "distance", "diagonal", x=x, all_pairs=True)
    seen = list(attention.capture(swin.model, x))
    a, b, shifted = seen[0], seen[2], seen[1]
    unit = torch.nn.functional.cosine_similarity
    assert got.values["cosine"][0, 2] == pytest.approx(float(unit(a.map, b.map, dim=-1).mean()), abs=1e-6)
    assert np.isnan(got.values["cosine"][0, 1])
    inner = shifted.map.view(3, 3, 6, 64, 64)[:2, :2].mean((0, 1))
    assert got.values["averaged"][0, 1] == pytest.approx(float(unit(a.map.mean(0), inner, dim=-1).mean()), abs=1e-6)
    assert got.values["js"][0, 2] == pytest.approx(float(similarity.jensen_shannon(a.map, b.map)), abs=1e-9)
    profiles = [similarity.profile(m, a.layer.geometry).mean(0) for m in (a.map.mean(0), inner)]
    assert got.values["profile"][0, 1] == pytest.approx(float(similarity.profile_cosines(profiles)[0, 1]), abs=1e-6)
    assert np.allclose(got.profiles[1], profiles[1], atol=1e-7)
    hsic = similarity.independence([a.after[0], b.after[0]])
    assert got.values["cka"][0, 2] == pytest.approx(float(hsic[0, 1]), rel=1e-3)
    assert got.values["entropy"][0] == pytest.approx(similarity.entropy(a.map), abs=1e-6)
    assert got.values["distance"][1] == pytest.approx(similarity.distance(inner, a.layer.geometry), abs=1e-6)
    assert got.values["diagonal"][1] == pytest.approx(similarity.diagonal(inner, a.layer.geometry), abs=1e-6)


def test_the_figures_do_not_depend_on_the_number_of_passes(swin):
    names = ("cosine", "cka", "js", "averaged")
    one = found(swin, *names, all_pairs=True)
    room = passes.beside(swin.layers, set(names), 16, 16) + 5 * passes.size(swin.layers[0], 16, 16)
    many = found(swin, *names, all_pairs=True, bound=room)
    rows = streaming.Rows()  # with what another image left in it
    found(swin, *names, x=picture(24, 1), rows=rows)
    again = found(swin, "cosine", "cka", rows=rows)
    assert (one.passes, many.passes) == (1, 30)  # two sequences of 12, in 6 blocks of 2: 15 pairs of blocks each
    for name in names:
        assert np.array_equal(np.isnan(one.values[name]), np.isnan(many.values[name]))
        assert np.allclose(one.values[name], many.values[name], rtol=1e-4, atol=1e-6, equal_nan=True)
    for name in again.values:
        assert np.allclose(one.values[name], again.values[name], rtol=1e-4, atol=1e-6, equal_nan=True)


def test_every_pair_is_held_together_in_some_pass_and_no_pass_holds_more_than_the_bound(swin):
    wanted = measures.find(["cosine"])
    each = passes.size(swin.layers[0], 64, 64)
    assert each == 4 * 64 * 6 * 64 * 64  # float32, windows, heads, rows, columns
    for room in (2, 3, 7, 12, 23, 24):
        planned = passes.plan(wanted, swin.layers, 64, 64, room * each)
        assert max(map(len, planned)) <= room
        together = {(a.name, b.name) for held in planned for a in held for b in held}
        for a in swin.layers:
            for b in swin.layers:
                assert (a.name, b.name) in together or a is b or measures.why_not(wanted[0], a, b)
    with pytest.raises(UserError, match=r"Two maps of g0.b0 on 64x64 pixels take 12.00 MiB, more than the 6.00 MiB"):
        passes.plan(wanted, swin.layers, 64, 64, each)


@pytest.mark.parametrize("model", ["swinir-light", "srformer-light", "hit-sng", "elan-light", "atd-light", "omnisr"])
def test_the_size_of_a_map_is_what_it_takes(model):
    net, side = models.create(f"{model}-x4"), 32
    known = {x.name: x for x in attention.layers(net)}
    sizes = {}

    def on_map(layer, attn):
        sizes[layer.name] = sizes.get(layer.name, 0) + attn.numel() * 4

    attention.watch(net, picture(side), on_map)
    left = measures.fitting(list(known.values()), side, side)
    for name, size in sizes.items():
        if name not in left and known[name].geometry.kind != "channel":
            assert size <= passes.size(known[name], side, side) <= 2 * size


def test_a_layer_is_1_with_itself_and_with_those_that_share_its_map():
    for variant in ("asid-x4", "elan-light-x4"):
        subject = study.subject(variant)
        got = found(subject, "cosine", "averaged", "profile", "js", x=picture(32))
        index = {layer.name: i for i, layer in enumerate(subject.layers)}
        for layer in subject.layers:
            if layer.geometry.kind == "channel":
                continue
            for name, same in (("cosine", 1), ("averaged", 1), ("profile", 1), ("js", 0)):
                at = index[layer.name]
                assert got.values[name][at, at] == same
                if layer.shares:
                    assert got.values[name][at, index[layer.shares]] == same
        apart = got.values["cosine"][0, 2] if variant == "asid-x4" else got.values["cosine"][0, index["g2.b0.w4"]]
        assert apart < 0.99


@pytest.mark.parametrize(("variant", "side"), [("asid-x4", 16), ("elan-light-x4", 32)])
def test_of_layers_that_share_maps_every_neighbour_has_its_distance(variant, side):
    subject = study.subject(variant)
    got, every = (found(subject, "js", x=picture(side), all_pairs=all_pairs) for all_pairs in (False, True))
    index = {layer.name: i for i, layer in enumerate(subject.layers)}
    near = measures.neighbours(measures.MEASURES["js"], subject.layers)
    assert any(a.shares for a, _ in near)
    at = np.array([(index[a.name], index[b.name]) for a, b in near if not {a.name, b.name} & got.left.keys()]).T
    assert np.isfinite(got.values["js"][*at]).all()
    assert np.array_equal(got.values["js"][*at], every.values["js"][*at])
    told = []
    study._tell_near(got, told.append)
    makers = [index[layer.name] for layer in subject.layers if not layer.shares]
    count = np.isfinite(got.values["js"][np.ix_(makers, makers)][*np.triu_indices(len(makers), 1)]).sum()
    assert bool(told) == (variant == "elan-light-x4")  # where the neighbours are not all pairs already
    assert not told or told[0].startswith(f"js: {count} pairs of maps behind the neighbours took ")


def test_matched_and_plain_measures_come_of_the_same_maps(swin):
    got = found(swin, "cosine", "cosine-matched", "averaged-matched", "js", "js-matched")
    both = got.values["cosine-matched"]
    assert both.shape == (24, 24, 6, 6)
    assert both[0, 2].diagonal().mean() == pytest.approx(got.values["cosine"][0, 2], abs=1e-9)
    assert got.values["js-matched"][0, 2].diagonal().mean() == pytest.approx(got.values["js"][0, 2], abs=1e-9)
    assert (settled := reading.settled(measures.MEASURES["cosine-matched"], both[None])[0])[0, 0] == 1
    assert settled[0, 2] >= got.values["cosine"][0, 2] - 1e-12


def test_a_nan_is_reported_with_its_layer_and_not_averaged_in(swin, folder, tmp_path):
    broken = study.subject("swinir-light-x4")
    with torch.no_grad():
        broken.model.get_submodule("layers.3.residual_group.blocks.4.attn").qkv.bias[0] = float("nan")
    told = []
    crops = pictures.crops(images(folder / "a.png"), 16)
    (records,) = study.run(broken, crops, measures.find(["cosine", "averaged", "cka"]), tmp_path, tell=told.append)
    assert re.match(r"workbench: a: NaN in \d+ of the \d+ numbers of its map at g3.b4; it is left out", told[0])
    tables = reading.tables(broken, [records], tmp_path)
    for table in tables[:2]:
        assert np.isnan(table.value[22:]).all()
        assert np.isfinite(table.value[0, 4])
        results = {(r.layer_a, r.layer_b): r for r in table.results()}
        assert results["g0.b0", "g3.b4"].value is None
        assert results["g0.b0", "g3.b4"].reason.startswith("g3.b4: NaN in ")
    assert np.isnan(tables[2].value[0, 22])
    assert np.isfinite(tables[2].value[0, 21])


# --- records


def test_a_run_goes_on_image_by_image(swin, folder, tmp_path, monkeypatch):
    wanted = measures.find(["cosine", "entropy"])
    crops = list(pictures.crops(images(folder), 16))
    whole = study.run(swin, crops, wanted, tmp_path / "whole", tell=lambda told: None)
    calls = []
    measure = streaming.measure

    def interrupted(*args):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return measure(*args)

    monkeypatch.setattr(streaming, "measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        study.run(swin, crops, wanted, tmp_path / "parts", tell=lambda told: None)
    again = study.run(swin, crops, wanted, tmp_path / "parts", tell=lambda told: None)
    assert len(calls) == 1 + 1 + 2
    assert [[r.values for r in one] for one in again] == [[r.values for r in one] for one in whole]
    study.run(swin, crops, wanted, tmp_path / "parts", tell=lambda told: None)
    assert len(calls) == 4
    assert len(store.read(tmp_path / "parts").records) == 6
    assert not store.read(tmp_path / "parts").problems


def test_records_are_told_apart_by_what_they_depend_on(swin, folder):
    one, two, _ = pictures.crops(images(folder), 16)
    cosine, js = measures.find(["cosine", "js"])
    every = study.Subject(swin.variant, swin.model, swin.layers, None, all_pairs=True)
    trained = study.Subject(swin.variant, swin.model, swin.layers, "0" * 64)
    kinds = [swin.conditions(cosine, one), swin.conditions(cosine, two), swin.conditions(js, one)]
    kinds += [every.conditions(js, one), trained.conditions(cosine, one)]
    assert len({json.dumps(k) for k in kinds}) == 5
    assert every.conditions(cosine, one) == swin.conditions(cosine, one)


def test_large_arrays_lie_beside_the_records_and_come_back_or_are_refused(tmp_path):
    array = np.arange(6.0).reshape(2, 3)
    name = sidefiles.put(tmp_path, array)
    assert sidefiles.put(tmp_path, array) == name
    assert np.array_equal(sidefiles.get(tmp_path, name), array)
    path = tmp_path / "arrays" / f"{name}.npy.gz"
    path.write_bytes(path.read_bytes()[:-9] + b"x" * 9)
    with pytest.raises(UserError, match=r"was changed since it was written\. Remove it, and measure again"):
        sidefiles.get(tmp_path, name)
    path.unlink()
    with pytest.raises(UserError, match=r"which a record names: No such file .* Bring the folder arrays along"):
        sidefiles.get(tmp_path, name)


def test_intervals_are_over_images_and_one_image_has_none():
    rng = np.random.default_rng(1)
    measure = measures.MEASURES["cosine"]
    arrays = rng.normal(0.5, 0.1, (30, 1, 1))
    weights = reading._weights(30)
    assert (weights.sum(1) == 30).all()
    drawn = reading._combined(measure, arrays, arrays, weights)
    low, high = reading._interval(drawn[1:], 30)
    assert drawn[0, 0, 0] == pytest.approx(arrays.mean())
    assert high[0, 0] - low[0, 0] == pytest.approx(2 * 1.96 * arrays.std() / 30**0.5, rel=0.15)
    assert np.isnan(reading._interval(drawn[1:], 1)[0]).all()


def test_cka_of_many_images_is_a_ratio_of_sums():
    hsic = np.array([[[4.0, 1.0], [1.0, 1.0]], [[0.0, 0.0], [0.0, 3.0]]])
    got = reading._combined(measures.MEASURES["cka"], hsic, hsic, np.ones((1, 2)))
    assert got[0].tolist() == [[1.0, 0.25], [0.25, 1.0]]  # 1 / sqrt(4 * 4), not the mean of 1 / 2 and of nothing


# --- the command


def test_the_command_prints_every_pair_as_json_and_measures_once(workbench, folder, tmp_path):
    words = (
        "attention",
        "swinir-light-x4",
        "--images",
        folder,
        "--crop",
        16,
        "--records",
        tmp_path,
        "--data",
        tmp_path,
    )
    ran = workbench(*words, "--measure", "cosine", "--measure", "entropy", "--json")
    assert ran.code == 0, ran.err
    shown = json.loads(ran.out)
    assert len(shown) == 24 * 25 // 2 + 24
    assert list(shown[0]) == ["layer_a", "layer_b", "measure", "value", "low", "high", "images", "trained", "reason"]
    by_pair = {(s["layer_a"], s["layer_b"]): s for s in shown if s["measure"] == "cosine"}
    same, near, apart = (by_pair["g0.b0", b] for b in ("g0.b0", "g0.b2", "g0.b1"))
    assert (same["value"], same["low"], same["high"], same["images"]) == (1, 1, 1, 3)
    assert near["low"] <= near["value"] <= near["high"] < 1
    assert (apart["value"], apart["images"]) == (None, 0)
    assert "hold other pixels" in apart["reason"]
    assert not any(s["trained"] for s in shown)
    again = workbench(*words, "--measure", "cosine", "--measure", "entropy", "--json")
    assert again.out == ran.out
    assert "[3] c: known" in again.err


def test_the_command_writes_csv_and_pictures_that_say_untrained(workbench, folder, tmp_path):
    words = ("--images", folder / "a.png", "--crop", 16)
    words = (*words, "--records", tmp_path, "--results", tmp_path, "--data", tmp_path)
    ran = workbench("attention", "swinir-light-x4", *words, "--measure", "js", "--measure", "averaged")
    assert ran.code == 0, ran.err
    assert ran.out.startswith("swinir-light-x4, untrained, 16x16 pixels from the 1 image; mean")
    assert re.search(r"js: 22 neighbours took .* s an image; all 132 pairs \(--all-pairs\) would take about", ran.err)
    stem = "attention-swinir-light-x4-untrained"
    with (tmp_path / "tables" / f"{stem}.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert {r["trained"] for r in rows} == {"False"}
    drawn = {p.name for p in (tmp_path / "figures").glob("*.svg")}
    kinds = ("neighbours", "averaged")
    assert drawn == {f"{stem}-{kind}.svg" for kind in kinds}  # js is of neighbours only: a curve
    for path in (tmp_path / "figures").glob("*.svg"):
        assert "swinir-light-x4, untrained" in path.read_text()
    assert "g0.b1 (shifted)" in (tmp_path / "figures" / f"{stem}-averaged.svg").read_text()


def test_the_names_at_a_matrix_lie_inside_the_picture_at_their_rows():
    known = study.subject("hit-srf-x4").layers
    count = len(known)
    value = np.random.default_rng(0).random((count, count))
    images, cka = np.ones((count, count), dtype=np.int64), measures.MEASURES["cka"]
    table = reading.Table("hit-srf-x4", cka, known, value, value, value, images, (), (0.5, 0.4, 0.6), False, {})
    canvas = report.styled_heatmap(table)
    settle(canvas)
    panel = canvas.axes[0]
    for name in panel.get_yticklabels():
        box = name.get_window_extent()
        assert box.x0 >= 0
        assert box.y0 <= panel.transData.transform((0, name.get_position()[1]))[1] <= box.y1


def test_profiles_are_drawn_of_the_layers_that_have_one(swin, folder, tmp_path):
    crops = pictures.crops(images(folder / "a.png"), 16)
    answers = study.run(swin, crops, measures.find(["profile"]), tmp_path, tell=lambda told: None)
    (table,) = reading.tables(swin, answers, tmp_path)
    profiles = reading.profiles(answers, tmp_path)
    assert profiles.shape == (24, 15, 15)
    assert profiles.sum((1, 2)) == pytest.approx(np.ones(24), abs=1e-5)
    profiles[2:] = np.nan
    drawn = report.offsets(table, profiles)
    assert [axes.get_title() for axes in drawn.axes[:2]] == ["g0.b0", "g0.b1 (shifted)"]
    assert len(drawn.axes) == 3  # with the scale of colours


def test_trained_weights_are_said_by_file_by_name_and_by_default(workbench, folder, tmp_path):
    torch.manual_seed(3)
    torch.save({"params": models.create("asid-x4").state_dict()}, tmp_path / "w.pth")
    home = tmp_path / "data"
    (known,) = [weights.add(tmp_path / "w.pth", home, trained_on="noise")]

    def choose(asked, home=home):
        return choosing.choose("asid-x4", asked, home)

    assert choose(str(tmp_path / "w.pth")).sha256 == choose(known.name).sha256 == choose(None).sha256 == known.sha256
    assert choose("untrained") is choose(None, tmp_path / "nowhere") is None
    assert choosing.told("asid-x4", known) == f"asid-x4 has the weights {known.name}, trained on noise (w.pth)"
    assert choosing.told("asid-x4", None).startswith("asid-x4 is untrained: no weights were named; ")
    with pytest.raises(UserError, match=r"No weights 'asid-x4-'. Did you mean"):
        choose("asid-x4-")
    with pytest.raises(UserError, match=rf"The weights {known.name} fit asid-x4, not esc-x4"):
        choosing.choose("esc-x4", known.name, home)
    words = ("--images", folder / "a.png", "--crop", 16, "--records", tmp_path, "--data", home, "--measure", "entropy")
    ran = workbench("attention", "asid-x4", *words, "--json")
    assert all(s["trained"] for s in json.loads(ran.out))
    assert ran.err.startswith(f"asid-x4 has the weights {known.name}, trained on noise (w.pth); 16x16 pixels from")
    again = workbench("attention", "asid-x4", *words, "--weights", "untrained", "--json")
    assert "[1] a: 1 measure in 1 pass" in again.err
    assert not any(s["trained"] for s in json.loads(again.out))


def test_a_test_set_is_named_and_what_is_fed_is_told(folder, tmp_path):
    small = tmp_path / "set"
    small.mkdir()
    for name, side in (("large", 64), ("tiny", 40)):
        files.write(
            small / f"{name}.png", np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8)
        )
    testsets.add("mine", small, tmp_path)
    found = pictures.find(["mine"], tmp_path, 4)
    assert pictures.fed(found, 16) == "16x16 pixels from the LR (bicubic, x4) of 1 image of mine (too small: tiny)"
    (crop,) = pictures.crops(found, 16)
    assert crop.name == "large"
    assert np.array_equal(crop.pixels, testsets.lows(files.read(small / "large.png"), 4, tmp_path / "other"))
    with pytest.raises(UserError, match=r"large.png is too small for a crop of 32x32 .* x4 is 16x16. So is 1 more"):
        pictures.large(found, 32)
    with pytest.raises(UserError, match=r"No test set 'min'. Did you mean 'mine'"):
        pictures.find(["min"], tmp_path, 4)
    mixed = pictures.find([folder / "a.png", "mine"], tmp_path, 4)
    assert pictures.fed(mixed, 16).startswith("16x16 pixels from images as they are and of LR (bicubic): 2 images of m")


def test_layers_are_listed(workbench):
    shown = json.loads(workbench("attention", "asid-x4", "--layers", "--json").out)
    assert shown[8]["name"] == "g1.b1.window"
    assert shown[8]["shares"] == "g0.b1.window"
    assert shown[8]["rows"] == 64


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("imdn-x4",), r"imdn-x4 has no attention; with attention: esc, esc-light, .*, mambairv2-light\."),
        (("swinir-light-x5",), r"No variant 'swinir-light-x5'. Did you mean"),
        (
            ("swinir-light-x4", "--measure", "foo"),
            r"No measure 'foo'. Known: cosine, averaged, .*, diagonal\.$",
        ),
        (("swinir-light-x4", "--measure", "cosin"), r"No measure 'cosin'. Did you mean 'cosine'"),
        (
            ("swinir-light-x4", "--crop", "8"),
            r"No attention of swinir-light-x4 can be measured on 8x8 pixels: of g0.b0, two",
        ),
        (("swinir-light-x4", "--crop", "0"), r"--crop was given 0; give .*LR pixels, such as 64"),
        (("swinir-light-x4", "--memory", "lots"), r"--memory was given 'lots'; give a size such as"),
        (
            ("swinir-light-x4", "--crop", "64", "--images", "FOLDER/a.png"),
            r"a.png is too small for a crop of 64x64 LR p",
        ),
        (("swinir-light-x4", "--crop", "16", "--hr", "--images", "FOLDER/a.png"), r"its low resolution at x4 is 12x10"),
        (("swinir-light-x4", "--images", "EMPTY"), r"No image in the folder .*\. Images are files whose names end in"),
        (("swinir-light-x4", "--images", "EMPTY/none.png"), r"Cannot read .*none.png: No such file"),
        (("swinir-light-x4", "--weights", "EMPTY/none.pth"), r"There is no checkpoint .*none.pth"),
        (
            ("swinir-light-x4", "--memory", "1MB"),
            r"Two maps of g0.b0 on 64x64 pixels take 12.00 MiB, more than the 0 B that",
        ),
    ],
)
def test_what_the_user_can_mend_is_told_in_one_line(workbench, folder, tmp_path, words, told):
    (tmp_path / "empty").mkdir()
    words = [w.replace("FOLDER", str(folder)).replace("EMPTY", str(tmp_path / "empty")) for w in words]
    ran = workbench("attention", *words, "--records", tmp_path / "records", "--data", tmp_path / "data")
    assert ran.code == 2
    assert re.search(told, ran.err.splitlines()[-1])
    assert ran.out == ""


def test_what_lies_in_the_results_is_of_one_run_that_defined_something(workbench, folder, tmp_path):
    words = ("attention", "hit-srf-x4", "--images", folder / "a.png", "--crop", 16)
    words = (*words, "--records", tmp_path, "--results", tmp_path, "--data", tmp_path)
    first = workbench(*words, "--measure", "cka")
    assert "left out" not in first.out  # windows that do not fit leave features what they are
    assert "removed" not in first.out
    made = {p: p.read_bytes() for p in tmp_path.glob("[ft]*/attention-*")}
    assert len(made) == 7
    nothing = workbench(*words, "--measure", "js")
    assert nothing.code == 2
    assert "workbench: Nothing was written: no measure that was asked for is defined here" in nothing.err
    assert {p: p.read_bytes() for p in tmp_path.glob("[ft]*/attention-*")} == made
    other = workbench(*words, "--measure", "averaged")
    assert "left out: g0.b2: two of its windows" in other.out
    assert "which had these too, as the records have still: --measure cka\n" in other.out
    assert "removed: 3 files of pictures that an earlier run drew of other measures" in other.out
    assert not list(tmp_path.glob("figures/*-cka.*"))


def test_text_says_why_nothing_is_defined(tmp_path, folder):
    subject = study.subject("hit-srf-x4")
    crops = pictures.crops(images(folder / "a.png"), 32)
    answers = study.run(subject, crops, measures.find(["js"]), tmp_path, tell=lambda told: None)
    assert (answers[0][0].status, answers[0][0].values) == ("unsupported", ())
    told = report.text(reading.tables(subject, answers, tmp_path), "somehow")
    assert "js                not defined: " in told
    assert "correlations without a softmax" in told
