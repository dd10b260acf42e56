"""Attention in networks that are not ours: found by pattern, read by its shape, the same figures as by map points."""

import json
from collections import Counter

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import windowed
from torch import nn

from workbench import models
from workbench.attention import layers, measures, picking, streaming, surveying, watch
from workbench.attention.axes import Axes, read
from workbench.attention.catching import fused_map
from workbench.attention.naming import shortened
from workbench.attention.placing import place
from workbench.attention.sharing import Bench, Pair, pairs
from workbench.attention.tapping import Tapped
from workbench.models.parts.shift import shift_mask
from workbench.spec import UserError

X = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
SAME = ("function", "method", "module", "scripted", "sdpa", "rude")
"""Ways to write the same arithmetic; nn.MultiheadAttention has another order of sums."""


def net(style, kind=windowed.Net):
    """The same weights whatever the way."""
    torch.manual_seed(0)
    whole = kind(style="function").eval()
    with torch.no_grad():
        for block in whole.blocks:
            block.attn.qkv.weight.mul_(2)  # maps far from flat
    made = kind(style=style).eval()
    names = {"attn.qkv.weight": "attn.inner.in_proj_weight", "attn.qkv.bias": "attn.inner.in_proj_bias"}
    state = whole.state_dict()
    if style == "mha":
        for old, new in names.items():
            state = {k.replace(old, new): v for k, v in state.items()}
    made.load_state_dict(state, strict=False)
    return made.requires_grad_(False)


def tapped(model, *maps, windows=(), side=16):
    """Taps at what the patterns pick, and what was seen."""
    wish = picking.Wish(maps, surveying.windows(windows))
    seen = surveying.survey(Tapped(model, (), {}), side, side, wish.windows)
    chosen = picking.pick(seen, wish, "./net.py:Net")
    found = Tapped(model, picking.layers(chosen, seen, maps), wish.conditions)
    return picking.Picked(found, seen, side, tuple(chosen))


@pytest.fixture(scope="module")
def ours():
    return net("ours")


def every(model, found):
    return streaming.measure(model, X, found, list(measures.MEASURES.values()), all_pairs=True)


# --- the same figures as of map points


@pytest.fixture(scope="module")
def expected(ours):
    return every(ours, layers(ours))


@pytest.mark.parametrize("style", [*SAME, "mha"])
def test_every_figure_is_that_of_map_points_however_softmax_is_written(expected, style):
    found = tapped(net(style))
    assert [x.geometry for x in found.net.layers] == [x.geometry for x in expected.layers]
    assert [x.geometry.shift for x in found.net.layers] == [0, 2, 0, 2]
    assert [x.block for x in found.net.layers] == [f"net.blocks.{k}" for k in range(4)]
    assert found.survey.difference < 1e-6
    assert picking.told(found) == [
        "windows of 4x4 were guessed (4 of 4 maps)",
        "rolled by 2, as its mask shows (2 of 4 maps)",
    ]
    got = every(found.net, found.net.layers)
    for name, values in expected.values.items():
        assert np.isfinite(values).any()
        same = np.allclose if style in ("mha", "sdpa") else np.array_equal  # fused layers before add up otherwise
        tolerance = {"atol": 1e-5} if style in ("mha", "sdpa") else {}
        assert same(got.values[name], values, equal_nan=True, **tolerance), name


def test_a_network_of_the_catalogue_has_the_same_figures_without_its_map_points():
    torch.manual_seed(0)
    swin = models.create("swinir-light-x4", forward="faithful")
    found = tapped(swin, "layers.*.attn").net
    assert [x.geometry for x in found.layers] == [x.geometry for x in layers(swin)]
    wanted = [m for name, m in measures.MEASURES.items() if not name.startswith("js")]
    own, theirs = (streaming.measure(model, X, layers(model), wanted) for model in (swin, found))
    assert all(np.array_equal(own.values[m.name], theirs.values[m.name], equal_nan=True) for m in wanted)
    assert np.isfinite(theirs.values["cosine"]).sum() == 2 * 12**2  # of rolled rasters, and of others


