"""Object storage through fsspec: nothing can be appended there, so that each append is an object of its own."""

from __future__ import annotations

import errno
import functools
import hashlib
import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from workbench.spec import UserError
from workbench.store.places import MERGED, SUFFIX, Listed, Pen, own_name

T = TypeVar("T")

AT_ONCE = 1000
"""Objects that are asked for together."""

NOTE = ".json"
"""What the list of those it was made of has behind the name of a merged object."""

TRIES = 3
"""Times that objects are listed, if some of them are merged and gone before they are fetched."""

_HELD: dict[str, dict[str, tuple[Listed, bytes]]] = {}
"""What this process has fetched, by place and name."""


class Bucket:
    """A prefix of a bucket. Credentials and endpoint are what the storage's own client finds: AWS_PROFILE, ~/.aws.

    Objects are written once and never changed, so that a reader sees each whole or not at all. There are no locks.
    """

    locks = False

    def __init__(self, where: Path):
        self.where = where
        self._files, self._root = _connected(str(where))
        self._left: dict[str, list[tuple[int, int]]] = {}

    def names(self) -> list[Listed]:
        """Every object of records but those that a merged one has the content of; listed again if some went by then."""
        for _ in range(TRIES):
            shown = self._shown()
            held = _HELD.setdefault(self._root, {})
            self._fetch([each for each in shown if held.get(each.name, (None,))[0] != each])
            if all(each.name in held for each in shown):
                break
        return shown

    def _shown(self) -> list[Listed]:
        found = {each.name: each for each in self._listed()}
        notes = sorted(n for n in found if n.startswith(MERGED) and n.endswith(NOTE))
        merged = [n.removesuffix(NOTE) + SUFFIX for n in notes]
        parts = {name: self._parts(found[note]) for name, note in zip(merged, notes, strict=True) if name in found}
        self._left, hidden = {}, set[str]()
        for name, within in parts.items():
            ends = itertools.accumulate(size for _, size in within)
            spans = [(end - size, end) for (part, size), end in zip(within, ends, strict=True) if part not in hidden]
            self._left[name] = spans  # two that merged at the same time may have merged the same
            hidden |= {part for part, _ in within}
        return sorted(each for each in found.values() if each.name.endswith(SUFFIX) and each.name not in hidden)

    def _listed(self) -> list[Listed]:
        def listed() -> dict[str, dict[str, Any]]:
            self._files.invalidate_cache()
            try:
                found: dict[str, dict[str, Any]] = self._files.find(self._root, maxdepth=1, detail=True)
            except FileNotFoundError:
                return {}
            return found

        return [_listed(path.rpartition("/")[2], facts) for path, facts in _asked(listed).items()]

    def _parts(self, note: Listed) -> list[tuple[str, int]]:
        try:
            return [(str(name), int(size)) for name, size in json.loads(self._whole(note.name))]
        except (ValueError, TypeError):
            raise OSError(errno.EIO, f"{note.name}, which says what was merged, was changed since") from None

    def _fetch(self, wanted: Sequence[Listed]) -> None:
        """Keep the content of objects, which never changes; one that does not come is asked for again when read."""
        held = _HELD.setdefault(self._root, {})
        for begin in range(0, len(wanted), AT_ONCE):
            some = wanted[begin : begin + AT_ONCE]
            paths = [f"{self._root}/{each.name}" for each in some]
            told = _asked(functools.partial(self._files.cat, paths, on_error="return"))
            told = told if isinstance(told, dict) else {paths[0]: told}
            for each, path in zip(some, paths, strict=True):
                content = told.get(path, told.get(path.lstrip("/")))
                if isinstance(content, bytes):
                    held[each.name] = (each, content)

    def read(self, name: str, start: int = 0) -> bytes:
        content = self._whole(name)
        if name in self._left:
            content = b"".join(content[begin:end] for begin, end in self._left[name])
        return content[start:]

    def _whole(self, name: str) -> bytes:
        if name in _HELD.get(self._root, {}):
            return _HELD[self._root][name][1]
        return bytes(_asked(lambda: self._files.cat_file(f"{self._root}/{name}")))

    def merge(self) -> int:
        """Make one object of all that were not merged yet, and remove them; how many they were.

        First the note of what will be in it, which counts for nothing before the object is there; then the object; then
        the others go. A reader sees each line once at any instant; one that had listed them before lists again.
        """
        small = [each for each in self.names() if not each.name.startswith(MERGED)]
        content = [self.read(each.name) for each in small]
        if len(small) < 2:
            return 0
        whole = b"".join(content)
        told = [[each.name, len(text)] for each, text in zip(small, content, strict=True)]
        name = MERGED + hashlib.sha256(json.dumps(told).encode() + whole).hexdigest()[:24]
        self.put(name + NOTE, json.dumps(told).encode())
        self.put(name + SUFFIX, whole)
        self._remove([each.name for each in small])
        return len(small)

    def _remove(self, names: Sequence[str]) -> None:
        _asked(lambda: self._files.rm([f"{self._root}/{name}" for name in names]))

    def there(self, name: str) -> bool:
        return bool(_asked(lambda: self._files.exists(f"{self._root}/{name}")))

    def put(self, name: str, content: bytes) -> None:
        _asked(lambda: self._files.pipe_file(f"{self._root}/{name}", content))

    def check(self) -> None:
        """An object is put and removed again; one that a killed process left is in nobody's way."""
        probe = f"{self._root}/.writable-{own_name()}"
        _asked(lambda: self._files.pipe_file(probe, b""))
        _asked(lambda: self._files.rm_file(probe))

    def pen(self) -> Pen:
        return _Objects(self)


class _Objects:
    """One numbered object for each append."""

    def __init__(self, bucket: Bucket):
        self._bucket, self._name, self._number = bucket, own_name(), 0

    def append(self, lines: Sequence[bytes]) -> None:
        if lines:
            self._number += 1
            self._bucket.put(f"{self._name}-{self._number:05}{SUFFIX}", b"".join(lines))

    def close(self) -> None:
        """Nothing is open."""


def _listed(name: str, facts: dict[str, Any]) -> Listed:
    return Listed(name, facts.get("size"), str(facts.get("ETag") or facts.get("etag") or facts.get("md5Hash") or ""))


def _connected(url: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it."""
    import fsspec

    scheme = url.partition(":")[0]
    if scheme not in fsspec.available_protocols():
        raise UserError(f"No storage {scheme!r}, of {url}. Known are a folder, s3://, gs:// and what else fsspec has.")
    try:
        files, root = fsspec.url_to_fs(url, use_listings_cache=False)
    except ImportError:
        package = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs"}.get(scheme, f"fsspec's file system for {scheme}")
        raise UserError(f"{url} needs the package {package}, which is not installed: pip install {package}") from None
    except (ValueError, TypeError, OSError) as error:
        raise UserError(
            f"The address {url} cannot be used: {_sentence(error)}. For example: s3://bucket/records"
        ) from None
    return files, str(root).rstrip("/")


def _asked(question: Callable[[], T]) -> T:
    """The storage's answer; whatever its client raises becomes an OSError with its reason."""
    try:
        return question()
    except (KeyboardInterrupt, UserError):
        raise
    except Exception as error:
        raise _plain(error) from None


def _plain(error: Any) -> OSError:
    number = getattr(error, "errno", None)
    return OSError(number if isinstance(number, int) else errno.EIO, _sentence(error))


def _sentence(error: Any) -> str:
    told = " ".join(str(getattr(error, "strerror", None) or error or type(error).__name__).split())
    return told.rstrip(".") or type(error).__name__
