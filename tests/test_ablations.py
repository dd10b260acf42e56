"""models/ablations: networks with one idea turned, against the official ones, sums by hand and each other."""

import inspect
from functools import cache

import pytest
import torch
import torch.nn.functional as F

from workbench import execute, models
from workbench.attention.capture import layers
from workbench.models.ablations import ABLATIONS, SETTINGS
from workbench.models.parts.attention import MapPoint
from workbench.probes import macs
from workbench.protocols import find
from workbench.spec import UserError

pytestmark = pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")

ESC = find("esc")
AREA = 320 * 180
"""LR pixels of 1280x720 at x4."""
WHOLE = 320 * 192
"""The same in whole windows of 32 and of 64."""


def on_meta(name, **how):
    return models.create(name, device="meta", **how)


@cache
def parameters(name):
    return sum(p.numel() for p in on_meta(name).parameters())


def counted(name, height=180, width=320):
    """Multiply-adds by operator."""
    x = torch.empty(1, 3, height, width, device="meta")
    return macs.measure(on_meta(name, forward="faithful"), x, ESC).details["by_operator"]


def drawn(name, **how):
    torch.manual_seed(0)
    return models.create(name, **how)


# --- names


def test_the_catalogue_is_what_it_was_and_ablations_are_beside_it():
    assert len(models.VARIANTS) == 66
    assert not models.VARIANTS.keys() & models.ABLATED.keys()
    assert len(models.ABLATED) == 3 * len(SETTINGS) == 3 * (5 + 3 + 8 + 2 * 7)
    one = models.find("esc-window16-x3")
    assert (one.model, one.family, one.scale, one.paper) == ("esc-window16", "esc", 3, "ablation of ESC (ICCV 2025)")
    assert {v.family for v in models.ABLATED.values()} == {"esc", "asid"}


@pytest.mark.parametrize(
    ("pattern", "picked"),
    [
        ("*", list(models.VARIANTS)),
        ("esc*-x4", ["esc-x4", "esc-light-x4", "esc-fp-x4"]),
        ("asid-*-x2", ["asid-d8-x2"]),
        ("esc-window*-x4", ["esc-window8-x4", "esc-window16-x4", "esc-window64-x4"]),
        ("esc-kernel7-x4", ["esc-kernel7-x4"]),
        ("asid-un*-x4", [
            "asid-undistilled-x4", "asid-unshared-undistilled-x4", "asid-unshared-aside4-x4", "asid-unshared-aside8-x4",
            "asid-unshared-x4",
        ]),
    ],
)  # fmt: skip
def test_a_glob_picks_ablations_only_where_the_catalogue_has_nothing(pattern, picked):
    assert models.matching(pattern) == picked
    assert {v.name for v in execute.resolve([pattern])} == set(picked)


def test_both_kinds_can_be_asked_for_at_once():
    assert [v.name for v in execute.resolve(["esc-kernel3-x4", "esc-x4"])] == ["esc-x4", "esc-kernel3-x4"]


@pytest.mark.parametrize(
    ("asked", "near", "listing"),
    [
        ("esc-windo16-x4", "esc-window16-x4", "workbench variants --ablations"),
        ("asid_unshared_x5", "asid-unshared-x", "workbench variants --ablations"),
        ("esc_lite_x2", "esc-light-x2", "66 are known; list them: workbench variants"),
    ],
)
def test_a_slip_is_answered_from_the_list_it_is_nearest_to(asked, near, listing):
    for ask in (models.find, models.matching):
        with pytest.raises(UserError) as refused:
            ask(asked)
        assert near in str(refused.value)
        assert str(refused.value).endswith(listing)


# --- the official setting is the official network


@pytest.mark.parametrize("model", ["esc", "asid"])
def test_the_constructor_s_defaults_are_the_official_values_of_the_axes(model):
    mine = [a for a in ABLATIONS if a.model == model]
    (network, settings), official = models._network(models.find(f"{model}-x2")), {}
    defaults = {k: p.default for k, p in inspect.signature(network).parameters.items()}
    for point in (p for a in mine for p in a.points if p.name):
        assert point.settings.keys() <= defaults.keys() - settings.keys()
        assert all(value != defaults[name] for name, value in point.settings.items())
        official |= {name: defaults[name] for name in point.settings}
    with torch.device("meta"):
        told = network(scale=2, **settings, **official).state_dict()
    plain = on_meta(f"{model}-x2").state_dict()
    assert {k: v.shape for k, v in told.items()} == {k: v.shape for k, v in plain.items()}
    for ablation in mine:
        assert [p.at for p in ablation.points] == sorted({p.at for p in ablation.points})
        assert ablation.fused == ("flex" in models.supported(f"{model}-x2"))
    assert any(not p.name for a in mine for p in a.points)


