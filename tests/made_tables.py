"""Tables as papers print them, made: clean ones, and the slips of the hand that spoil a figure."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from workbench import audit, papers
from workbench.papers.printed import FLOPS, LATENCY, MEMORY, PARAMS, QUALITY, SETS
from workbench.published import Row, Table

COLUMNS = (LATENCY, MEMORY, FLOPS, PARAMS, *QUALITY)
GAIN = {"set5": 0.12, "set14": 0.12, "b100": 0.06, "urban100": 0.33, "manga109": 0.28}
"""dB by which methods differ on a test set, about as much as in ESC's Table 2: a standard deviation."""

LEVEL = {"set5": 38.2, "set14": 33.9, "b100": 32.3, "urban100": 32.9, "manga109": 39.2}
FALL = {2: 0.0, 3: 3.6, 4: 5.9}
SSIM = {"set5": 0.961, "set14": 0.921, "b100": 0.902, "urban100": 0.935, "manga109": 0.978}


def clean(seed: int, methods: int = 14) -> Table:
    """A table without a misprint.

    Image quality is two effects of the method, each with a load per column, and noise with heavy tails (Student's t
    with 4 degrees of freedom); a network's cost is spread over two decades and falls with the square of the scale, but
    for the upsampler's part; 3 % of the cells are empty, and the best of each scale are bold.
    """
    rng = np.random.default_rng(seed)
    good, kind = rng.normal(size=methods), rng.normal(size=methods)
    params, upsampler = 10 ** rng.uniform(2.3, 4.4, methods), rng.uniform(0.003, 0.12, methods)
    speed, frugal = rng.lognormal(4, 1, methods), rng.lognormal(6.5, 0.6, methods)
    rows = []
    for scale in FALL:
        printed: list[dict[str, str]] = [{} for _ in range(methods)]
        flops = params / scale**2 * rng.normal(1, 0.01, methods) * (1 + upsampler * (scale - 2))
        costs = {
            "params_k": (params * (1 + upsampler * (scale - 2)), 0),
            "flops_g": (flops, 1),
            "latency_ms": (speed / scale**1.5 * rng.lognormal(0, 0.1, methods), 1),
            "memory_mb": (frugal / scale**1.2 * rng.lognormal(0, 0.1, methods), 0),
        }
        for name, (values, decimals) in costs.items():
            for i, value in enumerate(values):
                printed[i][name] = f"{max(value, 1):.{decimals}f}"
        for where, level in LEVEL.items():
            gain = GAIN[where] * rng.uniform(0.85, 1.15)
            gained = gain * (good + rng.normal(0, 0.25) * kind) + 0.018 * rng.standard_t(4, methods)
            mean = 1 - (1 - SSIM[where]) * (1 + 0.8 * (scale - 2))
            slope = 0.12 * (1 - mean) * rng.uniform(0.85, 1.15)
            ssim = mean + slope * gained + 0.03 * slope * kind + 0.0002 * rng.standard_t(4, methods)
            for i in range(methods):
                if rng.uniform() > 0.03:
                    printed[i][f"{where}_psnr"] = f"{level - FALL[scale] * level / 36 + gained[i]:.2f}"
                    printed[i][f"{where}_ssim"] = f"{ssim[i]:.4f}"
        rows += [
            Row(f"Net {i}", scale, None, {c.id: p[c.id] for c in COLUMNS if c.id in p}) for i, p in enumerate(printed)
        ]
    table = Table(f"made-{seed}", "Made", "Made", "A made table", "esc", COLUMNS, tuple(rows))
    return replace(table, bold=bold(table))


def bold(table: Table) -> frozenset[tuple[str, int, str]]:
    """The best image quality of each scale and column."""
    found = set()
    for column in (f"{where}_{measure}" for where in SETS for measure in ("psnr", "ssim")):
        for scale in FALL:
            cells = {r.method: float(r.printed[column]) for r in table.rows if r.scale == scale and column in r.printed}
            found |= {(m, scale, column) for m, value in cells.items() if value == max(cells.values())}
    return frozenset(found)


