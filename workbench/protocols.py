"""The named ways to measure. A protocol is data: whoever disputes a figure names another one.

A name is that of a protocol, followed by the modifiers that change it: `esc`, `esc+ceil`, `fvcore+ceil+scan`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from workbench.devices import DEVICES
from workbench.spec import Build, Counting, Execution, Input, Protocol, Timing, UserError, unknown


@dataclass(frozen=True)
class Modifier:
    """A change to one part of a protocol, by name."""

    name: str
    title: str
    part: str
    """The field of Protocol that it changes."""
    changes: Mapping[str, Any]
    """Fields of that part, and what they become."""
    also: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The same of other parts, where one thing is said to both a measurement and an estimate."""

    def parts(self) -> Mapping[str, Mapping[str, Any]]:
        """Every part that it changes, and how."""
        return {self.part: self.changes, **self.also}


SETS = {
    "set5": "Set5",
    "set14": "Set14",
    "b100": "B100",
    "urban100": "Urban100",
    "manga109": "Manga109",
    "div2k-val": "the validation set of DIV2K",
    "skimage-photos": "the photographs that come with scikit-image, which are no benchmark",
}
"""The test sets that a modifier names."""

OWN = "set:"
"""How a modifier begins that names a set which somebody has of their own."""

SIZES = {"hr360p": (360, 640), "hr540p": (540, 960), "hr1080p": (1080, 1920), "hr2160p": (2160, 3840)}
"""Outputs, as height and width, that a modifier names; 720p is what the papers take."""

PROTOCOLS: dict[str, Protocol] = {
    p.name: p
    for p in (
        Protocol(
            "esc",
            "ESC (ICCV 2025): HR 1280x720, LR side floor(side / scale), fvcore's convention, naive attention to count",
            execution=Execution(device="cuda", cudnn_benchmark=True),
            timing=Timing(warmup=100, runs=100, statistic="median"),
        ),
        Protocol(
            "hitsr",
            "HiT-SR (ECCV 2024): HR 1280x720, LR side floor(side / scale), fvcore's convention",
            execution=Execution(device="cuda"),
        ),
        Protocol(
            "fvcore",
            "fvcore at HR 1280x720: convolutions, linear layers, matrix products, einsum, norms, adaptive pooling and "
            "bilinear upsampling have a price; nothing else has",
        ),
        Protocol(
            "torch",
            "torch's FlopCounterMode, halved: convolutions, matrix products and fused attention have a price",
            counting=Counting(convention="torch"),
        ),
        Protocol(
            "hooks",
            "hooks on modules, with the rules of thop: what has no module of its own, or no rule, is not seen",
            counting=Counting(convention="hooks", parameters="hook-visible"),
        ),
        Protocol(
            "steady",
            "what a user runs, on a size that a CPU can repeat: HR 256x256 (LR 64x64 at x4), the lean forward, on the "
            "CPU, until the median is known to 2 %",
            input=Input(hr=(256, 256)),
            build=Build(forward="lean"),
        ),
        Protocol(
            "cpu",
            "a latency for every network within minutes, on any machine: HR 96x96 as the papers fix the output (LR "
            "48x48, 32x32, 24x24), the lean forward, in one thread of the CPU, two seconds each",
            input=Input(hr=(96, 96)),
            build=Build(forward="lean"),
            execution=Execution(threads=1),  # several wait for each other, which on a busy machine takes minutes
            timing=Timing(budget=2.0),
        ),
        Protocol(
            "quality",
            "PSNR and SSIM on Y of BT.601, a border of the scale cut off, LR by MATLAB's bicubic, images whole, Set5",
        ),
    )
}

