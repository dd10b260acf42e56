"""Maps exchanged between layers: which pairs are legal, what an exchange does, and what it saves, followed by hand."""

import pytest
import torch
from torch import nn

from workbench import models
from workbench.attention import layers
from workbench.attention.saving import Ledger, marked, needed
from workbench.attention.sharing import Bench, Pair, masked, pairs
from workbench.models.parts.attention import MapPoint
from workbench.models.parts.shift import shift_mask
from workbench.report import sharing as report
from workbench.spec import UserError


class Layer(nn.Module):
    """One head over a square of pixels, with a projection for each of q, k and v."""

    def __init__(self, channels, window=2, shift=0, **point):
        super().__init__()
        self.qk = nn.Linear(channels, 2 * channels, bias=False)
        self.v = nn.Linear(channels, channels, bias=False)
        self.map = MapPoint("window", window, shift, **point)

    def forward(self, x):  # (windows, N, C)
        q, k = self.qk(x).chunk(2, dim=-1)
        return self.map((q @ k.mT).softmax(-1)) @ self.v(x)


class Net(nn.Module):
    """Two attentions one after the other, named as ESC names its blocks."""

    def __init__(self, channels=3):
        super().__init__()
        self.blocks = nn.ModuleList(Layer(channels) for _ in range(3))

    def forward(self, x):  # (1, 3, 4, 4), as four windows of 2x2
        x = x.view(3, 2, 2, 2, 2).permute(1, 3, 2, 4, 0).reshape(4, 4, 3)
        for block in self.blocks:
            x = block(x) + x
        return x


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net().eval()


@pytest.fixture
def bench(net):
    return Bench(net, layers(net))


X = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(1))


# --- exchange


def test_an_exchange_by_hand(net, bench):
    with torch.no_grad():
        x = X.view(3, 2, 2, 2, 2).permute(1, 3, 2, 4, 0).reshape(4, 4, 3)
        first, second, third = net.blocks
        q, k = first.qk(x).chunk(2, dim=-1)
        map = (q @ k.mT).softmax(-1)
        x = map @ first.v(x) + x
        x = map @ second.v(x) + x
        expected = third(x) + x
    a, b, _ = bench.found
    assert torch.allclose(bench.shared(X, [Pair(a, b)]), expected, atol=1e-6)
    assert not torch.allclose(net(X), expected, atol=1e-3)


def test_chosen_pairs_hold_together_and_leave_nothing_behind(net, bench):
    a, b, c = bench.found
    plain = net(X)
    both = bench.shared(X, [Pair(a, b), Pair(a, c)])
    assert not torch.equal(both, bench.shared(X, [Pair(a, b)]))
    assert torch.equal(net(X), plain)
    assert not any(m.map.watched or "forward" in vars(m) for m in net.blocks)


def test_a_layer_s_own_map_changes_nothing_and_what_lies_before_need_not_run(net, bench):
    own = bench.untouched(X, "noise")
    _, b, c = bench.found
    assert torch.equal(bench.shared(X, [Pair(c, c)]), own.output)
    full = bench.shared(X, [Pair(b, c)])
    given = bench.maps(X, [b])
    ran = []
    for k, block in enumerate(net.blocks):
        block.v.register_forward_hook(lambda *_, k=k: ran.append(k))
    assert torch.equal(bench.shared(X, [Pair(b, c)], own, given), full)
    assert ran == [2]


def test_a_map_that_is_not_finite_is_told_with_its_layer(net, bench):
    with torch.no_grad():
        net.blocks[1].qk.weight[0, 0] = torch.nan
    with pytest.raises(UserError, match="The attention map of b1 is not finite on baboon, so nothing can be said"):
        bench.untouched(X, "baboon")


@pytest.mark.parametrize("name", ["asid-x4", "elan-light-x4", "swinir-light-x4"])
def test_skipping_changes_nothing_in_networks_that_hand_maps_on_or_roll_windows(name):
    torch.manual_seed(0)
    net = models.create(name)
    bench, x = Bench(net, layers(net)), torch.rand(1, 3, 16, 16)
    own = bench.untouched(x, "noise")
    legal, _ = pairs(bench.found, own.shapes)
    pair = legal[-1]
    fast = bench.shared(x, [pair], own, bench.maps(x, [pair.a]))
    assert torch.equal(fast, bench.shared(x, [pair]))
    assert not torch.equal(fast, own.output)
    same = Pair(pair.b, pair.b)
    assert torch.allclose(bench.shared(x, [same], own, bench.maps(x, [pair.b])), own.output, atol=1e-4, rtol=1e-3)


