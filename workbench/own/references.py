"""What is typed for a network that is not of the catalogue, taken apart: nothing is opened or imported here."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Literal

from workbench.spec import UserError

GROUP = "workbench.models"
"""The group of entry points by which an installed package names its networks."""

FORMS = "mypkg.mymodel:build, ./net.py:Net, spandrel:FILE.pth, or an entry point of the group workbench.models"

Kind = Literal["file", "module", "spandrel", "entry point"]


@dataclass(frozen=True)
class Reference:
    """What a reference names, and what was typed with it."""

    text: str
    """Without arguments and scale."""
    kind: Kind
    place: str
    """A path of a file, or the dotted name of a module."""
    name: str = ""
    """What to take from there: `Net`, or with dots; empty where nothing was named."""
    package: str = ""
    """The distribution whose entry point it is."""
    arguments: tuple[tuple[str, str], ...] = ()
    """As in `spec.Source`."""
    scale: int | None = None
    """Where it was typed behind the name: `./net.py:Net-x4`."""


def parse(text: str) -> Reference | None:
    """What a word refers to; None for one that can only be meant as a name, or a glob, of the catalogue."""
    if text.startswith("spandrel:"):
        return Reference(text, "spandrel", text.removeprefix("spandrel:"))
    bare, arguments, scale = _split(text)
    place, colon, name = bare.rpartition(":")
    if not colon:
        place, name = (bare, "") if bare.endswith(".py") else ("", bare)
    if "/" in place or place.endswith(".py"):
        return Reference(bare, "file", place, name, "", arguments, scale)
    if colon:
        if not all(part.isidentifier() for part in (*place.split("."), *name.split("."))):
            raise UserError(f"The reference {text!r} cannot be read. A network of your own is one of: {FORMS}.")
        return Reference(bare, "module", place, name, "", arguments, scale)
    for entry in metadata.entry_points(group=GROUP):
        if entry.name == bare:
            package = entry.dist.name if entry.dist else ""
            return Reference(bare, "entry point", entry.module, entry.attr, package, arguments, scale)
    return None


def clash(name: str) -> UserError | None:
    """The sentence for a name of the catalogue that an installed package has given to a network of its own as well."""
    for entry in metadata.entry_points(group=GROUP):
        if entry.name in (name, re.sub(r"-x\d+$", "", name)):
            package = entry.dist.name if entry.dist else "a package"
            return UserError(
                f"{name!r} is a network of the catalogue, and {package} has an entry point {entry.name!r}; which one "
                f"is meant cannot be known. Name that one {entry.value}, or remove the package for the other."
            )
    return None


def told(arguments: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Arguments as given with --arg: `dim=64` is a Python literal; what is none is text."""
    found = {}
    for word in arguments:
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier():
            raise UserError(f"--arg {word!r} cannot be read; write a name and its value: --arg dim=64.")
        try:
            found[name] = repr(ast.literal_eval(value))
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            found[name] = repr(value)
    return tuple(sorted(found.items()))


def written(reference: Reference, scale: int) -> str:
    """The name of a variant, which can be typed in place of the reference, the arguments and the scale."""
    inner = ", ".join(f"{name}={value}" for name, value in reference.arguments)
    return f"{reference.text}{f'({inner})' if inner else ''}{'' if reference.kind == 'spandrel' else f'-x{scale}'}"


def _split(text: str) -> tuple[str, tuple[tuple[str, str], ...], int | None]:
    """`./net.py:Net(dim=64)-x4` without its arguments and scale, and these."""
    found = re.fullmatch(r"(.*?)(?:\((.*)\))?(?:-x([1-9]\d*))?", text, re.DOTALL)
    assert found  # everything in it may be missing
    bare, inner, scale = found.groups()
    if inner is None:
        return bare, (), int(scale) if scale else None
    try:
        call = ast.parse(f"_({inner})", mode="eval").body
        assert isinstance(call, ast.Call)
        if call.args or any(word.arg is None for word in call.keywords):
            raise ValueError
        arguments = {str(word.arg): repr(ast.literal_eval(word.value)) for word in call.keywords}
    except (SyntaxError, ValueError):
        raise UserError(
            f"The arguments in {text!r} cannot be read; write names and Python literals, such as {bare}(dim=64)."
        ) from None
    return bare, tuple(sorted(arguments.items())), int(scale) if scale else None
