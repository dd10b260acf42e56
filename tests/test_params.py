"""Parameters: each once, frozen ones told apart."""

import torch
from torch import nn

from workbench import models
from workbench.probes import Reading, params
from workbench.protocols import PROTOCOLS, find

ESC = PROTOCOLS["esc"]


def test_parameters_are_all_or_the_trainable_ones():
    net = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Linear(5, 5, bias=False))
    net[2].weight.requires_grad_(False)
    net.append(net[0])  # shared: counted once
    details = {"total": 20 + 10 + 25, "trainable": 30}  # and no buffer of the batch norm
    x = torch.empty(1, 3)
    assert params.measure(net, x, ESC) == Reading((55,), details)
    assert params.measure(net, x, find("esc+trainable")) == Reading((30,), details)


class Norm(nn.LayerNorm):
    """A class of one's own, for which no counter has a rule."""


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(7))
        self.seen = nn.Linear(3, 5)
        self.unknown = Norm(5)
        self.idle = nn.Linear(11, 13)

    def forward(self, x):
        return self.unknown(self.seen(x)) * self.scale[0]


def test_hooks_see_the_parameters_of_modules_that_ran_and_have_a_rule():
    with torch.device("meta"):
        net, x = Scaled(), torch.empty(1, 3)
    reading = params.measure(net, x, find("hooks"))
    assert reading.values == (20,)
    assert reading.details["unseen"] == 7 + 10 + 11 * 13 + 13
    assert reading.details["total"] == 20 + reading.details["unseen"]


def test_omni_sr_s_published_parameters_are_what_hooks_see():
    with torch.device("meta"):
        net = models.create("omnisr-x4", device="meta")
    reading = params.measure(net, torch.empty(1, 3, 16, 16, device="meta"), find("hooks"))
    assert (reading.details["total"], reading.values) == (805_376, (792_496,))  # printed: 792 K
