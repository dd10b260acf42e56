"""A count of somebody's own network: a probe's reading by whatever tensors it bears, or laid through small ones."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar

from workbench.probes import Probe, Reading
from workbench.spec import Protocol, UserError, Variant

if TYPE_CHECKING:
    from torch import Tensor, nn

    from workbench.own.walking import Walker, Work

T = TypeVar("T")

TOLERANCE = {"macs": 0.0, "activations": 0.0, "params": 0.0}
"""How far a count may lie off the polynomial; of all else, which is a sum of seconds or a peak, `NEAR`."""

NEAR = 1e-3

KEPT = ("estimate", "device", "uncounted", "uncounted_heavy")
"""Details that are the same for a small input."""


def measure(variant: Variant, protocol: Protocol, probe: Probe) -> Reading:
    """A probe's value; details say which tensors it was counted on, and why not on cheaper ones."""
    import torch

    from workbench.own.walking import Fed, TooLargeError, Walker

    given = protocol.input
    walker = Walker(variant, Fed(protocol.build.mode, given.batch, getattr(torch, given.dtype)))

    def read(model: nn.Module, x: Tensor) -> Reading:
        return probe.measure(model, x, protocol)

    try:
        found = walker.walk(*given.lr(variant.scale), read)
    except TooLargeError:
        found = _laid(walker, protocol, probe)
    how: dict[str, Any] = {"how": walker.how} | ({"why": walker.why} if walker.why else {})
    return Reading(found.values, how | found.details)


def walk(variant: Variant, protocol: Protocol, height: int, width: int, work: Work[T]) -> T:
    """What `work` makes of the network and an input of that size; a costlier way than the cheapest is told."""
    import torch

    from workbench.own.walking import Fed, TooLargeError, Walker, note

    check(variant, protocol)
    given = protocol.input
    walker = Walker(variant, Fed(protocol.build.mode, given.batch, getattr(torch, given.dtype)))
    try:
        found = walker.walk(height, width, work)
    except TooLargeError:
        raise UserError(
            f"{variant.name} asks for the values of tensors ({walker.why['fake']}), so it would have to be run on "
            f"{width}x{height} pixels to be taken apart, which is too large. Take a smaller input: --protocol steady."
        ) from None
    for sentence in note(walker):
        print(f"workbench: {sentence}", file=sys.stderr)
    return found


def _laid(walker: Walker, protocol: Protocol, probe: Probe) -> Reading:
    """The value for a large input by those for small ones, which are run."""
    from workbench.own.extrapolation import extrapolate
    from workbench.own.walking import LARGEST

    readings = dict[tuple[int, int], Reading]()

    def count(height: int, width: int) -> float:
        try:
            reading = walker.real(height, width, lambda model, x: probe.measure(model, x, protocol))
        except UserError as error:
            raise UserError(
                f"{error} At full size, on tensors without content, it said: {walker.why['meta']}"
            ) from error
        readings[height, width] = reading
        return reading.values[0]

    height, width = protocol.input.lr(walker.variant.scale)
    found = extrapolate(count, height, width, TOLERANCE.get(probe.name, NEAR), 4 * LARGEST)
    if found is None:
        raise UserError(
            f"{walker.variant.name} asks for the values of tensors, so its {probe.name} can only be counted by running "
            f"it, and that of {width}x{height} does not follow from smaller inputs: {_listed(readings)}. Count it at a "
            "smaller size (--protocol steady), or decide by shapes in its forward."
        )
    details = {name: value for name, value in readings[found.checked].details.items() if name in KEPT}
    details |= {"how": "real+extrapolated", "counted_at": [list(size) for size in found.counted]}
    details |= {"checked_at": list(found.checked), "degree": found.degree}
    whole = all(float(r.values[0]).is_integer() for r in readings.values())
    return Reading((round(found.value) if whole else found.value,), details)


def _listed(readings: dict[tuple[int, int], Reading]) -> str:
    return ", ".join(f"{w}x{h} {r.values[0]:,}" for (h, w), r in list(readings.items())[-3:])


def check(variant: Variant, protocol: Protocol) -> None:
    """Refuse a protocol that asks for another form of somebody's own network than the one that was written."""
    build = protocol.build
    if variant.source is None:
        return
    if build.attention != "naive" or not build.shifted:
        asked = f"+{build.attention}" if build.shifted else "+unshifted"
        raise UserError(
            f"{variant.name} is somebody's own, and has one form; {protocol.name} asks for another. Leave {asked} out, "
            "or choose by an argument of its constructor: --arg."
        )
