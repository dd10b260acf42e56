"""Half precision: under autocast every network gives finite images, also where its own numbers outgrow float16."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from workbench import models
from workbench.models.hit import Correlation

MODELS = [model for family in models.FAMILIES for model in family.models]
WEIGHTS = Path(__file__).parents[2] / "shared" / "data" / "weights" / "hit_srf_x4.pth"


def largest(module: nn.Module, x: torch.Tensor) -> float:
    """The largest number that any correlation puts out, in float32."""
    seen: list[float] = []
    hooks = [
        m.register_forward_hook(lambda module, args, out: seen.append(out.abs().max().item()))
        for m in module.modules()
        if isinstance(m, Correlation)
    ]
    module(x)
    for hook in hooks:
        hook.remove()
    return max(seen)


@pytest.mark.untraced
@pytest.mark.parametrize("model", MODELS)
def test_autocast_gives_finite_images_near_those_of_float32(model: str) -> None:
    torch.manual_seed(0)
    net, x = models.create(f"{model}-x2"), torch.rand(1, 3, 17, 20)
    with torch.inference_mode():
        wanted = net(x)
        for dtype in (torch.float16, torch.bfloat16):
            with torch.autocast("cpu", dtype=dtype):
                out = net(x).float()
            assert out.isfinite().all(), dtype
            assert (out - wanted).abs().mean() < 0.2 * wanted.std(), dtype


@pytest.mark.parametrize("model", ["hit-sir", "hit-sng", "hit-srf"])
def test_a_correlation_beyond_float16_is_kept_in_float32(model: str) -> None:
    torch.manual_seed(0)
    net, x = models.create(f"{model}-x2"), torch.rand(1, 3, 16, 16)
    with torch.inference_mode():
        for module in net.modules():
            if isinstance(module, Correlation):
                module.qv.linear.weight.mul_(1e4)
        assert largest(net, x) > torch.finfo(torch.float16).max
        with torch.autocast("cpu", dtype=torch.float16):
            assert net(x).isfinite().all()


def test_trained_hit_srf_is_not_black_in_float16() -> None:
    if not WEIGHTS.is_file():
        pytest.skip("wants the published HiT-SRF x4 weights in ../shared/data/weights")
    net = models.load_checkpoint(models.create("hit-srf-x4"), WEIGHTS)
    x = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert largest(net, x) > torch.finfo(torch.float16).max
        wanted = net(x)
        with torch.autocast("cpu", dtype=torch.float16):
            out = net(x).float()
    assert (out - wanted).abs().max() < 0.05
