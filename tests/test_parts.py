"""models/parts: pieces that several families share, on inputs small enough to see through."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workbench.models.parts.concat import Growing, fuse
from workbench.models.parts.upscale import ROWS, STRIP, in_strips, ladder


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("relu", [False, True])
def test_strips_make_the_same_image(scale: int, relu: bool) -> None:
    tail = nn.Sequential(*ladder(4, scale, relu=relu), nn.Conv2d(4, 3, 3, padding=1))
    heights: list[int] = []
    tail.register_forward_pre_hook(lambda module, args: heights.append(args[0].shape[2]))
    x = torch.rand(2, 4, 2 * ROWS + 5, STRIP // ROWS)
    with torch.inference_mode():
        whole = tail(x)
        torch.testing.assert_close(in_strips(tail, x, scale), whole, atol=1e-6, rtol=0)
    assert len(heights) == 1 + 3
    assert max(heights[1:]) < 2 * ROWS
    torch.autograd.backward(in_strips(tail, x, scale).sum())
    assert len(heights) == 1 + 3 + 1, "with gradients the maps are kept anyway"


def test_a_sum_of_shares_is_the_convolution_of_the_concatenation() -> None:
    conv = nn.Conv2d(9, 5, 1)
    parts = [torch.rand(2, channels, 6, 7, requires_grad=True) for channels in (2, 3, 4)]
    fused = fuse(conv, iter(parts))
    torch.testing.assert_close(fused, conv(torch.cat(parts, dim=1)))
    torch.autograd.backward(fused.square().sum())
    assert all(p.grad is not None for p in (*parts, *conv.parameters()))


@pytest.mark.parametrize("grad", [False, True])
def test_a_growing_concatenation_holds_what_was_added(grad: bool) -> None:
    parts = [torch.rand(2, channels, 3, 4, requires_grad=grad) for channels in (2, 3, 4)]
    with torch.set_grad_enabled(grad):
        grown = Growing(parts[0], 9)
        for i in (1, 2):
            assert torch.equal(grown.add(parts[i]), torch.cat(parts[: i + 1], dim=1))
        if grad:
            torch.autograd.backward(grown.map.square().sum())
            assert all(p.grad is not None for p in parts)
