"""By hand: how long the lean forward takes against the faithful one, in interleaved rounds on this machine's CPU.

python tests/bench/speed.py swinir-light-x4 --side 64 --rounds 7
"""

from __future__ import annotations

import argparse
import random
import statistics
import time

import torch

from workbench import environment, models


def ratios(name: str, side: int, rounds: int, attention: str) -> tuple[list[float], float]:
    """Lean over faithful, one ratio per round, and the median seconds of faithful."""
    nets = {f: models.create(name, attention=attention, forward=f) for f in ("faithful", "lean")}
    nets["lean"].load_state_dict(nets["faithful"].state_dict())
    x = torch.rand(1, 3, side, side)
    taken: dict[str, list[float]] = {f: [] for f in nets}
    with torch.inference_mode():
        for net in nets.values():
            net(x)  # what is made once and kept is not part of a call
        for _ in range(rounds):
            for forward in random.sample(list(nets), len(nets)):
                start = time.perf_counter()
                nets[forward](x)
                taken[forward].append(time.perf_counter() - start)
    pairs = zip(taken["lean"], taken["faithful"], strict=True)
    return [lean / faithful for lean, faithful in pairs], statistics.median(taken["faithful"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=[n for n in models.VARIANTS if n.endswith("-x4")])
    parser.add_argument("--side", type=int, default=64, help="pixels of a side of the square input")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--attention", default="naive")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    print(f"{environment.machine()}, {asked.threads} threads, {asked.side}x{asked.side}, torch {torch.__version__}")
    print(f"{'variant':24}{'lean/faithful':>14}{'lowest':>9}{'highest':>9}{'faithful s':>12}")
    for name in asked.names:
        found, seconds = ratios(name, asked.side, asked.rounds, asked.attention)
        middle = statistics.median(found)
        print(f"{name:24}{middle:14.2f}{min(found):9.2f}{max(found):9.2f}{seconds:12.3f}", flush=True)


if __name__ == "__main__":
    main()
