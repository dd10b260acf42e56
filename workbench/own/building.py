"""Makes a network of what a reference names, in a process of its own, and puts back what that switched."""

from __future__ import annotations

import ast
import difflib
import inspect
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn
from torch.nn.parameter import is_lazy

from workbench.spec import Source, UserError

from . import holding, sources, state
from .references import Reference, parse

SCALES = ("scale", "upscale", "upscale_factor", "scale_factor", "upscaling_factor", "upsampling", "sf")
"""What the parameter of a constructor is called that takes the scale."""


@dataclass
class Built:
    """A network, and what making it showed."""

    model: nn.Module
    scale: int | None
    """Where its source knows it; None where nobody told."""
    files: tuple[tuple[str, str], ...]
    digest: str
    seen: dict[str, Any] = field(default_factory=dict)
    changed: dict[str, str] = field(default_factory=dict)
    """What it switched for the whole process; it was put back."""


_loaded: dict[tuple[str, str], tuple[Any, sources.Sources]] = {}
"""What this process has imported, by folder and reference."""

_at_import: dict[str, str] = {}
"""What that switched, and was put back."""


def build(source: Source, scale: int | None) -> Built:
    """Import what a source names, and construct it: eval mode, float32, on the CPU, whatever the code asks for.

    What was looked at before must not have changed since.
    """
    sources.unchanged(source.files)
    before = state.now()
    try:
        made = _made(source, scale)
        _there(made.model, source)
        made.model = made.model.cpu().float().eval()
        made.changed = _at_import | state.changed(before)
    finally:
        state.put_back(before)
    return made


def _made(source: Source, scale: int | None) -> Built:
    if source.held is not None:
        return Built(holding.copied(source.held, source.reference), scale, (), "")
    return _spandrel(source) if source.reference.startswith("spandrel:") else _constructed(source, scale)


def _there(model: nn.Module, source: Source) -> None:
    """Refuse a network that has no values, or will have parameters only once it ran: its counts would be wrong."""
    for name, parameter in model.named_parameters():
        if is_lazy(parameter):
            raise UserError(
                f"{source.reference} has parameters that its first forward makes ({name}, of a lazy module). Run it "
                "once where it is made, and give that."
            )
        if parameter.is_meta:
            raise UserError(
                f"{source.reference} lies on the meta device ({name}), and has no values. Make it on the CPU, or give "
                "it values: .to_empty(device='cpu') and its initialisation."
            )


def load(source: Source) -> None:
    """Import what a source names, and construct nothing yet."""
    reference = parse(source.reference)
    if reference is not None and reference.kind != "spandrel":
        before = state.now()
        try:
            _target(reference, Path(source.folder))
        finally:
            _at_import.update(state.changed(before))
            state.put_back(before)


def _constructed(source: Source, scale: int | None) -> Built:
    reference = parse(source.reference)
    assert reference is not None  # it was one before it came here
    target, found = _target(reference, Path(source.folder))
    if isinstance(target, nn.Module):
        if source.arguments:
            raise UserError(f"{reference.text} is a network already, which takes no --arg; name a class or function.")
        model: Any = target
    else:
        model = _called(target, reference, source, scale)
    if isinstance(model, type) and issubclass(model, nn.Module):
        raise UserError(
            f"{reference.text} gave the class {model.__name__} and no network of it; name the class itself."
        )
    if not isinstance(model, nn.Module):
        raise UserError(f"{reference.text} gave {a(model)} and no nn.Module, so there is nothing to measure.")
    files = found.files()
    root = found.root if found.root.is_dir() else found.root.parent
    seen = {"class": f"{type(model).__module__}.{type(model).__qualname__}", "package": reference.package or None}
    return Built(model, None, files, sources.digest(files, root), seen)


def files(source: Source) -> tuple[tuple[tuple[str, str], ...], str]:
    """All files that a source has imported by now: more than at first, where a forward imports."""
    reference = parse(source.reference)
    known = _loaded.get((source.folder, source.reference))
    if known is None or reference is None:
        return source.files, source.digest
    found = known[1].files()
    root = known[1].root if known[1].root.is_dir() else known[1].root.parent
    return found, sources.digest(found, root)


