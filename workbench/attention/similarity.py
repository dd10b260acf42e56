"""The arithmetic of the measures: maps and features of a few layers in, numbers out; sums over windows are products."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .capture import Geometry

CHUNK = 2**20
"""Numbers that are worked on at once: what a processor's cache holds."""

BATCH = 128
"""Pixels of a minibatch of CKA."""


def cosines(maps: Sequence[Tensor], by_head: bool) -> Tensor:
    """Cosine of maps per query row: mean over windows, heads and queries of <a, b> / (|a| |b|), a and b their rows.

    (L, L), float64; with `by_head` (L, h, L, h), every head of one layer with every head of the other. It is one
    product of all rows, made unit vectors, with themselves; what rounding leaves of their length is divided out, so
    that a layer has exactly 1 with itself. A row of zeros, which no softmax makes, has NaN.
    """
    layers, (windows, *shape) = len(maps), maps[0].shape
    step = max(1, CHUNK // (layers * math.prod(shape)))
    room = torch.empty(layers, min(step, windows), *shape)  # one for all steps: fresh memory is slow
    total = torch.zeros((), dtype=torch.float64)
    for first in range(0, windows, step):
        x = room[:, : min(step, windows - first)]
        for unit, m in zip(x, maps, strict=True):
            unit_rows(m[first : first + step], unit)
        total = total + _gram(x, by_head)
    return _cosines(total, layers, by_head)


def unit_rows(attn: Tensor, out: Tensor) -> None:
    """A map with each row divided by its length."""
    torch.div(attn, torch.linalg.vector_norm(attn, dim=-1, keepdim=True), out=out)


def products(units: Tensor, by_head: bool) -> Tensor:
    """`cosines` of maps (L, windows, h, N, M) whose rows have been made unit vectors."""
    layers, _, *shape = units.shape
    total = torch.zeros((), dtype=torch.float64)
    for part in units.split(max(1, CHUNK // (layers * math.prod(shape))), dim=1):
        total = total + _gram(part, by_head)
    return _cosines(total, layers, by_head)


def _gram(x: Tensor, by_head: bool) -> Tensor:  # (L, n, h, N, M) -> (L, L), or (L * h, L * h)
    """Sums over n windows of the products of every two layers' rows."""
    x = x.transpose(1, 2).flatten(0, 1).flatten(1) if by_head else x.flatten(1)
    return (x @ x.T).double()


def _cosines(gram: Tensor, layers: int, by_head: bool) -> Tensor:
    own = gram.diagonal()
    cosine: Tensor = gram / (own[:, None] * own).sqrt()
    return cosine.view(layers, len(own) // layers, layers, -1) if by_head else cosine


def averaged(averages: Sequence[Tensor]) -> Tensor:
    """Cosine of window-averaged maps (ESC's A^avg): the mean over query rows of the cosine of A^avg's rows.

    (L, h, L, h), from one (h, N, M) of each layer. A^avg is taken over the windows of one image (see `inside`). It
    is relative to the place in the window, so that a layer of shifted windows can be compared with one of others.
    """
    return cosines([a[None] for a in averages], by_head=True)


def over_heads(by_head: Tensor) -> Tensor:  # (L, h, L, h) -> (L, L)
    """The mean over heads, each with the one of the same number."""
    return by_head.diagonal(dim1=1, dim2=3).mean(-1)


def jensen_shannon(a: Tensor, b: Tensor, by_head: bool = False) -> Tensor:
    """Jensen-Shannon distance: the mean over rows of sqrt(H((p + q) / 2) - (H(p) + H(q)) / 2), H in bits.

    Between 0, for equal rows, and 1, for rows with no key in common. () or, of all pairs of heads, (h, h); float64.
    """
    windows, heads, rows, columns = a.shape
    if by_head:
        pairs = [jensen_shannon(a[:, i : i + 1], b[:, j : j + 1]) for i in range(heads) for j in range(heads)]
        return torch.stack(pairs).view(heads, heads)
    total = torch.zeros((), dtype=torch.float64)
    step = max(1, CHUNK // (4 * heads * rows * columns))
    for first in range(0, windows, step):
        p, q = (x[first : first + step].double() for x in (a, b))
        apart = _bits((p + q) / 2) - (_bits(p) + _bits(q)) / 2
        total += apart.clamp_(min=0).sqrt_().sum()
    return total / (windows * heads * rows)


def _bits(p: Tensor) -> Tensor:
    nats: Tensor = torch.special.entr(p).sum(-1)
    return nats / math.log(2)


def inside(geometry: Geometry, height: int, width: int, first: int, count: int) -> list[slice]:
    """Of `count` windows of one image from the `first` one on, those that a roll did not fill from two edges of it.

    Of shifted windows these are all but the last row and column of the raster. There a mask, or in ELAN nothing, keeps
    apart what are no neighbours. They count in what compares the same windows of two layers, and are left out of
    averages over windows, of which they would be a fifth on 64x64 pixels.
    """
    side = geometry.window
    if side is None or not geometry.shift:
        return [slice(0, count)]
    rows, columns = -(-height // side), -(-width // side)
    found = []
    for row in range(rows - 1):
        start, end = max(row * columns, first), min((row + 1) * columns - 1, first + count)
        if start < end:
            found.append(slice(start - first, end - first))
    return found


def summed(attn: Tensor, windows: Sequence[slice]) -> Tensor:
    """The sum of a map (windows, h, N, M) over some of its windows, none of them copied; A^avg undivided."""
    total = attn[windows[0]].sum(0)
    for more in windows[1:]:
        total += attn[more].sum(0)
    return total


def entropy(attn: Tensor) -> float:
    """The mean over windows, heads and queries of -sum p ln p, in nats: 0 for a hard choice, ln M for none."""
    step = max(1, CHUNK // attn[0].numel())
    total = sum(float(torch.special.entr(part).sum(dtype=torch.float64)) for part in attn.split(step))
    return total / attn[..., 0].numel()


def places(geometry: Geometry) -> tuple[Tensor, Tensor]:
    """Where queries (N, 2) and keys (M, 2) lie in their window, in pixels; a key of several pixels at their centre."""
    assert geometry.window is not None
    cell = geometry.cell

    def raster(side: int, spacing: int) -> Tensor:
        axis = torch.arange(side, dtype=torch.float64) * spacing + (spacing - 1) / 2
        return torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).flatten(0, 1)

    return raster(geometry.window, 1), raster(geometry.window // cell, cell)


def distance(average: Tensor, geometry: Geometry) -> float:
    """Mean attention distance: the mean over queries of sum_j p_j |key j - query|, Euclidean, in pixels.

    On a grid, in steps of the grid. It is linear in the map, so it is taken of A^avg (h, N, M).
    """
    queries, keys = places(geometry)
    return float((average.double() * torch.cdist(queries, keys)).sum(-1).mean())


def diagonal(average: Tensor, geometry: Geometry) -> float:
    """Share on the diagonal: the mean over queries of what goes to the key at their own place, or that holds it."""
    queries, keys = places(geometry)
    own = ((queries[:, None] - keys).abs() < geometry.cell / 2).all(-1)
    return float((average.double() * own).sum(-1).mean())


def profile(average: Tensor, geometry: Geometry) -> Tensor:
    """Relative-offset profile of A^avg (h, N, M): the mean over queries of the attention that goes to each offset.

    (h, 2w - 1, 2w - 1), float64; [w - 1 + dy, w - 1 + dx] is offset (dy, dx), key minus query in pixels, and the sum
    is 1. A key of several pixels gives each of them an equal part. A query at a window's edge sees fewer offsets, and
    far ones are seen by few: this is where attention goes, not where it would go if it could.
    """
    assert geometry.window is not None
    w, cell = geometry.window, geometry.cell
    by_pixel = average.double().view(-1, w**2, w // cell, w // cell) / cell**2
    by_pixel = by_pixel.repeat_interleave(cell, 2).repeat_interleave(cell, 3).flatten(1)
    axis = torch.arange(w)
    apart = axis - axis[:, None] + w - 1  # [query, key]
    to = apart[:, None, :, None] * (2 * w - 1) + apart[None, :, None, :]
    out = torch.zeros(len(by_pixel), (2 * w - 1) ** 2, dtype=torch.float64)
    out = out.index_add_(1, to.flatten(), by_pixel).view(-1, 2 * w - 1, 2 * w - 1)
    return out / w**2


def profile_cosines(profiles: Sequence[Tensor]) -> Tensor:
    """Cosines of every two profiles (2w - 1, 2w - 1), the smaller ones surrounded by zeros: no attention goes so far.

    (L, L), float64.
    """
    x = torch.stack([surrounded(p, max(p.shape[-1] for p in profiles)) for p in profiles]).flatten(1)
    return _cosines(x @ x.T, len(x), by_head=False)


def surrounded(profile: Tensor, side: int) -> Tensor:
    """A profile with zeros around it, up to a side."""
    return torch.nn.functional.pad(profile, ((side - profile.shape[-1]) // 2,) * 4)


def independence(features: Tensor | Sequence[Tensor]) -> Tensor:
    """Debiased HSIC with linear kernels of features (n, C) of every pair of layers: (L, L), float64.

    Song et al.'s unbiased estimator of K = X X^T and L = Y Y^T, their diagonals taken out:
    (tr KL + 1'K1 1'L1 / ((n - 1)(n - 2)) - 2 1'KL1 / (n - 2)) / (n (n - 3)). It is taken in minibatches that share
    out all pixels, each spread over the whole image, and averaged: whatever their size, the expectation is the same
    (Nguyen et al., 2021). CKA of two layers is HSIC(a, b) / sqrt(HSIC(a, a) HSIC(b, b)), each of the three a sum over
    all images first.
    """
    pixels, layers = features[0].shape[0], len(features)
    batches = max(1, pixels // BATCH)
    total = torch.zeros(layers, layers, dtype=torch.float64)
    if isinstance(features, Tensor):  # (L, n, C)
        order, wide = torch.arange(layers), [features]
    else:
        widths = torch.tensor([x.shape[1] for x in features])
        order = widths.argsort(stable=True).argsort()
        wide = [torch.stack([x for x in features if x.shape[1] == c]) for c in widths.unique()]
    for batch in range(batches):
        kernels = [_kernels(x[:, batch::batches]) for x in wide]
        n = kernels[0].shape[1]
        k = kernels[0] if len(kernels) == 1 else torch.cat(kernels)[order]  # (L, n, n)
        rows = k.sum(2).double()
        whole = rows.sum(1)
        k = k.view(layers, -1)
        both = (k @ k.T).double() + whole[:, None] * whole / ((n - 1) * (n - 2)) - 2 * (rows @ rows.T) / (n - 2)
        total += both / (n * (n - 3))
    return total / batches


def independences(features: Tensor | Sequence[Tensor]) -> Tensor:
    """`independence` of every two layers whose features are of as many pixels; NaN of others, as somebody's may be."""
    if isinstance(features, Tensor):
        return independence(features)
    sizes = torch.tensor([len(x) for x in features])
    out = torch.full((len(sizes), len(sizes)), torch.nan, dtype=torch.float64)
    for size in sizes.unique():
        at = (sizes == size).nonzero().flatten()
        out[at[:, None], at] = independence([features[k] for k in at])
    return out


def _kernels(x: Tensor) -> Tensor:  # (L, n, C) -> (L, n, n)
    """The kernels of a minibatch without diagonals. A mean taken off before changes nothing but the rounding."""
    x = x - x.mean(1, keepdim=True)
    k = x @ x.mT
    k.diagonal(dim1=1, dim2=2).zero_()
    return k
