"""A TOML file in which somebody describes something: read, and every key or value refused that means nothing."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from workbench.spec import UserError

T = TypeVar("T")

LARGEST = 2**20
"""Bytes of a file that somebody wrote by hand."""

KINDS: Mapping[type, str] = {
    str: "text in quotes",
    int: "a whole number",
    bool: "true or false",
    list: "a list in []",
    dict: "a table in {}",
    Decimal: "a number",
}


@dataclass(frozen=True)
class Section:
    """A table of such a file, and where it stands there."""

    file: str
    text: str
    """The whole file's, in which lines are looked for."""
    place: str
    """Of this table: empty for the file itself, `rows[2]`, `flops`."""
    values: Mapping[str, Any]

    def only(self, *known: str) -> None:
        """Refuse the first key that none of them is."""
        if strange := next((key for key in self.values if key not in known), None):
            near = difflib.get_close_matches(strange.lower(), known, n=1, cutoff=0.5)
            guess = f" Did you mean {near[0]!r}?" if near else ""
            raise self.wrong(strange, f"there is no such key.{guess} Known: {', '.join(known)}")

    def get(self, key: str, kind: type[T]) -> T | None:
        """The value of a key, None where there is none, or a UserError where it is of another kind."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.wrong(key, f"{shown(value)} is not {KINDS[kind]}")
        return value

    def line(self, key: str) -> str | None:
        """A text of one line, without what would break or hide in one; empty is refused."""
        text = self.get(key, str)
        if text is None:
            return None
        plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        if not plain:
            raise self.wrong(key, "it is empty; leave it out, or write something")
        return plain

    def lines(self, key: str) -> list[str] | None:
        """A list of texts."""
        found = self.get(key, list)
        if strange := next((v for v in found or () if not isinstance(v, str)), None):
            raise self.wrong(key, f"{shown(strange)} is not {KINDS[str]}")
        return found

    def inner(self, key: str) -> Section | None:
        """A table within this one."""
        found = self.get(key, dict)
        return None if found is None else Section(self.file, self.text, self._at(key), found)

    def made(self, key: str, make: Callable[[], T]) -> T:
        """What `make` makes of a key's value; its UserError says then where that stands."""
        try:
            return make()
        except UserError as error:
            raise self.wrong(key, str(error)) from None

    def one_of(self, key: str, known: Collection[str]) -> str | None:
        """A word of which there are few."""
        word = self.get(key, str)
        if word is not None and word not in known:
            near = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.5)
            guess = f" Did you mean {near[0]!r}?" if near else ""
            raise self.wrong(key, f"{word!r} is none.{guess} Known: {', '.join(known)}")
        return word

    def wrong(self, key: str, why: str) -> UserError:
        """The sentence for a key, with its line where that can be told: the parser keeps none."""
        found = [n for n, line in enumerate(self.text.splitlines(), 1) if _names(line, key)]
        line = f", line {found[0]}" if len(found) == 1 else ""
        return UserError(f"{self.file}{line}: {self._at(key)}: {why.rstrip('.')}.")

    def _at(self, key: str) -> str:
        return f"{self.place}.{key}" if self.place else key


def read(path: Path, what: str, told: str) -> Section:
    """The file as one table; `what` it describes, and where that is `told`, is said where it cannot be read."""
    try:
        if path.stat().st_size > LARGEST:
            raise UserError(f"{path} has over {LARGEST >> 20} MiB, and so does not describe {what}; name another file.")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}. Name a TOML file that describes {what}.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text in UTF-8 (byte {error.start}); save it in UTF-8.") from None
    try:
        values = tomllib.loads(text, parse_float=Decimal)  # 28.90 keeps its digits
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UserError(f"{path} is no TOML: {error}. Mend that line; how it describes {what}: {told}") from None
    return Section(_plain(str(path)), text, "", values)


def digits(value: object) -> str:
    """A figure as it was written: text without blanks around it, or a number with all its digits."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return str(value)
    raise UserError(f"{shown(value)} is no figure; write it as it is printed: 28.90, or '312K'")


def shown(value: object) -> str:
    """A value as it is quoted in a sentence."""
    if isinstance(value, list):
        text = f"[{', '.join(map(shown, value))}]"
    else:
        text = str(value) if isinstance(value, Decimal) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _plain(text: str) -> str:
    return " ".join(text.split())


def _names(line: str, key: str) -> bool:
    """Whether a line gives a key its value, or begins the table of that name."""
    bare = line.partition("#")[0]
    name = rf"[\"']?{re.escape(key)}[\"']?"
    return bool(re.search(rf"(?:^|[\s{{,.]){name}\s*(?:=|\.)|^\s*\[+{name}\]+", bare))
