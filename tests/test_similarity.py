"""Measures of attention: each against arithmetic by hand or a brute-force oracle, and what must not change them."""

import math
import re
from itertools import permutations

import numpy as np
import pytest
import torch

from workbench import attention, models
from workbench.attention import Geometry, measures, settling, similarity

WINDOW = Geometry("window", 4, 0, 2, 16, 16, softmax=True)


def maps(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).mul(2).softmax(-1)


def layer(name, kind="window", window=8, shift=0, heads=2, rows=64, columns=64, softmax=True, shares=None):
    geometry = Geometry(kind, window, shift, heads, rows, columns, softmax)
    return attention.Layer(name, f"{name}.map", name, geometry, shares)


# --- arithmetic, against loops


def test_cosines_are_those_of_rows_one_by_one():
    a, b = maps(5, 2, 16, 16), maps(5, 2, 16, 16, seed=1)
    rows = [
        float(a[w, h, i] @ b[w, k, i] / (a[w, h, i].norm() * b[w, k, i].norm()))
        for h in range(2)
        for k in range(2)
        for w in range(5)
        for i in range(16)
    ]
    wanted = np.mean(np.reshape(rows, (2, 2, -1)), axis=-1)
    by_head = similarity.cosines([a, b], by_head=True)
    assert by_head[0, :, 1].numpy() == pytest.approx(wanted, abs=1e-6)
    assert float(similarity.cosines([a, b], by_head=False)[0, 1]) == pytest.approx(wanted.diagonal().mean(), abs=1e-6)
    assert similarity.over_heads(by_head)[0, 1] == pytest.approx(wanted.diagonal().mean(), abs=1e-6)


@pytest.mark.parametrize("chunk", [1, 3 * 2 * 256, 2**20])
def test_cosines_do_not_depend_on_how_they_are_chunked(monkeypatch, chunk):
    three = [maps(7, 2, 16, 16, seed=s) for s in range(3)]
    whole = similarity.cosines(three, by_head=False)
    monkeypatch.setattr(similarity, "CHUNK", chunk)
    assert torch.allclose(similarity.cosines(three, by_head=False), whole, atol=1e-6)
    assert torch.equal(similarity.cosines(three, by_head=False).diagonal(), torch.ones(3, dtype=torch.float64))


def test_averaged_cosine_is_that_of_averages():
    a, b = maps(5, 2, 16, 16), maps(5, 2, 16, 16, seed=1)
    mean_a, mean_b = a.mean(0), b.mean(0)
    wanted = torch.nn.functional.cosine_similarity(mean_a, mean_b, dim=-1).mean()
    got = similarity.over_heads(similarity.averaged([mean_a, mean_b]))[0, 1]
    assert float(got) == pytest.approx(float(wanted), abs=1e-6)
    assert float(got) > float(similarity.cosines([a, b], False)[0, 1])  # averages are flatter, and so more alike


def test_jensen_shannon_by_loops_and_at_its_ends():
    a, b = maps(3, 2, 4, 4), maps(3, 2, 4, 4, seed=1)

    def bits(p):
        return -sum(x * math.log2(x) for x in p if x)

    pairs = zip(a.double().view(-1, 4).tolist(), b.double().view(-1, 4).tolist(), strict=True)
    rows = [
        math.sqrt(bits([(x + y) / 2 for x, y in zip(p, q, strict=True)]) - (bits(p) + bits(q)) / 2) for p, q in pairs
    ]
    assert float(similarity.jensen_shannon(a, b)) == pytest.approx(np.mean(rows), abs=1e-9)
    by_head = similarity.jensen_shannon(a, b, by_head=True)
    assert float(by_head.diagonal().mean()) == pytest.approx(np.mean(rows), abs=1e-9)
    assert float(similarity.jensen_shannon(a, a)) == 0
    left, right = torch.tensor([[[[1.0, 0.0]]]]), torch.tensor([[[[0.0, 1.0]]]])
    assert float(similarity.jensen_shannon(left, right)) == 1


def test_entropy_is_0_for_a_choice_and_ln_m_for_none():
    assert similarity.entropy(torch.eye(4).expand(3, 2, 4, 4)) == 0
    assert similarity.entropy(torch.full((3, 2, 4, 4), 0.25)) == pytest.approx(math.log(4))


def test_places_lie_in_raster_order_and_cells_at_their_centres():
    queries, keys = similarity.places(Geometry("permuted", 4, 0, 1, 16, 4, softmax=True))
    assert queries[:5].tolist() == [[0, 0], [0, 1], [0, 2], [0, 3], [1, 0]]
    assert keys.tolist() == [[0.5, 0.5], [0.5, 2.5], [2.5, 0.5], [2.5, 2.5]]


def test_distance_and_diagonal_of_maps_that_are_known():
    own = torch.eye(16)[None]
    assert similarity.distance(own, WINDOW) == 0
    assert similarity.diagonal(own, WINDOW) == 1
    right = torch.zeros(1, 16, 16)
    right[0, range(16), [i + 1 if i % 4 < 3 else i for i in range(16)]] = 1  # to the right neighbour, if there is one
    assert similarity.distance(right, WINDOW) == pytest.approx(0.75)
    assert similarity.diagonal(right, WINDOW) == pytest.approx(0.25)
    spread = torch.full((1, 16, 4), 0.25)
    assert similarity.diagonal(spread, Geometry("permuted", 4, 0, 1, 16, 4, softmax=True)) == 0.25


