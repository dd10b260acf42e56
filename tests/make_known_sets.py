"""By hand: write workbench/testsets/known.csv anew from the folder of test sets, figures only.

python tests/make_known_sets.py ../shared/data
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

from workbench.images import files
from workbench.testsets import fingerprint

ROOT = Path(__file__).resolve().parent.parent
FIELDS = "set name height width colour content cells points source sha256".split()


def main() -> None:
    data = Path(sys.argv[1])
    rows = []
    for entry in json.loads((data / "MANIFEST.json").read_text())["files"]:
        path = Path(entry["path"])
        if path.parent.name != "HR":
            continue
        seen = fingerprint.take(files.read(data / path))
        rows.append(
            {
                **vars(seen),
                "set": path.parts[1].lower(),
                "name": path.stem,
                "colour": int(seen.colour),
                "cells": seen.cells.hex(),
                "points": seen.points.hex(),
                "source": entry["source_path"],
                "sha256": entry.get("source_sha256", entry["sha256"]),  # Urban100 there is re-encoded, without loss
            }
        )
    with (ROOT / "workbench" / "testsets" / "known.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda r: (r["set"], r["name"])))


if __name__ == "__main__":
    main()
