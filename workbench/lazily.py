"""Records that are parsed when somebody asks for them: a sequence of all, and the newest of each identity."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import overload

from workbench.ledger import Line, digest
from workbench.spec import Record

Parse = Callable[[bytes], Record]

Entry = tuple[Line, Record | None]
"""A line, and its record if that was parsed already."""


class Text:
    """The bytes of files, of which lines are parsed, each at most once."""

    def __init__(self, files: Mapping[str, bytes], parse: Parse):
        self._files, self._parse = files, parse
        self._parsed: dict[tuple[str, int], Record] = {}

    def record(self, line: Line) -> Record:
        """The record of an indexed line."""
        place = line.file, line.begin
        if place not in self._parsed:
            self._parsed[place] = self._parse(self._files[line.file][line.begin : line.end])
        return self._parsed[place]


class Records(Sequence[Record]):
    """All records in the order of files and lines, some of them still text."""

    def __init__(self, entries: Sequence[Entry], text: Text, key: Callable[[Record], str]):
        self._entries, self._text, self._key = entries, text, key

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, at: int) -> Record: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Record, ...]: ...
    def __getitem__(self, at: int | slice) -> Record | tuple[Record, ...]:
        if isinstance(at, slice):
            return tuple(map(self._record, self._entries[at]))
        return self._record(self._entries[at])

    def __iter__(self) -> Iterator[Record]:
        return map(self._record, self._entries)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]  # what is compared by content has none, as a list

    def _record(self, entry: Entry) -> Record:
        line, record = entry
        return self._text.record(line) if record is None else record

    def newest(self) -> Newest:
        """The newest of each identity, by the rule of `Contents.newest`, without parsing any."""
        best: dict[str, Entry] = {}
        for entry in self._entries:
            line = entry[0]
            there = best.get(line.digest)
            if there is None or (there[0].ok, there[0].at) <= (line.ok, line.at):
                best[line.digest] = entry
        return Newest(best, self._record, self._key)


class Newest(MutableMapping[str, Record]):
    """The newest records by identity, each parsed when it is asked for."""

    def __init__(self, best: dict[str, Entry], record: Callable[[Entry], Record], key: Callable[[Record], str]):
        self._best, self._record, self._key = best, record, key
        self._added: dict[str, Record] = {}
        self._index: dict[tuple[str, str], list[Entry]] | None = None

    def __getitem__(self, identity: str) -> Record:
        if identity in self._added:
            return self._added[identity]
        return self._record(self._best[digest(identity)])

    def __setitem__(self, identity: str, record: Record) -> None:
        self._added[identity] = record

    def __delitem__(self, identity: str) -> None:
        raise TypeError("what was recorded stays")

    def __len__(self) -> int:
        return len(self._best) + sum(digest(identity) not in self._best for identity in self._added)

    def __iter__(self) -> Iterator[str]:
        hidden = {digest(name) for name in self._added}
        for name, entry in self._best.items():
            if name not in hidden:
                yield self._key(self._record(entry))
        yield from self._added

    def of(self, variant: str, probe: str) -> Iterable[Record]:
        """The newest records of a network by a probe."""
        if self._added:
            return [r for r in self.values() if (r.variant, r.probe) == (variant, probe)]
        if self._index is None:
            self._index = {}
            for entry in self._best.values():
                self._index.setdefault((entry[0].variant, entry[0].probe), []).append(entry)
        return [self._record(entry) for entry in self._index.get((variant, probe), ())]