@pytest.mark.parametrize(("columns", "cell"), [(16, 1), (4, 2)])
def test_a_profile_is_what_a_loop_over_queries_and_pixels_gathers(columns, cell):
    geometry = Geometry("window", 4, 0, 2, 16, columns, softmax=True)
    average = maps(2, 16, columns)
    wanted = np.zeros((2, 7, 7))
    for h in range(2):
        for i in range(16):
            for y in range(4):
                for x in range(4):
                    key = y // cell * (4 // cell) + x // cell
                    wanted[h, 3 + y - i // 4, 3 + x - i % 4] += float(average[h, i, key]) / cell**2 / 16
    profile = similarity.profile(average, geometry)
    assert profile.numpy() == pytest.approx(wanted, abs=1e-7)
    assert profile.sum((1, 2)).tolist() == pytest.approx([1, 1])


def test_profiles_of_two_window_sizes_compare_by_offset():
    small, large = torch.zeros(3, 3), torch.zeros(7, 7)
    small[1, 2] = large[3, 4] = 1  # both one pixel to the right
    assert float(similarity.profile_cosines([small, large])[0, 1]) == 1
    large[3, 4], large[3, 2] = 0, 1
    assert float(similarity.profile_cosines([small, large])[0, 1]) == 0


def brute_hsic(x, y):
    """Song et al.'s unbiased estimator, term by term."""
    n = len(x)
    k, m = x @ x.T, y @ y.T
    k.fill_diagonal_(0)
    m.fill_diagonal_(0)
    one = torch.ones(n, dtype=x.dtype)
    first = (k @ m).trace()
    second = (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))
    third = 2 * (one @ k @ m @ one) / (n - 2)
    return float((first + second - third) / (n * (n - 3)))


def features(n, width, seed):
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed)) + 3


def test_hsic_is_the_unbiased_estimator_of_each_minibatch():
    x, y = features(2 * similarity.BATCH, 5, 0), features(2 * similarity.BATCH, 7, 1)
    got = similarity.independence([x, y])
    halves = [(x[i::2].double(), y[i::2].double()) for i in range(2)]
    for (i, j), pick in {(0, 1): (0, 1), (0, 0): (0, 0), (1, 1): (1, 1)}.items():
        wanted = np.mean([brute_hsic(pair[pick[0]], pair[pick[1]]) for pair in halves])
        assert float(got[i, j]) == pytest.approx(wanted, rel=1e-4, abs=1e-4)
    assert abs(float(got[0, 1])) < 0.1 * float(got[0, 0])  # independent, and not biased upwards


def test_cka_is_invariant_to_rotation_scale_and_shift_and_1_for_a_layer_with_itself():
    x = features(256, 6, 0)
    turn = torch.linalg.qr(features(6, 6, 1))[0]
    y = x + 0.5 * features(256, 6, 2)
    hsic = similarity.independence([x, 7 * x @ turn - 2, y, y]).numpy()[None]
    (cka,) = settling.settled(measures.MEASURES["cka"], hsic)
    assert cka[0, 1] == pytest.approx(1, abs=1e-5)
    assert cka[1, 2] == pytest.approx(cka[0, 2], abs=1e-4)
    assert 0.3 < cka[0, 2] < 0.99
    assert (cka.diagonal() == 1).all()
    assert cka[2, 3] == pytest.approx(1, abs=1e-12)


def test_matched_heads_are_those_of_the_best_of_all_permutations():
    by_head = np.random.default_rng(0).random((3, 2, 2, 4, 4))
    for smallest, best in ((False, max), (True, min)):
        got = settling.matched(by_head, smallest)
        mean = by_head.mean(0)
        chosen = best(permutations(range(4)), key=lambda p: mean[0, 1][range(4), p].sum())
        assert got[:, 0, 1] == pytest.approx(by_head[:, 0, 1][:, range(4), chosen].mean(-1))


def test_permuted_heads_leave_matched_figures_alone():
    a, b = maps(5, 4, 16, 16), maps(5, 4, 16, 16, seed=1)
    order = [2, 0, 3, 1]
    plain, permuted = (similarity.cosines([a, x], True).transpose(1, 2).numpy()[None] for x in (b, b[:, order]))
    assert settling.matched(plain)[0, 0, 1] == pytest.approx(settling.matched(permuted)[0, 0, 1], abs=1e-12)
    same = similarity.cosines([a, a[:, order]], True).transpose(1, 2).numpy()[None]
    assert settling.matched(same)[0, 0, 1] == pytest.approx(1, abs=1e-6)


