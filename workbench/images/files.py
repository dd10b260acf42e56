"""Image files to arrays and back: eight bits, three channels, whole or refused with the file's name."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import secrets
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from workbench.spec import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "BMP", "WEBP", "TIFF", "JPEG")
"""What is read, by content whatever the name."""

SUFFIXES = (".png", ".bmp", ".webp", ".tif", ".tiff", ".jpg", ".jpeg")
"""The ends of names that are taken for images."""

MOST_PIXELS = 178_956_970
"""More pixels are taken for a decompression bomb: Pillow's own limit, half a gibibyte as RGB."""

WRITTEN = {".png": "PNG", ".bmp": "BMP", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}
"""The formats that keep every sample, by the name's end."""

SAVE = "Save it as an 8-bit RGB or grey PNG."

AGAIN = "Get it again from where it came from."

BROKEN = (OSError, SyntaxError, ValueError, EOFError, KeyError, IndexError, TypeError, struct.error, zlib.error)
"""What Pillow raises for files that are not whole, by format."""


def read(path: Path) -> NDArray[np.uint8]:
    """An image file as height x width x 3, RGB; grey is repeated, a camera's orientation is applied.

    What would have to be guessed is refused: alpha, 16 bits, CMYK, several pictures in one file. A colour profile is
    not applied: samples are taken as they are written, as the papers' code takes them.
    """
    from PIL import ImageOps

    with _opened(path) as (image, content):
        _check(path, image, content)
        oriented = ImageOps.exif_transpose(image)
        found = np.array(oriented.convert("L" if oriented.mode == "1" else "RGB"))
    return np.ascontiguousarray(np.stack([found] * 3, axis=2) if found.ndim == 2 else found)


def size(path: Path) -> tuple[int, int]:
    """Height and width that a file's head states; its samples are not looked at."""
    with _opened(path) as (image, _):
        return image.height, image.width


def write(path: Path, image: NDArray[np.uint8]) -> None:
    """Write an image so that every sample can be read back: PNG, BMP, TIFF or lossless WebP, by the name's end."""
    from PIL import Image

    kind = WRITTEN.get(path.suffix.lower())
    if kind is None:
        known = ", ".join(WRITTEN)
        raise UserError(
            f"Cannot write {path}: {path.suffix or 'no suffix'!r} names no lossless format. Known: {known}."
        )
    buffer = io.BytesIO()
    options = {"lossless": True} if kind == "WEBP" else {"compression": "tiff_deflate"} if kind == "TIFF" else {}
    Image.fromarray(image).save(buffer, kind, **options)
    whole(path, buffer.getvalue())


def whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: under another name first, then moved to its place."""
    draft = path.with_name(f".{path.name}-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(content)
        draft.replace(path)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        mend = "Free some space and try again." if full else "Name a writable folder."
        raise UserError(f"Cannot write {path}: {error.strerror}. {mend}") from None
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()


def sha256(path: Path) -> str:
    """The hash of a file's bytes."""
    return hashlib.sha256(_content(path)).hexdigest()


def pixels(image: NDArray[np.uint8]) -> str:
    """The hash of an image's size and samples, whatever file they were in."""
    height, width = image.shape[:2]
    return hashlib.sha256(f"{height}x{width}\n".encode() + np.ascontiguousarray(image).tobytes()).hexdigest()


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[Image, bytes]]:
    """An image whose head was read, and its file's bytes; what goes wrong while it is used has its sentence."""
    from PIL import Image, UnidentifiedImageError

    content = _content(path)
    with warnings.catch_warnings(action="ignore"):  # Pillow's warnings; what matters is refused
        try:
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                yield image, content
        except UnidentifiedImageError:
            raise UserError(f"{path} is no image that can be read: it {_looks(content)}") from None
        except Image.DecompressionBombError:
            raise UserError(
                f"{path} claims more than {MOST_PIXELS:,} pixels, which is taken for a decompression bomb. "
                "Cut it into parts."
            ) from None
        except BROKEN as error:
            raise UserError(f"{path} is not whole: {_plain(error)}. {AGAIN}") from None


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}. Name an image file that can be read.") from None


def _check(path: Path, image: Image, content: bytes) -> None:
    """Refuse what the head of a file says cannot be eight bits of RGB or grey without a guess."""
    mode = image.mode
    if (frames := getattr(image, "n_frames", 1)) > 1:
        raise UserError(f"{path} has {frames} pictures in one file. Save one of them as a PNG.")
    if mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        raise UserError(f"{path} has an alpha channel, of which no metric knows. Flatten it: an 8-bit RGB PNG.")
    if mode.startswith("I") or mode == "F" or _deep(image, content):
        raise UserError(f"{path} has more than 8 bits a sample; metrics are defined for 8 (0 to 255). {SAVE}")
    if mode not in ("1", "L", "P", "RGB"):
        raise UserError(f"{path} is in {mode}, not RGB or grey; converting it would be a guess. {SAVE}")


def _deep(image: Image, content: bytes) -> bool:
    """Whether samples have 16 bits where Pillow would give 8 of them without a word."""
    if image.format == "PNG":
        return content[24] == 16  # the bit depth in its first chunk
    tiles = getattr(image, "tile", ())
    return any(";16" in str(tile[3]) for tile in tiles)


def _looks(content: bytes) -> str:
    """What a file that is no image looks like, and what to do then."""
    head = content[:512].lstrip().lower()
    if not content:
        return f"is empty. {AGAIN}"
    if head.startswith((b"<!doctype html", b"<html", b"<head")):
        return f"is an HTML page, as a server sends in place of a file. {AGAIN}"
    if head.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS. Fetch the file itself: git lfs pull."
    return f"begins with {content[:8]!r} and is none of PNG, BMP, WebP, TIFF, JPEG. {SAVE}"


def _plain(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
