"""The trace: calls, modules and live bytes of nets small enough to follow by hand."""

import gc
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import flex_attention as flex_module

from workbench.trace import BLOCK, Shape, trace, traced

KIB = 1024  # 256 numbers of float32


class Does(nn.Module):
    """A network that does what its function does."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def walk(network, *shape):
    network = network if isinstance(network, nn.Module) else Does(network)
    return trace(network.to("meta"), torch.empty(shape or (256,), device="meta"))


def lives(seen):
    """The operators in order, and the bytes alive after each."""
    return [(call.op.removeprefix("aten."), call.live) for call in seen.calls]


# --- what was called, where, with what


def test_calls_are_composite_operators_with_their_shapes_and_modules():
    seen = walk(nn.Sequential(nn.Linear(4, 6), nn.Sequential(nn.GELU(), nn.LayerNorm(6))), 2, 3, 4)
    assert [(c.op, c.module) for c in seen.calls] == [
        ("aten.linear", "0"),
        ("aten.gelu", "1.0"),
        ("aten.layer_norm", "1.1"),
    ]
    assert seen.calls[0].arguments[:2] == (Shape((2, 3, 4)), Shape((6, 4)))
    assert seen.calls[0].outputs == (Shape((2, 3, 6)),)


def test_tensors_in_lists_and_keywords_are_shapes_too():
    seen = walk(lambda x: torch.cat([x, x]).clamp(min=x.new_zeros(1)))
    by_op = {c.op: c for c in seen.calls}
    assert by_op["aten.cat"].arguments == ([Shape((256,)), Shape((256,))],)
    assert Shape((1,)) in (*by_op["aten.clamp"].arguments, *by_op["aten.clamp"].keywords.values())


def test_work_of_the_network_itself_and_of_a_module_called_twice_is_named():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.act = nn.ReLU()

        def forward(self, x):
            return self.act(self.act(x) + 1)

    assert [(c.op, c.module) for c in walk(Net()).calls] == [
        ("aten.relu", "act"),
        ("aten.add", ""),
        ("aten.relu", "act"),
    ]


def test_one_walk_serves_all_probes_of_one_input():
    network, x = Does(torch.relu), torch.empty(4, device="meta")
    assert traced(network, x) is traced(network, torch.empty(4, device="meta"))
    assert traced(network, torch.empty(5, device="meta")) is not traced(network, x)
    assert traced(network, x.half()) is not traced(network, x)
    evaluated = traced(network.eval(), x)
    assert traced(network.train(), x) is not evaluated


def test_a_traced_network_can_die():
    network = Does(torch.relu)
    traced(network, torch.empty(4, device="meta"))
    gone = weakref.ref(network)
    del network
    gc.collect()
    assert gone() is None


def test_a_walk_leaves_no_hook_and_no_stand_in_behind_even_when_the_network_fails():
    fused = flex_module.flex_attention
    network = nn.Sequential(nn.Linear(3, 3))
    with pytest.raises(RuntimeError):
        walk(network, 2, 4)
    assert flex_module.flex_attention is fused
    network(torch.empty(2, 3, device="meta"))
    assert not nn.modules.module._global_forward_hooks
    assert not nn.modules.module._global_forward_pre_hooks


def test_flex_attention_is_one_operator_that_makes_its_output_only():
    def attend(x):
        return flex_module.flex_attention(x, x, x)

    seen = walk(attend, 1, 1, 64, 16)
    assert lives(seen)[-1] == ("flex_attention", 2 * 4 * KIB)
    assert [c.outputs for c in seen.calls if c.op == "flex_attention"] == [(Shape((1, 1, 64, 16)),)]
    assert seen.peak == 2 * 4 * KIB


def test_fused_attention_is_one_operator():
    seen = walk(lambda x: F.scaled_dot_product_attention(x, x, x), 1, 2, 8, 16)
    assert lives(seen) == [("scaled_dot_product_attention", 2 * KIB)]


# --- what was alive


def test_a_temporary_lives_until_it_was_used():
    seen = walk(lambda x: ((x + 1) * 2).relu())
    # x, x + 1 | x, x + 1, its double | x, the double, its relu
    assert lives(seen) == [("add", 2 * KIB), ("mul", 3 * KIB), ("relu", 3 * KIB)]
    assert (seen.peak, seen.peak_call) == (3 * KIB, 1)
    assert seen.at_peak == [(KIB, "input", ""), (KIB, "aten.add", ""), (KIB, "aten.mul", "")]


def test_what_a_name_holds_lives_on():
    def hold(x):
        a = x + 1
        b = a + 1
        c = b + 1
        return a + c

    assert [live for _, live in lives(walk(hold))] == [2 * KIB, 3 * KIB, 4 * KIB, 5 * KIB]


def test_what_is_let_go_is_gone():
    def let_go(x):
        a = x + 1
        total = a.sum()
        del a
        return x * total

    seen = walk(let_go)
    assert lives(seen) == [("add", 2 * KIB), ("sum", 2 * KIB + BLOCK), ("mul", 2 * KIB + BLOCK)]
    assert (seen.peak, seen.peak_call) == (2 * KIB + BLOCK, 1)  # the first of two equal peaks


def test_work_in_place_takes_nothing():
    seen = walk(lambda x: x.add_(1).mul_(2).relu_())
    assert lives(seen) == [("add_", KIB), ("mul_", KIB), ("relu_", KIB)]
    assert seen.peak == KIB


def test_views_take_nothing_and_copies_do():
    seen = walk(lambda x: x.view(16, 16).transpose(0, 1)[2:].reshape(-1))
    assert lives(seen)[-1] == ("reshape", KIB + 14 * 16 * 4 + 128)  # 896 bytes, rounded up to 1024
    assert {live for op, live in lives(seen)[:-1]} == {KIB}


def test_a_view_keeps_the_whole_it_is_a_view_of():
    def narrow(x):
        part = (x + 1)[:1]
        return part + 1

    assert lives(walk(narrow))[-1] == ("add", 2 * KIB + BLOCK)


def test_parameters_buffers_and_input_are_alive_from_the_start_each_once():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(256))
            self.shared = self.weight
            self.register_buffer("constant", torch.zeros(512))

        def forward(self, x):
            return x + self.shared

    with torch.device("meta"):  # moving it there later would part what is shared
        network = Net()
    seen = walk(network)
    assert lives(seen) == [("add", (1 + 2 + 1 + 1) * KIB)]
    assert [held for held in seen.at_peak if held[1] == "parameter"] == [(KIB, "parameter", "")]


@pytest.mark.parametrize(("numbers", "bytes_"), [(1, 512), (128, 512), (129, 1024), (256, 1024), (257, 1536)])
def test_every_storage_is_rounded_up_to_512_bytes(numbers, bytes_):
    assert walk(lambda x: x.relu_(), numbers).peak == bytes_


def test_half_precision_takes_half():
    x = torch.empty(512, device="meta", dtype=torch.float16)
    assert trace(Does(torch.relu), x).peak == 2 * KIB


def test_a_linear_net_by_hand():
    net = nn.Sequential(nn.Linear(256, 256, bias=False), nn.ReLU(), nn.Linear(256, 1))
    weights = 256 * KIB + KIB + BLOCK
    # input and hidden | input, hidden and its relu | input, relu and result: the input is the caller's to the end
    assert [live - weights for _, live in lives(walk(net, 1, 256))] == [2 * KIB, 3 * KIB, 2 * KIB + BLOCK]
