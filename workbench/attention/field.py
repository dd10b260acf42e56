"""How far a network looks: the receptive field that its centre has in effect, and where a patch's detail comes from."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.spec import UserError

SHARES = (0.2, 0.5, 0.9)
"""Of a field's energy: what the areas and sides are quoted for."""

PATCH = 16
"""Side in output pixels of the patch that is attributed, as in the paper of LAM (CVPR 2021)."""

SIGMA = 1.2
"""Of the Gaussian that the path begins with, in input pixels, as in that paper."""

STEPS = 32
"""Images of the path after the blurred one; the paper takes 50, and the gap of completeness says what fewer cost."""

FLAT = 1e-4
"""Added in quadrature to a slope, which keeps its derivative finite on flat ground; a twentieth of a grey level."""


@dataclass(frozen=True)
class Attribution:
    """How much each input pixel adds to the detail of a patch of the output, on the way from a blurred image."""

    map: Tensor
    """(3, H, W), signed."""
    change: float
    """The patch's detail in the image's output, minus that in the blurred image's."""

    @property
    def gap(self) -> float:
        """By what part of the change the sum of the map misses it; 0 but for the length of the steps."""
        return abs(float(self.map.sum(dtype=torch.float64)) - self.change) / abs(self.change) if self.change else 0.0

    @property
    def diffusion(self) -> float:
        return diffusion(self.map.sum(0).abs())


