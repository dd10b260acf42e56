"""Layers: imports run one way, what reads never imports torch, and every file of a list is listed."""

import ast
import importlib
import json
import sys
from pathlib import Path

import pytest

from workbench import cli, models, papers, probes, reproduce

LAYERS = (
    {"spec", "walked"},
    {"passing", "standins", "described", "published", "interrupts"},
    {"environment", "tracing", "allocator", "fresh", "nvml", "locks", "drafts", "digits", "kernels"},
    {"devices", "machine", "turns", "images", "known", "ledger"},
    {"timing", "testsets", "lazily", "own"},
    {"protocols", "models", "probes", "papers", "store", "ratios"},
    {"here", "audit", "weights", "counted", "sidefiles", "building"},
    {"planner", "bundles"},
    {"fits"},
    {"upscaling", "scores", "attention", "merging", "states", "leaders", "changes"},
    {"evaluate"},
    {"execute", "judge", "anatomy", "crops", "pictures", "reservations"},
    {"sweep", "forecast", "claims", "curves", "made", "review", "grids"},
    {"rounds"},
    {"report", "progress", "comparison", "plans", "cluster"},
    {"detective", "doctor"},
    {"composing"},
    {"reproduce", "api"},
    {"cli"},
    {"__main__"},
)
"""A room imports rooms of layers above its own here, never one beside it or below."""

ALONE = {"models", "probes", "papers", "cli"}
"""Folders that are lists: their entries import what folders and private files share, and never each other."""

SHARED = {
    "models": {"parts"},
    "probes": {"arithmetic", "prices", "running"},
    "papers": {"printed", "names"},
    "cli": {"options"},  # completing.py is its __init__'s alone
}
"""What the entries of such a folder share; its __init__ is what all of them may know."""

PACKAGE = Path(models.__file__).resolve().parent.parent
FILES = sorted(set(PACKAGE.rglob("*.py")) - {PACKAGE / "__init__.py"})


def imports(file, text=None):
    """The modules of this package that a file imports, as paths of names: ("models", "parts", "windows")."""
    package = file.relative_to(PACKAGE).with_suffix("").parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(file.read_text() if text is None else text)):
        if isinstance(node, ast.Import):
            found |= {tuple(a.name.split(".")) for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = ("workbench", *package[: len(package) - node.level + 1]) if node.level else ()
            module = (*start, *(node.module.split(".") if node.module else ()))
            found |= {(*module, a.name) for a in node.names}
    return {path[1:] for path in found if path[0] == "workbench" and len(path) > 1}


def breaches(file, text=None):
    """The imports of a file that the layers forbid."""
    room, *inner = file.relative_to(PACKAGE).with_suffix("").parts
    rank = {name: layer for layer, names in enumerate(LAYERS) for name in names}
    wrong = []
    for path in sorted(imports(file, text)):
        if path[0] == room:
            entry = room in ALONE and inner[0] not in {"__init__", *SHARED[room]}
            there = (PACKAGE / room / f"{path[1]}.py").exists() or (PACKAGE / room / path[1]).is_dir()
            if entry and there and path[1] not in SHARED[room]:
                wrong.append(".".join(path))
        elif rank[path[0]] >= rank[room]:
            wrong.append(".".join(path))
    return wrong


def test_every_room_has_its_layer():
    rooms = {p.relative_to(PACKAGE).with_suffix("").parts[0] for p in FILES}
    assert rooms == set.union(*LAYERS)
    assert sum(map(len, LAYERS)) == len(rooms)
    assert {path[0] for path in imports(PACKAGE / "__init__.py")} == {"api"}  # and nothing before it is asked for


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_imports_run_one_way(file):
    assert breaches(file) == []


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("probes/macs.py", "from workbench import models"),
        ("probes/macs.py", "from workbench.probes import params"),
        ("papers/esc.py", "from workbench.models import VARIANTS"),
        ("models/esc.py", "from .hit import HiT"),
        ("models/esc.py", "from workbench.models import hit"),
        ("models/parts/windows.py", "import workbench.store"),
        ("store.py", "def late():\n    from workbench import execute"),
        ("report/html.py", "from workbench import progress"),
        ("execute.py", "from . import cli"),
        ("cli/checking.py", "from .measuring import measure"),
    ],
)
def test_the_test_above_would_see_a_breach(file, text):
    assert breaches(PACKAGE / file, text)


@pytest.mark.parametrize(
    "file", ["models/esc.py", "report/html.py", "probes/macs.py", "papers/esc.py", "probes/roofline.py"]
)
def test_and_sees_none_where_there_is_none(file):
    assert imports(PACKAGE / file)
    assert breaches(PACKAGE / file) == []


