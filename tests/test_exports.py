"""Compilation and export: what tests/exports.json says of every network, README repeats, and a capture confirms."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch

from workbench import detective, judge, models, papers, reproduce, store

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


@pytest.mark.untraced
@pytest.mark.parametrize("model", ["esc-fp", "imdn"])
def test_dynamo_captures_what_is_recorded_to_compile(model: str) -> None:
    """One graph of the whole network, as torch.compile(fullgraph=True) would take it; nothing is run or generated.

    A sample, because a capture takes seconds: `tests/bench/exports.py` takes all of them.
    """
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


SAMPLED = ("esc-light-x4", "omnisr-x4", "imdn-x3")


def test_readme_sums_up_the_verdicts_that_are_kept() -> None:
    kept = json.loads((ROOT / "tests" / "verdicts.json").read_text())
    assert load(ROOT / ".ci" / "readme.py").summary(kept) in (ROOT / "README.md").read_text()
    judged = {
        t.id for t in papers.TABLES.values() if any(map(judge.measurable, t.columns)) and any(r.variant for r in t.rows)
    }
    assert kept.keys() == judged


@pytest.mark.untraced
def test_the_verdicts_that_are_kept_are_those_of_a_fresh_measurement(tmp_path: Path) -> None:
    """A sample of rows: every verdict of them, searches included."""
    kept = json.loads((ROOT / "tests" / "verdicts.json").read_text())
    drawn = json.loads((ROOT / "results" / "readme" / "cells.json").read_text())
    compared = 0
    for name, published in papers.TABLES.items():
        table = replace(published, rows=tuple(r for r in published.rows if r.variant in SAMPLED))
        wanted = [r for r in reproduce.needed(table, quick=False) if r.probe.name != "roofline"]
        detective.measure(wanted, tmp_path)
        known = store.read(tmp_path).newest()
        detective.measure(list(detective.searches(table, judge.judge(table, known))), tmp_path)
        readme, cells = load(ROOT / ".ci" / "readme.py"), judge.judge(table, store.read(tmp_path).newest())
        fresh = readme.kept({name: cells})
        for column, found in readme.found(cells).items() if name in drawn else ():
            assert found.items() <= drawn[name][column].items()
        for column, verdicts in fresh.get(name, {}).items():
            assert verdicts.items() <= kept[name][column].items()
            compared += len(verdicts)
    assert compared > 3 * len(SAMPLED)
