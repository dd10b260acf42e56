"""Multiply-adds: nets small enough to count by hand, and the whole catalogue against fvcore itself."""

import importlib
import math
import warnings

import pytest
import tiny
import torch
import torch.nn.functional as F
from fvcore.nn import FlopCountAnalysis
from fvcore.nn.jit_handles import get_shape
from tiny import zeros
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from workbench import models
from workbench.probes import macs
from workbench.protocols import PROTOCOLS, find
from workbench.spec import UserError

ESC = PROTOCOLS["esc"]


def count(network, *shape, training=False, protocol=ESC):
    network = tiny.network(network).to("meta").train(training)
    return macs.measure(network, torch.empty(shape, device="meta"), protocol)


def fvcore(network, *shape, training=False):
    """What fvcore says of the same network, its own way: on the CPU, by tracing."""
    analysis = FlopCountAnalysis(tiny.network(network).train(training), torch.zeros(shape))
    analysis.unsupported_ops_warnings(False).tracer_warnings("none")
    analysis.set_op_handle("aten::layer_norm", layer_norm)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {operator: price for operator, price in analysis.by_operator().items() if price}


def layer_norm(inputs, outputs):
    """fvcore's own price of a layer norm, whose handler refuses the six dimensions of ASID and Omni-SR."""
    return math.prod(get_shape(inputs[0])) * (4 if get_shape(inputs[2]) is None else 5)