def test_the_nouns_need_the_standard_library_only():
    nodes = [n for room in ("spec", "published") for n in ast.walk(ast.parse((PACKAGE / f"{room}.py").read_text()))]
    names = {a.name for n in nodes if isinstance(n, ast.Import) for a in n.names}
    names |= {n.module for n in nodes if isinstance(n, ast.ImportFrom)} - {"workbench.spec"}
    assert {n.partition(".")[0] for n in names} <= sys.stdlib_module_names


# --- lists that grow


def entries(folder, private):
    return {f.stem for f in (PACKAGE / folder).glob("*.py")} - {"__init__", *private}


def test_every_family_file_is_listed_and_every_model_of_it():
    assert entries("models", ["ablations", "checkpoint"]) == {f.name for f in models.FAMILIES}
    for family in models.FAMILIES:
        assert importlib.import_module(f"workbench.models.{family.name}").MODELS.keys() == set(family.models)


def test_every_probe_file_is_listed():
    own = [p for p in probes.PROBES.values() if p.module]
    assert {f"workbench.probes.{entry}" for entry in entries("probes", SHARED["probes"])} == {p.module for p in own}
    assert {p.name for p in probes.PROBES.values() if not (p.module or p.across)} == {"quality", "ssim"}
    assert list(probes.PROBES) == [p.name for p in probes.PROBES.values()]
    assert all(callable(p.measure) for p in own)
    assert all(p.across in probes.PROBES for p in probes.PROBES.values() if p.across)


def test_every_paper_file_is_listed():
    assert entries("papers", ["printed", "names"]) == {p.__name__.rpartition(".")[2] for p in papers.PAPERS}


def test_every_file_of_commands_is_listed():
    assert entries("cli", ["completing", "options"]) == {g.__name__.rpartition(".")[2] for g in cli.GROUPS}


def test_every_notebook_is_listed(root):
    assert {f.stem for f in (root / "notebooks").glob("*.ipynb")} == set(reproduce.NOTEBOOKS)


# --- what reads never imports torch

BLOCKED = """
import os, sys, traceback
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name in blocked:
            traceback.print_stack()
            sys.stderr.flush()
            os._exit(97)
blocked = sys.argv[1].split(",")
sys.meta_path.insert(0, Blocker())
from workbench.cli import main
sys.argv = ["workbench", *sys.argv[2:]]
main()
"""
READING = (
    ("--help",),
    ("measure", "--help"),
    ("variants",),
    ("variants", "--json"),
    ("protocols",),
    ("probes",),
    ("tables",),
    ("devices",),
    *(("table", "esc-table2", "--format", f) for f in ("md", "csv", "tex", "html", "json")),
    ("table", "esc-table2", "--bounds", "a100"),
    ("table", "esc-table2", "--drop", "rdn,rcan", "--only", "x4", "--columns", "params,quality+set5", "--tex"),
    ("records",),
    ("records", "--sql", "select count(*) from records"),
    ("data", "list"),
    ("data", "fetch"),
    ("measure", "no-such-variant"),
)


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_what_reads_never_imports_torch(python, example, words):
    told = ("--records", example) if words[0] in ("table", "records") else ()
    told = ("--data", "nowhere") if words[0] == "data" else told
    ran = python(BLOCKED, "torch", *words, *told)
    assert ran.code == (2 if "no-such-variant" in words else 0), ran.err
    assert ran.out or ran.code


def test_what_measures_does_so_the_test_above_can_fail(python, tmp_path):
    ran = python(BLOCKED, "torch", "measure", "esc-fp-x4", "--records", tmp_path)
    assert ran.code == 97
    assert "import torch" in ran.err


def test_help_imports_nothing_heavy(python):
    heavy = "torch,numpy,pandas,matplotlib,duckdb,papermill,fvcore,skimage,jupyter_client,IPython,rich.progress"
    assert python(BLOCKED, heavy, "--help").code == 0


def test_nor_do_the_notebook_s_calls_on_the_reading_side(python, example):
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from workbench import judge, report\n"
        f"table, cells = judge.read('esc-table2', {str(example)!r})\n"
        "print(len(cells), len(report.show(table, cells).data), type(report.picture(table, cells)).__name__)\n"
    )
    cells = len(papers.TABLES["esc-table2"].rows) * len(papers.TABLES["esc-table2"].columns)
    ran = python(script)
    assert ran.out.split()[::2] == [str(cells), "Image"], ran.err


def test_json_of_the_listings_is_what_the_catalogue_holds(python):
    ran = python(BLOCKED, "torch", "variants", "--json")
    assert [v["name"] for v in json.loads(ran.out)] == list(models.VARIANTS)
