"""Getting a set from where it is published: only when asked, only what has a checksum."""

from __future__ import annotations

import os
import shutil
import sys
import zipfile
from pathlib import Path

from workbench.images import files
from workbench.passing import Say, unheard
from workbench.spec import UserError

from .known import KnownSet, Source
from .registry import TestSet, add

WAIT = 60
"""Seconds without an answer after which a server is given up."""


def fetch(known: KnownSet, home: Path, told: Say) -> TestSet:
    """Download a set into the user's folder and register it; `told` hears of each file.

    What was downloaded before and is whole is not downloaded again. What comes is kept only if its checksum is the
    published one.
    """
    if known.source is None:
        raise UserError(f"{known.title} has no address that lasts, so it is not fetched. {by_hand(known)}")
    drafts, final = home / "downloads" / known.name, home / "sets" / known.name
    if known.source.sha256 is not None:
        archive = _download(known, known.source.address, known.source.sha256, drafts, told)
        _unpack(archive, final)
    else:
        for number, image in enumerate(known.images, start=1):
            told(f"[{number}/{known.count}] {image.name}")
            got = _download(known, known.source.address + image.source, image.sha256, drafts, unheard)
            files.whole(final / f"{image.name}{got.suffix}", got.read_bytes())
    found = add(known.name, final, home)
    shutil.rmtree(drafts, ignore_errors=True)
    return found


def by_hand(known: KnownSet) -> str:
    """Where a set is published, and how it is registered then."""
    advice = f" ({known.advice})" if known.advice else ""
    return f"Its authors publish it at {known.page}{advice}; then: workbench data add {known.name} FOLDER."


def _download(known: KnownSet, address: str, sha256: str, folder: Path, told: Say) -> Path:
    """One file with its checksum, or a sentence."""
    import logging

    import pooch
    import requests

    source: Source | None = known.source
    assert source is not None
    told(f"{address} ({source.megabytes:g} MB)")
    pooch.get_logger().setLevel(logging.ERROR)
    bar = source.sha256 is not None and sys.stderr.isatty()  # an archive is large
    try:
        got = pooch.retrieve(
            address,
            known_hash=f"sha256:{sha256}",
            fname=address.rpartition("/")[2],
            path=folder,
            downloader=pooch.HTTPDownloader(timeout=WAIT, progressbar=bar),
        )
    except ValueError as error:
        if "hash" not in str(error).lower():
            raise
        raise UserError(
            f"What {address} sent is not what was published: its checksum differs. Nothing was kept. {by_hand(known)}"
        ) from None
    except (requests.RequestException, OSError) as error:
        raise UserError(
            f"Cannot fetch {address}: {_why(error)}. Try again; what is whole is kept. {by_hand(known)}"
        ) from None
    return Path(got)


def _why(error: BaseException) -> str:
    """The innermost reason of a failure: what wraps it repeats address and port, several times."""
    while (inner := getattr(error, "reason", None) or error.__cause__ or error.__context__) or error.args:
        inner = inner or error.args[0]
        if not isinstance(inner, BaseException):
            break
        error = inner
    return (getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__).rstrip(".")


def _unpack(archive: Path, final: Path) -> None:
    """The images of an archive, all or none, without the folders it has them in."""
    draft = final.with_name(f".{final.name}-{os.getpid()}")
    try:
        draft.mkdir(parents=True)
        with zipfile.ZipFile(archive) as file:
            for member in file.namelist():
                name = Path(member).name  # so that no member leaves the folder
                if name.lower().endswith(files.SUFFIXES) and not name.startswith("."):
                    (draft / name).write_bytes(file.read(member))
        shutil.rmtree(final, ignore_errors=True)
        draft.replace(final)
    except OSError as error:
        raise UserError(f"Cannot unpack {archive}: {error.strerror}. Free some space and fetch it again.") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
