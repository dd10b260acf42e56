"""The nouns of the house: Variant, Protocol, Record, and the one error a user can mend."""

from __future__ import annotations

import dataclasses
import difflib
import json
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

# The record format's history. A reader takes every schema up to its own; a newer one is reported and skipped.
# 1: first format.
SCHEMA = 1

Status = Literal["ok", "failed", "out-of-memory", "timeout", "unsupported"]
STATUSES: tuple[Status, ...] = ("ok", "failed", "out-of-memory", "timeout", "unsupported")


class UserError(Exception):
    """Something the user can mend: one line that says what was asked, found and known, and what to do next."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows of it: the sentence, and no frames of ours."""
        return [f"{type(self).__name__}: {self}"]


def unknown(noun: str, asked: object, known: Iterable[str], listing: str) -> UserError:
    """The sentence for a name that does not exist, with the nearest that do; all where nothing lists them."""
    known = list(known)
    word = str(asked).lower().replace("_", "-")
    plain = {n.lower(): n for n in reversed(known)}
    alike = [word] if word in plain else difflib.get_close_matches(word, list(plain)[::-1], n=3, cutoff=0.5)
    near = [plain[n] for n in alike] or [n for n in known if word and word in n.lower()][:3]
    guess = f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
    few = (
        f"Known: {', '.join(known)}."
        if len(known) <= 8 or not listing
        else f"{len(known)} are known; list them: {listing}"
    )
    return UserError(f"No {noun} {asked!r}.{guess} {few}")


def standing(trained: bool | None) -> str:
    """What texts and pictures say of a network's weights; None is of somebody's own code, which may load some."""
    return "weights as the network makes them" if trained is None else "trained" if trained else "untrained"


@dataclass(frozen=True)
class Source:
    """Where a network that is not of the catalogue comes from, and what lay there when it was looked at."""

    reference: str
    """As it was typed, without arguments and scale: `./net.py:Net`."""
    folder: str
    """Where it was typed: relative paths begin there, and packages are looked for there first."""
    arguments: tuple[tuple[str, str], ...] = ()
    """What its constructor is given, by name; values as Python writes them."""
    digest: str = ""
    """Of the content of all its files."""
    files: tuple[tuple[str, str], ...] = ()
    """Those files, each with the SHA-256 of its content."""
    seen: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """What else was seen at a first look; every record of it has that in its details."""
    held: Any = field(default=None, compare=False, repr=False)
    """A network that is there already, as one of a notebook: what is measured is a copy of it, in this process."""

    @property
    def conditions(self) -> dict[str, Any]:
        """What identifies it in a record: content, and no path; a changed file makes records stale."""
        if self.held is not None:
            return {"held": "in the process that measured it; nothing identifies it, so it is not stored"}
        return {"digest": self.digest, "arguments": dict(self.arguments)}


@dataclass(frozen=True)
class Variant:
    """One network at one scale, as a paper's table names a row."""

    name: str
    """`<model>-x<scale>`, the public name."""
    model: str
    """The network without its scale: `esc-light`."""
    family: str
    """The file under `models/` that builds it: `esc`."""
    scale: int
    """Output pixels per input pixel along one side."""
    paper: str
    """Where the network was published."""
    source: Source | None = None
    """Of a module of somebody's own; None for the catalogue."""

    @property
    def held(self) -> bool:
        """Whether it is in this process only, and so is measured here and in no record."""
        return self.source is not None and self.source.held is not None


@dataclass(frozen=True)
class Input:
    """What is fed to the network."""

    hr: tuple[int, int] = (720, 1280)
    """Height and width in pixels of the output image that the figures are quoted for."""
    rounding: Literal["floor", "ceil"] = "floor"
    """How the input side is found when the scale does not divide the output side."""
    batch: int = 1
    dtype: str = "float32"

    def lr(self, scale: int) -> tuple[int, int]:
        """Height and width of the network's input at a scale."""
        up = scale - 1 if self.rounding == "ceil" else 0
        return (self.hr[0] + up) // scale, (self.hr[1] + up) // scale


