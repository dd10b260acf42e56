"""A lock on a file: the kernel holds it for one process and gives it back when that ends, however it ends."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from pathlib import Path


class Lock:
    """Held by one open of a file, by many if it is shared.

    The file appears when the lock is taken and goes when it is given back; one that a killed process left behind
    holds nothing. No program that is started inherits the lock; a process that is given `file` holds it too. Where the
    file system has no locks, `take` is an OSError.
    """

    def __init__(self, path: Path):
        self.path = path
        self.file: int | None = None
        """The open that holds it; None while it is not held."""
        self._shared = False

    def take(self, wait: bool = False, shared: bool = False) -> bool:
        """Whether it is held now; `wait` sleeps in the kernel until it is. Its folder has to be there."""
        kind = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
        while True:
            file = _opened(self.path, os.O_RDWR | os.O_CREAT)
            try:
                fcntl.flock(file, kind)
                if _leads_to(self.path, file):
                    self.file, self._shared = file, shared
                    return True
            except BlockingIOError:
                return False
            except OSError as error:
                if error.errno != errno.ESTALE:  # removed on another machine after it was opened here
                    raise
            finally:
                if self.file != file:
                    os.close(file)  # whoever held it has removed the file, and the next one is at its place

    def release(self) -> None:
        """Give it back, and remove the file while nobody else can hold it."""
        if self.file is None:
            return
        if not self._shared:
            with contextlib.suppress(OSError):
                self.path.unlink()
        os.close(self.file)
        self.file = None

    def note(self, text: str) -> None:
        """Write into the file what those who wait may want to know."""
        assert self.file is not None
        os.ftruncate(self.file, 0)
        os.pwrite(self.file, text.encode(), 0)


def _opened(path: Path, flags: int) -> int:
    """Open a file; that its folder was removed on another machine is FileNotFoundError, as on this one."""
    try:
        return os.open(path, flags | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        if error.errno == errno.ESTALE:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from None
        raise


def _leads_to(path: Path, file: int) -> bool:
    """Whether a file is still the one of that name. Opened anew, since NFS asks its server then, and not for `stat`."""
    try:
        there = _opened(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return os.path.samestat(os.fstat(there), os.fstat(file))
    finally:
        os.close(there)