def gradient(model: nn.Module, x: Tensor) -> Tensor:  # (B, 3, H, W) -> the same
    """Derivatives by the input of the output's centre pixel, its colours summed.

    It is one output pixel: the sum of all that belong to an input pixel is little more than that pixel in a trained
    network, whatever it looked at. The centre is at half the height and half the width, which in most windowed
    networks is the corner of a window: what such a network reaches from there is not what it reaches from the middle
    of one. A choice of categories (ATD, MambaIRv2) has no derivative; what flows is that of the softmax behind it, as
    in training.
    """
    with torch.enable_grad():
        x = x.detach().clone().requires_grad_()
        y = model(x)
        centre = y[..., y.shape[-2] // 2, y.shape[-1] // 2].sum()
        slopes = _slopes(centre, x)
    return _finite(slopes, "of the centre's output")


def energy(slopes: Tensor) -> Tensor:  # (B, 3, H, W) -> (H, W)
    """The squares of derivatives, summed over colours, averaged over images, as parts of their sum."""
    field = slopes.double().square().sum(1).mean(0)
    total = field.sum()
    return field / total if total else field


def area(field: Tensor, share: float) -> int:
    """The fewest pixels that hold a share of a field's sum, wherever they lie."""
    sums = field.flatten().double().sort(descending=True).values.cumsum(0)
    return _first(sums, share)


def side(field: Tensor, share: float) -> int:
    """The side of the smallest square of odd side, centred where the field is, that holds a share of its sum.

    The square reaches over the image's edge where the centre is nearer to it than the square is wide.
    """
    height, width = field.shape
    y = (torch.arange(height) - height // 2).abs()
    x = (torch.arange(width) - width // 2).abs()
    ring = torch.maximum(y[:, None], x[None, :]).flatten()
    sums = torch.zeros(int(ring.max()) + 1, dtype=torch.float64).index_add_(0, ring, field.flatten().double()).cumsum(0)
    return 2 * _first(sums, share) - 1


def _first(sums: Tensor, share: float) -> int:
    """How many terms it takes to reach a share of the last sum; the slack is for what rounding leaves out."""
    bound = share * sums[-1] * (1 - 1e-12)
    return int((sums < bound).sum()) + 1


def detail(y: Tensor) -> Tensor:  # (..., H, W) -> ()
    """How much goes on in a patch: the length of the gradient by pixel, summed. LAM explains this number."""
    down, right = y[..., 1:, :-1] - y[..., :-1, :-1], y[..., :-1, 1:] - y[..., :-1, :-1]
    return (down.square() + right.square() + FLAT**2).sqrt().sum()


def patch(y: Tensor, side: int = PATCH) -> Tensor:
    """The middle of an output."""
    top, left = (y.shape[-2] - side) // 2, (y.shape[-1] - side) // 2
    if min(top, left) < 0:
        raise UserError(
            f"The patch to attribute is {side}x{side} output pixels, and the output has {y.shape[-2]}x{y.shape[-1]};"
            " take larger crops: --crop 64."
        )
    return y[..., top : top + side, left : left + side]


def attribute(model: nn.Module, x: Tensor, steps: int = STEPS, sigma: float = SIGMA, reach: float = 1.0) -> Attribution:
    """Integrated gradients of the detail in the middle of the output, along the path from blurred to sharp.

    `x` is (1, 3, H, W); `reach` is the distance from black to white in the network's output. Each step adds the mean
    of the derivatives at its two ends times the difference of the images there, so that the sum is the change of the
    detail, but for an error of second order in the steps (`Attribution.gap`).
    """
    total = torch.zeros_like(x)
    before: tuple[Tensor, Tensor] | None = None
    ends: list[float] = []
    for image in path(x, steps, sigma):
        value, slopes = _detail_and_slopes(model, image, reach)
        ends.append(value)
        if before is not None:
            total += (before[1] + slopes) / 2 * (image - before[0])
        before = image, slopes
    return Attribution(total[0], ends[-1] - ends[0])


def _detail_and_slopes(model: nn.Module, image: Tensor, reach: float) -> tuple[float, Tensor]:
    with torch.enable_grad():
        image = image.detach().clone().requires_grad_()
        value = detail(patch(model(image)) / reach)
        slopes = _slopes(value, image)
    return float(value.detach()), _finite(slopes, "of the patch's detail")


def path(x: Tensor, steps: int, sigma: float) -> Iterator[Tensor]:
    """An image from blurred to sharp: steps + 1 images whose Gaussian narrows evenly down to nothing."""
    for k in range(steps + 1):
        yield blurred(x, sigma * (1 - k / steps))


def blurred(x: Tensor, sigma: float) -> Tensor:
    """An image (B, C, H, W) under a Gaussian, its edges repeated. Without width it is the image itself."""
    if sigma <= 0:
        return x
    reach = math.ceil(4 * sigma)
    at = torch.arange(-reach, reach + 1, dtype=torch.float64)
    weights = (-0.5 * (at / sigma).square()).exp()
    kernel = (weights / weights.sum()).to(x).expand(x.shape[1], 1, 1, -1)
    x = F.pad(x, (reach, reach, reach, reach), mode="replicate")
    x = F.conv2d(x, kernel, groups=x.shape[1])
    return F.conv2d(x, kernel.transpose(2, 3), groups=x.shape[1])


def gini(map: Tensor) -> float:
    """Of numbers of one sign: 0 where all are equal, 1 - 1 / n where one of n has everything."""
    values = map.flatten().double().sort().values
    n, total = len(values), float(values.sum())
    if not total:
        return 0.0
    rank = torch.arange(1, n + 1, dtype=torch.float64)
    return float(((2 * rank - n - 1) * values).sum()) / (n * total)


def diffusion(map: Tensor) -> float:
    """LAM's diffusion index, (1 - Gini) * 100: the larger, the more of the image takes part.

    It falls with the size of the image around the same pixels, so that only figures of one size can be compared.
    """
    return (1 - gini(map)) * 100


def _slopes(value: Tensor, x: Tensor) -> Tensor:
    """Derivatives of a number by an image, which somebody's code may have cut off from it."""
    slopes = torch.autograd.grad(value, x, allow_unused=True)[0] if value.requires_grad else None
    if slopes is None:
        raise UserError(
            "No field can be drawn of this network: its output has no gradient with respect to its input. Leave out"
            " torch.no_grad, torch.inference_mode and detach in its forward."
        )
    return slopes


def _finite(slopes: Tensor, what: str) -> Tensor:
    if not slopes.isfinite().all():
        raise UserError(
            f"A derivative {what} is not finite, so no field can be drawn; the network's weights or the image have"
            " values beyond what float32 holds. Look at its output first: workbench measure NAME --probe latency"
        )
    return slopes
