"""Planned peak memory: what `torch.cuda.max_memory_allocated` would show, read from a trace, without a GPU.

The trace's events are replayed through CUDA's caching allocator, pass after pass until nothing changes, because papers
measure after warming up. What a GPU takes beside the network's own tensors are the terms of `spec.Planning`:

cuBLAS keeps a workspace from the first matrix product on. Temporaries inside other kernels, such as the contiguous
copy that a convolution makes of a strided input, are not planned; nor is what cuDNN takes, unless a size is given.

Flex attention holds what it was compiled with. Why: tracing by torch.compile leaves the tensors of the compiling call
in reference cycles, which live until Python collects garbage; seen by weak references on the CPU with torch 2.5.1 and
2.13, not with 2.6.0. Only inferred is that ESC's Table 2 shows this: its printed figures ask for a third buffer of the
size of q, k and v at the moment when a block makes its own, at all scales. They leave no room for copies during the
call, and inductor's lowering (torch/_inductor/kernel/flex) makes none where the last side is contiguous; a workspace
of that size in the convolution before would print the same. The kernel is handed two float32 for each head and query
beside its output, log-sum-exp and maxima, by the same lowering.

scaled_dot_product_attention is planned from torch's sources (aten/src/ATen/native/transformers), not verified on a GPU:
flash in half precision without a mask (head width padded to a multiple of 8, a log-sum-exp); else the memory-efficient
kernel if the head width is a multiple of 16 bytes (a mask whose rows are no multiple of 8 is copied, padded); else
plain arithmetic with whole maps. cuDNN's attention, which torch may prefer on Hopper in half precision, is not planned.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from workbench.allocator import Allocator, Block, rounded
from workbench.spec import Planning, Protocol
from workbench.tracing import Call, Shape, Trace, traced

from . import Reading

PASSES = 5
"""The replay ends when a pass changes nothing, and with this one at the latest."""

LARGEST = 12
"""How many of the tensors at the peak a record keeps."""

PRODUCTS = frozenset("addbmm addmm addmv baddbmm bmm linear matmul mm mv".split())
"""Operators that call cuBLAS; an einsum does where it sums over an index that two operands share."""

CONVOLUTIONS = frozenset("conv1d conv2d conv3d convolution conv_transpose1d conv_transpose2d conv_transpose3d".split())

MASK_ROW = 8
"""Elements; the memory-efficient kernel takes masks whose strides are multiples of this."""


@dataclass(frozen=True)
class Held:
    """Something that occupies memory at the peak."""

    bytes: int
    """The whole block that it was handed."""
    shape: tuple[int, ...] | None
    """None for what is no tensor of the network."""
    dtype: str | None
    op: str
    """The operator that made it; empty for what was there before the first."""
    module: str
    role: str
    """`parameter`, `buffer`, `input` or `made`; for anything else the term of the plan."""


@dataclass(frozen=True)
class Plan:
    """What a replay showed in its last pass; sizes in bytes."""

    peak: int
    reserved: int
    passes: int
    """How many passes changed the peak or what is reserved."""
    call: int
    """Index of the call that reached the peak; -1 before the first."""
    terms: dict[str, int]
    """What each term occupies at the peak; `blocks` is what the allocator adds to what was asked for."""
    held: tuple[Held, ...]
    """Everything at the peak, largest first."""


def measure(model: nn.Module, x: Tensor, protocol: Protocol) -> Reading:
    """Plan the peak of `model(x)`; `details` says at which call, by which terms, and what occupies it."""
    seen = traced(model, x)
    found = plan(seen, protocol.planning)
    at = seen.calls[found.call] if found.call >= 0 else None
    details = {
        "live": seen.peak,
        "terms": found.terms,
        "reserved": found.reserved,
        "passes": found.passes,
        "peak_call": {"op": at.op if at else "", "module": at.module if at else ""},
        "largest": [asdict(h) | {"shape": h.shape and list(h.shape)} for h in found.held[:LARGEST]],
    }
    return Reading((found.peak,), details)


def plan(seen: Trace, planning: Planning) -> Plan:
    """Replay a trace until peak and reserved memory no longer change."""
    replay = _Replay(seen, planning)
    passes, before = 0, None
    while passes < PASSES and before != (now := replay.run()):
        passes, before = passes + 1, now
    return replay.plan(passes)


class _Taken(NamedTuple):
    """A request that was answered."""

    block: Block
    size: int
    """Of the block as it was handed out; a block changes when it is given back."""
    asked: int
    of: int
    """The storage it is for; for a term that is no tensor, the call."""


class _Replay:
    """The allocator's state over several passes, and what was alive when the last one peaked."""

    def __init__(self, seen: Trace, planning: Planning) -> None:
        self.seen = seen
        self.planning = planning
        self.memory = Allocator(planning.blocks)
        self.there: dict[int, _Taken] = {}
        """What is in use by storage."""
        self.extra: dict[str, list[_Taken]] = {}
        """What is in use by term."""
        self.stays: set[int] = set()
        """Storages that no pass makes anew: what was there before the first call, and what the network keeps."""
        self.peak_at = -1
        self.at_peak: tuple[list[_Taken], dict[str, list[_Taken]]] = [], {}
        self.flex_ran = False
        for index, storage in enumerate(seen.storages):
            if storage.role != "made" and storage.bytes:
                self._take(index)
            if storage.role != "made":
                self.stays.add(index)
        returned = {s.storage for s in seen.calls[-1].outputs} if seen.calls else set()
        self.kept = {i for i, s in enumerate(seen.storages) if s.died is None and i not in returned} - self.stays

    def run(self) -> tuple[int, int]:
        """Peak and reserved memory of one pass, whose result is dropped at its end, as by a loop that looks at none."""
        self.memory.forget_peak()
        self._peaked(-1)
        held: set[int] = set()
        for kind, index in self.seen.events:
            if kind == "called":
                held |= self._called(index)
            elif index in self.stays:
                continue
            elif kind == "made":
                self._take(index)
            elif index in held:
                self.extra.setdefault("flex_held", []).append(self.there.pop(index))
            else:
                self._give(index)
        self.stays |= self.kept
        for index in set(self.there) - self.stays:
            self._give(index)
        return self.memory.peak, self.memory.reserved

    def plan(self, passes: int) -> Plan:
        there, extra = self.at_peak
        terms = {term: sum(t.asked for t in taken) for term, taken in extra.items() if taken}
        everything = [*there, *(t for taken in extra.values() for t in taken)]
        terms["blocks"] = self.memory.peak - sum(rounded(t.asked) for t in everything)
        held = [self._held(t, "") for t in there]
        held += [self._held(t, term) for term, taken in extra.items() for t in taken]
        held.sort(key=lambda h: -h.bytes)
        return Plan(self.memory.peak, self.memory.reserved, passes, self.peak_at, terms, tuple(held))

    def _held(self, taken: _Taken, term: str) -> Held:
        if term in ("", "flex_held"):
            of = self.seen.storages[taken.of]
            return Held(taken.size, tuple(of.shape), of.shape.dtype, of.op, of.module, term or of.role)
        call = self.seen.calls[taken.of]
        return Held(taken.size, None, None, call.op, call.module, term)

    def _take(self, index: int) -> None:
        storage = self.seen.storages[index]
        if not storage.bytes:  # CUDA hands out nothing
            return
        peak = self.memory.peak
        self.there[index] = self._asked(storage.bytes, index)
        if self.memory.peak > peak:
            self._peaked(storage.born)

    def _asked(self, size: int, of: int) -> _Taken:
        block = self.memory.take(size)
        return _Taken(block, block.size, size, of)

    def _give(self, index: int) -> None:
        if index in self.there:
            self.memory.give(self.there.pop(index).block)

    def _called(self, index: int) -> set[int]:
        """What a call takes beside its results. The storages that it holds on to, which is flex attention's first."""
        call, planning = self.seen.calls[index], self.planning
        if planning.cublas_workspace and "cublas" not in self.extra and _multiplies(call):
            self._extra("cublas", [planning.cublas_workspace], index)
        if planning.convolution_workspace and call.name in CONVOLUTIONS:
            self._extra("convolution", [planning.convolution_workspace], index)
        held: set[int] = set()
        if call.name == "flex_attention":
            if planning.flex_held and not self.flex_ran:
                held = {s.storage for s in call.arguments if isinstance(s, Shape)} - self.stays
            self.flex_ran = True
            if planning.log_sum_exp:
                self._extra("log_sum_exp", [4 * math.prod(call.arguments[0][:-1])] * 2, index)
        if call.name == "scaled_dot_product_attention":
            if planning.sdpa_padding:
                self._extra("sdpa", list(_sdpa(call)), index)
            if planning.log_sum_exp and _flash(call):
                self._extra("log_sum_exp", [4 * math.prod(call.arguments[0][:-1])], index)
        for term in ("convolution", "log_sum_exp", "sdpa"):
            for taken in self.extra.pop(term, ()):
                self.memory.give(taken.block)
        return held

    def _extra(self, term: str, sizes: list[int], call: int) -> None:
        for size in sizes:
            peak = self.memory.peak
            self.extra.setdefault(term, []).append(self._asked(size, call))
            if self.memory.peak > peak:
                self._peaked(call)

    def _peaked(self, call: int) -> None:
        self.peak_at = call
        self.at_peak = list(self.there.values()), {term: list(taken) for term, taken in self.extra.items()}