# name: network, input, kind, multiply-adds by hand
BY_HAND = {
    "conv": (nn.Conv2d(4, 8, 3, padding=1), (2, 4, 9, 9), "conv", 2 * 8 * 9 * 9 * 4 * 9),
    "conv without bias": (nn.Conv2d(4, 8, 3, padding=1, bias=False), (1, 4, 9, 9), "conv", 8 * 9 * 9 * 4 * 9),
    "conv with stride": (nn.Conv2d(4, 8, 3, stride=2, padding=1), (1, 4, 9, 9), "conv", 8 * 5 * 5 * 4 * 9),
    "conv without padding": (nn.Conv2d(4, 8, 3), (1, 4, 9, 9), "conv", 8 * 7 * 7 * 4 * 9),
    "conv with groups": (nn.Conv2d(4, 8, 3, padding=1, groups=2), (1, 4, 9, 9), "conv", 8 * 9 * 9 * 2 * 9),
    "depthwise conv": (nn.Conv2d(4, 4, 5, padding=2, groups=4), (1, 4, 9, 9), "conv", 4 * 9 * 9 * 25),
    "dilated conv": (nn.Conv2d(4, 8, 3, dilation=2), (1, 4, 9, 9), "conv", 8 * 5 * 5 * 4 * 9),
    "conv of one image": (nn.Conv2d(4, 8, 3), (4, 9, 9), "conv", 8 * 7 * 7 * 4 * 9),
    "conv1d": (nn.Conv1d(4, 8, 3), (2, 4, 9), "conv", 2 * 8 * 7 * 4 * 3),
    "conv3d": (nn.Conv3d(4, 8, 3), (1, 4, 5, 5, 5), "conv", 8 * 27 * 4 * 27),
    "transposed conv": (nn.ConvTranspose2d(4, 8, 3, stride=2), (2, 4, 5, 6), "conv", 2 * 4 * 5 * 6 * 8 * 9),
    "transposed conv of groups": (nn.ConvTranspose2d(4, 8, 3, groups=2), (1, 4, 5, 6), "conv", 4 * 5 * 6 * 4 * 9),
    "transposed conv of one image": (nn.ConvTranspose2d(4, 8, 3), (4, 5, 6), "conv", 4 * 5 * 6 * 8 * 9),
    "linear": (nn.Linear(4, 5), (2, 3, 4), "linear", 2 * 3 * 4 * 5),
    "linear of a vector": (nn.Linear(4, 5, bias=False), (4,), "linear", 4 * 5),
    "matmul": (lambda x: x @ zeros(x, 2, 4, 5), (2, 3, 4), "matmul", 2 * 3 * 4 * 5),
    "matmul by one matrix": (lambda x: x @ zeros(x, 4, 5), (2, 3, 4), "matmul", 2 * 3 * 4 * 5),
    "mm": (lambda x: torch.mm(x, zeros(x, 4, 5)), (3, 4), "mm", 3 * 4 * 5),
    "bmm": (lambda x: torch.bmm(x, zeros(x, 2, 4, 5)), (2, 3, 4), "bmm", 2 * 3 * 4 * 5),
    "addmm": (lambda x: torch.addmm(zeros(x, 5), x, zeros(x, 4, 5)), (3, 4), "addmm", 3 * 4 * 5),
    "einsum": (lambda x: torch.einsum("bik, bjk -> bij", x, zeros(x, 2, 5, 4)), (2, 3, 4), "einsum", 2 * 3 * 5 * 4),
    "einsum of one": (lambda x: torch.einsum("ij->i", x), (3, 4), "einsum", 3 * 4),
    "einsum without output": (lambda x: torch.einsum("ik,kj", x, zeros(x, 4, 5)), (3, 4), "einsum", 3 * 4 * 5),
    "layer norm": (nn.LayerNorm(4), (2, 3, 4), "layer_norm", 5 * 24),
    "layer norm without affine": (nn.LayerNorm(4, elementwise_affine=False), (2, 3, 4), "layer_norm", 4 * 24),
    "layer norm of six dimensions": (nn.LayerNorm(2), (1, 2, 1, 2, 3, 2), "layer_norm", 5 * 24),
    "group norm": (nn.GroupNorm(2, 4), (1, 4, 2, 3), "group_norm", 5 * 24),
    "group norm without affine": (nn.GroupNorm(2, 4, affine=False), (1, 4, 2, 3), "group_norm", 4 * 24),
    "instance norm": (nn.InstanceNorm2d(4, affine=True), (1, 4, 2, 3), "instance_norm", 5 * 24),
    "instance norm without affine": (nn.InstanceNorm2d(4), (1, 4, 2, 3), "instance_norm", 4 * 24),
    "batch norm": (nn.BatchNorm2d(4), (1, 4, 2, 3), "batch_norm", 2 * 24),
    "batch norm without affine": (nn.BatchNorm2d(4, affine=False), (1, 4, 2, 3), "batch_norm", 24),
    "adaptive pooling": (nn.AdaptiveAvgPool2d(1), (2, 4, 5, 6), "adaptive_avg_pool2d", 2 * 4 * 5 * 6),
    "adaptive pooling to 2x3": (nn.AdaptiveAvgPool2d((2, 3)), (1, 4, 6, 6), "adaptive_avg_pool2d", 4 * 6 * 6),
    "bilinear": (lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), (1, 2, 3, 4), "upsample_bilinear2d", 384),
    "nearest": (lambda x: F.interpolate(x, scale_factor=2, mode="nearest"), (1, 2, 3, 4), "upsample_nearest2d", 96),
    "grid sample": (
        lambda x: F.grid_sample(x, zeros(x, 1, 5, 6, 2), align_corners=False), (1, 2, 3, 4), "grid_sampler", 4 * 60
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BY_HAND)
def test_an_operator_costs_what_it_costs_by_hand_and_in_fvcore(name):
    network, shape, kind, price = BY_HAND[name]
    assert fvcore(network, *shape) == {kind: price}
    reading = count(network, *shape)
    assert reading.details["by_operator"] == {kind: price}
    assert reading.values == (price,)
    assert reading.details["uncounted_heavy"] == []


@pytest.mark.parametrize(("affine", "each"), [(True, 5), (False, 4)])
def test_a_batch_norm_that_trains_costs_what_other_norms_do(affine, each):
    network = nn.BatchNorm2d(4, affine=affine)
    assert fvcore(network, 2, 4, 2, 3, training=True) == {"batch_norm": each * 48}
    assert count(network, 2, 4, 2, 3, training=True).details["by_operator"] == {"batch_norm": each * 48}


def test_a_matrix_times_a_vector():
    assert count(lambda x: x @ zeros(x, 4), 2, 3, 4).values == (2 * 3 * 4,)  # fvcore raises


