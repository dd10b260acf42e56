"""Walks somebody's network by the cheapest tensors that it bears: of shapes alone, faked, or real ones.

`meta`: nothing is computed, any size is free. `fake`: the same, for a network that makes tensors of its own on the CPU
meanwhile. `real`: for one that asks for values, such as a branch on content; then it is run, on noise between 0 and 1,
and what it would do on other content is not known. On the two latter the host's tensors cannot be told from the
device's, so that a plan of memory holds both.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from workbench.spec import UserError, Variant

from . import blame, building, sources

T = TypeVar("T")
How = Literal["meta", "fake", "real"]
Work = Callable[[nn.Module, Tensor], T]

CHEAP: tuple[How, ...] = ("meta", "fake")
"""Those that cost nothing, in the order in which they are tried."""

LARGEST = 128 * 128
"""Pixels of an input that is still run for real to be counted."""


class TooLargeError(Exception):
    """Only real tensors would do, and the input is too large to be run for a count."""


@dataclass(frozen=True)
class Fed:
    """What a network is fed when it is walked."""

    mode: Literal["eval", "train"]
    batch: int
    dtype: torch.dtype


class Walker:
    """One network, walked as often as is wanted; it remembers which tensors it bears, and why not the cheaper ones."""

    def __init__(self, variant: Variant, fed: Fed):
        assert variant.source is not None
        self.variant = variant
        self.source = variant.source
        self.fed = fed
        self.how: How = "meta"
        self.why: dict[str, str] = {}
        """By the tensors that it did not bear, what it said to them."""

    def walk(self, height: int, width: int, work: Work[T]) -> T:
        """What `work` makes of the network and an input of that size; each time of a network made anew.

        What it refuses is a UserError; TooLargeError where it bears only real tensors and the input is large.
        """
        sources.unchanged(self.source.files)
        for how in CHEAP:
            if how in self.why:
                continue
            try:
                found = self._by(how, height, width, work)
            except _MisfitError:
                raise
            except Exception as error:  # whatever somebody's code raises at tensors without content
                self.why[how] = _short(error)
            else:
                self.how = how
                return found
        self.how = "real"
        if height * width > LARGEST:
            raise TooLargeError
        return self.real(height, width, work)

    def real(self, height: int, width: int, work: Work[T]) -> T:
        """The same on real tensors."""
        try:
            return self._by("real", height, width, work)
        except UserError:
            raise
        except Exception as error:
            told = blame.sentence(error, "run", self.source)
            raise UserError(f"At {width}x{height}, {told}") from error

    def _by(self, how: How, height: int, width: int, work: Work[T]) -> T:
        torch.manual_seed(0)  # weights decide too, where content does
        model = building.build(self.source, self.variant.scale).model
        model.train(self.fed.mode == "train").to(self.fed.dtype)
        model.register_forward_hook(self._fits(height, width))
        if how == "meta":
            model = _emptied(model)
        with _faked() if how == "fake" else contextlib.nullcontext():
            shape = self.fed.batch, 3, height, width
            if how == "real":
                x = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(self.fed.dtype)
            else:
                x = torch.empty(shape, dtype=self.fed.dtype, device="meta" if how == "meta" else "cpu")
            return work(model, x)

    def _fits(self, height: int, width: int) -> Callable[..., None]:
        scale = self.variant.scale
        wanted = (self.fed.batch, 3, scale * height, scale * width)

        def check(module: nn.Module, given: Any, y: Any) -> None:
            if not isinstance(y, Tensor) or tuple(y.shape) != wanted:
                made = tuple(y.shape) if isinstance(y, Tensor) else building.a(y)
                raise _MisfitError(
                    f"{self.variant.name} makes {made} of an input of {width}x{height}, where x{scale} is {wanted}, "
                    "though not of a smaller one. Pad to whole windows in its forward, and cut off at its end."
                )

        return check


def _emptied(model: nn.Module) -> nn.Module:
    """The same on meta tensors. `.to` makes one parameter each for modules that share one: they share again."""
    places = dict[Tensor, list[tuple[nn.Module, str]]]()
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                places.setdefault(parameter, []).append((module, name))
    model = model.to("meta")
    for (first, known_as), *others in places.values():
        for module, name in others:
            module._parameters[name] = first._parameters[known_as]
    return model


class _MisfitError(UserError):
    """An output of the wrong size, which other tensors would not mend."""


def _faked() -> AbstractContextManager[Any]:
    from torch._subclasses.fake_tensor import FakeTensorMode

    logging.getLogger("torch._subclasses.fake_tensor").disabled = True  # what fails is told by us, once
    return FakeTensorMode(allow_non_fake_inputs=True)


def _short(error: BaseException) -> str:
    error = error.__cause__ if isinstance(error, UserError) and error.__cause__ else error
    told = str(error).split("\n")[0]
    return told if isinstance(error, UserError) else f"{type(error).__name__}: {told}"


def note(walker: Walker) -> Iterator[str]:
    """The way that was taken, where it was not the cheapest, in words."""
    for how, why in walker.why.items():
        yield f"{walker.variant.name} cannot be walked on {how} tensors ({why})"
    if walker.how == "real":
        yield f"{walker.variant.name} was run on real tensors, of noise: on other content it may do otherwise"
