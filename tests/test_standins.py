"""Stand-ins: a walk without content sees on the host what one with content sees, and computes nothing there."""

import pytest
import torch
from torch import nn

from workbench import models
from workbench.standins import Host
from workbench.tracing import Call, _walked, trace

WORKING = ("swinir-light-x4", "srformer-light-x4", "mambairv2-light-x4", "atd-light-x4")
"""The networks of the catalogue that work on the host."""


def seen(network, x, empty):
    walked = _walked(network, x, Host(x.device, empty))
    calls = [tuple(vars(c).values()) for c in walked.calls]
    return calls, walked.events, walked.peak


@pytest.mark.parametrize("name", WORKING)
def test_networks_that_work_on_the_host_are_seen_alike(name):
    x = torch.empty(1, 3, 48, 40, device="meta")
    full, empty = (seen(models.create(name, "meta", forward="faithful"), x, e) for e in (False, True))
    assert any(Call(*call).host for call in full[0])
    assert full == empty


class Masked(nn.Module):
    """Makes a mask on the host and brings it to the device."""

    def __init__(self, way):
        super().__init__()
        self.way = way

    def forward(self, x):
        mask = torch.arange(x.shape[-1], dtype=torch.float64) - torch.ones(1) * torch.tensor(2.0)
        return x + self.way(mask.masked_fill(mask != 0, -100.0), x)


WAYS = {
    "to(tensor)": lambda mask, x: mask.to(x),
    "to(device)": lambda mask, x: mask.to(x.device),
    "to(name)": lambda mask, x: mask.to("meta"),
    "to(device=)": lambda mask, x: mask.to(device=x.device, dtype=x.dtype),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_the_device_makes_a_tensor_there(way):
    x = torch.empty(1, 3, 4, 6, device="meta")
    full, empty = (seen(Masked(WAYS[way]), x, e) for e in (False, True))
    assert full == empty
    moved = [Call(*c) for c in empty[0]][-2]
    assert (moved.name in ("to", "_to_copy"), moved.host, moved.outputs[0].storage >= 0) == (True, True, True)


@pytest.mark.parametrize(("empty", "where"), [(True, "meta"), (False, "cpu")])
def test_nothing_is_computed_there_unless_it_is_to_have_content(empty, where):
    made = []
    network = Masked(lambda mask, x: made.append(mask.device) or mask.to(x))
    seen(network, torch.empty(1, 3, 4, 6, device="meta"), empty)
    assert made == [torch.device(where)]


def test_somebody_else_s_network_may_look_into_what_it_made_there():
    looks = Masked(lambda mask, x: x * mask.sum().item())
    assert [c.name for c in trace(looks, torch.empty(1, 3, 4, 6, device="meta")).calls][-2:] == ["mul", "add"]


def test_on_the_cpu_everything_is_the_device_s():
    walked = trace(Masked(WAYS["to(tensor)"]), torch.ones(1, 3, 4, 6))
    assert not any(c.host for c in walked.calls)
