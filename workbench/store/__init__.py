"""Where records lie, and nothing else knows: append-only lines of JSON, one file per writer, newest record wins."""

from __future__ import annotations

import dataclasses
import json
import sys
import warnings
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from workbench import environment, lazily, ledger
from workbench.spec import SCHEMA, Record, UserError
from workbench.store.lines import identity, key, parse, to_json
from workbench.store.places import MERGED, Folder, Place, Url, at, where
from workbench.store.writing import Writer, check, check_file, check_results, replace

if TYPE_CHECKING:
    import pandas

__all__ = [
    "MERGED",
    "SCHEMA",
    "Contents",
    "Problem",
    "Url",
    "Writer",
    "at",
    "check",
    "check_file",
    "check_results",
    "default",
    "frame_to_json",
    "identity",
    "parse",
    "read",
    "replace",
    "to_json",
    "where",
]

OUTSIDE = (
    "enable_external_access",
    "autoinstall_known_extensions",
    "autoload_known_extensions",
    "python_enable_replacements",
)
"""What DuckDB would reach beside the records: files, the network, variables of this program. A query is refused it."""


def default() -> Path:
    """The folder of records that a command uses when none is named."""
    return environment.home() / "results" / "records"


@dataclass(frozen=True)
class Problem:
    """A line that is not a record, or a whole file that cannot be read: skipped, and said."""

    file: Path
    line: int | None
    """None for the whole file."""
    why: str

    def __str__(self) -> str:
        if self.line is None:
            return f"{self.file}: {self.why}; the file was skipped"
        return f"{self.file}:{self.line}: {self.why}; the line was skipped"


@dataclass(frozen=True)
class Contents:
    """What a place of records held when it was read."""

    records: Sequence[Record]
    """Every valid record, in the order of files and lines; where an index stands, parsed when asked for."""
    problems: tuple[Problem, ...]
    ends: Mapping[str, int] = field(default_factory=dict, compare=False)
    """By name of file, the bytes of its whole lines: what is appended later comes behind."""

    def newest(self) -> MutableMapping[str, Record]:
        """The newest record with values of each identity, or the newest of all where none has values.

        A timeout or a crash says nothing of a value that was measured: it hides none. Of two with the same time, the
        one read later wins.
        """
        if isinstance(self.records, lazily.Records):
            return self.records.newest()
        newest: dict[str, Record] = {}
        for record in self.records:
            told = key(record)
            if told not in newest or rank(newest[told]) <= rank(record):
                newest[told] = record
        return newest

    def told(self) -> Contents:
        """The same, its problems told on stderr."""
        for problem in self.problems:
            print(f"workbench: {problem}", file=sys.stderr)
        return self

    def frame(self) -> pandas.DataFrame:
        """All valid records as a pandas table, one row each; nested fields stay dictionaries."""
        import pandas

        columns = [f.name for f in dataclasses.fields(Record)]
        return pandas.DataFrame([[getattr(r, c) for c in columns] for r in self.records], columns=columns)

    def query(self, sql: str) -> pandas.DataFrame:
        """Ask the records in SQL: they are the table `records`, nested fields are JSON."""
        import duckdb

        records = self.frame()
        for nested in ("conditions", "details", "environment"):
            records[nested] = [json.dumps(v) for v in records[nested]]
        with duckdb.connect(config=dict.fromkeys(OUTSIDE, False)) as connection:
            connection.register("records", records)
            try:
                answer = connection.execute(sql)
                if answer is None:
                    raise UserError(f"The query {sql!r} is empty. Try: select * from records")
                with warnings.catch_warnings(action="ignore"):  # duckdb's calls of pandas are not the user's to mend
                    return answer.df()
            except duckdb.Error as error:
                reason = str(error).splitlines()[0].rstrip(".!")
                known = ", ".join(records.columns)
                raise UserError(
                    f"The query {sql!r} failed: {reason}. Columns of the table 'records': {known}."
                ) from None


def rank(record: Record) -> tuple[bool, int]:
    """Which of two records of one thing stands: the greater; the time is in microseconds since 1970."""
    since = datetime.fromisoformat(record.recorded_at) - datetime.fromtimestamp(0, UTC)
    return record.status == "ok", since // timedelta(microseconds=1)


def read(folder: str | Path) -> Contents:
    """Read every record of a place. Torn and foreign lines are reported, never fatal; a missing folder is empty."""
    place = at(folder)
    index = ledger.load(place.where) if isinstance(place, Folder) else None
    try:
        return _read(place, index)
    except OSError as error:
        raise UserError(
            f"Cannot read the records in {place.where}: {error.strerror}. Name a readable folder with --records."
        ) from None


def _read(place: Place, index: ledger.Ledger | None) -> Contents:
    later: list[lazily.Later] = []
    problems: list[Problem] = []
    ends: dict[str, int] = {}
    held: dict[str, int] = {}
    for listed in place.names():
        covered = index.covers(*listed) if index else None
        begin, number = (covered.size, covered.lines) if covered else (0, 0)
        if covered:
            held[listed.name] = covered.records
            problems += [Problem(place.where / listed.name, line, why) for line, why in covered.problems]
        try:
            text = b"" if covered and listed.size == begin else place.read(listed.name, begin)
        except OSError as error:
            problems.append(Problem(place.where / listed.name, None, f"cannot be read ({error.strerror})"))
            continue
        ends[listed.name] = begin + text.rfind(b"\n") + 1
        for line in text.split(b"\n"):
            number += 1
            if line.strip():
                try:
                    later.append(lazily.Later(listed.name, begin, parse(line)))
                except ValueError as error:
                    problems.append(Problem(place.where / listed.name, number, str(error)))
            begin += len(line) + 1
    if index and held:
        text_of = lazily.Text(index, parse, key)
        return Contents(lazily.Records(index, held, later, text_of, key, rank), tuple(problems), ends)
    return Contents(tuple(each.record for each in later), tuple(problems), ends)


def frame_to_json(frame: pandas.DataFrame) -> str:
    """The answer to a query as a JSON array: times as ISO text, numbers with all their digits."""
    return frame.to_json(
        orient="records",
        indent=1,
        date_format="iso",
        date_unit="us",
        double_precision=15,
        force_ascii=False,
        default_handler=str,
    )
