"""Makes tests/goldens from a folder of official outputs: python tests/make_goldens.py FOLDER

The folder holds `<variant>.json` (counts, live peak, state) and `<variant>.npz` (arrays named `<input>__<fill>`).
What is kept of an array is little enough for git, and enough that an error anywhere in the image shows.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

GOLDENS = Path(__file__).parent / "goldens"
KEPT = ("params_total", "params_trainable", "lr_input", "fvcore_by_op", "live_peak_mb", "peak_op")
SAMPLES = 100
GRID = 8


def gate(fill: str, std: float) -> float:
    """Largest absolute difference allowed between an implementation in float32 and the official one."""
    return 1e-5 * max(1.0, std) if fill.startswith("std02") else 2e-4 * std


def entry_line(key: str, shape: list[int], dtype: str) -> str:
    """One entry of the canonical listing of a state dict, which is hashed in the order of sorted keys."""
    return f"{key} {'x'.join(map(str, shape))} {dtype}\n"


def scattered_stride(size: int, width: int) -> int:
    """A step that gives about SAMPLES values and drifts through the columns."""
    stride = size // SAMPLES
    while np.gcd(stride, width) > 1:
        stride += 1
    return stride


def condense(name: str, array: NDArray[np.float32]) -> dict[str, Any]:
    """An array's statistics, every stride-th value (float32 to the last digit), and means over a grid of blocks."""
    fill = name.partition("__")[2]
    stride = scattered_stride(array.size, array.shape[-1])
    blocks = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(array).double(), GRID)
    return {
        "shape": list(array.shape),
        "mean": float(array.mean(dtype=np.float64)),
        "std": float(array.std(dtype=np.float64)),
        "gate": float(f"{gate(fill, float(array.std())):.6g}"),
        "stride": stride,
        "values": [float(str(v)) for v in array.ravel()[::stride]],
        "block_means": [float(f"{v:.8g}") for v in blocks.flatten().tolist()],
    }


def golden(source: Path) -> dict[str, Any]:
    """What is kept of one variant."""
    figures = json.loads(source.read_text())
    state = dict(sorted(figures["state"].items()))
    listing = "".join(entry_line(k, v["shape"], v["dtype"]) for k, v in state.items())
    with np.load(source.with_suffix(".npz")) as arrays:
        return {
            **{k: figures[k] for k in KEPT},
            "state_entries": len(state),
            "state_sha256": hashlib.sha256(listing.encode()).hexdigest(),
            "frozen": [k for k, v in state.items() if v["frozen"]],
            "outputs": {name: condense(name, arrays[name]) for name in arrays.files},
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    sources = sorted(parser.parse_args().folder.glob("*-x[234].json"))
    if not sources:
        parser.error("the folder holds no <variant>.json")
    GOLDENS.mkdir(exist_ok=True)
    for source in sources:
        lines = (f"{json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}" for k, v in golden(source).items())
        (GOLDENS / source.name).write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