@pytest.mark.parametrize("style", [*SAME, "mha"])
def test_sharing_changes_the_output_as_it_does_by_map_points(ours, style):
    found = tapped(net(style)).net
    own, theirs = Bench(ours, layers(ours)), Bench(found, layers(found))
    untouched, seen = own.untouched(X, "noise"), theirs.untouched(X, "noise")
    legal, refused = pairs(own.found, untouched.shapes)
    also, also_refused = pairs(theirs.found, seen.shapes)
    assert [(p.a.name, p.b.name) for p in also] == [
        (p.a.name.replace("b", "blocks."), p.b.name.replace("b", "blocks.")) for p in legal
    ]
    assert (len(legal), refused) == (6, also_refused) == (6, Counter())
    for a, b in zip(legal, also, strict=True):
        changed = own.shared(X, [a])
        assert not torch.allclose(changed, untouched.output, atol=1e-4)
        got = theirs.shared(X, [b])
        assert torch.equal(got, changed) or (style in ("sdpa", "mha") and torch.allclose(got, changed, atol=1e-5))
    assert torch.equal(found(X), seen.output)


def test_savings_of_a_tapped_network_are_those_of_map_points(ours):
    from workbench.attention.saving import marked, needed

    left = []
    for model in (ours, tapped(net("function")).net, tapped(net("sdpa")).net):
        found = layers(model)
        seen, points = marked(model.to("meta"), X.to("meta"))
        work = {k: c for k, c in enumerate(seen.calls) if c.name in ("linear", "matmul")}
        parts = needed(seen, points, {found[1].path})
        left.append([(work[k].name, work[k].outputs[0], round(parts[k], 6)) for k in work])
    ours.to_empty(device="cpu").load_state_dict(net("ours").state_dict())
    assert left[0] == left[1] == left[2]
    assert [part for _, _, part in left[0]].count(0.0) == 1  # the product of queries and keys
    assert [part for _, _, part in left[0]].count(round(1 / 3, 6)) == 1  # the projection, of which values remain


# --- what a tap does


def test_a_network_may_write_over_its_maps_and_who_looked_keeps_them():
    found = tapped(net("rude")).net
    held = []
    watch(found, X, lambda layer, attn: held.append(attn))
    assert all(torch.allclose(attn.sum(-1), torch.ones(())) for attn in held)


def test_nothing_is_left_behind_and_nothing_is_caught_while_nobody_looks(monkeypatch):
    model = net("sdpa")
    found = tapped(model).net
    assert torch.backends.mha.get_fastpath_enabled()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in found.modules())
    monkeypatch.setattr("workbench.attention.tapping.Catcher", None)
    assert torch.equal(found(X), model(X))


def test_a_module_that_runs_twice_has_two_maps_and_a_softmax_over_channels_none():
    found = tapped(net("function", windowed.Twice))
    assert [x.name for x in found.net.layers] == ["blocks.0.attn#1", "blocks.0.attn#2"]
    assert [row["note"] for row in picking.rows(found)][-1] == "its softmax does not go over the last axis"
    assert [row["layer"] for row in picking.rows(found)][-1] is None
    maps = []
    watch(found.net, X, lambda layer, attn: maps.append(attn.clone()))
    assert not torch.equal(maps[0], maps[1])
    assert measures.neighbours(measures.MEASURES["cosine"], found.net.layers) == [found.net.layers]  # one block, twice


class Drawing(windowed.Net):
    def forward(self, x):
        return super().forward(x + 0.1 * torch.randn_like(x))


class Tiring(windowed.Net):
    passes = 0

    def forward(self, x):
        self.passes += 1
        if self.passes > 4:
            self.blocks = self.blocks[:2]
        return super().forward(x)


