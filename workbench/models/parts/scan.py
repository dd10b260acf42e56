"""The selective scan of Mamba: one operator, exact, in chunks, with memory that does not grow with the sequence."""

# ruff: noqa: N803, N806 (A, B, C and D are called so in the literature and in the checkpoints)

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

STATES = 2**23  # held at once: few enough for the peak of a network to lie elsewhere
CPU_STATES = 2**20  # what a CPU's cache holds


def selective_scan(
    u: Tensor,  # (B, D, L)
    delta: Tensor,  # (B, D, L), before the softplus
    A: Tensor,  # (D, N), negative
    B: Tensor,  # (B, G, N, L): shared by the D / G channels of a group
    C: Tensor,  # (B, G, N, L)
    D: Tensor,  # (D)
    delta_bias: Tensor,  # (D)
    reverse: bool = False,
) -> Tensor:  # (B, D, L)
    """y_t = C_t h_t + D u_t with h_t = exp(d_t A) h_(t-1) + d_t B_t u_t and d = softplus(delta + bias), from h = 0.

    `reverse` runs from the last position to the first. The work is done in float32 at least, under autocast too,
    since products of thousands of factors near one are beyond half precision; the result has u's dtype.
    A walk over operators sees one call of `workbench.selective_scan`. It has a first derivative and no second.
    """
    tensors = (u, delta, A, B, C, D, delta_bias)
    dtype = torch.float64 if any(t.dtype == torch.float64 for t in tensors) else torch.float32
    way: Callable[..., Tensor] = by_doubling if torch.onnx.is_in_onnx_export() else scan
    return way(*(t.to(dtype) for t in tensors), reverse).to(u.dtype)


