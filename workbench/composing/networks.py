"""Networks that a table is given beside its rows: what was typed, and how they are called there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from workbench import models, own
from workbench.own import references
from workbench.papers import names
from workbench.published import Row
from workbench.spec import UserError, Variant


def apart(word: str) -> tuple[str | None, str]:
    """`Ours=./net.py:Net(dim=64)` as label and network: an equals sign in brackets is of an argument."""
    depth = 0
    for at, character in enumerate(word):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "=" and depth <= 0:
            if "/" in word[:at] and Path(re.split(r":|\(", word)[0]).is_file():
                return None, word  # of a path with an equals sign in it
            label = " ".join("".join(c if c.isprintable() else " " for c in word[:at]).split())
            if not label or not word[at + 1 :].strip():
                raise UserError(
                    f"--add {word!r} cannot be read; write a label and a network: --add 'Ours=./net.py:Net'."
                )
            return label, word[at + 1 :].strip()
    return None, word


def find(name: str, asked: own.Asked, folder: Path | None = None) -> Variant:
    """The variant of the catalogue, or the network of one's own, whose relative path begins in a folder."""
    if name in models.VARIANTS or name in models.ABLATED:
        return models.find(name, replace(asked, scale=None, arguments=()))
    return own.find(name, asked, folder) or models.find(name)


def row(network: Variant, label: str | None) -> Row:
    """A row of it, called as it was asked or else by its short name."""
    return Row(label or _short(network), network.scale, network.name, {}, source=network.source)


def _short(network: Variant) -> str:
    """`ESC-lt` of the catalogue's, `Net(dim=64)` of one's own."""
    if network.source is None:
        return names.BUILT.get(network.model, (network.model,))[0]
    reference = references.parse(network.source.reference)
    assert reference
    arguments: Sequence[str] = [f"{name}={value}" for name, value in network.source.arguments]
    short = reference.name or Path(reference.place).stem
    return f"{short}({', '.join(arguments)})" if arguments else short