def _target(reference: Reference, folder: Path) -> tuple[Any, sources.Sources]:
    key = str(folder), reference.text
    if key not in _loaded:
        found = sources.Sources(reference, folder)
        for _, other in _loaded.values():
            if other.root != _root(reference, folder):
                other.forget()
        _loaded[key] = found.target(), found
    return _loaded[key]


def _root(reference: Reference, folder: Path) -> Path | None:
    """Where the own files of a file will lie, as far as that can be told before it is imported."""
    return (folder / reference.place).resolve().parent if reference.kind == "file" else None


def _called(target: Any, reference: Reference, source: Source, scale: int | None) -> Any:
    """The target called with the arguments that were given, and with the scale where it takes one."""
    if not callable(target):
        raise UserError(f"{reference.text} is {a(target)}, and nothing that could be called to make a network.")
    arguments = {name: ast.literal_eval(value) for name, value in source.arguments}
    takes = sources.signature(target)
    if takes is None:
        return target(**arguments)
    parameters = takes.parameters
    anything = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    if not anything and (odd := [name for name in arguments if name not in parameters]):
        near = difflib.get_close_matches(odd[0], parameters, n=1, cutoff=0.5)
        guess = f" Did you mean {near[0]!r}?" if near else ""
        raise UserError(
            f"{reference.text} takes no argument {odd[0]!r}.{guess} It takes: {', '.join(parameters) or 'none'}."
        )
    its = next((name for name in SCALES if name in parameters), None)
    if its and its not in arguments:
        if scale is not None:
            arguments[its] = scale
        elif parameters[its].default is inspect.Parameter.empty:
            raise UserError(f"{reference.text} wants to know its {its}, which was not given: --scale 4.")
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    needed = [n for n, p in parameters.items() if p.kind in plain and p.default is p.empty and n not in arguments]
    if needed:
        raise UserError(
            f"{reference.text} is missing {', '.join(needed)}; give {'it' if len(needed) == 1 else 'them'}: "
            f"{' '.join(f'--arg {name}=...' for name in needed)}"
        )
    return target(**arguments)


def _spandrel(source: Source) -> Built:
    """A trained network of any architecture that spandrel knows, if that is installed."""
    place = source.reference.removeprefix("spandrel:")
    path = (Path(source.folder) / place).expanduser()
    if source.arguments:
        raise UserError(f"{source.reference} takes no --arg: its checkpoint says what it is.")
    if not path.is_file():
        raise UserError(f"No file {place!r} in {source.folder}; name a checkpoint: spandrel:FILE.pth")
    try:
        import spandrel  # type: ignore[import-not-found, unused-ignore]  # it is no dependency
    except ImportError as error:
        raise UserError(
            f"{source.reference} takes the package spandrel, which is not installed here or lacks something "
            f"({error}): pip install spandrel. With pip it brings torchvision, which may replace this torch."
        ) from None
    try:
        found = spandrel.ModelLoader(device="cpu").load_from_file(path)
    except spandrel.UnsupportedModelError:
        raise UserError(
            f"spandrel {_version(spandrel)} knows no architecture of which {place} is a checkpoint."
        ) from None
    if not isinstance(found, spandrel.ImageModelDescriptor) or (found.input_channels, found.output_channels) != (3, 3):
        raise UserError(f"{place} holds {type(found).__name__}, which makes no image with 3 channels of one.")
    hashes = ((str(path.resolve()), sources.hashed(path)),)
    seen = {"class": found.architecture.name, "spandrel": _version(spandrel)}
    content = sources.digest(hashes, path.resolve().parent)
    return Built(found.model, int(found.scale), hashes, content, seen)


def _version(module: Any) -> str:
    return str(getattr(module, "__version__", "of unknown version"))


def a(thing: Any) -> str:
    """What a thing is, with its article: `a Linear`."""
    kind = type(thing).__name__
    return "None" if thing is None else f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}"
