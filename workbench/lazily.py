"""Records that are read and parsed when somebody asks for them: a sequence of all, and the newest of each identity."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, overload

from workbench.ledger import Ledger, digest, standing
from workbench.spec import Record, UserError

if TYPE_CHECKING:
    from workbench.ledger import Columns

Key = Callable[[Record], str]
Rank = Callable[[Record], tuple[bool, int]]


class Later(NamedTuple):
    """A record that no index covers, since it was appended later or its file was changed."""

    file: str
    begin: int
    record: Record


class Text:
    """The lines of an index, each read and parsed at most once, and held against what the index says."""

    def __init__(self, index: Ledger, parse: Callable[[bytes], Record], key: Key):
        self.names = list(index.files)
        self._folder, self._parse, self._key = index.folder, parse, key
        self._parsed: dict[tuple[int, int], Record] = {}

    def record(self, lines: Columns, row: int) -> Record:
        """The record of a row."""
        file, begin, end = (int(lines[c][row]) for c in ("file", "begin", "end"))
        if (file, begin) not in self._parsed:
            path = self._folder / self.names[file]
            try:
                with open(path, "rb") as opened:
                    opened.seek(begin)
                    record = self._parse(opened.read(end - begin))
                same = digest(self._key(record)) == (lines["high"][row], lines["low"][row])
            except (OSError, ValueError):
                same = False
            if not same:
                raise UserError(
                    f"{path} was changed at byte {begin} after it was indexed, and its size and time say it was not. "
                    "Look at it, and index anew: workbench records --compact"
                )
            self._parsed[file, begin] = record
        return self._parsed[file, begin]


class Records(Sequence[Record]):
    """All records in the order of files and lines, most of them still text."""

    def __init__(
        self, index: Ledger, held: Mapping[str, int], later: Sequence[Later], text: Text, key: Key, rank: Rank
    ):
        """`held`: the files that are as they were indexed, with the number of their records."""
        self._index, self._held, self._later, self._text = index, held, later, text
        self._key, self._rank = key, rank
        starts = itertools.accumulate((c.records for c in index.files.values()), initial=0)
        first = dict(zip(index.files, starts, strict=False))  # behind the last file nothing starts
        behind: dict[str, list[Record]] = {}
        for each in later:
            behind.setdefault(each.file, []).append(each.record)
        names = sorted({*held, *behind})
        self._parts = [(first.get(n, 0), held.get(n, 0), behind.get(n, ())) for n in names]
        self._ends = list(itertools.accumulate(number + len(rest) for _, number, rest in self._parts))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, at: int) -> Record: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Record, ...]: ...
    def __getitem__(self, at: int | slice) -> Record | tuple[Record, ...]:
        if isinstance(at, slice):
            return tuple(self[k] for k in range(*at.indices(len(self))))
        at = range(len(self))[at]
        part = bisect.bisect_right(self._ends, at)
        first, number, rest = self._parts[part]
        at -= self._ends[part - 1] if part else 0
        return self._text.record(self._index.lines, first + at) if at < number else rest[at - number]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]  # what is compared by content has none, as a list

    def newest(self) -> Newest:
        """The newest of each identity, by the rule of `Contents.newest`, without parsing any that is indexed."""
        lines = self._index.newest
        if len(self._held) < len(self._index.files):
            import numpy as np

            there = np.array([name in self._held for name in self._index.files])
            lines = standing(self._index.lines, there[self._index.lines["file"]])
        later: dict[tuple[int, int], Later] = {}
        for each in self._later:
            told = digest(self._key(each.record))
            if told not in later or self._rank(later[told].record) <= self._rank(each.record):
                later[told] = each
        return Newest(lines, self._index.kinds, later, self._text, self._key, self._rank)


class Newest(MutableMapping[str, Record]):
    """The newest records by identity, each read when it is asked for."""

    def __init__(
        self,
        lines: Columns,
        kinds: Sequence[tuple[str, str]],
        later: Mapping[tuple[int, int], Later],
        text: Text,
        key: Key,
        rank: Rank,
    ):
        self._lines, self._text, self._key, self._rank = lines, text, key, rank
        self._kinds = {kind: number for number, kind in enumerate(kinds)}
        self._later = {told: each for told, each in later.items() if self._stands(told, each)}
        self._added: dict[str, Record] = {}

    def __getitem__(self, identity: str) -> Record:
        if identity in self._added:
            return self._added[identity]
        told = digest(identity)
        if told in self._later:
            return self._later[told].record
        row = self._row(told)
        if row is None:
            raise KeyError(identity)
        return self._text.record(self._lines, row)

    def __setitem__(self, identity: str, record: Record) -> None:
        self._added[identity] = record

    def __delitem__(self, identity: str) -> None:
        raise TypeError("what was recorded stays")

    def __len__(self) -> int:
        new = self._later.keys() | {digest(identity) for identity in self._added}
        return len(self._lines["high"]) + sum(self._row(told) is None for told in new)

    def __iter__(self) -> Iterator[str]:
        hidden = {digest(identity) for identity in self._added}
        for row in self._lines["first"].argsort():
            told = int(self._lines["high"][row]), int(self._lines["low"][row])
            if told not in hidden:
                yield self._key(self._text.record(self._lines, row))
        for told, each in self._later.items():
            if told not in hidden and self._row(told) is None:
                yield self._key(each.record)
        yield from self._added

    def of(self, variant: str, probe: str) -> Iterable[Record]:
        """The newest records of a network by a probe."""
        if self._added:
            return [r for r in self.values() if (r.variant, r.probe) == (variant, probe)]
        kind = self._kinds.get((variant, probe), -1)
        found = [self._text.record(self._lines, row) for row in (self._lines["kind"] == kind).nonzero()[0]]
        found = [r for r in found if not self._later or digest(self._key(r)) not in self._later]
        return found + [
            e.record for e in self._later.values() if (e.record.variant, e.record.probe) == (variant, probe)
        ]

    def _row(self, told: tuple[int, int]) -> int | None:
        """The row of a digest: rows are sorted by its first half, which hardly two share."""
        high, low = self._lines["high"], self._lines["low"]
        row = int(high.searchsorted(told[0]))
        while row < len(high) and high[row] == told[0]:
            if low[row] == told[1]:
                return row
            row += 1
        return None

    def _stands(self, told: tuple[int, int], each: Later) -> bool:
        """Whether a record that is not indexed stands above the one that is; of two alike the one read later."""
        row = self._row(told)
        if row is None:
            return True
        lines = self._lines
        mine = (*self._rank(each.record), each.file, each.begin)
        there = (
            bool(lines["ok"][row]),
            int(lines["at"][row]),
            self._text.names[lines["file"][row]],
            int(lines["begin"][row]),
        )
        return mine > there
