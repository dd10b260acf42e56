"""Compilation and export: what tests/exports.json says of every network, README repeats, and a capture confirms."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from workbench import execute, judge, models, papers, progress, reproduce

ROOT = Path(__file__).parent.parent
RECORDED = json.loads((ROOT / "tests" / "exports.json").read_text())
NETWORKS = [model for family in models.FAMILIES for model in family.models]


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def test_every_network_is_recorded_for_the_pinned_torch() -> None:
    assert list(RECORDED["models"]) == NETWORKS
    assert RECORDED["torch"] == torch.__version__.partition("+")[0]
    assert all(set(found) == {"compile", "onnx"} for found in RECORDED["models"].values())


@pytest.mark.parametrize("model", [family.models[0] for family in models.FAMILIES])
def test_dynamo_captures_what_is_recorded_to_compile(model: str) -> None:
    """One graph of the whole network, as torch.compile(fullgraph=True) would take it; nothing is run or generated."""
    torch._dynamo.reset()
    net = models.create(f"{model}-x2", device="meta")
    recorded = RECORDED["models"][model]["compile"] == "ok"
    with torch.no_grad():
        try:
            torch.compile(net, backend="eager", fullgraph=True)(torch.empty(1, 3, 24, 24, device="meta"))
        except Exception as error:
            assert not recorded, error  # noqa: PT017 - a failure is as good as a success, if it is the recorded one
        else:
            assert recorded, "it compiles now: run tests/bench/exports.py and make readme"


def test_readme_tells_what_is_reproduced(tmp_path: Path) -> None:
    """The summary in README is what a fresh measurement of all 42 rows gives."""
    table = papers.find_table("esc-table2")
    progress.measure(execute.missing(reproduce.needed(table, quick=False), {}), tmp_path)
    cells = judge.read("esc-table2", tmp_path)[1]
    assert load(ROOT / ".ci" / "readme.py").summary(cells) in (ROOT / "README.md").read_text()