# --- slips


def digit(text: str, row: Row, column: str, dice: random.Random) -> str:
    """One digit is another."""
    at = dice.choice([i for i, c in enumerate(text) if c.isdigit() and not (i == 0 and c == "0")])
    return text[:at] + dice.choice([d for d in "0123456789" if d != text[at]]) + text[at + 1 :]


def swapped(text: str, row: Row, column: str, dice: random.Random) -> str | None:
    """Two neighbouring digits in each other's place."""
    digits = [i for i, c in enumerate(text) if c.isdigit()]
    pairs = [(i, j) for i, j in pairwise(digits) if text[i] != text[j]]
    if not pairs:
        return None
    i, j = dice.choice(pairs)
    return text[:i] + text[j] + text[i + 1 : j] + text[i] + text[j + 1 :]


def copied(text: str, row: Row, column: str, dice: random.Random) -> str | None:
    """The figure of the same measure on a neighbouring test set."""
    measure = column.rpartition("_")[2]
    near = [t for c, t in row.printed.items() if c != column and c.endswith(f"_{measure}") and t != text]
    return dice.choice(near) if near and measure in ("psnr", "ssim") else None


def shifted(text: str, row: Row, column: str, dice: random.Random) -> str | None:
    """The point one place to the left or right."""
    if "." not in text:
        return None
    whole, _, rest = text.partition(".")
    return (
        f"{whole}{rest[0]}.{rest[1:]}".rstrip(".") if dice.random() < 0.5 else f"{whole[:-1] or '0'}.{whole[-1]}{rest}"
    )


SLIPS = {"digit": digit, "swapped": swapped, "copied": copied, "shifted": shifted}
QUALITY_AND_LAW = [c.id for c in (*QUALITY, FLOPS, PARAMS)]


def plant(table: Table, slip: str, dice: random.Random) -> tuple[Table, tuple[str, int, str], str, str]:
    """The table with one figure spoilt; the cell, what stood there and what stands there now."""
    while True:
        at = dice.randrange(len(table.rows))
        row = table.rows[at]
        column = dice.choice([c for c in row.printed if c in QUALITY_AND_LAW])
        text = row.printed[column]
        wrong = SLIPS[slip](text, row, column, dice)
        if wrong is not None and wrong != text and (row.method, row.scale, column) not in table.bold:
            break
    spoilt = replace(row, printed={**row.printed, column: wrong})
    rows = (*table.rows[:at], spoilt, *table.rows[at + 1 :])
    return replace(table, rows=rows), (row.method, row.scale, column), text, wrong


# --- how often the rules err

SIZES = (4, 6, 10, 14, 20)
"""Methods of the clean tables, by turns."""


def false_alarms(seeds: Iterable[int]) -> audit.Alarms:
    """What the rules find in clean tables, where there is nothing to find."""
    tables = [clean(seed, SIZES[seed % len(SIZES)]) for seed in seeds]
    found = Counter(f.strength == "weak" for table in tables for f in audit.examine(table))
    figures = sum(len(row.printed) for table in tables for row in table.rows)
    return audit.Alarms(len(tables), figures, found[False], found[True])


def hits(tables: Sequence[Table], slip: str, many: int, seed: int) -> int:
    """Of so many figures spoilt by a slip, one at a time and a table after the other, how many the rules find."""
    dice = random.Random(seed)
    count = 0
    for k in range(many):
        table, cell, *_ = plant(tables[k % len(tables)], slip, dice)
        count += any((f.place.method, f.place.scale, f.place.column) == cell for f in audit.examine(table))
    return count


if __name__ == "__main__":
    print(repr(false_alarms(range(500))))
    for name in ("esc-table2", "hitsr-table2"):
        print(name, *(f"{slip}: {hits([papers.TABLES[name]], slip, 200, 7)} of 200" for slip in SLIPS))
