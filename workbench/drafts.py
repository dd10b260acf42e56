"""Drafts: files that are there for a moment, named after the process that writes them, and removed if it was killed."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import time
from pathlib import Path

NAME = re.compile(r"\..+-(\d+)-[0-9a-f]{8}")

STALE = 60.0
"""Seconds after which a draft whose process is not to be seen is nobody's; before, it could be another machine's."""


def beside(path: Path) -> Path:
    """A new name for a draft of a file, in the same folder; no reader takes it for anything."""
    return path.with_name(f".{path.name}-{os.getpid()}-{secrets.token_hex(4)}")


def bury(folder: Path) -> None:
    """Remove what killed processes have left half written. What cannot be removed is in nobody's way."""
    for left in folder.iterdir():
        match = NAME.fullmatch(left.name)
        if match and _is_gone(int(match[1])):
            with contextlib.suppress(OSError):
                if abs(time.time() - left.lstat().st_mtime) > STALE:
                    left.unlink()


def _is_gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:
        return False  # it is there, and somebody else's
    return False