@pytest.mark.parametrize("equation", ["ij,jk,kl->il", "...k,kj->...j"])
def test_an_einsum_without_a_rule_is_refused_and_not_guessed(equation):
    def contract(x):
        return torch.einsum(equation, x, *[zeros(x, 4, 4)] * equation.count(","))

    with pytest.raises(NotImplementedError, match="einsum"):
        count(contract, 4, 4)


def test_a_net_is_the_sum_of_its_operators():
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.GELU(), nn.Conv2d(4, 12, 1), nn.PixelShuffle(2))
    reading = count(net, 1, 3, 8, 8)
    assert reading.details["by_operator"] == {"conv": 8 * 8 * (4 * 3 * 9 + 12 * 4)}
    assert reading.values == (8 * 8 * (4 * 3 * 9 + 12 * 4),)


# --- what has no price


def test_operators_without_a_price_are_named_and_those_that_only_move_are_not():
    def mixed(x):
        y = F.gelu(x).reshape(2, -1).transpose(0, 1).softmax(dim=-1)
        return torch.cat([y + y, y * 2]).flatten()

    reading = count(mixed, 8)
    assert reading.values == (0,)
    assert reading.details == {
        "by_operator": {},
        "uncounted": {"gelu": 1, "softmax": 1, "add": 1, "mul": 1},
        "uncounted_heavy": [],
    }


HEAVY = {
    "scaled_dot_product_attention": lambda x: F.scaled_dot_product_attention(x, x, x),
    "baddbmm": lambda x: torch.baddbmm(x[0], x[0], x[0]),
    "convolution": lambda x: torch.convolution(x, zeros(x, 8, 8, 1, 1), None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1),
}


@pytest.mark.parametrize("operator", HEAVY)
def test_heavy_operators_without_a_price_are_marked(operator):
    reading = count(HEAVY[operator], 1, 8, 8, 8)
    assert reading.values == (0,)
    assert reading.details["uncounted"] == {operator: 1}
    assert reading.details["uncounted_heavy"] == [operator]


# --- torch's counter, and hooks


def by_torch(network, x):
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(x)
    return counter.get_total_flops() / 2


TORCH = {
    **{name: BY_HAND[name][:2] for name in BY_HAND if BY_HAND[name][2] in ("conv", "linear", "matmul", "mm", "bmm")},
    **{name: BY_HAND[name][:2] for name in ("addmm", "layer norm", "batch norm", "adaptive pooling", "bilinear")},
    "baddbmm": (lambda x: torch.baddbmm(zeros(x, 2, 3, 5), x, zeros(x, 2, 4, 5)), (2, 3, 4)),
    "repeated": (lambda x: x @ zeros(x, 2, 1, 4, 5), (3, 3, 4)),
    "matrix times vector": (lambda x: x @ zeros(x, 4), (2, 3, 4)),
    "vector times matrix": (lambda x: x @ zeros(x, 4, 5), (4,)),
    "fused attention": (lambda x: F.scaled_dot_product_attention(x, zeros(x, 2, 7, 4), zeros(x, 2, 7, 6)), (2, 3, 4)),
    "einsum": (lambda x: torch.einsum("bik,bjk->bij", x, zeros(x, 2, 5, 4)), (2, 3, 4)),
    "einsum of one": (lambda x: torch.einsum("ij->i", x), (3, 4)),
    "einsum of three": (lambda x: torch.einsum("ij,jk,kl->il", x, zeros(x, 4, 5), zeros(x, 5, 6)), (3, 4)),
    "einsum that sums one alone": (lambda x: torch.einsum("ik,kj->j", x, zeros(x, 4, 5)), (3, 4)),
    "einsum without output": (lambda x: torch.einsum("ik,kj", x, zeros(x, 4, 5)), (3, 4)),
    "einsum of outer products": (lambda x: torch.einsum("i,j->ij", x, zeros(x, 5)), (3,)),
}


