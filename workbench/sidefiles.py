"""Arrays too large for a line of a record: files beside the records, named by the hash of what they unpack to."""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import store
from workbench.spec import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOLDER = "arrays"
"""Below the folder of records."""

LARGEST = 2**30
"""Bytes of an array: of what unpacks to more, no more is unpacked."""


def put(records: Path, array: NDArray[Any]) -> str:
    """Write an array, whole or not at all, and return its name; the same array again changes nothing."""
    import numpy as np

    out = io.BytesIO()
    np.save(out, array, allow_pickle=False)
    name = hashlib.sha256(out.getvalue()).hexdigest()
    place = store.at(records)
    try:
        if not place.there(_name(name)):
            place.put(_name(name), gzip.compress(out.getvalue(), mtime=0))
    except OSError as error:
        raise UserError(
            f"Cannot write {records / _name(name)}: {error.strerror}. Name a writable folder with --records."
        ) from None
    return name


def get(records: Path, name: str) -> NDArray[Any]:
    """The array of that name; one that is not what was written is refused."""
    import numpy as np

    path = records / _name(name)
    try:
        packed = store.at(records).read(_name(name))
    except OSError as error:
        raise UserError(
            f"Cannot read {path}, which a record names: {error.strerror}. Bring the folder {FOLDER} along with the"
            " records, or measure again with --force."
        ) from None
    content = unpacked(packed, name)
    if content is None:
        raise UserError(f"{path} was changed since it was written. Remove it, and measure again with --force.")
    try:
        array: NDArray[Any] = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise UserError(f"{path} is no plain array: {error}. Remove it, and measure again with --force.") from None
    return array


def unpacked(packed: bytes, name: str) -> bytes | None:
    """The content of a side file; None if it is not what its name says, or larger than `LARGEST`."""
    stream = zlib.decompressobj(wbits=31)
    try:
        content = stream.decompress(packed, LARGEST)
    except zlib.error:
        return None
    whole = stream.eof and not stream.unused_data
    return content if whole and hashlib.sha256(content).hexdigest() == name else None


def there(records: Path, name: str) -> bool:
    """Whether there is an array of that name; records can be kept without."""
    return store.at(records).there(_name(name))


def _name(name: str) -> str:
    return f"{FOLDER}/{name}.npy.gz"
