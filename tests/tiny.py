"""Networks small enough to follow by hand, and their trace: for tests of what is counted, planned and bounded."""

import torch
from torch import nn

from workbench.tracing import trace


class Does(nn.Module):
    """A network that does what its function does."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def network(what):
    """A network as it is, or one of a function."""
    return what if isinstance(what, nn.Module) else Does(what)


def zeros(x, *shape):
    return x.new_zeros(shape)


def walk(what, *shape, dtype=torch.float32):
    """The trace of a network, or of a function, for an input of a shape."""
    return trace(network(what).to("meta", dtype), torch.empty(shape, device="meta", dtype=dtype))