class Twice(Net):
    """Each attention runs twice, as those of HiT-SNG's n-gram context do."""

    def forward(self, x):
        x = x.view(3, 2, 2, 2, 2).permute(1, 3, 2, 4, 0).reshape(4, 4, 3)
        for block in self.blocks:
            x = torch.cat([block(x), block(2 * x)])[:4] + block(2 * x)
        return x


def test_a_layer_that_runs_several_times_gets_each_time_the_map_of_that_time():
    torch.manual_seed(0)
    net = Twice().eval()
    bench = Bench(net, layers(net))
    a, b, _ = bench.found
    own = bench.untouched(X, "noise")
    assert own.shapes["b0"] == ((4, 4, 4),) * 3
    given = bench.maps(X, [a])
    taken = []
    net.blocks[1].register_forward_hook(lambda block, args, out: taken.append((block.v(args[0]), out)))
    bench.shared(X, [Pair(a, b)], own, given)
    for map, (values, out) in zip(given["b0"], taken, strict=True):
        assert torch.allclose(map @ values, out, atol=1e-6)


def test_who_reuses_a_map_gets_the_exchanged_one_too():
    torch.manual_seed(0)
    net = models.create("asid-x4")
    bench, x = Bench(net, layers(net)), torch.rand(1, 3, 16, 16)
    by_name = {layer.name: layer for layer in bench.found}
    a, b = by_name["g0.b1.window"], by_name["g0.b2.window"]
    follower = by_name["g1.b2.window"]
    assert follower.shares == b.name
    seen = []
    net.get_submodule(follower.path).register_forward_hook(lambda _, args, out: seen.append(out))
    bench.shared(x, [Pair(a, b)])
    assert torch.equal(seen[0], bench.maps(x, [a])[a.name][0])


# --- which pairs


def legal(name):
    net = models.create(name, device="meta")
    found = layers(net)
    shapes = {layer.name: ((layer.geometry.heads, layer.geometry.rows, layer.geometry.columns),) for layer in found}
    return pairs(found, shapes)


def test_all_pairs_of_swinir_are_legal_and_half_of_them_are_rolled():
    found, refused = legal("swinir-light-x4")
    assert len(found) == 24 * 23 // 2
    assert not refused
    assert sum(p.rolled for p in found) == 12 * 12
    assert str(found[0]) == "g0.b0 for g0.b1 (shifted)"


