"""How long a table takes out of very many records, from text and from an index: python -m tests.bench.many [N]."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from workbench import execute, store
from workbench.spec import Record
from workbench.store import compacting

MANY = 100_000
FILES = 10
PROBES = ("params", "macs")
TABLE = """
import re, sys, time
start, began = time.process_time(), time.perf_counter()
from pathlib import Path
from workbench import judge, papers, report, store
table = papers.find_table("esc-table2")
text = report.render(table, judge.judge(table, store.read(Path(sys.argv[1])).newest()), "html")
import hashlib
spent, took = time.process_time() - start, time.perf_counter() - began
peak = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1e6
print(spent, took, peak, hashlib.sha256(text.encode()).hexdigest())
"""


def fill(folder: Path, many: int) -> None:
    """Records of every network, and then the same under conditions that no table asks for, each its own."""
    real = [execute.measure(r) for r in execute.requests(["esc*"], PROBES, ["esc"])]
    for k in range(FILES):
        with open(folder / f"{k}.jsonl", "w", encoding="utf-8") as file:
            file.writelines(
                json.dumps(_line(real, n)) + "\n" for n in range(k * many // FILES, (k + 1) * many // FILES)
            )


def _line(real: list[Record], n: int) -> dict[str, object]:
    fields = store.to_json(real[n % len(real)])
    if n >= len(real):
        fields["conditions"] = {**fields["conditions"], "made": n}
    padding = hashlib.sha256(str(n).encode()).hexdigest() * 16  # as long as a record of a real sweep
    return fields | {"details": {**fields["details"], "padding": padding}}


def main(many: int) -> None:
    """Measure both, each in a process of its own; of a million only the index, whose text would take many GB."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        fill(folder, many)
        size = sum(p.stat().st_size for p in folder.iterdir())
        print(f"{many:,} records, {size / many / 1e3:.1f} kB each", flush=True)
        for way in ("text", "index", "index and one record more", "index made again"):
            if way == "text" and many > MANY:
                continue
            if way == "index and one record more":
                line = (folder / "0.jsonl").read_bytes().partition(b"\n")[0]
                (folder / "later.jsonl").write_bytes(line + b"\n")
            if way in ("index", "index made again"):
                began = time.perf_counter()
                compacting.index(folder)
                print(f"  {time.perf_counter() - began:.1f} s to make it", flush=True)
            command = [sys.executable, "-c", TABLE, str(folder)]
            told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
            spent, took, memory = map(float, told[:3])
            print(
                f"{way}: {spent:.1f} s of CPU, {took:.1f} s, {memory:.2f} GB; the page's hash {told[3][:12]}",
                flush=True,
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else MANY)
