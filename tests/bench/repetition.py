"""What measuring attention costs over the plain forward passes: python -m tests.bench.repetition [NAME] [CROP]

Interleaved, one thread, CPU seconds, medians of the ratios to both forwards with naive attention: `faithful`, which
computes in the official code's order, and `lean`, which is ours, faster, and what is measured. Then the peak of memory
over that of the plain lean pass. Where the C library maps memory anew for each pass, the plain ones take longer.
"""

from __future__ import annotations

import re
import statistics
import sys
import time
from multiprocessing import get_context
from pathlib import Path

import torch

from workbench import models
from workbench.attention import layers, measures, streaming
from workbench.attention.rows import Rows

ROUNDS = 25
FORMS = ("faithful", "lean")
MEASURES = ("cosine", "averaged", "profile", "cka")


def crop(side: int) -> torch.Tensor:
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))


def plain(model: torch.nn.Module, x: torch.Tensor) -> None:
    with torch.inference_mode():
        model(x)


def peak(name: str, side: int, measured: bool) -> int:
    """Bytes resident at most in a process of its own."""
    torch.set_num_threads(1)
    model = models.create(name)
    known = layers(model)
    plain(model, crop(side))
    if measured:
        streaming.measure(model, crop(side), known, measures.find(MEASURES))
    told = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", told)[1])  # type: ignore[index]  # Linux has it


def main(name: str = "swinir-light-x4", side: str = "0") -> None:
    torch.set_num_threads(1)
    passes = {form: models.create(name, forward=form) for form in FORMS}
    model = passes["lean"]
    known = layers(model)
    x = crop(int(side) or measures.side(known))
    ratios: dict[str, list[float]] = {form: [] for form in FORMS}
    rows = Rows()  # of all crops, as in a study
    for _ in range(ROUNDS):
        taken = {}
        for form, network in passes.items():
            start = time.process_time()
            plain(network, x)
            taken[form] = time.process_time() - start
        start = time.process_time()
        found = streaming.measure(model, x, known, measures.find(MEASURES), rows=rows)
        whole = time.process_time() - start
        for form in FORMS:
            ratios[form].append(whole / taken[form])
    for form, seen in ratios.items():
        spread = f"{min(seen):.2f} to {max(seen):.2f}"
        print(f"{name}, {x.shape[-1]}x{x.shape[-1]}: {statistics.median(seen):.2f} times the {form} pass ({spread})")
    with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        without, within = (pool.apply(peak, (name, x.shape[-1], measured)) for measured in (False, True))
    print(f"{found.passes} passes, {(within - without) / 2**20:,.0f} MiB more than it")


if __name__ == "__main__":
    main(*sys.argv[1:])