def test_what_would_say_nothing_is_refused_with_the_reason():
    found, refused = legal("atd-light-x4")
    kinds = [p.a.geometry.kind for p in found]
    assert kinds.count("window") == 24 * 23 // 2
    assert kinds.count("dictionary") == 4 * 6 * 5 // 2  # of one group only
    assert "category" not in kinds
    assert refused["entries of two groups' dictionaries"] == 24 * 23 // 2 - 4 * 6 * 5 // 2
    assert refused["tokens in the order of each layer's own categories"] == 24 * 23 // 2
    assert sum(refused.values()) + len(found) == 72 * 71 // 2
    found, refused = legal("hit-srf-x4")
    assert len(found) == 2 * 6 * (4 * 3 // 2)  # of each window size four layers, maps of pixels and of channels
    assert refused["maps of two kinds"] == 24 * 24
    found, refused = legal("asid-x4")
    assert not any(p.a.shares or p.b.shares for p in found)


# --- what a rolled layer may see


def test_a_rolled_layer_takes_nothing_from_beyond_the_edge():
    (layer,) = layers(Rolled(shift=1))
    torch.manual_seed(0)
    attn = torch.rand(4, 1, 4, 4).softmax(-1)
    seen = masked(attn, layer, 16)
    assert torch.allclose(seen.sum(-1), torch.ones(4, 1, 4))
    assert torch.equal(seen[0], attn[0])  # the first window holds neighbours only
    corner = seen[3, 0]  # every pixel is from another corner of the image
    assert torch.allclose(corner, torch.eye(4))
    right = seen[1, 0]  # left column from the right edge of the image, right column from the left one
    assert (right[:, [1, 3]][[0, 2]] == 0).all()
    assert torch.allclose(right[0, [0, 2]], attn[1, 0, 0, [0, 2]] / attn[1, 0, 0, [0, 2]].sum())
    closed = shift_mask(4, 4, 2, 1) != 0
    assert (seen[:, 0][closed] == 0).all()


def test_a_row_without_weight_inside_the_image_becomes_even():
    (layer,) = layers(Rolled(shift=1))
    attn = torch.zeros(4, 1, 4, 4)
    attn[..., 1] = 1
    assert masked(attn, layer, 16)[1, 0, 0].tolist() == [0.5, 0, 0.5, 0]


class Rolled(nn.Module):
    def __init__(self, **point):
        super().__init__()
        self.blocks = nn.ModuleList([Layer(3, **point)])


# --- what is saved


def test_what_an_exchange_saves_by_hand():
    with torch.device("meta"):
        net, x = Net(), torch.empty(1, 3, 4, 4)
    seen, points = marked(net, x)
    parts = {k: 1 - p for k, p in enumerate(needed(seen, points, {"blocks.1.map"}))}
    gone = [(seen.calls[k].module, seen.calls[k].name) for k, p in parts.items() if p == 1 and seen.calls[k].written]
    assert gone == [
        ("blocks.1.qk", "linear"),
        ("blocks.1", "matmul"),
        ("blocks.1", "softmax"),
        ("blocks.1.map", "clone"),
    ]
    assert all(p in (0, 1) for k, p in parts.items())


@pytest.mark.parametrize(
    ("name", "layer", "per_token"),
    [
        ("swinir-light-x4", "g1.b1", 2 * 60 * 60 + 64 * 60),  # of q, k, v two thirds; q k^T
        ("srformer-light-x4", "g0.b0", 60 * 60 + 60 * 15 + 64 * 60),  # q; of k and v half; a quarter as many keys
        ("atd-light-x4", "g0.b0", 256 * 48),  # attention in categories needs the same q and k
        ("atd-light-x4", "g0.b0.dictionary", 48 * 8 + 64 * 8),  # and the projection of 64 entries
        ("elan-light-x4", "g0.b0.w8", 20 * 60 + 2 * 20 + 64 * 20),  # of q and v half, and of their norm
        ("elan-light-x4", "g0.b1.w8", 0),  # makes none
    ],
)
def test_what_networks_save_by_hand(name, layer, per_token):
    ledger = ledger_of(name)
    found = {entry.name: entry for entry in layers(models.create(name, device="meta"))}
    saved = ledger.saved({found[layer].path})
    extra = {"atd-light-x4g0.b0.dictionary": 64 * 48 * 8}.get(name + layer, 0)
    assert saved.multiply_adds == pytest.approx(per_token * 64 * 64 + extra, rel=0.02)
    assert 0 <= saved.seconds < ledger.total.seconds
    assert (saved.seconds > 0) == (per_token > 0)


LEDGERS = {}


def ledger_of(name):
    if name not in LEDGERS:
        LEDGERS[name] = Ledger(models.find(name), "steady")
    return LEDGERS[name]


def test_savings_of_several_layers_add_up_where_they_share_nothing():
    ledger = ledger_of("elan-light-x4")
    found = {entry.name: entry.path for entry in layers(models.create("elan-light-x4", device="meta"))}
    one, other = (ledger.saved({found[n]}).multiply_adds for n in ("g0.b0.w8", "g3.b0.w16"))
    both = ledger.saved({found["g0.b0.w8"], found["g3.b0.w16"]})
    assert both.multiply_adds == pytest.approx(one + other)
    assert ledger.saved(()).multiply_adds == 0


@pytest.mark.parametrize(
    ("names", "shown", "of"),
    [
        (["g0.b1", "g0.b2 (shifted)"], ["g0.b1", "g0.b2 (shifted)"], ""),
        (["body.0.attention.softmax", "body.12.attention.softmax"], ["0", "12"], "body.*.attention.softmax"),
        (["body.0.attention.softmax", "body.softmax"], ["0.attention.softmax", "softmax"], "body.*"),
        (["one-name-without-any-parts", "another"], ["one-name-without-any-parts", "another"], ""),
    ],
)
def test_long_names_are_cut_to_what_differs(names, shown, of):
    assert report.brief(names) == (shown, of)