# --- sums by hand


@pytest.mark.parametrize(
    ("ablated", "official", "more"),
    [
        # a unit: norm, position bias, qkv, output for the dynamic kernel's two layers and its pointwise convolution
        ("esc-attention1", "esc", 5 * (128 + 4 * 63**2 + 65 * 192 + 65 * 64 - (17 * 8 + 9 * 144 + 65 * 64))),
        ("esc-attention5", "esc", 25 * (128 + 4 * 63**2 + 65 * 192 - (17 * 8 + 9 * 144)) - 256 * 13**2),
        ("esc-window8", "esc", -5 * 4 * (63**2 - 15**2)),
        ("esc-window64", "esc", 5 * 4 * (127**2 - 63**2)),
        ("esc-kernel3", "esc", -256 * (13**2 - 3**2)),
        ("esc-kernel31", "esc", 256 * (31**2 - 13**2)),
    ],
)
def test_parameters_differ_by_what_was_put_in_or_taken_out(ablated, official, more):
    for scale in (2, 4):
        assert parameters(f"{ablated}-x{scale}") - parameters(f"{official}-x{scale}") == more


def test_multiply_adds_differ_by_what_was_put_in_or_taken_out():
    esc, kernel, window, unit = (counted(f"esc{end}-x4") for end in ("", "-kernel7", "-window64", "-attention1"))
    assert esc["conv"] - kernel["conv"] == 25 * 256 * (13**2 - 7**2) * AREA
    assert {k: v for k, v in kernel.items() if k != "conv"} == {k: v for k, v in esc.items() if k != "conv"}
    assert window["matmul"] - esc["matmul"] == 5 * 2 * WHOLE * (64**2 - 32**2) * 64
    assert {k: v for k, v in window.items() if k != "matmul"} == {k: v for k, v in esc.items() if k != "matmul"}
    assert unit["matmul"] == 2 * esc["matmul"] == 2 * 5 * 2 * WHOLE * 32**2 * 64
    taken = AREA * (256 * 13**2 + 16 * 9) + 16 * 8 + 8 * 144
    assert unit["conv"] - esc["conv"] == 5 * (WHOLE * 64 * 192 - taken)  # either unit ends in 64 to 64 channels


def test_sharing_spares_queries_keys_and_their_product():
    asid, own = counted("asid-x4"), counted("asid-unshared-x4")
    assert own["linear"] - asid["linear"] == 2 * 2 * 320 * 184 * 2 * (36**2 + 24**2 + 12**2)
    spared = 2 * 2 * 320 * 184 * 64 * (36 + 24 + 12)
    assert own["einsum"] - asid["einsum"] == pytest.approx(spared, rel=1e-4)  # fvcore prices an einsum in few digits
    assert own["conv"] == asid["conv"]
    assert own["matmul"] == asid["matmul"]


@pytest.mark.untraced
@pytest.mark.parametrize("ablation", [a for a in ABLATIONS if a.model != "asid-d8"], ids=lambda a: a.axis + a.line)
def test_costs_rise_along_an_axis_or_fall(ablation):
    names = [f"{ablation.model_at(p)}-x4" for p in ablation.points]
    costs = [[parameters(n) for n in names], [sum(counted(n, 64, 64).values()) for n in (names[0], names[-1])]]
    for values in costs:
        assert values == sorted(set(values), reverse=ablation.model == "asid")


def test_maps_of_its_own_cost_a_group_more_whatever_is_laid_aside():
    shared, own = ([f"{a.model_at(p)}-x4" for p in a.points] for a in ABLATIONS if a.model == "asid")
    for aside, one, other in zip((0, 4, 8, 12), shared, own, strict=True):
        widths = [48 - step * aside for step in (1, 2, 3)]  # queries, keys and a position bias of each, twice
        assert parameters(other) - parameters(one) == 2 * 2 * sum(2 * w**2 + 225 for w in widths)


# --- they are networks


@pytest.mark.untraced
@pytest.mark.parametrize("name", [n for n in models.ABLATED if n.endswith("x2") and "d8" not in n])
def test_an_ablation_keeps_the_shape_of_what_it_makes(name):
    x = torch.empty(2, 3, 24, 40, device="meta")
    assert on_meta(name)(x).shape == (2, 3, 48, 80)


