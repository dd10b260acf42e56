"""Trained weights: reading a checkpoint file without running it, and putting it into the network that it fits."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Mapping, Sized
from functools import cache
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from workbench.passing import Say, unheard
from workbench.spec import UserError

from . import VARIANTS, create

WRAPPERS = ("params_ema", "params", "state_dict", "model", "model_state_dict")
"""Keys under which the repositories of this field save a state dict, the preferred one first."""

PREFIX = "module."
"""What DataParallel puts before every name, once each time that a network was wrapped."""

RECOMPUTABLE = re.compile(r"(^|\.)((aligned_)?relative_position_index\w*|attn_mask|num_batches_tracked)$")
"""Entries that follow from sizes or that no inference reads: a checkpoint may have them, in any shape, or lack them."""

Form = tuple[str, ...]
"""Kind, dtype and shape of a value in words; what is no tensor has only the first."""

Entries = frozenset[tuple[str, Form]]
"""Name and form of all that is learned: what tells one checkpoint from another."""


def load(model: nn.Module, path: str | os.PathLike[str]) -> nn.Module:
    """Put the checkpoint at `path` into `model` and return it; on a UserError the model is as it was.

    Names and shapes have to fit exactly: nothing is resized for another scale. Values are converted to the model's
    precision. Index tables and masks keep what the constructor made. Shapes do not tell an input range: weights that
    were trained on 0..255 load into a network of the same shape that is fed 0..1.
    """
    asked = os.fsdecode(path)
    if not asked:
        raise UserError("The path of the checkpoint is empty; name a file.")
    given = _state_dict(_read(asked), asked)
    own = model.state_dict()
    if complaints := _compare(_learned(given), _learned(own)):
        network = _either(variants_of(own)) or f"this {type(model).__name__}"
        fitting = variants_of(given)
        verdict = (
            f"this looks like {_either(fitting)}, so create that variant for it"
            if fitting
            else "it fits no variant of this workbench, where names and shapes are those of the official checkpoints"
        )
        raise UserError(f"{asked} does not fit {network}: {', '.join(complaints)}; {verdict}.")
    for what, state in (("the file's", given), ("the network's", own)):
        if any(t.is_meta for t in _learned(state).values()):
            raise UserError(f"{asked} was not loaded: {what} tensors are on the meta device, which holds no values.")
    values = {k: t.to(own[k]) for k, t in _learned(given).items()}
    _refuse_non_finite(values, asked)
    model.load_state_dict(values, strict=False)
    return model


def fitting(path: str | os.PathLike[str], say: Say = unheard) -> list[str]:
    """Names of the variants that the checkpoint at `path` fits, whatever its name; a UserError where there is none."""
    asked = os.fsdecode(path)
    given = _state_dict(_read(asked), asked)
    if not (names := variants_of(given, say)):
        raise UserError(
            f"{asked} fits no variant of this workbench: its {len(given)} entries have names or shapes that no official"
            " checkpoint of one has. List them: workbench variants"
        )
    _refuse_non_finite(_learned(given), asked)
    return names


def variants_of(state: Mapping[str, Any], say: Say = unheard) -> list[str]:
    """Names of the variants whose learned entries have just these names and shapes.

    Variants are built on the meta device to be asked. A model's scales differ in a few entries of the upsampler only,
    so they are all built only where the first one shares at least half of its entries.
    """
    entries = _entries(state)
    fitting: list[str] = []
    for _, names in groupby(VARIANTS, key=lambda name: VARIANTS[name].model):
        first, *others = names
        say(f"looking whether it is {VARIANTS[first].model}")
        if 2 * len(entries & _signature(first)) >= len(_signature(first)):
            fitting += [name for name in (first, *others) if _signature(name) == entries]
    return fitting


@cache
def _signature(name: str) -> Entries:
    return _entries(create(name, device="meta").state_dict())


def _entries(state: Mapping[str, Any]) -> Entries:
    return frozenset((k, _form(v)) for k, v in _learned(state).items())


def _learned(state: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in state.items() if not RECOMPUTABLE.search(k)}


def _form(value: Any) -> Form:
    """Kind, dtype and shape of a value in words, equal for all that may be converted into each other."""
    if not isinstance(value, Tensor):
        return (f"no tensor but {type(value).__name__}",)
    plain = value.layout == torch.strided and not value.is_quantized
    return (
        "a plain tensor" if plain else "a tensor that is sparse or quantized",
        "floating point" if value.is_floating_point() else _name(value.dtype),
        "x".join(map(str, value.shape)) or "a single number",
    )


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _compare(given: Mapping[str, Any], wanted: Mapping[str, Tensor]) -> list[str]:
    """What keeps a checkpoint from fitting: of each kind how many entries, and the first."""
    missing = [k for k in wanted if k not in given]
    unexpected = [k for k in given if k not in wanted]
    complaints = [
        f"{_are(keys)} {what} (first {keys[0]!r})"
        for what, keys in (("missing", missing), ("unexpected", unexpected))
        if keys
    ]
    changed: dict[str, list[str]] = {"kind": [], "dtype": [], "shape": []}
    for k in (k for k in given if k in wanted):
        there, here = _form(given[k]), _form(wanted[k])
        differing = [(what, t, h) for what, t, h in zip(changed, there, here, strict=False) if t != h]
        for what, t, h in differing[:1]:
            changed[what].append(f"{k!r}: {t} in the file, {h} in the network")
    complaints += [f"{_are(told)} of another {what} (first {told[0]})" for what, told in changed.items() if told]
    return complaints


def _are(entries: Sized) -> str:
    return "1 entry is" if len(entries) == 1 else f"{len(entries)} entries are"


def _either(names: Iterable[str]) -> str:
    *others, last = [*names] or [""]
    return f"{', '.join(others)} or {last}" if others else last


def _refuse_non_finite(values: Mapping[str, Tensor], asked: str) -> None:
    """A network with a NaN or an infinity in it answers NaN for every image, which is better known before."""
    broken = {k: n for k, t in values.items() if (n := t.numel() - int(t.isfinite().sum()))}
    if broken:
        k, n = next(iter(broken.items()))
        others = len(broken) - 1
        more = f", and so are some of {others} other {'entry' if others == 1 else 'entries'}" if others else ""
        raise UserError(
            f"{asked} was not loaded: {n} of the {values[k].numel()} values of {k!r} are NaN or infinite in"
            f" {_name(values[k].dtype)}{more}; get another copy, or an earlier one of the training."
        )


def _state_dict(content: Any, asked: str) -> dict[str, Any]:
    """The entries, bare or under a wrapper's key, without the prefixes that DataParallel gave them.

    A prefix is one if most names have it, so that an entry which somebody added is complained about by its name.
    """
    top = content if isinstance(content, Mapping) else {}
    for state in (*(top.get(wrapper) for wrapper in WRAPPERS), top):
        if isinstance(state, Mapping) and any(isinstance(v, Tensor) for v in state.values()):
            entries = {str(k): v for k, v in state.items()}
            while 2 * sum(name.startswith(PREFIX) for name in entries) > len(entries):
                bare = {name.removeprefix(PREFIX): v for name, v in entries.items()}
                if len(bare) < len(entries):
                    twice = next(name for name in entries if PREFIX + name in entries)
                    raise UserError(f"{asked} holds {twice!r} twice, with and without {PREFIX!r}; keep one of them.")
                entries = bare
            return entries
    held = f"entries {', '.join(map(repr, list(top)[:5]))}" if top else f"an object of type {type(content).__name__}"
    raise UserError(f"{asked} holds no tensors by name, bare or under {_either(WRAPPERS)}; what it holds is {held}.")


def _read(asked: str) -> Any:
    """What the file holds. Nothing in it is run: torch reads it with weights_only, safetensors are plain numbers."""
    from safetensors.torch import load_file

    try:
        with open(asked, "rb") as file:
            head = file.read(64)
    except FileNotFoundError:
        raise UserError(f"There is no checkpoint {asked}; check the path.") from None
    except IsADirectoryError:
        raise UserError(f"{asked} is a folder; name the checkpoint file in it.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{asked!r} cannot be opened: {getattr(error, 'strerror', None) or error}.") from None
    if not head:
        raise UserError(f"{asked} is empty; get it again.")
    try:
        if head[8:9] == b"{":  # after the length of a JSON header: no other format has that there
            return load_file(asked)
        # Opened, since of a path torch would go by the suffix; warnings are about formats that raise an error, too.
        with open(asked, "rb") as file, warnings.catch_warnings(action="ignore"):
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a reader may say anything of bytes that are no checkpoint
        raise UserError(f"{asked} {_unreadable(head, str(error))}") from None


def _unreadable(head: bytes, error: str) -> str:
    """The rest of the sentence on a file that no reader took."""
    named = re.search(r"GLOBAL (\S+)", error)
    code = "a TorchScript program" if "TorchScript" in error else named[1] if named else None
    if code is None and re.match(rb"\x80[\x03-\x05]", head):
        code = "a general Python pickle"
    if code is not None:
        return (
            f"was not read: it holds more than tensors ({code}), which would run as code on this machine; if you"
            " trust its source, save its tensors alone where it came from: torch.save({'params': state_dict}, path)."
        )
    start = head.lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "is a web page, not a checkpoint; download the file itself."
    if start.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the checkpoint; fetch the file itself: git lfs pull"
    return (
        "is no checkpoint that torch or safetensors can read: it is cut short, damaged or something else; get it again."
    )