def _multiplies(call: Call) -> bool:
    if call.name != "einsum":
        return call.name in PRODUCTS
    inputs, _, output = call.arguments[0].replace(" ", "").partition("->")
    shared = [set(term) for term in inputs.split(",")]
    return len(shared) > 1 and bool(set.intersection(*shared) - set(output))


def _mask(call: Call) -> Shape | None:
    mask = call.arguments[3] if len(call.arguments) > 3 else call.keywords.get("attn_mask")
    return mask if isinstance(mask, Shape) else None


def _flash(call: Call) -> bool:
    """Whether a call of scaled_dot_product_attention goes to the flash kernel."""
    q = call.arguments[0]
    return q.dtype in ("float16", "bfloat16") and _mask(call) is None and q[-1] <= 256


def _sdpa(call: Call) -> Iterator[int]:
    """Sizes of what scaled_dot_product_attention takes while it runs, beside a log-sum-exp."""
    q, k, v = call.arguments[:3]
    mask = _mask(call)
    each = getattr(torch, q.dtype).itemsize
    if _flash(call):
        if q[-1] % 8:
            yield from (math.prod(s[:-1]) * (-(-s[-1] // 8) * 8) * each for s in (q, k, v))
    elif each <= 4 and not any(s[-1] * each % 16 for s in (q, v)):
        if mask is not None and mask.dtype == "bool":
            yield math.prod(mask) * each
        if mask is not None and mask[-1] % MASK_ROW:
            yield math.prod(mask[:-1]) * (mask[-1] // MASK_ROW + 1) * MASK_ROW * each
    else:
        full = max(each, 4)
        if each < full:
            yield from (math.prod(s) * full for s in (q, k, v))
        yield from (math.prod(s) * full for s in (q, k))  # scaled
        entries = math.prod(q[:-1]) * k[-2]
        yield from (entries * full, entries * full, entries)  # logits, softmax, and which logits are minus infinity
