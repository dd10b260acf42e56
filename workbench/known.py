"""The newest records by identity, as tables ask for them: by network and probe, and with a note of what was found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol, cast, runtime_checkable

from workbench.spec import Record


@runtime_checkable
class Sorted(Protocol):
    """Newest records that can say without a look at each which are of one network and probe."""

    def of(self, variant: str, probe: str) -> Iterable[Record]: ...


class Indexed(Mapping[str, Record]):
    """Newest records with an index, made when it is first asked for: a table asks for hundreds of cells."""

    def __init__(self, known: Mapping[str, Record]):
        self._known = known
        self._index: dict[tuple[str, str], list[Record]] | None = None

    def __getitem__(self, identity: str) -> Record:
        return self._known[identity]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def of(self, variant: str, probe: str) -> Iterable[Record]:
        """The newest records of a network by a probe."""
        if isinstance(self._known, Sorted):
            return self._known.of(variant, probe)
        if self._index is None:
            self._index = {}
            for record in self._known.values():
                self._index.setdefault((record.variant, record.probe), []).append(record)
        return self._index.get((variant, probe), ())


class Noted(Indexed):
    """Newest records that remember which of them were asked for by identity."""

    def __init__(self, known: Mapping[str, Record]):
        super().__init__(known)
        self.taken: list[Record] = []

    def __getitem__(self, identity: str) -> Record:
        record = super().__getitem__(identity)
        self.taken.append(record)
        return record


def of(known: Mapping[str, Record], variant: str, probe: str) -> Iterable[Record]:
    """The newest records of a network by a probe."""
    able = known if isinstance(known, Sorted) else Indexed(known)
    return cast(Sorted, able).of(variant, probe)


def giving(records: Iterable[Record], value: float | None, factor: float) -> Record | None:
    """The record that gives a figure in a unit: as its value, or as one of a search; of no figure, one that failed."""
    records = list(records)
    if value is None:
        return next((r for r in records if r.status != "ok"), None)
    sound = [r for r in records if r.status == "ok"]
    exact = [r for r in sound if r.value / factor == value]
    return next(iter([*exact, *(r for r in sound if any(v / factor == value for v in r.values))]), None)
