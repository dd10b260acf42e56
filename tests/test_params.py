"""Parameters: each once, frozen ones told apart."""

import torch
from torch import nn

from workbench.probes import Reading, params
from workbench.protocols import ESC
from workbench.spec import Counting, Protocol


def test_parameters_are_all_or_the_trainable_ones():
    net = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Linear(5, 5, bias=False))
    net[2].weight.requires_grad_(False)
    net.append(net[0])  # shared: counted once
    details = {"total": 20 + 10 + 25, "trainable": 30}  # and no buffer of the batch norm
    x = torch.empty(1, 3)
    assert params.measure(net, x, ESC) == Reading((55,), details)
    trainable = Protocol("p", "t", counting=Counting(parameters="trainable"))
    assert params.measure(net, x, trainable) == Reading((30,), details)
