"""What Slurm says: how each job stands, what it has of a node's cores, why it takes none; asked by its own commands.

No accounting is needed: squeue knows a job until some minutes after its end. Where sacct works, it knows it longer.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from workbench.spec import UserError

NAME = "wb-"
"""How the names of our arrays begin, short as squeue shows eight letters; the rest tells them apart."""

OVER = frozenset(
    "BOOT_FAIL CANCELLED COMPLETED DEADLINE FAILED NODE_FAIL OUT_OF_MEMORY PREEMPTED REVOKED TIMEOUT".split()
)
"""States of a job that has ended. One that was preempted may be begun again, and is then no longer in this state."""

ORDINARY = frozenset(("", "None", "Priority", "Resources", "JobArrayTaskLimit", "BeginTime", "Cleaning"))
"""Reasons to wait that pass by themselves."""

LIMITS = re.compile(r"Submit\w*Limit|[Tt]emporarily")
"""What sbatch says where the jobs of somebody, or of all, are as many as may be: it takes more when some have ended."""

AWAY = re.compile(r"[Uu]nable to contact|[Cc]onnection|[Tt]imed out|[Cc]ommunication")
"""What Slurm's commands say where its controller does not answer, which passes."""

PATIENT = 120.0
"""Seconds for one of Slurm's commands; each has a limit of its own, which is shorter."""


class Standing(NamedTuple):
    """How a job stands."""

    number: str
    """`12`, or `12_3` in an array."""
    state: str
    reason: str
    """Why it waits, in Slurm's word."""

    @property
    def goes_on(self) -> bool:
        """Whether it waits or runs."""
        return bool(self.state) and self.state not in OVER


GONE = Standing("", "", "")
"""Of a job that Slurm does not know, or no longer."""


class AwayError(Exception):
    """A command that Slurm did not answer, and what it said."""


def standings() -> dict[tuple[str, int], Standing]:
    """How each of the user's jobs stands, by the name of its array and its place there."""
    told = _ask("squeue", "--user", str(os.getuid()), "--noheader", "--array", "--states=all", "--format=%j|%i|%T|%r")
    return _placed(line.split("|", 3) for line in told.splitlines())


def remembered(name: str, place: int) -> Standing:
    """How a job of which squeue knows nothing has ended, where there is accounting."""
    words = ("--name", name, "--starttime", "now-14days", "--allocations", "--noheader", "--parsable2")
    try:
        told = _ask("sacct", *words, "--format=JobName,JobID,State")
    except AwayError:
        return GONE
    return _placed([*line.split("|", 2), ""] for line in told.splitlines()).get((name, place), GONE)


def largest() -> int | None:
    """How many jobs an array may have here; None where Slurm does not say."""
    match = re.search(r"^MaxArraySize\s*=\s*(\d+)", _quietly("scontrol", "show", "config"), re.MULTILINE)
    return max(1, int(match[1])) if match else None


def share(partition: str | None, device: str | None) -> int | None:
    """A GPU's share of its node's cores, where that is smallest; None where Slurm does not say."""
    shares = []
    for line in _quietly(
        "sinfo", "--noheader", "--format=%P|%c|%G", *(("--partition", partition) if partition else ())
    ).splitlines():
        name, cores, gres = line.split("|", 2)
        if not partition and not name.endswith("*"):
            continue
        found = re.findall(r"gpu:(?:([^:,()]+):)?(\d+)", gres)
        if gpus := sum(int(n) for kind, n in found if not device or kind == device):
            shares.append(int(cores.rstrip("+")) // max(gpus, sum(int(n) for _, n in found)))
    return max(1, min(shares)) if shares else None


def shared(partition: str) -> str | None:
    """What a partition says that gives several jobs the same node, whatever a job asks for; None where it does not."""
    told = _quietly("scontrol", "show", "partition", partition, "--oneliner")
    match = re.search(r"\bOverSubscribe=(FORCE\S*)", told)
    return match[1] if match else None


def cancel(name: str) -> None:
    """End the jobs of an array."""
    _quietly("scancel", "--user", str(os.getuid()), "--name", name)


def passes(told: str) -> bool:
    """Whether what sbatch said will be otherwise later."""
    return bool(LIMITS.search(told) or AWAY.search(told))


def sentence(told: str) -> str:
    """What is said in the output of a command that failed: its errors, without the command's name before each."""
    lines = [re.sub(r"^\w+: (?:error: )?", "", line.strip()) for line in told.splitlines() if line.strip()]
    return "; ".join(dict.fromkeys(lines)).rstrip(".") or "it gave no reason"


def check(partition: str | None, command: str) -> None:
    """Refuse a machine that no jobs are submitted from, or whose Slurm has no such partition."""
    try:
        known = {line.rstrip("*") for line in _ask("sinfo", "--noheader", "--format=%P").splitlines()}
    except AwayError as error:
        raise UserError(f"{command}: Slurm does not answer: {error}. Try again when `sinfo` does.") from None
    if partition and not known.issuperset(partition.split(",")):
        raise UserError(f"{command}: Slurm has no such partition here. Known: {', '.join(sorted(known))}.")


def _placed(rows: Iterable[Sequence[str]]) -> dict[tuple[str, int], Standing]:
    found = {}
    for name, number, state, reason in rows:
        if name.startswith(NAME):
            _, _, place = number.partition("_")
            word = state.partition(" ")[0]  # CANCELLED by 1000
            found[name, int(place) if place.isdigit() else 0] = Standing(number, word, reason)
    return found


def _quietly(*words: str) -> str:
    try:
        return _ask(*words)
    except AwayError:
        return ""


def _ask(*words: str) -> str:
    try:
        ran = subprocess.run(words, capture_output=True, text=True, timeout=PATIENT, check=True)
    except subprocess.CalledProcessError as error:
        raise AwayError(sentence(error.stderr)) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AwayError(f"{words[0]} could not be run: {type(error).__name__}") from None
    return ran.stdout
