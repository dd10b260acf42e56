"""A sweep file: grids of measurements in TOML, and what of them is left out.

[[grid]]
models = ["esc*", "hit-srf"]       # names or globs of models or variants
scale = [2, 4]                     # all, if it is not given
probes = ["latency", "memory"]
protocols = ["steady+cuda"]
hr = ["default", "1080p"]          # an axis: a modifier of the protocol, or none
gpu = ["a100", "rtx-4090"]
exclude = [{ models = "esc-fp", gpu = "rtx-4090" }]
"""

from __future__ import annotations

import fnmatch
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from workbench import described, execute, models, probes, protocols
from workbench.described import Section
from workbench.devices import DEVICES
from workbench.execute import Request
from workbench.spec import UserError, unknown

DEFAULT = "default"
"""The value of an axis that leaves a protocol as it is."""

AXES: Mapping[str, Mapping[str, str]] = {
    "hr": {size.removeprefix("hr"): size for size in protocols.SIZES},
    "attention": {name: name for name in ("sdpa", "flex")},
    "forward": {name: name for name in ("lean", "faithful")},
    "precision": {name: name for name in ("tf32", "no-tf32")},
    "run": {name: name for name in ("compile", "graph")},
    "set": {name: name for name in protocols.SETS},
    "gpu": {name: name for name in DEVICES},
}
"""For each axis its values, and the modifier of a protocol that each of them is."""

NAMED = ("models", "scale", "probes", "protocols")
"""What a grid says beside its axes."""

WEIGHTS = "weights"
"""The trained weights of a grid, where its probes judge images."""

FILTERS = ("exclude", "only")

GRID = (*NAMED, *AXES, WEIGHTS, *FILTERS)
"""Every key of a grid."""


@dataclass(frozen=True)
class Asked:
    """What a sweep file asks for."""

    requests: tuple[Request, ...]
    """In the order of the file; each once."""
    excluded: int
    """How many more its grids have, which its filters leave out."""


@dataclass(frozen=True)
class _Point:
    """One measurement of a grid, by what filters know of it."""

    request: Request
    values: Mapping[str, tuple[str, ...]]
    """For each key of a filter the words that it may pick this by."""

    def picked(self, chosen: Mapping[str, Sequence[str]]) -> bool:
        """Whether all that a filter says is true of it."""
        return all(any(fnmatch.fnmatchcase(v, g) for v in self.values[k] for g in globs) for k, globs in chosen.items())


def read(path: Path, home: Path) -> Asked:
    """The measurements that a sweep file asks for; `home` is the folder of test sets and weights."""
    told = described.read(path, "a sweep", "docs/howto/cluster.md")
    if strange := next((key for key in told.values if key in GRID), None):
        raise told.wrong(strange, "it is of a grid; begin each grid with a line [[grid]], and write it below that")
    told.only("grid")
    grids = told.values.get("grid", [])
    if not isinstance(grids, list) or not all(isinstance(g, dict) for g in grids):
        raise told.wrong("grid", "it is no list of tables; begin each grid with a line [[grid]]")
    found, excluded = dict[tuple[str, str | None], Request](), 0
    for number, values in enumerate(grids, start=1):
        grid = Section(told.file, told.text, f"grid[{number}]", values)
        points = _points(grid)
        kept = [p.request for p in _kept(points, grid)]
        excluded += len(points) - len(kept)
        for request in execute.with_subjects(kept, _weights(grid), home):
            place = protocols.device(request.protocol) if request.probe.timed else None
            found.setdefault((request.identity, place), request)
    if not found:
        why = f"its filters leave out all {excluded}" if excluded else "it has no [[grid]]"
        raise UserError(
            f"{path} asks for no measurement: {why}. A grid names models, and probes if not all that count."
        )
    return Asked(tuple(found.values()), excluded)


