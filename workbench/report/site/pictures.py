"""The pictures of the site: copies beside its pages, since the folder has to be whole when it is sent."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path

from workbench import store

HEAVY = 300_000
"""Bytes from which on a drawing may be shown as dots instead, if that is less."""


@dataclass(frozen=True)
class Picture:
    """A picture as a page shows it."""

    name: str
    """That of its files, without what they end in."""
    title: str
    path: Path
    size: tuple[int, int] | None
    """Width and height in CSS pixels, so that a page does not jump while pictures come."""
    drawn: bool
    """Whether it is lines on white, which a dark page may turn round; a photograph it may not."""


def gather(folder: Path, titles: Mapping[str, str]) -> dict[str, Picture]:
    """Every picture of a folder by its name: the drawing, or the dots where there is no drawing or it is too heavy."""
    found: dict[str, Picture] = {}
    files = sorted(p for p in folder.iterdir() if p.suffix in (".svg", ".png")) if folder.is_dir() else []
    for name in dict.fromkeys(p.stem for p in files):
        ways = {p.suffix: p for p in files if p.stem == name}
        path = ways.get(".svg", ways.get(".png"))
        assert path is not None
        if ".png" in ways and path.stat().st_size > max(HEAVY, ways[".png"].stat().st_size):
            path = ways[".png"]
        title = titles.get(name, name.replace("-", " "))
        drawn = ".svg" in ways and b"<image" not in ways[".svg"].read_bytes()
        found[name] = Picture(name, title, path, _size(path), drawn)
    return found


def write(pictures: Iterable[Picture], report: Path) -> list[Path]:
    """Copy pictures to where `figure` looks for them."""
    written = []
    for picture in pictures:
        written.append(report / "pictures" / picture.path.name)
        store.replace(written[-1], picture.path.read_bytes())
    return written


def figure(picture: Picture) -> str:
    """A picture; a click shows it alone. Those that are drawn here have their title in them."""
    to = escape(f"pictures/{picture.path.name}")
    size = ' width="{}" height="{}"'.format(*picture.size) if picture.size else ""
    kind = "drawn" if picture.drawn else "photographed"
    shown = f'<a href="{to}"><img src="{to}" alt="{escape(picture.title)}"{size} loading="lazy"></a>'
    return f'<figure class="{kind}">{shown}</figure>\n'


def _size(path: Path) -> tuple[int, int] | None:
    start = path.read_bytes()[:2000]
    if path.suffix == ".png":
        if not start.startswith(b"\x89PNG") or len(start) < 24:
            return None
        width, height = struct.unpack(">II", start[16:24])
        return int(width * 96 / 160), int(height * 96 / 160)  # plots.saved: 160 dots per inch
    found = re.search(rb'<svg[^>]* width="([\d.]+)pt"[^>]* height="([\d.]+)pt"', start)
    return (round(float(found[1]) * 4 / 3), round(float(found[2]) * 4 / 3)) if found else None