MODIFIERS: dict[str, Modifier] = {
    m.name: m
    for m in (
        Modifier("ceil", "LR side ceil(side / scale): 427 in place of 426 at x3", "input", {"rounding": "ceil"}),
        *(Modifier(name, f"HR {w}x{h}", "input", {"hr": (h, w)}) for name, (h, w) in SIZES.items()),
        Modifier(
            "train", "modules stand as for training: batch norms compute their statistics", "build", {"mode": "train"}
        ),
        Modifier("sdpa", "attention through torch's fused kernel", "build", {"attention": "sdpa"}),
        Modifier("flex", "attention through torch's flex attention", "build", {"attention": "flex"}),
        Modifier("lean", "the forward that computes the same with less", "build", {"forward": "lean"}),
        Modifier("faithful", "the forward in the official code's order of work", "build", {"forward": "faithful"}),
        Modifier("unshifted", "no window is shifted, whatever the architecture says", "build", {"shifted": False}),
        Modifier("unpadded", "pixels that the network adds are not counted", "counting", {"padding": False}),
        Modifier("no-layer-norm", "layer norms are not counted", "counting", {"layer_norm": False}),
        Modifier(
            "scan",
            "a selective scan costs 9 B L D N + B D L, as in the MambaIR repository",
            "counting",
            {"selective_scan": True},
        ),
        Modifier("twice", "a multiply-add counts as two operations", "counting", {"each": 2}),
        Modifier("trainable", "only parameters that training may change", "counting", {"parameters": "trainable"}),
        Modifier("no-blocks", "memory as asked for, rounded to 512 bytes", "planning", {"blocks": False}),
        Modifier("no-cublas", "no workspace of cuBLAS", "planning", {"cublas_workspace": 0}),
        Modifier(
            "hopper", "the workspace cuBLAS takes on Hopper, 32 MiB", "planning", {"cublas_workspace": 32 * 2**20}
        ),
        Modifier(
            "no-attention-extras",
            "fused attention takes its output only",
            "planning",
            {"flex_held": False, "log_sum_exp": False, "sdpa_padding": False},
        ),
        Modifier("no-flex-held", "flex attention holds nothing of its first call", "planning", {"flex_held": False}),
        Modifier("no-log-sum-exp", "fused attention writes its output only", "planning", {"log_sum_exp": False}),
        Modifier("no-sdpa-padding", "SDPA's kernels take no copies and no maps", "planning", {"sdpa_padding": False}),
        Modifier(
            "conv-workspace",
            "every convolution takes 32 MiB while it runs; an allowance, since cuDNN's choice is not known",
            "planning",
            {"convolution_workspace": 32 * 2**20},
        ),
        *(Modifier(d.name, f"lower bounds for {d.title}", "bound", {"device": d.name}) for d in DEVICES.values()),
        Modifier(
            "tf32",
            "float32 matrix products may run as TF32 too",
            "bound",
            {"tf32_products": True},
            {"execution": {"tf32_products": True}},
        ),
        Modifier(
            "no-tf32",
            "float32 convolutions may not run as TF32",
            "bound",
            {"tf32_convolutions": False},
            {"execution": {"tf32_convolutions": False}},
        ),
        Modifier("cuda", "measured on a CUDA device", "execution", {"device": "cuda"}),
        Modifier("cpu", "measured on the CPU", "execution", {"device": "cpu"}),
        Modifier("compile", "measured through torch.compile", "execution", {"compile": "compile"}),
        Modifier("graph", "measured as the replay of a CUDA graph", "execution", {"compile": "graph"}),
        Modifier("one-thread", "measured in one thread of the CPU", "execution", {"threads": 1}),
        *(Modifier(name, f"judged on the images of {title}", "quality", {"set": name}) for name, title in SETS.items()),
        Modifier("ensemble", "the mean of eight flips and turns of each image", "quality", {"ensemble": "x8"}),
        Modifier(
            "tiles64",
            "images in tiles of 64 LR pixels that overlap by 24, as the testers of Omni-SR and ASID",
            "quality",
            {"tile": 64, "overlap": 24},
        ),
        Modifier("rgb", "compared in RGB, not on Y", "quality", {"space": "rgb"}),
        Modifier("y-rounded", "compared on Y rounded to eight bits, as MATLAB does", "quality", {"space": "y-rounded"}),
        Modifier("y-jpeg", "compared on Y of JPEG, as OpenCV and Pillow make it", "quality", {"space": "y-jpeg"}),
        Modifier("no-border", "compared up to the edge", "quality", {"border": 0}),
        Modifier("drawn", "with what official code draws in evaluation, from seed 0", "quality", {"seed": 0}),
    )
}