def by_doubling(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor, reverse: bool
) -> Tensor:
    """The same in plain operators, for runtimes that have no such operator of ours; it holds all states at once."""
    if reverse:
        u, delta, B, C = (x.flip(-1) for x in (u, delta, B, C))
    B, C = (x.repeat_interleave(u.shape[1] // B.shape[1], dim=1) for x in (B, C))  # (B, D, N, L)
    step = F.softplus(delta + delta_bias[:, None])
    decay = (step.unsqueeze(2) * A.unsqueeze(-1)).exp()
    state = (step * u).unsqueeze(2) * B
    reach = 1  # positions up to its own that a state has taken in
    while reach < u.shape[-1]:
        state = state + decay * F.pad(state[..., :-reach], (reach, 0))
        decay = decay * F.pad(decay[..., :-reach], (reach, 0), value=1.0)
        reach *= 2
    y = (state * C).sum(2) + D[:, None] * u
    return y.flip(-1) if reverse else y


class _Segment(NamedTuple):
    """One stretch of the sequence: K chunks of T positions, which are run side by side."""

    start: int
    chunks: int
    steps: int

    def of(self, x: Tensor, groups: int) -> Tensor:
        """This segment's share of a sequence: (B, G * x, L) -> (T, K, B, G, x), a view."""
        here = x[..., self.start : self.start + self.chunks * self.steps]
        return here.view(x.shape[0], groups, -1, self.chunks, self.steps).permute(4, 3, 0, 1, 2)


class _Share(NamedTuple):
    """What a segment is scanned with; channels lie beside each other in memory."""

    segment: _Segment
    u: Tensor  # (T, K, B, G, c)
    step: Tensor  # (T, K, B, G, c): softplus(delta + bias)
    B: Tensor  # (T, K, B, G, N)
    C: Tensor  # (T, K, B, G, N)
    decay: Tensor  # (T, K, B, G, N, c)
    total: Tensor  # (K, B, G, N, c): decay over a whole chunk
    state: Tensor  # (T, K, B, G, N, c): before the recurrence, what each position adds


def _segments(length: int, size: int) -> list[_Segment]:
    """The sequence in segments of about so many positions."""
    cuts, start = [], 0
    while start < length:
        most = min(size, length - start)
        steps = math.isqrt(most)  # so that both loops of the recurrence are short
        chunks = most // steps
        cuts.append(_Segment(start, chunks, steps))
        start += chunks * steps
    return cuts


def _shares(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    bias: Tensor,
    back: bool,
) -> Iterator[_Share]:
    """Segment after segment, from the end if `back`. The next takes over the two large buffers of the one before."""
    batch, channels, length = u.shape
    groups, order = B.shape[1:3]
    rate, bias = _rate(A, groups), bias.reshape(groups, -1)
    states = batch * channels * order  # at one position
    segments = _segments(length, max(1, (CPU_STATES if u.is_cpu else STATES) // states))
    decays, added = u.new_empty(2, max(s.chunks * s.steps for s in segments) * states)
    for s in reversed(segments) if back else segments:
        shape = (s.steps, s.chunks, batch, groups, order, channels // groups)
        decay, state = (buffer[: math.prod(shape)].view(shape) for buffer in (decays, added))
        x, step, b, c = (s.of(t, groups).contiguous() for t in (u, delta, B.flatten(1, 2), C.flatten(1, 2)))
        step = F.softplus(step + bias)
        torch.mul(step.unsqueeze(-2), rate, out=decay).exp2_()
        torch.mul((step * x).unsqueeze(-2), b.unsqueeze(-1), out=state)
        yield _Share(s, x, step, b, c, decay, (step.sum(0).unsqueeze(-2) * rate).exp2_(), state)


def _rate(A: Tensor, groups: int) -> Tensor:
    """(D, N) -> (G, N, c), in powers of two, whose exponential is the cheaper one."""
    return (A.reshape(groups, -1, A.shape[1]).transpose(1, 2) * math.log2(math.e)).contiguous()


def _recur(decay: Tensor, x: Tensor, total: Tensor, first: Tensor, back: bool) -> tuple[Tensor, Tensor]:
    """In place, x_t becomes h_t = decay_t h_(t-1) + x_t, beginning at `first`; `back` runs from the last t and k.

    The chunks are run side by side from zero for their ends, the ends are joined one by one, and the chunks are run
    again from where they start. No decay is divided by another, so nothing overflows that would not step by step.
    Returns the states before each chunk (K, ...) and the last of all.
    """
    turn = slice(None, None, -1 if back else 1)
    steps = list(zip(decay.unbind(), x.unbind(), strict=True))[turn]
    ends = steps[0][1].clone()
    for decay_t, x_t in steps[1:]:
        torch.addcmul(x_t, decay_t, ends, out=ends)
    starts = ends.new_empty(ends.shape[0] + 1, *ends.shape[1:])
    states = starts.unbind()[turn]
    states[0].copy_(first)
    for before, after, end, through in zip(states, states[1:], ends.unbind()[turn], total.unbind()[turn], strict=False):
        torch.addcmul(end, through, before, out=after)
    starts = starts[1:] if back else starts[:-1]
    before = starts
    for decay_t, x_t in steps:
        before = x_t.addcmul_(decay_t, before)
    return starts, states[-1].clone()


@torch.library.custom_op("workbench::selective_scan", mutates_args=())
def scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    delta_bias: Tensor,
    reverse: bool,
) -> Tensor:
    """`selective_scan` for tensors of one dtype; the result is laid out in memory as u is."""
    y = torch.empty_like(u)
    groups = B.shape[1]
    state = torch.zeros_like(_rate(A, groups)).expand(u.shape[0], -1, -1, -1)
    for s in _shares(u, delta, A, B, C, delta_bias, reverse):
        _, state = _recur(s.decay, s.state, s.total, state, reverse)
        seen = s.state.mul_(s.C.unsqueeze(-1)).sum(-2)
        s.segment.of(y, groups).copy_(seen.addcmul_(s.u, D.reshape(groups, -1)))
    return y


@scan.register_fake
def _(u: Tensor, *rest: object) -> Tensor:
    return torch.empty_like(u)


@torch.library.custom_op("workbench::selective_scan_backward", mutates_args=())
def scan_backward(
    grad: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    delta_bias: Tensor,
    reverse: bool,
) -> list[Tensor]:
    """The gradients of `scan` by its seven tensors. The states are computed again, a segment at a time."""
    groups = B.shape[1]
    du, ddelta, dA, dB, dC, dD, dbias = _zeros_like(u, delta, A, B, C, D, delta_bias)
    state = carry = torch.zeros_like(_rate(A, groups)).expand(u.shape[0], -1, -1, -1)
    firsts = []
    for s in _shares(u, delta, A, B, C, delta_bias, reverse):
        firsts.append(state)
        _, state = _recur(s.decay, s.state, s.total, state, reverse)

    rate_sum = torch.zeros_like(carry[0])
    for s in _shares(u, delta, A, B, C, delta_bias, not reverse):
        starts, _ = _recur(s.decay, s.state, s.total, firsts.pop(), reverse)
        g = s.segment.of(grad, groups).contiguous()
        s.segment.of(dC.flatten(1, 2), groups).copy_((s.state * g.unsqueeze(-2)).sum(-1))
        seen = g.unsqueeze(-2) * s.C.unsqueeze(-1)  # what y_t says of h_t
        onward = s.decay * seen  # becomes what y_t and all later ones say of h_(t-1)
        after, carry = _recur(s.decay, onward, s.total, carry, not reverse)
        fed = seen.add_(_before(onward, after, not reverse))  # of what position t adds to the state
        s.segment.of(dB.flatten(1, 2), groups).copy_((fed * (s.step * s.u).unsqueeze(-2)).sum(-1))
        fed = fed.mul_(s.B.unsqueeze(-1)).sum(-2)
        exponent = onward.mul_(_before(s.state, starts, reverse))
        rate_sum += (exponent * s.step.unsqueeze(-2)).sum((0, 1, 2))
        step = (exponent.mul_(_rate(A, groups)).sum(-2) * math.log(2)).addcmul_(fed, s.u)
        raw = step.mul_(-torch.expm1(-s.step))
        s.segment.of(ddelta, groups).copy_(raw)
        s.segment.of(du, groups).copy_((fed * s.step).addcmul_(g, D.reshape(groups, -1)))
        dbias += raw.sum((0, 1, 2)).flatten()
        dD += (g * s.u).sum((0, 1, 2)).flatten()
    dA += rate_sum.transpose(1, 2).reshape(A.shape)
    return [du, ddelta, dA, dB, dC, dD, dbias]


def _before(x: Tensor, edge: Tensor, back: bool) -> Tensor:
    """(T, K, ...) moved on by one position, `edge` being what lies before each chunk."""
    return torch.cat((x[1:], edge[None])) if back else torch.cat((edge[None], x[:-1]))


def _zeros_like(*tensors: Tensor) -> list[Tensor]:
    return [t.new_zeros(t.shape) for t in tensors]


@scan_backward.register_fake
def _(grad: Tensor, *rest: Any) -> list[Tensor]:
    return _zeros_like(*rest[:-1])


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.reverse = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    return (*scan_backward(grad, *ctx.saved_tensors, ctx.reverse), None)


scan.register_autograd(_backward, setup_context=_keep)
