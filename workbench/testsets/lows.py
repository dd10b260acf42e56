"""Low resolution, made once: kept by what it was made of."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workbench.images import files, resize
from workbench.spec import UserError

VERSION = 1
"""Raised when the same image would give other samples; what was kept before is never read again."""

MOST = 512 * 2**20
"""Bytes that are kept; beyond them the oldest go. Urban100 at all three scales takes about 100 MB."""


def lows(image: NDArray[np.uint8], scale: int, cache: Path) -> NDArray[np.uint8]:
    """The low resolution of an image at a scale, from the cache or made and kept there.

    Any number of processes may share a cache. An entry that is torn or was changed is made anew; a cache that cannot
    be written is done without, because what it would save is time only.
    """
    hr = resize.cropped(image, scale)
    height, width = (side // scale for side in hr.shape[:2])
    path = cache / f"{files.pixels(hr)}-x{scale}-v{VERSION}"
    kept = _kept(path, (height, width, 3))
    if kept is not None:
        return kept
    made = resize.low(hr, scale)
    content = made.tobytes()
    with contextlib.suppress(UserError):
        files.whole(path, hashlib.sha256(content).digest() + content)
        _bound(cache)
    return made


def _kept(path: Path, shape: tuple[int, int, int]) -> NDArray[np.uint8] | None:
    """An entry, if it is there and whole."""
    try:
        entry = path.read_bytes()
    except OSError:
        return None
    digest, content = entry[:32], entry[32:]
    if len(content) != shape[0] * shape[1] * shape[2] or hashlib.sha256(content).digest() != digest:
        return None
    return np.frombuffer(content, np.uint8).reshape(shape).copy()


def _bound(cache: Path) -> None:
    """Let the oldest entries go until what is kept is small enough. Another process may do the same meanwhile."""
    entries = []
    for path in cache.iterdir():
        with contextlib.suppress(OSError):
            stat = path.stat()
            entries.append((stat.st_mtime_ns, stat.st_size, path))
    total = sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries):
        if total <= MOST:
            return
        with contextlib.suppress(OSError):
            path.unlink()
        total -= size