@dataclass(frozen=True)
class Build:
    """How the network is constructed; these reach it as constructor arguments."""

    attention: str = "naive"
    """`naive`, `sdpa` or `flex`: the same function through three implementations."""
    forward: Literal["faithful", "lean"] = "faithful"
    """`faithful` works in the official code's order; `lean` computes the same with less."""
    mode: Literal["eval", "train"] = "eval"
    """Whether its modules stand as for inference or as for training."""
    shifted: bool = True
    """Whether windows are shifted where the architecture says so; some copies of an architecture do not."""


@dataclass(frozen=True)
class Counting:
    """What counts as a multiply-add and as a parameter."""

    convention: Literal["fvcore", "torch", "hooks"] = "fvcore"
    """The set of operators that have a price, and the prices."""
    layer_norm: bool = True
    """Whether layer norms are counted; stock fvcore cannot count some of them."""
    selective_scan: bool = False
    """Whether a selective scan has a price; no counter has one, the MambaIR repository adds one."""
    padding: bool = True
    """Whether the pixels are counted that a network adds to reach whole windows."""
    each: Literal[1, 2] = 1
    """What a multiply-add is counted as: one, or two operations."""
    parameters: Literal["total", "trainable", "hook-visible"] = "total"
    """All parameters, those that training may change, or those of modules for which hook counters have a rule."""


@dataclass(frozen=True)
class Planning:
    """What a GPU takes beyond what the network holds; each term can be switched off."""

    blocks: bool = True
    """Whether memory comes in the blocks of CUDA's caching allocator, which can be larger than what was asked for."""
    cublas_workspace: int = 2 * 4096 * 1024 + 8 * 16 * 1024
    """Bytes that cuBLAS keeps once a matrix product ran: torch's default (:4096:2:16:8), 32 MiB on Hopper."""
    convolution_workspace: int = 0
    """Bytes that a convolution takes while it runs; which algorithm cuDNN takes cannot be known without a GPU."""
    flex_held: bool = True
    """Whether what flex attention was given when it was compiled stays alive: as much as one call's q, k and v."""
    log_sum_exp: bool = True
    """Whether fused attention writes a float32 for each head and query beside its output, where its kernel does."""
    sdpa_padding: bool = True
    """Whether scaled_dot_product_attention takes what its kernels need: padded copies, or a whole map."""


@dataclass(frozen=True)
class Bound:
    """The device that a lower bound of the time is computed for, and what torch lets its tensor cores do."""

    device: str = "a100"
    """A name of `workbench devices`."""
    tf32_convolutions: bool = True
    """Whether float32 convolutions may run as TF32: torch's default (`torch.backends.cudnn.allow_tf32`)."""
    tf32_products: bool = False
    """Whether float32 matrix products may: not by torch's default (`torch.backends.cuda.matmul.allow_tf32`)."""


@dataclass(frozen=True)
class Execution:
    """Where and how a network runs when its cost is measured."""

    device: Literal["cpu", "cuda"] = "cpu"
    threads: int = 0
    """Threads of the CPU; 0: as many as the process may use."""
    compile: Literal["none", "compile", "graph"] = "none"
    """`compile`: through torch.compile; `graph`: replayed as a CUDA graph."""
    cudnn_benchmark: bool = True
    """Whether cuDNN tries its algorithms first and takes the fastest."""
    tf32_convolutions: bool = True
    """Whether float32 convolutions may run as TF32, as in `Bound`: torch's default."""
    tf32_products: bool = False
    """Whether float32 matrix products may: not by torch's default."""


@dataclass(frozen=True)
class Timing:
    """How often a network runs when its time is measured, and what figure its runs give."""

    warmup: int = 0
    """Runs before the first that counts; 0: until they are steady, by the rule of `timing.warm`."""
    runs: int = 0
    """Runs that count; 0: until the interval of the figure is narrower than `precision`, or `budget` is spent."""
    precision: float = 0.02
    """Width of that interval, as a fraction of the figure."""
    budget: float = 10.0
    """Seconds after which no further run begins, where `runs` is 0."""
    statistic: Literal["median", "mean"] = "median"
    """What the runs are summed up by, on reading."""