def _points(grid: Section) -> list[_Point]:
    """Every measurement of a grid, before its filters."""
    grid.only(*GRID)
    if "models" not in grid.values:
        raise grid.wrong("models", "it is missing; say which: models = ['esc*']")
    scales = _words(grid, "scale") or [str(scale) for scale in models.SCALES]
    named = _words(grid, "models")
    variants = [v for v in grid.made("models", lambda: execute.resolve(_variants(named))) if str(v.scale) in scales]
    if not variants:
        known = ", ".join(map(str, models.SCALES))
        if strange := next((scale for scale in scales if not scale.isdecimal()), None):
            raise grid.wrong("scale", f"{strange!r} is no scale; networks are at {known}")
        raise grid.wrong("scale", f"none of {', '.join(named)} is at x{' or x'.join(scales)}; networks are at {known}")
    counted = [p.name for p in probes.PROBES.values() if not p.across and not p.real]
    of = {k: _words(grid, k) or d for k, d in (("probes", counted), ("protocols", ["esc"]))}
    for probe in of["probes"]:
        grid.made("probes", partial(probes.find, probe))
    for protocol in of["protocols"]:
        grid.made("protocols", partial(protocols.find, protocol))
    axes = {axis: _words(grid, axis) or [DEFAULT] for axis in AXES}
    for axis, values in axes.items():
        for value in values:
            if value not in (DEFAULT, *AXES[axis]):
                raise grid.wrong(axis, str(unknown("value", value, [DEFAULT, *AXES[axis]], "")))
    points = []
    for base, *chosen in itertools.product(of["protocols"], *axes.values()):
        at = dict(zip(AXES, chosen, strict=True))
        way = "+".join([base, *(AXES[axis][v] for axis, v in at.items() if v != DEFAULT)])
        ask = partial(execute.requests, [v.name for v in variants], of["probes"], [way])
        for request in grid.made("protocols", ask):
            variant = request.variant
            words: dict[str, tuple[str, ...]] = {
                "models": (variant.model, variant.name),
                "scale": (str(variant.scale),),
                "probes": (request.probe.name,),
                "protocols": (base, way),
            }
            points.append(_Point(request, words | {axis: (v,) for axis, v in at.items()}))
    return points


def _variants(words: Sequence[str]) -> list[str]:
    """The names of variants; a model's own name stands for it at every scale."""
    every = {v.model for v in models.VARIANTS.values()}
    return [f"{word}-x*" if word in every else word for word in words]


def _weights(grid: Section) -> str | None:
    told = _words(grid, WEIGHTS)
    if len(told) > 1:
        raise grid.wrong(WEIGHTS, f"a grid has one name or file, and these are {len(told)}; make a grid for each")
    return told[0] if told else None


def _kept(points: Sequence[_Point], grid: Section) -> list[_Point]:
    """What `only` picks, if it is there, and `exclude` does not."""
    picks = {name: _filter(points, grid, name) for name in FILTERS if name in grid.values}
    left = picks.get("only", set(range(len(points)))) - picks.get("exclude", set())
    return [points[n] for n in sorted(left)]


def _filter(points: Sequence[_Point], grid: Section, name: str) -> set[int]:
    """The places of what any table of a filter picks; one that picks nothing is a mistake, and would go unseen."""
    told = grid.values[name]
    tables = told if isinstance(told, list) else [told]
    if not all(isinstance(t, dict) for t in tables):
        raise grid.wrong(name, "it is no list of tables; write: [{ models = 'elan*', scale = 2 }]")
    if empty := next((n for n, t in enumerate(tables, start=1) if not t), None):
        raise grid.wrong(
            name, f"number {empty} is an empty table, which would pick all; write: [{{ models = 'elan*' }}]"
        )
    picked = set[int]()
    for number, values in enumerate(tables, start=1):
        table = Section(grid.file, grid.text, f"{grid.place}.{name}[{number}]", values)
        table.only(*NAMED, *AXES)
        chosen = {key: _words(table, key) for key in values}
        found = {n for n, p in enumerate(points) if p.picked(chosen)}
        if not found:
            said = ", ".join(f"{key} {' or '.join(globs)}" for key, globs in chosen.items())
            raise grid.wrong(name, f"number {number} ({said}) picks none of the grid's {len(points)} measurements")
        picked |= found
    return picked


def _words(table: Section, key: str) -> list[str]:
    """One word or several, none where the key is not there; a number, which a scale is, counts as one."""
    if key not in table.values:
        return []
    told = table.values[key]
    listed = told if isinstance(told, list) else [told]
    if not all(isinstance(w, str | int) and not isinstance(w, bool) for w in listed):
        raise table.wrong(key, f"{described.shown(told)} is no name; give one, or a list of names")
    if not listed:
        raise table.wrong(key, "it is an empty list, which asks for nothing; name something, or leave the key out")
    words = [str(w) for w in listed]
    return list(dict.fromkeys(w.removeprefix("x") if key == "scale" else w for w in words))
