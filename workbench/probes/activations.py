"""Activations: how many numbers the operators with weights or products put out, by fvcore's convention."""

from __future__ import annotations

import math
from collections import Counter

from torch import Tensor, nn

from workbench.spec import Protocol
from workbench.tracing import traced

from . import Reading
from .prices import CONVOLUTIONS

COUNTED = CONVOLUTIONS | frozenset("addmm bmm einsum linear matmul".split())


def measure(model: nn.Module, x: Tensor, protocol: Protocol) -> Reading:
    """Sum the output elements; what norms, activation functions and sums put out does not count."""
    counted: Counter[str] = Counter()
    for call in traced(model, x).calls:
        if call.name in COUNTED:
            kind = "conv" if call.name in CONVOLUTIONS else call.name
            counted[kind] += sum(math.prod(shape) for shape in call.outputs)
    return Reading((counted.total(),), {"by_operator": dict(counted.most_common())})
