"""Capture: every attention of every network is found, named, placed and seen, and the output is the plain one."""

import threading

import pytest
import torch

from workbench import attention, models
from workbench.attention.capture import find, shaped
from workbench.models.parts.attention import MapPoint
from workbench.spec import UserError

WITH = sorted(models.attentive())
REORDERED = ("hit-sir", "hit-sng", "hit-srf")  # their lean forward makes no map, and so takes sums in another order


@pytest.fixture(scope="module")
def net():
    return models.create("swinir-light-x4")


@pytest.mark.untraced
@pytest.mark.parametrize("model", WITH)
def test_every_map_is_seen_in_order_with_the_geometry_that_was_said(model):
    torch.manual_seed(0)
    net, x = models.create(f"{model}-x4"), torch.rand(1, 3, 16, 24)
    known = attention.layers(net)
    seen, features = [], []
    out = attention.watch(
        net,
        x,
        lambda layer, attn: seen.append((layer, attn.shape, attn.sum(-1).sub(1).abs().max(), attn.min())),
        lambda layer, before, after: features.append((layer, before.shape, after.shape)),
    )
    assert len({layer.name for layer in known}) == len(known) == sum(isinstance(m, MapPoint) for m in net.modules())
    assert tuple(dict.fromkeys(layer for layer, *_ in seen)) == known
    assert {layer for layer, *_ in features} == set(known)
    for layer, shape, off_one, least in seen:
        geometry = layer.geometry
        assert (shape[1], shape[3]) == (geometry.heads, geometry.columns)
        assert shape[2] == (geometry.rows or shape[2])
        assert ((off_one < 1e-4) and (least >= 0)) == geometry.softmax
    for _, before, after in features:
        assert len(before) == 3
        assert before == after
        assert before[1] in (16 * 24, 16 * 32)  # raster tokens of the image, or of what it was extended to
    with torch.inference_mode():
        plain = net(x)
    assert torch.allclose(out, plain, atol=1e-5) if model in REORDERED else torch.equal(out, plain)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_names_and_labels_are_those_of_the_checkpoints(net):
    known = attention.layers(net)
    assert [layer.label for layer in known[:2]] == ["g0.b0", "g0.b1 (shifted)"]
    assert known[-1].name == "g3.b5"
    assert known[15].path == "layers.2.residual_group.blocks.3.attn.map"
    assert known[15].name == "g2.b3"
    names = {
        "esc-x4": "b4",
        "hit-sng-x4": "g3.b5.ngram",
        "elan-light-x4": "g11.b1.w16",
        "atd-light-x4": "g3.b5.category",
        "omnisr-x4": "g4.grid-channel",
        "asid-d8-x4": "g7.b3.grid",
    }
    for variant, name in names.items():
        assert name in [layer.name for layer in attention.layers(models.create(variant, device="meta"))]


def test_geometry_says_how_far_a_key_reaches():
    cells = {layer.name: layer.geometry.cell for layer in attention.layers(models.create("hit-srf-x4", device="meta"))}
    assert [cells[f"g0.b{b}"] for b in range(6)] == [1, 1, 2, 4, 6, 8]
    (permuted, *_) = attention.layers(models.create("srformer-light-x4", device="meta"))
    assert permuted.geometry == attention.Geometry("permuted", 16, 0, 6, 256, 64, softmax=True)
    assert permuted.geometry.cell == 2


@pytest.mark.parametrize(("model", "forward"), [("asid", "lean"), ("elan-light", "lean"), ("elan-light", "faithful")])
def test_a_layer_that_reuses_a_map_names_the_one_that_made_it(model, forward):
    torch.manual_seed(0)
    net = models.create(f"{model}-x4", forward=forward)
    known = attention.layers(net)
    maps = {}
    attention.watch(net, torch.rand(1, 3, 24, 24), lambda layer, attn: maps.update({layer.name: attn.clone()}))
    sharing = [layer for layer in known if layer.shares]
    assert len(sharing) == (12 if model == "asid" else 36)
    for layer in sharing:
        assert torch.equal(maps[layer.name], maps[layer.shares])
    made = [layer for layer in known if not layer.shares and layer.geometry == known[0].geometry]
    assert not torch.equal(maps[made[0].name], maps[made[1].name])


