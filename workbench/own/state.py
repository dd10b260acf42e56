"""What code of somebody else's changes for the whole process, seen by looking before and after; and put back."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch

GETTERS: dict[str, Callable[[], Any]] = {
    "threads": torch.get_num_threads,
    "default dtype": torch.get_default_dtype,
    "default device": torch.get_default_device,
    "gradients": torch.is_grad_enabled,
    "cudnn.enabled": lambda: torch.backends.cudnn.enabled,
    "cudnn.benchmark": lambda: torch.backends.cudnn.benchmark,
    "cudnn.deterministic": lambda: torch.backends.cudnn.deterministic,
    "cudnn.allow_tf32": lambda: torch.backends.cudnn.allow_tf32,
    "matmul.allow_tf32": lambda: torch.backends.cuda.matmul.allow_tf32,
    "deterministic algorithms": torch.are_deterministic_algorithms_enabled,
    "flush denormal numbers": lambda: _flushes(),
    "working folder": os.getcwd,
    "limit of recursion": sys.getrecursionlimit,
}


def _flushes() -> bool:
    """Whether a number too small to be normal counts as 0; torch tells it by doing it."""
    return bool(torch.full((1,), 1e-310, dtype=torch.float64, device="cpu").mul(1.0).item() == 0.0)


SETTERS: dict[str, Callable[[Any], Any]] = {
    "threads": torch.set_num_threads,
    "default dtype": torch.set_default_dtype,
    "default device": torch.set_default_device,
    "gradients": torch.set_grad_enabled,
    "cudnn.enabled": lambda to: setattr(torch.backends.cudnn, "enabled", to),
    "cudnn.benchmark": lambda to: setattr(torch.backends.cudnn, "benchmark", to),
    "cudnn.deterministic": lambda to: setattr(torch.backends.cudnn, "deterministic", to),
    "cudnn.allow_tf32": lambda to: setattr(torch.backends.cudnn, "allow_tf32", to),
    "matmul.allow_tf32": lambda to: setattr(torch.backends.cuda.matmul, "allow_tf32", to),
    "deterministic algorithms": torch.use_deterministic_algorithms,
    "flush denormal numbers": torch.set_flush_denormal,
    "working folder": os.chdir,
    "limit of recursion": sys.setrecursionlimit,
}


def now() -> dict[str, Any]:
    """How everything stands, the variables of the environment included."""
    return {name: get() for name, get in GETTERS.items()} | {f"${name}": value for name, value in os.environ.items()}


def changed(before: dict[str, Any]) -> dict[str, str]:
    """What stands otherwise than before, in words; of variables of the environment not their content."""
    after = now()
    told = {}
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            words = f"{_plain(before.get(name))} to {_plain(after.get(name))}"
            told[name] = "set" if name.startswith("$") else words
    return told


def put_back(before: dict[str, Any]) -> None:
    """Have everything that was switched stand as before; variables of the environment stay as they are."""
    for name, put in SETTERS.items():
        if GETTERS[name]() != before[name]:
            put(None if name == "default device" and str(before[name]) == "cpu" else before[name])


@contextlib.contextmanager
def untouched() -> Iterator[None]:
    """What runs inside finds torch as a fresh process has it, and leaves this one as it was, variables of the
    environment excepted: switches, and the generators of random numbers.

    Where CUDA was not begun, seeds wait to be set: the one that waited is set to wait again.
    """
    import random

    import numpy as np

    before, cuda = now(), torch.cuda.is_initialized()
    seed, drawn = torch.initial_seed(), torch.get_rng_state()
    on_gpus = torch.cuda.get_rng_state_all() if cuda else []
    others = random.getstate(), np.random.get_state()
    try:
        with _plainly():
            yield
    finally:
        put_back(before)
        torch.cuda.set_rng_state_all(on_gpus) if cuda else torch.cuda.manual_seed_all(seed)
        torch.set_rng_state(drawn)
        random.setstate(others[0])
        np.random.set_state(others[1])


@contextlib.contextmanager
def _plainly() -> Iterator[None]:
    """No mode that somebody works in here, such as autocast; a context costs each call of torch, so none in vain."""
    with contextlib.ExitStack() as modes:
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                modes.enter_context(torch.autocast(kind, enabled=False))
        if torch.is_inference_mode_enabled():
            modes.enter_context(torch.inference_mode(False))
        if torch.get_default_device().type != "cpu":
            modes.enter_context(torch.device("cpu"))
        torch.set_default_dtype(torch.float32)
        torch.set_grad_enabled(True)
        yield


def _plain(value: Any) -> str:
    return str(value).removeprefix("torch.")
