"""Imports somebody's code in this process, which is to be one of its own, and says which files that was."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from workbench.spec import UserError

from .references import Reference

LIBRARIES = ("site-packages", "dist-packages")
"""Folders of what was installed: of that, only the package that was named is part of a network's source."""


class Sources:
    """What one reference had imported, and where its own files lie."""

    def __init__(self, reference: Reference, folder: Path):
        self.reference = reference
        self.folder = folder
        self.root = folder
        self.file: Path | None = None
        """Of the module that was named."""
        self._before = set(sys.modules)

    def target(self) -> Any:
        """What the reference names, imported."""
        module = self._file() if self.reference.kind == "file" else self._module()
        self.file = Path(module.__file__) if module.__file__ else None
        return self._named(module)

    def names(self) -> list[str]:
        """The modules that it brought along and whose files are its own."""
        return [name for name in set(sys.modules) - self._before if self._own(sys.modules[name])]

    def files(self) -> tuple[tuple[str, str], ...]:
        """Its own files that are imported by now, each with its hash, in the order of their paths."""
        found = {Path(str(sys.modules[name].__file__)) for name in self.names()}
        if self.file:
            found.add(self.file)
        return tuple((str(path), hashed(path)) for path in sorted(found))

    def forget(self) -> None:
        """Have the next import of the same names start anew: another folder may hold other files by these names."""
        for name in self.names():
            del sys.modules[name]

    def _own(self, module: ModuleType) -> bool:
        path = getattr(module, "__file__", None)
        if not path or not Path(path).is_file() or not Path(path).is_relative_to(self.root):
            return False
        return not any(part in LIBRARIES for part in Path(path).relative_to(self.root).parts)

    def _file(self) -> ModuleType:
        path = (self.folder / self.reference.place).expanduser().resolve()
        if not path.is_file():
            near = [p.name for p in sorted(path.parent.glob("*.py"))] if path.parent.is_dir() else []
            guess = difflib.get_close_matches(path.name, near, n=1)
            known = f"Did you mean {guess[0]!r}?" if guess else f"Files there: {', '.join(near[:8]) or 'no .py file'}."
            raise UserError(f"No file {self.reference.place!r} in {self.folder}. {known}")
        top = path.parent
        while (top / "__init__.py").is_file():
            top = top.parent
        self.root = path.parent if top == path.parent else top / path.relative_to(top).parts[0]
        sys.path.insert(0, str(top))
        if top != path.parent:  # part of a package, whose modules it may import by a leading dot
            return importlib.import_module(".".join(path.relative_to(top).with_suffix("").parts))
        name = path.stem if path.stem.isidentifier() and path.stem not in sys.modules else f"own_{path.stem}"
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise UserError(f"{self.reference.place!r} is no file of Python; name one that ends in .py.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module

    def _module(self) -> ModuleType:
        sys.path.insert(0, str(self.folder))
        top = self.reference.place.partition(".")[0]
        found = importlib.util.find_spec(top)
        if found is None:
            raise UserError(
                f"No module {top!r}, neither in {self.folder} nor installed. Stand in the folder above it, install it, "
                "or name the file: ./net.py:Net"
            )
        if found.origin and Path(found.origin).is_file():
            origin = Path(found.origin).resolve()
            self.root = origin.parent if origin.name == "__init__.py" else origin
        elif found.submodule_search_locations:  # a folder without __init__.py
            self.root = Path(next(iter(found.submodule_search_locations))).resolve()
        return importlib.import_module(self.reference.place)

    def _named(self, module: ModuleType) -> Any:
        from torch import nn

        whole = self.reference.text
        there = {n: v for n, v in vars(module).items() if not n.startswith("_") and callable(v)}
        here = [n for n, v in there.items() if getattr(v, "__module__", "") == module.__name__]
        here += [n for n, v in vars(module).items() if isinstance(v, nn.Module)]
        if not self.reference.name:
            known = f"It has: {_some(here)}." if here else "It has neither a class nor a function."
            raise UserError(f"{whole!r} names a file and nothing in it; write {whole}:NAME. {known}")
        target: Any = module
        for part in self.reference.name.split("."):
            if not hasattr(target, part):
                near = difflib.get_close_matches(part, here or list(there), n=1, cutoff=0.5)
                near = near or [n for n in here if n.lower() == part.lower()]
                guess = f" Did you mean {near[0]!r}?" if near else ""
                known = f" It has: {_some(here)}." if here and not near else ""
                raise UserError(f"{self.reference.place!r} has no {part!r}.{guess}{known}")
            target = getattr(target, part)
        return target


def _some(names: Sequence[str]) -> str:
    """The first eight names, and how many more there are."""
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return ", ".join(names[:8]) + more


def hashed(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def digest(files: Iterable[tuple[str, str]], root: Path) -> str:
    """One hash of many files: of their content and of how they lie to each other, wherever that is."""
    lines = []
    for path, sha256 in files:
        inside = Path(path).is_relative_to(root)
        lines.append(f"{Path(path).relative_to(root) if inside else Path(path).name} {sha256}")
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def unchanged(files: Iterable[tuple[str, str]]) -> None:
    """Refuse a measurement of files that were edited since they were looked at."""
    for path, sha256 in files:
        if not Path(path).is_file() or hashed(Path(path)) != sha256:
            raise UserError(f"{Path(path).name} was changed while it was measured; run the command again.")


def signature(target: Any) -> inspect.Signature | None:
    """What a class or function takes; None where that cannot be told."""
    try:
        return inspect.signature(target)
    except (TypeError, ValueError):
        return None
