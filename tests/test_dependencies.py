"""Dependencies: each has its reason and its row, and whatever an installation brings is pinned."""

import re
import tomllib
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from workbench import environment

ROOT = environment.SOURCE
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
PINS = {
    canonicalize_name(name): version
    for name, version in re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
}

REQUIRED = [r for requirements in (PROJECT["dependencies"], *EXTRAS.values()) for r in requirements]
ALL = {canonicalize_name(Requirement(r).name) for r in REQUIRED}


def test_every_dependency_has_its_reason_beside_it():
    text = (ROOT / "pyproject.toml").read_text()
    block = re.search(r"^dependencies = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL)[1]
    told = dict(re.findall(r'^ +"([^"]+)", +# (\S.*)$', block, re.MULTILINE))
    assert list(told) == PROJECT["dependencies"]


def test_every_dependency_has_its_row_in_contributing():
    rows = re.findall(r"^\| ([\w, -]+) \| ", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    told = {canonicalize_name(name) for row in rows for name in row.split(", ")}
    assert ALL - told == set()


def test_every_dependency_is_pinned():
    assert PINS["torch"] == "2.13.0"
    assert ALL - PINS.keys() == set(), "make lock pins them"


def test_what_dependencies_depend_on_is_pinned_too():
    """By what is installed here. What a package pins itself, as torch does its CUDA libraries, needs no pin of ours."""
    todo = [Requirement(r) for r in (*PROJECT["dependencies"], *EXTRAS["dev"])]
    seen = set()
    while todo:
        wanted = todo.pop()
        name = canonicalize_name(wanted.name)
        if (name, frozenset(wanted.extras)) in seen:
            continue
        seen.add((name, frozenset(wanted.extras)))
        assert name in PINS, f"{name} is not in constraints.txt; make lock writes it"
        needs = [Requirement(r) for r in metadata.requires(name) or ()]
        for need in needs:
            asked = any(need.marker.evaluate({"extra": e}) for e in ("", *wanted.extras)) if need.marker else True
            exact = any(s.operator == "==" and "*" not in s.version for s in need.specifier)
            if asked and not (exact and canonicalize_name(need.name) not in PINS):
                todo.append(need)
    assert len(seen) > len(PROJECT["dependencies"])


def test_nothing_is_pinned_to_a_local_build():
    assert not [pin for pin in PINS.items() if "+" in pin[1]]