def test_a_network_that_does_something_else_each_time_is_not_said_to_share():
    drawing, tiring = tapped(net("function", Drawing)), tapped(net("function", Tiring))
    assert picking.told(drawing)[0].startswith("with its maps caught the output differs by up to ")
    with pytest.raises(UserError, match=r"from one pass to the next \(its outputs for one image differ by up to"):
        Bench(drawing.net, drawing.net.layers).untouched(X, "noise")
    bench = Bench(tiring.net, tiring.net.layers)
    bench.untouched(X, "noise")
    with pytest.raises(UserError, match=r"changes from one pass to the next \(blocks.3 made no map this time\)"):
        bench.shared(X, [Pair(bench.found[0], bench.found[3])])


def test_what_somebody_s_code_raises_is_told_with_its_line_and_what_a_visitor_raises_is_not(tmp_path):
    from workbench.spec import Source

    model = net("function")
    found = Tapped(model, tapped(model).net.found, {}, Source("./windowed.py:Net", str(tmp_path)))
    with pytest.raises(UserError, match=r"windowed.py:Net does not run: RuntimeError: .*\(windowed.py, line \d+\)"):
        found(X[..., :15])
    with pytest.raises(ValueError, match="of ours"):
        watch(found, X, lambda layer, attn: (_ for _ in ()).throw(ValueError("of ours")))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scale": 0.3},
        {"is_causal": True},
        {"attn_mask": torch.arange(24).view(4, 6) % 5 > 0},
        {"attn_mask": torch.randn(4, 6)},
        {"attn_mask": (torch.arange(24).view(4, 6) < 18).expand(2, 4, 4, 6)},  # the last query is shown nothing
        {"enable_gqa": True},
    ],
)
def test_the_map_of_a_fused_attention_is_the_one_it_works_with(options):
    torch.manual_seed(0)
    heads = 2 if "enable_gqa" in options else 4
    q, k, v = torch.randn(2, 4, 4, 8), torch.randn(2, heads, 6, 8), torch.randn(2, heads, 6, 5)
    whole = v.repeat_interleave(4 // heads, 1)
    made = fused_map(q, k, **options) @ whole
    assert torch.allclose(made, F.scaled_dot_product_attention(q, k, v, **options), atol=1e-6)


# --- axes and places


@pytest.mark.parametrize(
    ("shape", "told", "axes", "rows", "heads", "note"),
    [
        ((16, 2, 16, 16), None, Axes(1), 16, 2, ""),  # (windows, heads, N, N) of 16x16 pixels
        ((1, 2, 256, 256), None, Axes(1), 1, 2, ""),
        ((16, 16, 16), None, Axes(), 16, 1, ""),
        ((16, 1, 2, 16, 16), None, Axes(2), 16, 2, ""),
        ((1, 2, 16, 16, 16), None, Axes(1), 16, 2, ""),  # heads before windows
        ((2, 16, 16, 16), None, Axes(0), 16, 2, ""),
        ((1, 4, 4, 2, 16, 16), None, Axes(3), 16, 2, ""),
        ((16, 16, 16, 16), None, Axes(1), 16, 16, "axes 0 and 1 of (16, 16, 16, 16) could be the heads; 1 was taken"),
        ((32, 16, 16), 2, Axes(None, 2), 16, 2, ""),
        ((32, 16, 16), None, Axes(None, 2), 16, 2, "the first axis of (32, 16, 16) was taken for 16 rows x 2 heads"),
        ((1, 4, 15, 15), None, Axes(1), 1, 4, ""),
        ((3, 4, 15, 15), None, Axes(1), 3, 4, "axis 1 of (3, 4, 15, 15) was taken for the heads"),
        ((15, 15), None, Axes(), 1, 1, ""),
    ],
)
def test_axes_are_told_by_who_asks_once(shape, told, axes, rows, heads, note):
    found = read(shape, 256, told)
    assert (found.axes, found.rows, found.heads, found.note) == (axes, rows, heads, note)
    attn = torch.rand(shape)
    arranged = axes.arranged(attn)
    assert arranged.shape == (rows, heads, *shape[-2:])
    assert torch.equal(axes.back(arranged, shape), attn)


def test_axes_put_each_head_where_it_was():
    attn = torch.arange(6.0).view(2, 3, 1, 1).expand(2, 3, 4, 4)  # (heads, windows, N, N): 3 * head + window
    assert Axes(0).arranged(attn)[:, :, 0, 0].tolist() == [[0, 3], [1, 4], [2, 5]]
    folded = torch.arange(6.0).view(6, 1, 1)  # image by image, and of each its heads
    assert Axes(None, 2).arranged(folded)[:, :, 0, 0].tolist() == [[0, 1], [2, 3], [4, 5]]


def rolled(shift, window=4, side=16, cell=1):
    mask = shift_mask(side, side, window, shift, cell)[:, None]
    return (torch.randn(mask.shape[0], 2, *mask.shape[2:], generator=torch.Generator().manual_seed(0)) + mask).softmax(
        -1
    )


@pytest.mark.parametrize("shift", [1, 2, 3])
def test_how_far_a_raster_is_rolled_is_seen_by_its_mask(shift):
    found = place(rolled(shift), 16, 16)
    assert (found.geometry.kind, found.geometry.window, found.geometry.shift) == ("window", 4, shift)
    assert found.notes == ("windows of 4x4 were guessed", f"rolled by {shift}, as its mask shows")
    sharp = rolled(shift)
    sharp[0, :, 0, 1:] = 0.0  # weights that are zero by themselves
    assert place(sharp, 16, 16).geometry.shift == shift


def test_other_masks_are_told_and_taken_for_none():
    attn = rolled(2).flip(0)
    found = place(attn, 16, 16)
    assert found.geometry.shift == 0
    assert found.notes[-1] == "some keys are masked, and not as a rolled raster masks them"


@pytest.mark.parametrize(
    ("shape", "window", "why"),
    [
        ((1, 2, 256, 256), None, "all pixels of the image ask at once"),
        ((1, 2, 15, 15), None, "its 15 queries are no square"),
        (
            (1, 2, 16, 16),
            None,
            "1 x 16 queries are not the 256 pixels of 16x16: channels, condensed pixels, or windows",
        ),
        ((16, 2, 16, 36), None, "its 36 keys are not the pixels of a window of 4x4"),
        ((16, 2, 16, 16), 0, "there are no windows, as --window 0 says"),
    ],
)
def test_where_places_are_not_known_the_reason_is_told(shape, window, why):
    found = place(torch.rand(shape).softmax(-1), 16, 16, window=window)
    assert found.geometry.kind == "unknown"
    assert found.unknown.startswith(why)


def test_windows_that_are_said_need_not_cover_the_image_and_keys_may_be_condensed():
    assert place(torch.rand(4, 2, 16, 16).softmax(-1), 16, 16, window=4).geometry.window == 4
    assert place(torch.rand(16, 2, 16, 4).softmax(-1), 16, 16).geometry.cell == 2
    assert place(torch.rand(9, 2, 49, 49).softmax(-1), 16, 20).geometry.window == 7  # of an image extended to 21x21


class Channels(nn.Module):
    """Attention among channels, and then among all pixels: nobody knows places in the one."""

    def __init__(self):
        super().__init__()
        self.up = nn.PixelShuffle(2)

    def forward(self, x):
        tokens = x.flatten(2).repeat(1, 4, 1)  # (1, 12, H * W)
        tokens = (tokens @ tokens.mT).softmax(-1) @ tokens + tokens
        tokens = (tokens @ tokens.mT / 9).softmax(-1) @ tokens
        return self.up(tokens.view(1, 12, *x.shape[2:]))


def test_without_places_rows_are_compared_and_places_refused():
    found = tapped(Channels()).net
    assert [x.name for x in found.layers] == ["net#1", "net#2"]
    got = every(found, found.layers)
    a, b = found.layers
    assert np.isfinite(got.values["cosine"][0, 1])
    assert np.isnan(got.values["distance"]).all()
    assert measures.why_not(measures.MEASURES["distance"], a, a) == (
        "net#1, whose places nobody knows (its 12 queries are no square; --window says them), has no places in a window"
    )
    assert measures.why_not(measures.MEASURES["cosine"], a, b) is None


def test_names_keep_what_tells_paths_apart_and_the_word_before_a_number():
    long = [f"layers.{g}.residual_group.blocks.{b}.attn" for g in range(2) for b in range(2)]
    assert shortened(long) == ["layers.0.blocks.0", "layers.0.blocks.1", "layers.1.blocks.0", "layers.1.blocks.1"]
    assert shortened(["enc.attn", "dec.attn"]) == ["enc", "dec"]
    assert shortened(["a.attn", "b.c.attn"]) == ["a.attn", "b.c.attn"]
    assert shortened(["a.b.attn"]) == ["a.b.attn"]


# --- patterns


def test_a_pattern_picks_modules_and_all_within_and_says_whose_features():
    model = net("module")
    assert [x.block for x in tapped(model, "blocks.*.attn").net.layers] == [f"net.blocks.{k}" for k in range(4)]
    inner = tapped(model, "blocks.[12].attn.softmax").net.layers
    assert [x.name for x in inner] == ["blocks.1", "blocks.2"]
    assert inner[0].block == "net.blocks.1.attn"
    assert [x.name for x in tapped(model, "blocks.3", "blocks.0").net.layers] == ["blocks.0", "blocks.3"]


@pytest.mark.parametrize(
    ("style", "kind", "maps", "told"),
    [
        ("function", windowed.Net, "layers.*", r"at --maps 'layers.\*': no module is called so. Maps are made in"
         r" blocks.0.attn to blocks.3.attn. All calls: workbench attention ./net.py:Net --layers"),
        ("function", windowed.Net, "first", r"1 modules fit, such as first, but no softmax ran in them. All calls:"),
        ("function", windowed.Twice, "*", r"picks the softmax in its own forward, which is no attention map: its"
         r" softmax does not go over the last axis. 2 other calls that it picks are; say them by a closer pattern"),
    ],
)  # fmt: skip
def test_a_pattern_that_picks_no_map_is_refused(style, kind, maps, told):
    with pytest.raises(UserError, match=told):
        tapped(net(style, kind), maps)


def test_windows_are_said_for_patterns_and_what_does_not_fit_is_refused():
    assert tapped(net("function"), windows=["blocks.1.*=0", "4"]).net.layers[1].geometry.kind == "unknown"
    with pytest.raises(
        UserError, match=r"--window 8 was said, which is 64 pixels, and the softmax in blocks.0.attn has 16"
    ):
        tapped(net("function"), windows=["8"])
    with pytest.raises(UserError, match=r"--window 'blocks=x' cannot be read; give the side of a window"):
        surveying.windows(["blocks=x"])


class Flex(nn.Module):
    def forward(self, x):
        from torch.nn.attention.flex_attention import flex_attention

        y = x.flatten(2).mT[:, None]
        return F.pixel_shuffle(flex_attention(y, y, y)[:, 0].mT.view(x.shape).repeat(1, 4, 1, 1), 2)


@pytest.mark.filterwarnings("ignore:flex_attention called without")
def test_a_kernel_without_maps_is_named_where_it_is_seen():
    class Inner(nn.Sequential):
        pass

    with pytest.raises(UserError) as error:
        tapped(Inner(Flex()), side=8)
    assert "no scaled_dot_product_attention ran. Kernels that show no map, and so cannot be caught: " in str(
        error.value
    )
    assert "flex_attention (called in 0)" in str(error.value)
    with pytest.raises(UserError, match="An attention written with exp and sums cannot be seen; have it call softmax"):
        tapped(windowed.Plain())


# --- the commands


@pytest.fixture
def here(tmp_path, monkeypatch, root):
    """A folder to stand in, with somebody's file in it, and an image."""
    from workbench.images import files

    (tmp_path / "net.py").write_text((root / "tests" / "windowed.py").read_text())
    noise = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    files.write(tmp_path / "photo.png", noise.repeat(8, 0).repeat(8, 1))
    monkeypatch.chdir(tmp_path)
    return tmp_path


OWN = ("--records", "records", "--data", "nowhere", "--images", "photo.png", "--crop", 16, "--json")


def test_attention_of_one_s_own_is_recorded_with_its_source_and_measured_once(workbench, here):
    words = ("attention", "./net.py:Net-x2", *OWN, "--measure", "cosine", "--maps", "blocks.*")
    first = workbench(*words)
    rows = json.loads(first.out)
    assert (len(rows), {row["trained"] for row in rows}) == (10, {None})
    assert workbench(*words).out == first.out
    (file,) = (here / "records").glob("*.jsonl")
    (record,) = map(json.loads, file.read_text().splitlines())
    assert record["conditions"]["maps"] == {"maps": ["blocks.*"], "windows": []}
    assert record["conditions"]["source"]["digest"]
    assert record["details"]["trained"] is None


def test_sharing_of_one_s_own_tells_what_is_lost_and_saved(workbench, here):
    told = workbench("share", "./net.py:Net-x2", *OWN)
    rows = json.loads(told.out)
    assert {row["layer_b"] for row in rows} == {"blocks.1", "blocks.2", "blocks.3"}
    pixels, each = 360 * 640, {row["value"] for row in rows if row["measure"] == "multiply-adds-saved"}
    assert each == {pixels * (2 * 8 * 8 + 16 * 8)}  # queries and keys of 8 channels, and each query's product with 16
    text = workbench("share", "./net.py:Net-x2", *OWN[:-1], "--picture", "share.png")
    assert text.out.startswith("./net.py:Net-x2, weights as the network makes them: 6 legal pairs on 1 image")
    assert (here / "share.png").stat().st_size


def test_where_savings_cannot_be_read_the_rest_is_told(workbench, here):
    (here / "net.py").write_text(
        (here / "net.py").read_text() + "\nclass Asks(Net):\n    def forward(self, x):\n"
        "        return super().forward(x * (1 if x.mean().item() < 9 else 2))\n"
    )
    text = workbench("share", "./net.py:Asks-x2", *OWN[:-1], "--layer", "blocks.0", "--layer", "blocks.1")
    assert "what is saved is not known: it cannot be walked on tensors without content (" in text.out
    assert " of the multiply-adds" not in text.out


def test_a_field_of_one_s_own(workbench, here):
    told = workbench("field", "./net.py:Plain-x2", *OWN, "--steps", 1)
    rows = {row["measure"]: row for row in json.loads(told.out)}
    assert rows["side-90"]["value"] <= 3  # one convolution of 3x3
    assert rows["side-90"]["trained"] is None


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("attention", "esc-x4", "--maps", "x", "--window", "8"), "--maps and --window are for networks of your own;"
         " the maps of esc-x4 are known: workbench attention NAME --layers"),
        (("share", "./net.py:Net-x2", "--weights", "w.pth"), "--weights is for networks of the catalogue; ./net.py"
         ":Net-x2 has the weights that its code gives it."),
        (("attention", "./net.py:Net-x2", "--maps", ""), "There is an empty word after --maps, "),
        (("attention", "./net.py:Plain", "--crop", "16"), "Found no map in ./net.py:Plain-x2: no softmax and no"),
        (("attention", "./net.py:Net-x2", "--crop", "0"), "--crop was given 0; give a number of LR pixels"),
        (("share", "./net.py:Net-x2", "--crop", "16", "--layer", "b9"), "No attention layer 'b9'."),
    ],
)  # fmt: skip
def test_what_the_user_can_mend_is_told_in_one_line(workbench, here, words, told):
    ran = workbench(*words, "--data", "nowhere", "--records", "records")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines()[-1].startswith(f"workbench: {told}")
    assert not (here / "records").exists()