def test_the_iterator_hands_out_what_the_visitors_saw(net):
    x, maps, features = torch.rand(1, 3, 16, 16), {}, {}
    attention.watch(
        net,
        x,
        lambda layer, attn: maps.update({layer: attn.clone()}),
        lambda layer, before, after: features.update({layer: (before.clone(), after.clone())}),
    )
    for seen in attention.capture(net, x):
        assert torch.equal(seen.map, maps.pop(seen.layer))
        assert all(map(torch.equal, (seen.before, seen.after), features[seen.layer]))
    assert not maps


def test_features_before_are_those_before_a_lean_block_wrote_over_them():
    net = models.create("asid-x4")
    x = torch.rand(1, 3, 16, 16)
    blocks = {s.layer.name: s for s in attention.capture(net, x)}
    faithful = models.create("asid-x4", forward="faithful")
    faithful.load_state_dict(net.state_dict())
    for seen in attention.capture(faithful, x):
        assert torch.allclose(seen.before, blocks[seen.layer.name].before, atol=1e-5)


def test_maps_of_attentions_side_by_side_and_of_both_directions_are_all_there():
    x = torch.rand(1, 3, 16, 16)
    for variant in ("atd-light-x4", "hit-sng-x4"):
        net = models.create(variant)
        few = attention.layers(net)[:3]
        seen = list(attention.capture(net, x, only=few))
        assert [s.layer for s in seen] == list(few)
    assert len(seen[0].map) == 2 * 4 * 4  # n-grams of 4x4 windows, forward and backward


def test_whoever_stops_early_leaves_no_thread_and_no_hook(net):
    before = threading.active_count()
    for seen in attention.capture(net, torch.rand(1, 3, 16, 16)):
        assert seen.layer.name == "g0.b0"
        break
    del seen
    assert threading.active_count() == before
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_an_error_of_the_forward_reaches_whoever_iterates(net):
    with pytest.raises(RuntimeError, match="size of tensor a"):
        list(attention.capture(net, torch.rand(1, 4, 16, 16)))


def test_a_network_without_attention_is_refused():
    with pytest.raises(UserError, match=r"^IMDN has no attention; with attention: esc, .*, mambairv2-light\.$"):
        next(attention.capture(models.create("imdn-x4"), torch.rand(1, 3, 16, 16)))


def test_a_network_that_makes_no_maps_is_refused():
    net = models.create("esc-x4", attention="sdpa")
    with pytest.raises(UserError, match=r"no attention map of b0: only naive attention .* attention='naive'"):
        attention.watch(net, torch.rand(1, 3, 16, 16))


@pytest.mark.parametrize("model", sorted({v.model for v in models.VARIANTS.values()} - set(WITH)))
def test_no_attention_is_found_where_the_catalogue_knows_of_none(model):
    assert attention.layers(models.create(f"{model}-x4", device="meta")) == ()


@pytest.mark.untraced
@pytest.mark.parametrize("model", ["swinir-light", "esc", "hit-sng"])
def test_maps_in_parts_are_the_windows_of_the_whole_one_after_the_other(model):
    net, x = models.create(f"{model}-x4"), torch.rand(1, 3, 32, 64)
    (first, *_) = attention.layers(net)
    whole, parts = [], []
    attention.watch(net, x, lambda _, attn: whole.append(attn.clone()), only=[first])
    attention.watch(net, x, lambda _, attn: parts.append(attn.clone()), only=[first], in_parts=True)
    assert torch.allclose(torch.cat(parts), torch.cat(whole), atol=1e-6)
    assert (len(parts) > len(whole)) == (model != "hit-sng")
    assert not net.get_submodule(first.path).in_parts


def test_a_layer_that_does_not_exist_is_refused_with_its_neighbours(net):
    assert find("g2.b3", attention.layers(net)).path == "layers.2.residual_group.blocks.3.attn.map"
    with pytest.raises(UserError, match=r"No attention layer 'g2.b9'. Did you mean 'g2.b"):
        find("g2.b9", attention.layers(net))


def test_maps_get_the_axes_that_they_lack():
    assert shaped(torch.rand(5, 4, 4)).shape == (5, 1, 4, 4)
    assert shaped(torch.rand(2, 3, 4, 5, 5)).shape == (6, 4, 5, 5)
    assert shaped(torch.rand(2, 3, 4, 5)).shape == (2, 3, 4, 5)