@pytest.mark.parametrize("name", TORCH)
def test_the_torch_protocol_counts_what_torch_s_own_counter_does(name):
    network, shape = TORCH[name]
    network = tiny.network(network).to("meta").eval()
    x = torch.empty(shape, device="meta")
    assert macs.measure(network, x, find("torch")).values == (by_torch(network, x),)


HOOKED = {
    "conv": (nn.Conv2d(4, 8, 3, padding=1, groups=2), (1, 4, 9, 9), 8 * 81 * 2 * 9),
    "transposed conv": (nn.ConvTranspose2d(4, 8, 3, stride=2), (1, 4, 5, 6), 8 * 11 * 13 * 4 * 9),
    "linear": (nn.Linear(4, 5), (2, 3, 4), 2 * 3 * 4 * 5),
    "layer norm": (nn.LayerNorm(4), (2, 3, 4), 4 * 24),
    "layer norm without affine": (nn.LayerNorm(4, elementwise_affine=False), (2, 3, 4), 2 * 24),
    "batch norm": (nn.BatchNorm2d(4), (1, 4, 2, 3), 4 * 24),
    "softmax": (nn.Softmax(dim=-1), (2, 3, 4), 2 * 3 * (3 * 4 - 1)),
    "adaptive pooling": (nn.AdaptiveAvgPool2d(1), (1, 4, 5, 6), 4 * (30 + 1)),
    "bilinear": (nn.Upsample(scale_factor=2, mode="bilinear"), (1, 2, 3, 4), 11 * 2 * 6 * 8),
    "relu": (nn.ReLU(), (2, 3), 0),
    "gelu": (nn.GELU(), (2, 3), 0),
}  # fmt: skip


@pytest.mark.parametrize("name", HOOKED)
def test_hooks_count_by_the_rules_of_thop(name):
    network, shape, price = HOOKED[name]
    assert count(network, *shape, protocol=find("hooks")).values == (price,)


def test_hooks_do_not_see_what_a_forward_does_by_itself_nor_classes_of_ones_own():
    class Own(nn.Linear):
        pass

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.seen, self.own = nn.Linear(4, 4), Own(4, 4)

        def forward(self, x):
            x = F.linear(self.own(self.seen(x)), self.seen.weight)
            return x @ x.mT

    reading = count(Net(), 2, 4, protocol=find("hooks"))
    assert reading.values == (2 * 4 * 4,)
    assert reading.details["uncounted"] == {"linear": 2, "mT": 1, "matmul": 1}
    assert reading.details["uncounted_heavy"] == ["linear", "matmul"]


@pytest.mark.untraced
@pytest.mark.parametrize("attention", ["naive", "sdpa"])
@pytest.mark.parametrize("variant", [models.find(f"{f.models[0]}-x4") for f in models.FAMILIES], ids=lambda v: v.name)
def test_every_family_costs_what_torch_s_own_counter_says(variant, attention):
    """The first network of each; fvcore's counter, below, is asked of all."""
    if attention not in models.supported(variant.name):
        pytest.skip(f"{variant.name} has no {attention} attention")
    network = models.create(variant.name, device="meta", attention=attention, forward="faithful")
    x = torch.empty(1, 3, 48, 52, device="meta")
    assert macs.measure(network, x, find("torch")).values == (by_torch(network, x),)


# --- fields of a protocol


def test_an_operation_may_count_twice():
    once, twice = (count(nn.Linear(4, 4), 2, 4, protocol=find(p)) for p in ("fvcore", "fvcore+twice"))
    assert (once.values, twice.values) == ((32,), (64,))
    assert twice.details["by_operator"] == {"linear": 64}


class Padding(nn.Module):
    """Pads to whole windows of eight, by reflecting or by joining a flipped copy."""

    def __init__(self, flips=False):
        super().__init__()
        self.flips, self.conv = flips, nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x):
        height, width = x.shape[-2:]
        down, right = -height % 8, -width % 8
        if self.flips:
            x = torch.cat([x, x.flip(-2)], -2)[..., : height + down, :]
            x = torch.cat([x, x.flip(-1)], -1)[..., : width + right]
        elif down or right:
            x = F.pad(x, (0, right, 0, down), "reflect")
        return self.conv(x)


