"""models/parts: pieces that several families share, on inputs small enough to see through."""

# ruff: noqa: N803, N806 (A, B, C and D are called so in the literature)

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench import models
from workbench.models.mambairv2 import MambaIRv2
from workbench.models.parts import scan
from workbench.models.parts import shift as shifting
from workbench.models.parts.attention import MapPoint, attend
from workbench.models.parts.cache import Kept
from workbench.models.parts.concat import Growing, fuse
from workbench.models.parts.order import by_category, take
from workbench.models.parts.qkv import WINDOW, WindowAttention, WindowFrame
from workbench.models.parts.upscale import ROWS, STRIP, in_strips, ladder
from workbench.tracing import trace


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


# The selective scan


def step_by_step(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, bias: Tensor, reverse: bool = False
) -> Tensor:
    """The recurrence as it is defined, one position after the other."""
    batch, channels, length = u.shape
    step = F.softplus(delta + bias[:, None])
    B, C = (x.repeat_interleave(channels // B.shape[1], dim=1) for x in (B, C))
    state, found = u.new_zeros(batch, channels, A.shape[1]), [u] * length
    for t in reversed(range(length)) if reverse else range(length):
        now = step[:, :, t, None]
        state = torch.exp(now * A) * state + now * B[..., t] * u[:, :, t, None]
        found[t] = (state * C[..., t]).sum(-1) + D * u[:, :, t]
    return torch.stack(found, dim=-1)


def sequences(batch: int, channels: int, length: int, states: int, groups: int) -> list[Tensor]:
    torch.manual_seed(0)
    u, delta = torch.randn(2, batch, channels, length)
    B, C = torch.randn(2, batch, groups, states, length)
    return [u, delta - 1, -torch.rand(channels, states) * 20, B, C, torch.randn(channels), torch.randn(channels)]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("held", [2**20, 2**10, 1])
@pytest.mark.parametrize("sizes", [(2, 12, 131, 5, 3), (1, 6, 1, 4, 2)])
def test_a_scan_in_chunks_is_the_recurrence(
    monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, int, int, int, int], held: int, reverse: bool
) -> None:
    monkeypatch.setattr(scan, "CPU_STATES", held)
    given = sequences(*sizes)
    wide = [x.double().requires_grad_() for x in given]
    wanted, found = step_by_step(*wide, reverse), scan.selective_scan(*wide, reverse)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(scan.selective_scan(*given, reverse).double(), wanted, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(scan.by_doubling(*wide, reverse), wanted)
    towards = torch.randn_like(wanted)
    for ours, theirs in zip(*(torch.autograd.grad(y, wide, towards) for y in (found, wanted)), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_scan_neither_overflows_nor_vanishes() -> None:
    given = sequences(1, 4, 3000, 2, 1)
    for shift in (-40.0, 0.0, 40.0):
        given[1] = 20 * torch.randn(1, 4, 3000) + shift
        wanted = step_by_step(*(x.double() for x in given))
        found = scan.selective_scan(*given).double()
        assert (found - wanted).abs().max() <= 1e-5 * wanted.std()


def test_a_scan_of_half_precision_is_done_in_float32() -> None:
    halves = [x.bfloat16() for x in sequences(1, 4, 300, 3, 1)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = scan.selective_scan(*halves)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, scan.selective_scan(*(x.float() for x in halves)).bfloat16())


def test_a_scan_is_registered_as_it_behaves() -> None:
    given = [x.requires_grad_() for x in sequences(2, 4, 30, 3, 2)]
    torch.library.opcheck(scan.scan, (*given, True))
    tokens = [x.detach().transpose(1, 2).contiguous().transpose(1, 2) for x in given[:2]]
    torch.library.opcheck(scan.scan, (*tokens, *(x.detach() for x in given[2:]), False))


def test_a_walk_sees_a_scan_as_one_operator_that_makes_its_output_only() -> None:
    seen = trace(models.create("mambair-light-x2", "meta", forward="faithful"), torch.empty(1, 3, 6, 7, device="meta"))
    scans = [call for call in seen.calls if "scan" in call.op]
    assert {call.op for call in scans} == {"workbench.selective_scan"}
    assert len(scans) == 24
    assert scans[0].arguments[0] == scans[0].outputs[0] == (1, 288, 42)
    assert scans[0].arguments[2] == (288, 10)


# Sorting by category, and windows of queries, keys and values made outside


def test_tokens_of_a_category_keep_their_order() -> None:
    category = torch.tensor([[2, 0, 2, 1, 0], [1, 1, 1, 0, 1]])
    order, back = by_category(category)
    assert order.tolist() == category.argsort(dim=1, stable=True).tolist()
    x = torch.rand(2, 5, 3)
    assert torch.equal(take(take(x, order), back), x)
    assert torch.equal(take(x, order[:, 1:3]), x.gather(1, order[:, 1:3, None].expand(-1, -1, 3)))


@pytest.mark.parametrize("shift", [0, WINDOW // 2])
@pytest.mark.parametrize("size", [(1, 1), (1, 3), (4, 1), (3, 4)])
@pytest.mark.parametrize("attention", ["naive", "sdpa"])
def test_tiles_of_windows_are_the_rolled_raster(shift: int, size: tuple[int, int], attention: str) -> None:
    height, width = (side * WINDOW for side in size)
    frames = [WindowFrame(2, 8, [], lean=lean) for lean in (False, True)]
    layers = [WindowAttention(8, 2, shift, attention, lean=lean) for lean in (False, True)]
    layers[1].load_state_dict(layers[0].state_dict())
    qkv = torch.randn(2, height * width, 24)
    with torch.inference_mode():
        plain, tiled = (
            layer(qkv, height, width, *frame.context(height, width))
            for layer, frame in zip(layers, frames, strict=True)
        )
    torch.testing.assert_close(tiled, plain)


@pytest.mark.parametrize("windows", [None, 1, 3])
def test_lean_attention_rounds_as_the_plain_one(windows: int | None) -> None:
    """What is decided by argmax further on must not turn over."""
    q, k, v = torch.randn(3, 3, 4, 256, 12)
    settings: dict[str, Any] = {"scale": 12**-0.5, "attention": "naive", "point": MapPoint()}
    bias, mask = torch.randn(4, 256, 256), None if windows is None else -100.0 * (torch.rand(windows, 256, 256) > 0.5)
    lean, plain = (attend(q, k, v, bias=bias, mask=mask, lean=lean, **settings) for lean in (True, False))
    torch.testing.assert_close(lean, plain, atol=1e-6, rtol=0)


# MambaIRv2's router


def test_noise_is_drawn_on_request_and_as_the_official_code_draws_it() -> None:
    x = torch.rand(1, 3, 16, 16)
    quiet, noisy = (MambaIRv2(2, noise=noise).eval() for noise in (False, True))
    with torch.inference_mode():
        assert torch.equal(quiet(x), quiet(x))
        assert not torch.equal(noisy(x), noisy(x))
    assm = noisy.layers[0].residual_group.layers[0].assm
    tokens, prompts = torch.randn(2, 300, 48), torch.randn(64, 8)
    torch.manual_seed(1)
    official = F.gumbel_softmax(assm.route(tokens), tau=1, hard=True)
    torch.manual_seed(1)
    category, prompt = assm.routed(tokens, prompts)
    assert torch.equal(category, official.argmax(dim=-1))
    torch.testing.assert_close(prompt, official @ prompts)
    gradients = (torch.autograd.grad(y.square().sum(), assm.route[0].weight)[0] for y in (prompt, official @ prompts))
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("variant", ["swinir-light-x4", "srformer-light-x4"])
@pytest.mark.parametrize(
    ("forward", "side", "made"), [("faithful", 64, 0), ("faithful", 32, 24), ("lean", 64, 0), ("lean", 32, 0)]
)
def test_masks_built_for_64x64_are_made_anew_on_the_host_at_any_other_size(
    monkeypatch: pytest.MonkeyPatch, variant: str, forward: str, side: int, made: int
) -> None:
    """In each of the 24 blocks, shifted or not, as the official code does; printed latencies are host-bound by it."""
    model, devices, real = models.create(variant, device="meta", forward=forward), list[Any](), shifting.shift_mask
    monkeypatch.setattr(shifting, "shift_mask", lambda *given: (devices.append(given[-1]), real(*given))[1])
    with torch.inference_mode():
        model(torch.empty(1, 3, side, side, device="meta"))
    assert devices == ["cpu"] * made


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_what_is_kept_is_made_anew_however_its_parameter_is_written(mode: Any) -> None:
    kept, made = Kept(), list[Tensor]()
    with mode():
        table = nn.Parameter(torch.ones(3)) if mode is torch.no_grad else torch.ones(3)

        def double() -> Tensor:
            return kept.get("bias", (table,), lambda: made.append(2 * table) or made[-1])  # type: ignore[func-returns-value]

        assert double() is double()
        table.data.mul_(3)  # as averages of weights are written: torch counts no version of it
        assert double().tolist() == [6, 6, 6]
        table.add_(1)
        assert double().tolist() == [8, 8, 8]
        assert double() is double()
    assert len(made) == 3


def test_a_network_that_ran_follows_weights_that_are_averaged_into_it() -> None:
    x = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        lean, faithful = (models.create("asid-x2", forward=forward) for forward in ("lean", "faithful"))
        lean(x)
        for mine, other in zip(lean.parameters(), faithful.parameters(), strict=True):
            mine.data.mul_(0).add_(other.data)
        torch.testing.assert_close(lean(x), faithful(x), atol=1e-5, rtol=0)
