"""Weights from where they are published: asked for by name, never otherwise; resumed, and checked by their hash."""

from __future__ import annotations

import contextlib
import http.client
import logging
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench import store
from workbench.spec import UserError, unknown

from . import Weights, add, folder, held
from .manifest import WEIGHTS, Published

PIECE = 1 << 16
"""Bytes read at a time."""

PATIENCE = 30
"""Seconds for a server that says nothing."""


def check(name: str) -> None:
    """Refuse a name that no published weights have."""
    if name not in WEIGHTS:
        raise unknown("published weights", name, WEIGHTS, "workbench weights list")


def fetch(name: str, home: Path) -> Weights:
    """Download published weights into the user's folder; what is there already is not fetched again."""
    check(name)
    entry = WEIGHTS[name]
    for mine in held(home):
        if mine.name == name and mine.path.exists():
            return mine
    if entry.url is None:
        raise UserError(f"{name} is on a page that no program can fetch from. {_by_hand(entry)}")
    path = _downloaded(entry, entry.url, home)
    try:
        return add(path, home, published=name, name=entry.file)
    finally:
        path.unlink(missing_ok=True)


def _downloaded(entry: Published, url: str, home: Path) -> Path:
    import pooch

    pooch.get_logger().setLevel(logging.ERROR)
    try:
        store.check(folder(home))
    except OSError as error:
        raise UserError(f"Cannot write to {folder(home)}: {error.strerror}. Name another folder with --data.") from None
    part = folder(home) / f"{entry.name}.part"
    known = f"sha256:{entry.sha256}" if entry.sha256 else None
    try:
        path = Path(pooch.retrieve(url, known, f"{entry.name}.new", folder(home), downloader=_Resuming(part)))
    except ValueError as error:  # another hash than the known one
        _refuse_page(part, url, entry)
        part.unlink()
        raise UserError(f"{url} is not {entry.name}: {' '.join(str(error).split())}") from None
    except urllib.error.HTTPError as error:
        raise UserError(f"{url} was refused: {error.code} {error.reason}. Visit {entry.page} instead.") from None
    except (OSError, http.client.HTTPException) as error:
        inner = getattr(error, "reason", error)
        why = str(getattr(inner, "strerror", None) or inner).rstrip(".")
        again = f"{part.stat().st_size:,} bytes are kept; the same command goes on" if part.exists() else "Try again"
        raise UserError(f"{url} could not be fetched: {why}. {again}. {_by_hand(entry)}") from None

    _refuse_page(path, url, entry)
    part.unlink(missing_ok=True)
    return path


def _by_hand(entry: Published) -> str:
    """How weights come here without us."""
    file = f" as {entry.file}" if entry.file else ""
    return (
        f"They are published at {entry.page}{file}; download them there, then: workbench weights add FILE --published "
        f"{entry.name}"
    )


def _refuse_page(path: Path, url: str, entry: Published) -> None:
    """What a server sends in place of a file is often a page that says why; it is not kept."""
    with path.open("rb") as file:
        page = file.read(512).lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml"))
    if page:
        path.unlink()
        path.with_suffix(".part").unlink(missing_ok=True)
        raise UserError(f"{url} is a web page, not weights; visit {entry.page} instead.")


@dataclass(frozen=True)
class _Resuming:
    """What pooch downloads with: into a file that stays where it is cut off, and is gone on with if it is the same."""

    part: Path

    def __call__(self, url: str, output: str, pooch: Any) -> None:
        note = self.part.with_suffix(".etag")
        start = self.part.stat().st_size if self.part.exists() and note.exists() else 0
        asked = urllib.request.Request(url)
        if start:
            asked.add_header("Range", f"bytes={start}-")
            asked.add_header("If-Range", note.read_text())
        with urllib.request.urlopen(asked, timeout=PATIENCE) as answer:
            start = start if answer.status == 206 else 0
            mark = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
            if mark:
                note.write_text(mark)
            length = answer.headers.get("Content-Length")
            total = start + int(length) if length else None
            with self.part.open("ab" if start else "wb") as file, _told(self.part.stem, start, total) as advance:
                while piece := answer.read(PIECE):
                    file.write(piece)
                    advance(len(piece))
        if total is not None and self.part.stat().st_size < total:
            raise ConnectionError(f"the connection ended at {self.part.stat().st_size:,} of {total:,} bytes")
        note.unlink(missing_ok=True)
        Path(output).write_bytes(self.part.read_bytes())


@contextlib.contextmanager
def _told(name: str, start: int, total: int | None) -> Iterator[Any]:
    """A bar on a terminal, a line elsewhere, always on stderr."""
    if not sys.stderr.isatty():
        size = f"{total:,} bytes" if total else "of a size that the server does not tell"
        print(f"fetching {name}, {size}" + (f", from byte {start:,}" if start else ""), file=sys.stderr)
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn(name), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total, completed=start)
        yield lambda n: bar.advance(task, n)
