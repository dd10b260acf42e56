"""How long a table takes out of very many records, from their text and from an index: python -m tests.bench.many."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from workbench import execute, store
from workbench.spec import Record
from workbench.store import compacting

MANY = 100_000
PROBES = ("params", "macs")
TABLE = """
import sys, time
start, began = time.process_time(), time.perf_counter()
from pathlib import Path
from workbench import judge, papers, report, store
table = papers.find_table("esc-table2")
text = report.render(table, judge.judge(table, store.read(Path(sys.argv[1])).newest()), "html")
import hashlib
print(time.process_time() - start, time.perf_counter() - began, hashlib.sha256(text.encode()).hexdigest())
"""


def fill(folder: Path) -> None:
    """Records of every network, and then the same under conditions that no table asks for, each its own."""
    real = [execute.measure(r) for r in execute.requests(["esc*"], PROBES, ["esc"])]
    for k in range(10):
        lines = (json.dumps(_line(real, k * MANY // 10 + i)) for i in range(MANY // 10))
        (folder / f"{k}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _line(real: list[Record], n: int) -> dict[str, object]:
    fields = store.to_json(real[n % len(real)])
    if n >= len(real):
        fields["conditions"] = {**fields["conditions"], "made": n}
    padding = hashlib.sha256(str(n).encode()).hexdigest() * 16  # as long as a record of a real sweep
    return fields | {"details": {**fields["details"], "padding": padding}}


def main() -> None:
    """Measure both, each in a process of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        fill(folder)
        size = sum(p.stat().st_size for p in folder.iterdir())
        print(f"{MANY:,} records, {size / MANY / 1e3:.1f} kB each")
        for way in ("text", "index"):
            if way == "index":
                compacting.index(folder)
            command = [sys.executable, "-c", TABLE, str(folder)]
            told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
            print(f"{way}: {float(told[0]):.1f} s of CPU, {float(told[1]):.1f} s; the page's hash {told[2][:12]}")


if __name__ == "__main__":
    main()