CANDIDATES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "macs": (
        ("fvcore", "torch", "hooks"),
        ("sdpa", "train", "ceil", "unpadded", "no-layer-norm", "scan", "twice"),
    ),
    "params": (("fvcore", "fvcore+trainable", "hooks"), ()),
    "planned-memory": (("fvcore", "fvcore+sdpa", "fvcore+flex"), ("train", "ceil", "unshifted")),
}
"""For a probe, the protocols that could have made a printed figure: each of the first with any of the second."""


def find(name: str) -> Protocol:
    """The protocol of that name, its modifiers applied, or a UserError with the nearest names."""
    base, *modifiers = name.split("+")
    if "" in modifiers:
        raise UserError(f"Protocol {name!r} has a + without a modifier behind it; write one, such as esc+ceil.")
    if base not in PROTOCOLS:
        raise unknown("protocol", base, PROTOCOLS, "workbench protocols")
    protocol = PROTOCOLS[base]
    changed: dict[tuple[str, str], str] = {}
    for modifier in modifiers:
        for part, changes in _modifier(modifier).parts().items():
            for key in changes:
                if (other := changed.setdefault((part, key), modifier)) != modifier:
                    raise UserError(f"Protocol {name!r}: +{other} and +{modifier} both set {key!r}; keep one of them.")
            protocol = replace(protocol, **{part: replace(getattr(protocol, part), **changes)})
    if not modifiers:
        return protocol
    ordered = [*(m for m in MODIFIERS if m in modifiers), *(m for m in dict.fromkeys(modifiers) if m not in MODIFIERS)]
    title = "; ".join([protocol.title, *(_modifier(m).title for m in ordered)])
    return replace(protocol, name="+".join([base, *ordered]), title=title)


def _modifier(name: str) -> Modifier:
    """The modifier of that name; `set:NAME` is one for every set that a user registers under a name of their own."""
    if name.startswith(OWN) and name != OWN:
        own = name.removeprefix(OWN)
        return Modifier(name, f"judged on the images of {own}", "quality", {"set": own})
    if name not in MODIFIERS:
        raise unknown("modifier of a protocol", name, MODIFIERS, "workbench protocols")
    return MODIFIERS[name]


@lru_cache
def space(probe: str) -> tuple[Protocol, ...]:
    """Every protocol that could have made a printed figure of a probe, the simplest first."""
    bases, additions = CANDIDATES[probe]
    chosen = [c for size in range(len(additions) + 1) for c in itertools.combinations(additions, size)]
    return tuple(find("+".join([base, *modifiers])) for modifiers in chosen for base in bases)


def device(protocol: Protocol) -> str | None:
    """The device that a modifier of its name names: what bounds are for, and where on a cluster it is to be timed."""
    return next((m for m in protocol.name.split("+")[1:] if m in DEVICES), None)


def is_in(device: str, machine: str) -> bool:
    """Whether a machine in words has a device: `rtx-4090` is in `NVIDIA GeForce RTX 4090 + some CPU, 16 cores`."""
    return set(device.split("-")) <= set(re.split("[^a-z0-9]+", machine.lower()))


def simpler(name: str) -> Iterator[str]:
    """The names with one modifier less."""
    base, *modifiers = name.split("+")
    for left_out in modifiers:
        yield "+".join([base, *(m for m in modifiers if m != left_out)])
