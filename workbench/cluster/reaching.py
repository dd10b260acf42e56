"""Reaching a Ray: what an address has to be, whether anything listens there, and why no cluster could be had."""

from __future__ import annotations

import logging
import os
import re
import socket
import warnings
from pathlib import Path
from types import TracebackType

from workbench.spec import UserError

PORT = 10001
"""Where Ray's client server listens, unless `ray start` was told otherwise."""

PATIENCE = 5.0
"""Seconds in which whatever listens at an address has to take a connection."""

MARK = "Received when checking init: "
"""What Ray's client puts before the reason for which it was turned away, in a line that it logs for nobody."""

UNBORN = "Starting Ray client server failed"
"""What a head node says whose process for a client died as it was made; that happens, and the next one lives."""


def checked(address: str) -> str:
    """HOST:PORT, or a UserError that says what it lacks."""
    host, colon, port = address.rpartition(":")
    if not colon or address.endswith("]"):
        raise UserError(
            f"--on ray://{address} names no port. Ray's clients are answered at {PORT} of the head node, unless "
            f"`ray start` was told otherwise: --on ray://{address}:{PORT}."
        )
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise UserError(f"--on ray://{address} is no HOST:PORT of a Ray; it is something like ray://10.0.0.1:{PORT}.")
    return address


def look(address: str | None) -> str:
    """Where a Ray is to be found, in words. Refused at once where none can be, which Ray itself would take minutes to.

    With no address given, Ray looks at the variable RAY_ADDRESS itself, and then for a cluster of this machine.
    """
    named = f"--on ray://{address}"
    if address is None and ":" in (address := os.environ.get("RAY_ADDRESS", "")):
        named, address = f"RAY_ADDRESS={address}", address.removeprefix("ray://")
    if not address:
        return "this machine"
    host, _, port = checked(address).rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE).close()
    except socket.gaierror as error:
        raise UserError(f"{named} names a machine that is not to be found: {error.strerror}.") from None
    except OSError as error:
        why = error.strerror or f"no answer within {PATIENCE:.0f} s"
        raise UserError(
            f"No Ray listens where {named} says: {why}. Start one there with `ray start --head`, whose client server "
            f"is at port {PORT} (it takes pip install 'ray[client]'), or take --on ray without an address."
        ) from None
    return named.removeprefix("--on ")


def left_behind() -> bool:
    """Whether a cluster of this machine was killed and has left its address, at which Ray would ask for minutes."""
    folder = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"  # the order in which Ray itself looks
    try:
        host, _, port = Path(folder, "ray", "ray_current_cluster").read_text().strip().rpartition(":")
        socket.create_connection((host, int(port)), timeout=PATIENCE).close()
    except (FileNotFoundError, ValueError):
        return False
    except OSError:
        return True
    return False


class Overheard(logging.Handler):
    """Why Ray's client was turned away, while it tries; what it says of that itself is a timeout."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.reason = ""
        self._log = logging.getLogger("ray.util.client.worker")
        self._warnings = warnings.catch_warnings()

    def emit(self, record: logging.LogRecord) -> None:
        told = record.getMessage()
        if told.startswith(MARK):
            self.reason = told.removeprefix(MARK)

    def __enter__(self) -> Overheard:
        self._warnings.__enter__()
        warnings.filterwarnings("ignore", "Ray Client connection timed out")
        self._before = self._log.level, self._log.propagate
        self._log.addHandler(self)
        self._log.setLevel(logging.DEBUG)
        self._log.propagate = False
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._log.removeHandler(self)
        level, self._log.propagate = self._before
        self._log.setLevel(level)
        self._warnings.__exit__(kind, error, trace)


def is_loss(error: Exception) -> bool:
    """Whether an error of Ray's calls says that the cluster is gone: Ray lets through those of grpc as they are."""
    kinds = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return isinstance(error, ConnectionError) or not kinds.isdisjoint(("ray", "grpc"))


def reason(error: Exception) -> str:
    """What it says, in one line; of an error of grpc its details, without the state of the call."""
    details = getattr(error, "details", None)
    told = " ".join(str((details() if callable(details) else None) or error).split())
    if match := re.search(r'details = "([^"]+)"', told):  # as Ray quotes one within its own words
        told = match[1]
    return told.rstrip(".") or type(error).__name__


def refused(where: str, error: Exception, overheard: str = "") -> UserError:
    """Why no cluster could be had, in one line, with what to do about it."""
    told = re.sub(r"Traceback \(most recent call last\):\n(?:[ \t].*\n)*", "", str(error))
    mend = "It may be too busy to answer in time: try again, or leave --on out."
    if "authentication token" in f"{told} {overheard}":
        told = "it takes a token, and there is none here, or another"
        mend = "Set RAY_AUTH_MODE=token here, and RAY_AUTH_TOKEN to what `ray get-auth-token` says on its head node."
    elif "connection timeout" in told:
        told = f"something listens there, but not as Ray's client server does{overheard and f' ({overheard})'}"
        mend = f"That is at port {PORT} of the head node, unless `ray start` was told otherwise."
    elif "mismatch" in told:
        mend = "Install the same Ray and Python here and there."
    told = " ".join(told.split()).rstrip(".")
    return UserError(f"No Ray cluster could be had at {where}: {told}. {mend}")
