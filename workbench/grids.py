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
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench import execute, models, probes, protocols
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
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"Cannot read the sweep file {path}: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no TOML: {str(error).rstrip('.')}.") from None
    _check(path, told, ["grid"], "a sweep file")
    grids = told.get("grid", [])
    if not isinstance(grids, list) or not all(isinstance(g, dict) for g in grids):
        raise UserError(f"{path}: `grid` is no list of tables; begin each grid with a line [[grid]].")
    found, excluded = dict[tuple[str, str | None], Request](), 0
    for number, grid in enumerate(grids, start=1):
        where = f"{path}, grid {number}"
        points = _points(grid, where)
        kept = [p.request for p in _kept(points, grid, where)]
        excluded += len(points) - len(kept)
        for request in execute.with_subjects(kept, _weights(grid, where), home):
            place = protocols.device(request.protocol) if request.probe.timed else None
            found.setdefault((request.identity, place), request)
    if not found:
        why = f"all {excluded} of its grids are excluded" if excluded else "it has no [[grid]]"
        raise UserError(
            f"{path} asks for no measurement: {why}. A grid names models, and probes if not all that count."
        )
    return Asked(tuple(found.values()), excluded)


def _points(grid: Mapping[str, Any], where: str) -> list[_Point]:
    """Every measurement of a grid, before its filters."""
    _check(where, grid, [*NAMED, *AXES, WEIGHTS, *FILTERS], "a grid")
    if "models" not in grid:
        raise UserError(f"{where} names no models; say which: models = ['esc*'].")
    scales = _words(grid.get("scale", []), where, "scale")
    variants = [v for v in execute.resolve(_variants(grid, where)) if not scales or str(v.scale) in scales]
    if not variants:
        raise UserError(
            f"{where}: none of {', '.join(_words(grid['models'], where, 'models'))} is at x{' or x'.join(scales)}."
        )
    counted = [p.name for p in probes.PROBES.values() if not p.across and not p.real]
    named = {k: _words(grid[k], where, k) if k in grid else d for k, d in (("probes", counted), ("protocols", ["esc"]))}
    axes = {axis: _words(grid.get(axis, DEFAULT), where, axis) for axis in AXES}
    for axis, values in axes.items():
        for value in values:
            if value not in (DEFAULT, *AXES[axis]):
                raise unknown(f"{axis} of {where}", value, [DEFAULT, *AXES[axis]], "workbench protocols")
    points = []
    for base, *chosen in itertools.product(named["protocols"], *axes.values()):
        at = dict(zip(AXES, chosen, strict=True))
        way = "+".join([base, *(AXES[axis][v] for axis, v in at.items() if v != DEFAULT)])
        for request in execute.requests([v.name for v in variants], named["probes"], [way]):
            variant = request.variant
            words: dict[str, tuple[str, ...]] = {
                "models": (variant.model, variant.name),
                "scale": (str(variant.scale),),
                "probes": (request.probe.name,),
                "protocols": (base, way),
            }
            points.append(_Point(request, words | {axis: (v,) for axis, v in at.items()}))
    return points


def _variants(grid: Mapping[str, Any], where: str) -> list[str]:
    """The names of variants; a model's own name stands for it at every scale."""
    every = {v.model for v in models.VARIANTS.values()}
    return [f"{word}-x*" if word in every else word for word in _words(grid["models"], where, "models")]


def _weights(grid: Mapping[str, Any], where: str) -> str | None:
    told = _words(grid.get(WEIGHTS, []), where, WEIGHTS)
    if len(told) > 1:
        raise UserError(
            f"{where}: weights are one name or file for a grid; it gives {len(told)}. Make a grid for each."
        )
    return told[0] if told else None


def _kept(points: Sequence[_Point], grid: Mapping[str, Any], where: str) -> list[_Point]:
    """What `only` picks, if it is there, and `exclude` does not."""
    picks = {name: _filter(points, grid[name], f"{where}, {name}") for name in FILTERS if name in grid}
    left = picks.get("only", set(range(len(points)))) - picks.get("exclude", set())
    return [points[n] for n in sorted(left)]


def _filter(points: Sequence[_Point], told: Any, where: str) -> set[int]:
    """The places of what any table of a filter picks; one that picks nothing is a mistake, and would go unseen."""
    tables = told if isinstance(told, list) else [told]
    if not all(isinstance(t, dict) and t for t in tables):
        raise UserError(f"{where} is no list of tables; write: [{{ models = 'elan*', scale = 2 }}].")
    picked = set[int]()
    for number, table in enumerate(tables, start=1):
        _check(f"{where} {number}", table, [*NAMED, *AXES], "a filter")
        chosen = {key: _words(value, where, key) for key, value in table.items()}
        found = {n for n, p in enumerate(points) if p.picked(chosen)}
        if not found:
            said = ", ".join(f"{key} {' or '.join(globs)}" for key, globs in chosen.items())
            raise UserError(f"{where} {number} ({said}) picks none of the grid's {len(points)} measurements.")
        picked |= found
    return picked


def _check(where: object, told: Mapping[str, Any], known: Sequence[str], what: str) -> None:
    """A key that nothing reads is a mistake: what it was to say would silently not be so."""
    for key in told:
        if key not in known:
            sentence = str(unknown(f"key of {what}", key, known, ", ".join(known)))
            raise UserError(
                f"{where}: {sentence.replace(' are known; list them: ', ' are known: ')}.".replace("..", ".")
            )


def _words(told: Any, where: str, key: str) -> list[str]:
    """One word or several; a number, which a scale is, counts as one."""
    listed = told if isinstance(told, list) else [told]
    if not all(isinstance(w, str | int) and not isinstance(w, bool) for w in listed):
        raise UserError(f"{where}: {key} is given {told!r}; give a name, or a list of names.")
    return list(dict.fromkeys(str(w) for w in listed))