def test_windows_that_a_roll_filled_from_two_edges_are_left_out():
    shifted = Geometry("window", 4, 2, 2, 16, 16, softmax=True)
    assert similarity.inside(shifted, 8, 12, 0, 6) == [slice(0, 2)]  # of two rows of three windows
    assert similarity.inside(WINDOW, 8, 12, 0, 6) == [slice(0, 6)]
    many = maps(12, 2, 16, 16)  # three rows of four
    kept = [0, 1, 2, 4, 5, 6]
    whole = similarity.inside(shifted, 12, 16, 0, 12)
    assert torch.allclose(similarity.summed(many, whole), many[kept].sum(0))
    for cut in range(1, 12):
        parts = [(0, cut), (cut, 12 - cut)]
        found = [
            [first + i for s in similarity.inside(shifted, 12, 16, first, n) for i in range(n)[s]] for first, n in parts
        ]
        assert found[0] + found[1] == kept


# --- for which layers a measure is defined


A, B, SHIFTED = layer("g0.b0"), layer("g0.b2"), layer("g0.b1", shift=4)


@pytest.mark.parametrize(
    ("measure", "a", "b", "why"),
    [
        ("cosine", A, B, None),
        ("cosine", A, SHIFTED, r"windows of g0.b0 and g0.b1 \(shifted\) hold other pixels; `averaged` and `profile`"),
        ("averaged", A, SHIFTED, None),
        ("profile", A, layer("x", window=16, rows=256, columns=64, kind="permuted"), None),
        ("averaged", A, layer("x", window=16, rows=256, columns=256), "windows of 8 pixels .* and of 16 .* other quer"),
        ("cosine", A, layer("g0.grid", kind="grid"), "g0.b0 attends by window, g0.grid by grid"),
        ("profile", A, layer("g0.grid", kind="grid"), "offsets on the grid of g0.grid are steps"),
        ("cosine", layer("a", "channel"), layer("b", "channel"), "channels of one layer have no counterpart"),
        ("entropy", layer("a", "channel"), layer("a", "channel"), None),
        ("cosine", layer("a", "category"), layer("b", "category"), "sorts the pixels into categories of its own"),
        ("averaged", layer("a", "category"), layer("a", "category"), "within categories, has no windows"),
        ("cosine", layer("l.0.d.0", "dictionary"), layer("l.0.d.1", "dictionary"), None),
        ("cosine", layer("0.l.0", "dictionary"), layer("1.l.0", "dictionary"), "dictionaries of two groups"),
        ("cosine", layer("a", "correlation", softmax=False), layer("b", "correlation", softmax=False), None),
        ("js", layer("a", "correlation", softmax=False), layer("b", "correlation", softmax=False), "no distributions"),
        ("entropy", layer("a", "correlation", softmax=False), layer("a", "correlation", softmax=False), "without a so"),
        ("cka", A, layer("x", "channel"), None),
        ("cosine", layer("a", "channel"), layer("b", "channel", shares="a"), None),
    ],
)
def test_what_cannot_be_compared_is_refused_with_the_reason(measure, a, b, why):
    told = measures.why_not(measures.MEASURES[measure], a, b)
    assert (told is None) == (measures.why_not(measures.MEASURES[measure], b, a) is None) == (why is None)
    assert why is None or re.search(why, told)


def test_neighbours_are_the_next_of_the_same_kind_that_can_be_compared():
    known = attention.layers(models.create("swinir-light-x4", device="meta"))
    cosine = [(a.name, b.name) for a, b in measures.neighbours(measures.MEASURES["cosine"], known)]
    assert cosine[:2] == [("g0.b0", "g0.b2"), ("g0.b1", "g0.b3")]
    assert len(cosine) == 22
    assert [(a.name, b.name) for a, b in measures.neighbours(measures.MEASURES["averaged"], known)][:2] == [
        ("g0.b0", "g0.b1"),
        ("g0.b1", "g0.b2"),
    ]
    hit = attention.layers(models.create("hit-srf-x4", device="meta"))
    blocks = [(a.name, b.name) for a, b in measures.neighbours(measures.MEASURES["cka"], hit)]
    assert blocks[5] == ("g0.b5", "g1.b0")
    assert len(blocks) == 23  # features are of blocks, not of the two attentions in each
    elan = attention.layers(models.create("elan-light-x4", device="meta"))
    assert ("g0.b0.w4", "g0.b1.w4") in [
        (a.name, b.name) for a, b in measures.neighbours(measures.MEASURES["profile"], elan)
    ]


def test_a_crop_shows_each_layer_two_windows_and_nothing_mirrored():
    sides = {"swinir-light": 64, "esc": 64, "hit-srf": 192, "srformer-light": 64}
    for model, side in sides.items():
        assert measures.side(attention.layers(models.create(f"{model}-x4", device="meta"))) == side
    left = measures.fitting(attention.layers(models.create("hit-srf-x4", device="meta")), 96, 96)
    assert set(left) == {f"g{g}.b5" for g in range(4)}
    assert left["g0.b5"] == "two of its windows of 64 pixels do not fit into 96x96"
    left = measures.fitting(attention.layers(models.create("hit-sng-x4", device="meta")), 192, 192)
    assert left["g0.b5"] == "its windows of 64 pixels do not fill 192x192"  # n-grams want pairs of windows