@pytest.mark.parametrize("flips", [False, True])
def test_padding_may_be_left_out(flips):
    padded, bare = (count(Padding(flips), 1, 3, 10, 17, protocol=find(p)) for p in ("fvcore", "fvcore+unpadded"))
    assert padded.values == (16 * 24 * 4 * 27,)
    assert bare.values == (10 * 17 * 4 * 27,)
    whole = count(Padding(flips), 1, 3, 16, 24, protocol=find("fvcore+unpadded"))
    assert whole.values == padded.values


def test_a_part_of_the_network_may_pad_by_itself():
    class Part(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.padding = nn.Conv2d(3, 3, 1), Padding()

        def forward(self, x):
            return self.padding(self.first(x))

    padded, bare = (count(Part(), 1, 3, 10, 17, protocol=find(p)) for p in ("fvcore", "fvcore+unpadded"))
    assert padded.values == (10 * 17 * 9 + 16 * 24 * 4 * 27,)
    assert bare.values == (10 * 17 * 9 + 10 * 17 * 4 * 27,)


def test_padding_of_convolutions_cannot_be_left_out():
    net = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(3, 4, 3))
    with pytest.raises(UserError, match=r"Sequential pads an input of 10x17 to 12x19 and that size again"):
        count(net, 1, 3, 10, 17, protocol=find("fvcore+unpadded"))


def test_flex_attention_is_marked():
    from torch.nn.attention import flex_attention

    reading = count(lambda x: flex_attention.flex_attention(x, x, x), 1, 1, 16, 16)
    assert reading.details["uncounted_heavy"] == ["flex_attention"]


def test_layer_norms_are_left_out_by_the_protocol_that_says_so_and_are_named():
    net = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
    reading = count(net, 2, 4, protocol=find("esc+no-layer-norm"))
    assert reading.details["by_operator"] == {"linear": 32}
    assert reading.details["uncounted"] == {"layer_norm": 1}


class Scan(nn.Module):
    """What calls an operator by the name of the selective scan."""

    def forward(self, u):
        batch, channels, length = u.shape
        return torch.ops.testing.selective_scan(u, u, zeros(u, channels, 16), zeros(u, batch, 1, 16, length))


@pytest.fixture(scope="module")
def scan():
    library = torch.library.Library("testing", "FRAGMENT")
    library.define("selective_scan(Tensor u, Tensor delta, Tensor A, Tensor B) -> Tensor")
    library.impl("selective_scan", lambda u, *_: torch.empty_like(u), "Meta")
    yield Scan()
    library._destroy()


def test_a_selective_scan_is_heavy_and_priced_only_by_the_protocol_that_says_so(scan):
    b, d, length, n = 2, 6, 10, 16
    without, priced = (count(scan, b, d, length, protocol=find(p)) for p in ("esc", "esc+scan"))
    assert (without.values, without.details["uncounted_heavy"]) == ((0,), ["selective_scan"])
    assert priced.details["by_operator"] == {"selective_scan": 9 * b * length * d * n + b * d * length}
    assert priced.details["uncounted"] == {}


# --- the catalogue

SMALLER = {"hit": {"WINDOWS": (4, 8, 16)}}
"""Settings that fvcore's run on the CPU takes seconds for, and that bring no operator which others do not."""

X4 = [v for v in models.VARIANTS.values() if v.scale == 4]


@pytest.mark.untraced
@pytest.mark.parametrize("variant", X4, ids=lambda v: v.name)
def test_every_network_costs_what_fvcore_says_operator_by_operator(variant, monkeypatch):
    for name, value in SMALLER.get(variant.family, {}).items():
        monkeypatch.setattr(importlib.import_module(f"workbench.models.{variant.family}"), name, value)
    shape = (1, 3, 16, 20)
    theirs = fvcore(models.create(variant.name, forward="faithful"), *shape)
    ours = count(models.create(variant.name, device="meta", forward="faithful"), *shape).details["by_operator"]
    assert ours.keys() == theirs.keys()
    for operator in ours:
        assert ours[operator] == theirs[operator]
