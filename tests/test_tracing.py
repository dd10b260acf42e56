"""The trace: calls, modules and live bytes of nets small enough to follow by hand."""

import gc
import weakref

import pytest
import tiny
import torch
import torch.nn.functional as F
from tiny import Does
from torch import nn
from torch.nn.attention import flex_attention as flex_module

from workbench.spec import UserError
from workbench.tracing import BLOCK, Shape, trace, traced

KIB = 1024  # 256 numbers of float32


def walk(network, *shape):
    return tiny.walk(network, *shape or (256,))


def lives(seen):
    """The operators in order, and the bytes alive after each."""
    return [(call.op.removeprefix("aten."), call.live) for call in seen.calls]


def held(seen):
    """What was alive at the peak: its role, the operator that made it, its bytes; in the order it came."""
    there = sorted(seen.alive(seen.peak_call), key=seen.storages.index)
    return [(s.role, s.op, s.rounded) for s in there]


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
    (call,) = seen.calls
    assert (call.op, call.outputs) == ("flex_attention", (Shape((1, 1, 64, 16)),))
    assert (call.read, call.written) == (4 * KIB, 4 * KIB)  # one operand, given thrice
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
    assert held(seen) == [("input", "", KIB), ("made", "aten.add", KIB), ("made", "aten.mul", KIB)]


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
    assert held(seen) == [
        ("parameter", "", KIB), ("buffer", "", 2 * KIB), ("input", "", KIB), ("made", "aten.add", KIB)
    ]  # fmt: skip


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


# --- what else a call says


def test_a_call_names_the_class_of_its_module_and_a_trace_all_that_ran():
    seen = walk(nn.Sequential(nn.Linear(4, 6), nn.GELU()), 2, 4)
    assert [c.kind for c in seen.calls] == ["torch.nn.modules.linear.Linear", "torch.nn.modules.activation.GELU"]
    assert list(seen.modules) == ["", "0", "1"]
    assert seen.modules["0"] == "torch.nn.modules.linear.Linear"


def moved(function, *shape):
    return [(c.name, c.read, c.written) for c in walk(function, *shape).calls]


def test_bytes_read_and_written():
    assert moved(lambda x: x + 1) == [("add", KIB, KIB)]
    assert moved(lambda x: x.relu_()) == [("relu_", KIB, KIB)]
    assert moved(lambda x: x.view(2, 128).t()) == [("view", 0, 0), ("t", 0, 0)]
    assert moved(lambda x: x.view(2, 128).t().reshape(256))[-1] == ("reshape", KIB, KIB)
    assert moved(lambda x: torch.empty_like(x)) == [("empty_like", 0, 0)]
    assert moved(lambda x: x @ x.new_empty(256, 2), 3, 256)[-1] == ("matmul", 3 * KIB + 2 * KIB, 24)
    assert moved(lambda x: torch.cat([x, x]))[-1] == ("cat", KIB, 2 * KIB)  # one operand, given twice
    assert moved(lambda x: x.new_empty(256).copy_(x))[-1] == ("copy_", KIB, KIB)
    assert moved(lambda x: x.new_empty(256).fill_(0))[-1] == ("fill_", 0, KIB)


def test_what_an_expanded_tensor_repeats_is_there_once():
    seen = walk(lambda x: x[:, None].expand(256, 100) + 1)
    assert (seen.calls[-1].read, seen.calls[-1].written) == (KIB, 100 * KIB)


def test_a_shape_knows_its_dtype_its_storage_and_whether_it_is_contiguous():
    x = walk(lambda x: x.half().view(2, 128).t() * 2).calls[-1].arguments[0]
    assert (x.dtype, x.contiguous, x.bytes) == ("float16", False, 512)
    seen = walk(lambda x: x.view(2, 128) + 1)
    view, added = seen.calls[0].outputs[0], seen.calls[1].outputs[0]
    assert (seen.storages[view.storage].role, seen.storages[added.storage].op) == ("input", "aten.add")


def test_a_storage_is_born_and_dies_between_calls():
    seen = walk(lambda x: (x + 1).mul(2).relu())
    assert [(s.op, s.born, s.died) for s in seen.storages] == [
        ("", -1, None), ("aten.add", 0, 2), ("aten.mul", 1, 3), ("aten.relu", 2, None)
    ]  # fmt: skip
    assert [s.op for s in seen.alive(0)] == ["", "aten.add"]
    assert seen.events[:4] == [("made", 0), ("made", 1), ("called", 0), ("made", 2)]


def test_work_on_the_hosts_tensors_is_told_from_the_networks():
    seen = walk(lambda x: x + torch.zeros(256).add(1).to(x.device))
    assert [(c.name, c.host) for c in seen.calls if c.name in ("zeros", "add")] == [
        ("zeros", True), ("add", True), ("add", False)
    ]  # fmt: skip


@pytest.mark.parametrize(
    "asks",
    [
        lambda x: x * x.sum().item(),
        lambda x: x if x.sum() > 0 else -x,
        lambda x: x[x.nonzero()],
        lambda x: x + torch.tensor(x.tolist()),
        lambda x: x.cpu(),
    ],
    ids=["item", "branch", "nonzero", "tolist", "cpu"],
)
def test_a_network_that_asks_for_values_is_refused_with_a_sentence(asks):
    network = nn.Sequential(nn.ReLU(), Does(asks))
    with pytest.raises(
        UserError, match=r"Sequential cannot be walked without computing: in 1, after aten\.\w+, it asks"
    ):
        walk(network, 4)


def test_an_error_of_the_network_itself_stays_what_it_is():
    with pytest.raises(RuntimeError, match="reduction dim"):
        walk(nn.Linear(3, 3), 2, 4)