@dataclass(frozen=True)
class Quality:
    """On which images a network is judged, and how its output is compared with the originals."""

    set: str = "set5"
    """A name of `workbench data list`."""
    border: int | None = None
    """Pixels cut off every side before the comparison; None: as many as the scale."""
    space: str = "y"
    """What is compared: `y`, the luma of BT.601 without rounding, or another space of `images/metrics.py`."""
    ensemble: Literal["none", "x8"] = "none"
    """`x8`: the mean of the outputs for the image's eight flips and turns, each turned back."""
    tile: int = 0
    """Side of the tiles that every image is cut into, in LR pixels; 0: images stay whole if memory allows."""
    overlap: int = 0
    """LR pixels that neighbouring tiles share; there the output is the mean of theirs."""
    seed: int | None = None
    """Seed, before each image, of what a network's official code draws even in evaluation; None: nothing is drawn."""


@dataclass(frozen=True)
class Protocol:
    """A named way to measure. Its parts are read one by one, so that a change stales only what reads it."""

    name: str
    title: str
    """One sentence: whose way this is, and what is peculiar to it."""
    input: Input = field(default_factory=Input)
    build: Build = field(default_factory=Build)
    counting: Counting = field(default_factory=Counting)
    planning: Planning = field(default_factory=Planning)
    bound: Bound = field(default_factory=Bound)
    execution: Execution = field(default_factory=Execution)
    timing: Timing = field(default_factory=Timing)
    quality: Quality = field(default_factory=Quality)

    def read(self, paths: Iterable[str], scale: int) -> dict[str, Any]:
        """The conditions a probe declares to read (`input`, `counting.layer_norm`), resolved for one scale.

        The rounding rule is resolved into the input size it gives: where floor and ceil agree, so do the conditions.
        A border that goes by the scale is resolved as well.
        """
        read: dict[str, Any] = {}
        for path in paths:
            part, _, leaf = path.partition(".")
            fields = dataclasses.asdict(getattr(self, part))
            if part == "input":
                fields |= {"lr": self.input.lr(scale)}
                del fields["rounding"]
            if part == "quality" and fields["border"] is None:
                fields["border"] = scale
            read.setdefault(part, {}).update({leaf: fields[leaf]} if leaf else fields)
        plain: dict[str, Any] = json.loads(json.dumps(read))  # as a record read back from the store has it
        return plain


@dataclass(frozen=True)
class Record:
    """One measurement, or one failure to measure, with everything needed to judge it."""

    variant: str
    protocol: str
    """The protocol it was asked for under; what identifies it are the `conditions`."""
    probe: str
    probe_version: int
    conditions: Mapping[str, Any]
    """The parts of the protocol that the probe read; with the machine, if the probe is timed."""
    unit: str
    """Unit of `values`: always a base unit (counts, bytes, seconds, joules, decibels)."""
    values: tuple[float, ...]
    """Raw values, one per repetition or image; empty unless `status` is `ok`."""
    status: Status
    reason: str | None
    """Why there is no value; None when there is one."""
    recorded_at: str
    """UTC, ISO 8601 with microseconds."""
    machine: str
    """The hardware in words."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What the probe adds: a break-down, what it could not count."""
    environment: Mapping[str, Any] = field(default_factory=dict)
    """Machine, versions, commit: the provenance."""
    took: float | None = None
    """Seconds that it took to measure, the start of its process included; None where that was not noted."""
    schema: int = SCHEMA

    @property
    def value(self) -> float:
        """The figure: of repetitions the statistic that the timing names, of images the mean, else the first value.

        The values of a search are no repetitions; its first is that of the simplest protocol. A mean over images is
        one over those that could be judged: whether that is the whole set, `details` say under `complete`.
        """
        if "quality" in self.conditions:
            return statistics.fmean(self.values)
        statistic = self.conditions.get("timing", {}).get("statistic")
        if statistic is None or len(self.values) == 1:
            return self.values[0]
        return statistics.fmean(self.values) if statistic == "mean" else statistics.median(self.values)