@pytest.mark.untraced
@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("esc-attention1", {"forward": "lean"}),
        ("esc-attention5", {"attention": "sdpa"}),
        ("esc-window8", {"forward": "lean"}),
        ("esc-window8", {"attention": "flex"}),
        ("asid-unshared", {"forward": "lean"}),
        ("asid-undistilled", {"forward": "lean"}),
        ("asid-unshared-aside4", {"forward": "lean"}),
    ],
)
@torch.inference_mode()
def test_an_ablation_is_one_function_lean_or_faithful_and_plain_or_fused(name, other):
    x = torch.rand(1, 3, 17, 26)
    made, otherwise = drawn(f"{name}-x2", forward="faithful"), models.create(f"{name}-x2", **other)
    otherwise.load_state_dict(made.state_dict())
    wanted = made(x)
    assert wanted.isfinite().all()
    assert (otherwise(x) - wanted).abs().max() < 2e-4 * wanted.std()


@torch.no_grad()  # in inference mode nobody would notice that its weights change
def test_a_small_kernel_is_a_large_one_with_zeros_around_it():
    small, large, x = drawn("esc-kernel7-x2"), models.create("esc-x2"), torch.rand(1, 3, 20, 20)
    state = small.state_dict()
    large.load_state_dict(state | {"plk_filter": F.pad(state["plk_filter"], (3, 3, 3, 3))})
    assert (large(x) - small(x)).abs().max() < 1e-5
    large.load_state_dict(state | {"plk_filter": F.pad(state["plk_filter"], (2, 4, 2, 4))})
    assert (large(x) - small(x)).abs().max() > 1e-5  # so the test above can fail


@torch.inference_mode()
def test_attention_keeps_to_windows_of_the_side_it_is_named_for():
    attention = drawn("esc-window8-x2").blocks[0].attn
    x = torch.rand(1, 64, 24, 24)
    changed = x.clone()
    changed[..., 8:16, 16:24] += 1
    moved = (attention(changed) - attention(x)).abs().sum(1)[0] > 1e-6
    expected = torch.zeros(24, 24, dtype=torch.bool)
    expected[8:16, 16:24] = True
    assert torch.equal(moved, expected)


@torch.inference_mode()
def test_a_group_with_maps_of_its_own_differs_from_a_sharing_one_in_those_only():
    sharing, own = drawn("asid-x2"), drawn("asid-unshared-x2")
    told = own.load_state_dict(sharing.state_dict(), strict=False)
    assert {k.rpartition(".attn.")[2] for k in told.missing_keys} == {"to_qkv.weight", "rel_pos_bias.weight"}
    assert {k.rpartition(".attn.")[2] for k in told.unexpected_keys} == {"to_v.weight"}
    x = torch.rand(1, 48, 16, 16)
    one, maps = own.block0(x.clone(), {}), {}
    assert torch.equal(sharing.block0(x.clone(), maps), one)  # the first group is the same, and hands its maps on
    assert {name for name, attn in maps.items() if attn is not None} == {f"S{a}A{i}" for a in "LG" for i in (1, 2, 3)}
    kept = {}
    own.block0(x.clone(), kept)
    assert set(kept.values()) == {None}


def test_where_nothing_is_laid_aside_every_step_attends_every_channel():
    made = on_meta("asid-undistilled-x2")
    widths = [m.norm.normalized_shape for n, m in made.named_modules() if n.rpartition(".")[2][:3] in ("SLA", "SGA")]
    assert widths == [(48,)] * 18


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("esc-attention2-x2", ["b0", "b0.unit0", "b0.unit1", "b1"]),
        ("esc-window16-x2", ["b0", "b1", "b2", "b3"]),
        ("asid-unshared-x2", ["g0.b1.window", "g0.b1.grid", "g0.b2.window", "g0.b2.grid"]),
    ],
)
def test_its_attention_maps_are_found_each_under_a_name_of_its_own(name, first):
    found = layers(on_meta(name))
    assert [layer.name for layer in found[:4]] == first
    assert len({layer.name for layer in found}) == len(found)
    assert {layer.shares for layer in found} == {None}
    windows = {m.window for m in on_meta(name).modules() if isinstance(m, MapPoint) and m.kind == "window"}
    assert windows == {16 if "16" in name else 32 if "esc" in name else 8}
