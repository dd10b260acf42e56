"""Where records lie, and nothing else knows: append-only lines of JSON, one file per writer, newest record wins."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import json
import math
import os
import secrets
import warnings
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from workbench import drafts, environment, lazily, ledger
from workbench.spec import SCHEMA, STATUSES, Record, UserError

if TYPE_CHECKING:
    import pandas

OUTSIDE = (
    "enable_external_access",
    "autoinstall_known_extensions",
    "autoload_known_extensions",
    "python_enable_replacements",
)
"""What DuckDB would reach beside the records: files, the network, variables of this program. A query is refused it."""

REQUIRED = {f.name for f in dataclasses.fields(Record)} - {"details", "environment", "took"}


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


def identity(variant: str, probe: str, version: int, conditions: Mapping[str, Any]) -> str:
    """What makes two records measurements of the same thing."""
    return json.dumps([variant, probe, version, conditions], sort_keys=True)


@dataclass(frozen=True)
class Contents:
    """What a folder of records held when it was read."""

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
            key = _key(record)
            if key not in newest or _rank(newest[key]) <= _rank(record):
                newest[key] = record
        return newest

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


def _key(record: Record) -> str:
    return identity(record.variant, record.probe, record.probe_version, record.conditions)


def _rank(record: Record) -> tuple[bool, datetime]:
    """Which of two records of one thing stands: the greater."""
    return record.status == "ok", datetime.fromisoformat(record.recorded_at)


def read(folder: Path) -> Contents:
    """Read every record in a folder. Torn and foreign lines are reported, never fatal; a missing folder is empty."""
    entries: list[lazily.Entry] = []
    problems: list[Problem] = []
    ends: dict[str, int] = {}
    held: dict[str, bytes] = {}
    index = ledger.load(folder)
    try:
        files = sorted(p for p in folder.iterdir() if p.suffix == ".jsonl") if folder.exists() else []
    except OSError as error:
        raise UserError(
            f"Cannot read the records in {folder}: {error.strerror}. Name a readable folder with --records."
        ) from None
    for file in files:
        try:
            text = file.read_bytes()
        except OSError as error:
            problems.append(Problem(file, None, f"cannot be read ({error.strerror})"))
            continue
        ends[file.name] = text.rfind(b"\n") + 1
        covered = index.files.get(file.name) if index else None
        begin, number = 0, 0
        if index and covered and hashlib.sha256(text[: covered.size]).hexdigest() == covered.sha256:
            held[file.name], begin, number = text, covered.size, covered.lines
            entries += [(line, None) for line in index.lines[file.name]]
            problems += [Problem(file, line, why) for line, why in covered.problems]
        for line in text[begin:].split(b"\n"):
            number, end = number + 1, begin + len(line)
            if line.strip():
                try:
                    record = parse(line)
                    entries.append((_line(file.name, begin, end, record) if index else _NOWHERE, record))
                except ValueError as error:
                    problems.append(Problem(file, number, str(error)))
            begin = end + 1
    if held:
        return Contents(lazily.Records(entries, lazily.Text(held, parse), _key), tuple(problems), ends)
    return Contents(tuple(r for _, r in entries if r), tuple(problems), ends)


_NOWHERE = ledger.Line("", 0, 0, "", "", "", False, 0)
"""The place of a record that needs none, since all are parsed."""


def _line(file: str, begin: int, end: int, record: Record) -> ledger.Line:
    at = (datetime.fromisoformat(record.recorded_at) - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)
    ok, told = record.status == "ok", ledger.digest(_key(record))
    return ledger.Line(file, begin, end, told, record.variant, record.probe, ok, at)


def compact(folder: Path) -> int:
    """Index a folder's whole lines, so that later only what is asked for is parsed; how many records that are.

    The text stays as it is and stays the truth: a file that was changed since, but by appending, is parsed as before.
    """
    files: dict[str, ledger.Covered] = {}
    lines: list[ledger.Line] = []
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}, so there is nothing to index. Name one with --records.")
    for file in sorted(p for p in folder.iterdir() if p.suffix == ".jsonl"):
        try:
            text = file.read_bytes()
        except OSError:
            continue  # who reads the folder is told of it
        text = text[: text.rfind(b"\n") + 1]
        begin, problems = 0, list[tuple[int, str]]()
        for number, line in enumerate(text.split(b"\n")[:-1], start=1):
            end = begin + len(line)
            if line.strip():
                try:
                    lines.append(_line(file.name, begin, end, parse(line)))
                except ValueError as error:
                    problems.append((number, str(error)))
            begin = end + 1
        told = hashlib.sha256(text).hexdigest()
        files[file.name] = ledger.Covered(len(text), told, text.count(b"\n"), tuple(problems))
    try:
        ledger.write(folder, files, lines)
    except OSError as error:
        raise _unwritten(folder / ledger.FOLDER, error, "--records") from None
    return len(lines)


def parse(line: bytes | str) -> Record:
    """One line as a record; ValueError says in words what it is instead."""
    try:
        fields = json.loads(line)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        raise ValueError("not a whole line of JSON (torn by a crash, or foreign)") from None
    if not isinstance(fields, dict):
        raise ValueError(f"JSON, but of type {type(fields).__name__} and no record")
    schema = fields.get("schema")
    if isinstance(schema, int) and schema > SCHEMA:
        raise ValueError(f"a record of schema {schema}, newer than this workbench's {SCHEMA}; update the workbench")
    if missing := sorted(REQUIRED - fields.keys()):
        raise ValueError(f"JSON, but no record: it lacks {', '.join(missing)}")
    if why := _invalid(fields):
        raise ValueError(f"a record whose {why}")
    known = {f.name for f in dataclasses.fields(Record)}
    return Record(**{k: v for k, v in fields.items() if k in known} | {"values": tuple(fields["values"])})


def _invalid(fields: Mapping[str, Any]) -> str | None:
    """What is of the wrong kind in a line that has all fields. JSON's true is no number, though Python's is."""
    texts = ("variant", "protocol", "probe", "unit", "recorded_at", "machine")
    if wrong := [t for t in texts if not isinstance(fields[t], str)]:
        return f"{wrong[0]} is no text"
    if not _is_time(fields["recorded_at"]):
        return f"recorded_at {fields['recorded_at']!r} is no ISO time with its zone"
    if not isinstance(fields["reason"], str | None):
        return "reason is no text"
    if wrong := [n for n in ("schema", "probe_version") if type(fields[n]) is not int or fields[n] < 1]:
        return f"{wrong[0]} is no version number"
    if wrong := [m for m in ("conditions", "details", "environment") if not isinstance(fields.get(m, {}), dict)]:
        return f"{wrong[0]} is no object"
    took = fields.get("took")
    if took is not None and (type(took) not in (int, float) or not 0 <= took < math.inf):
        return "took is no number of seconds"
    if fields["status"] not in STATUSES:
        return f"status {fields['status']!r} is none of {', '.join(STATUSES)}"
    values = fields["values"]
    if not isinstance(values, list) or any(type(v) not in (int, float) or not abs(v) < math.inf for v in values):
        return "values are not finite numbers"
    if (fields["status"] == "ok") != bool(values):
        return f"status is {fields['status']!r} with {len(values)} values"
    return None


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def to_json(record: Record) -> dict[str, Any]:
    """A record as the store writes it and `--json` prints it."""
    return {f.name: getattr(record, f.name) for f in dataclasses.fields(record)}


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


class Writer:
    """Appends records to one file of its own, so that any number of writers can share a folder.

    A record that `append` has returned for survives a kill at any later moment: each is one write and one fsync.
    The file appears with the first record, under a name no other writer can have.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._file: int | None = None
        self._path: Path | None = None

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def check(self) -> None:
        """Fail now, before anything is measured, if records could not be written later."""
        try:
            check(self.folder)
        except OSError as error:
            raise self._refused(error) from None

    def append(self, records: Iterable[Record]) -> None:
        """Write records, each whole or not at all."""
        for record in records:
            line = (json.dumps(to_json(record), allow_nan=False) + "\n").encode()
            try:
                self._append(line)
            except OSError as error:
                raise self._refused(error) from None

    def _append(self, line: bytes) -> None:
        if self._file is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
            self._path = self.folder / f"{stamp}-{os.getpid()}-{secrets.token_hex(4)}.jsonl"
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
            _sync_folder(self.folder)
        before = os.fstat(self._file).st_size
        try:
            written = os.write(self._file, line)
            if written < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, before)  # leave no torn line behind
            raise

    def _refused(self, error: OSError) -> UserError:
        return UserError(
            f"Cannot write a record to {self.folder}: {error.strerror}."
            f" Records written before are safe; the unwritten one will be measured again. {_mend(error, '--records')}"
        )


def check(folder: Path) -> None:
    """Make a folder if there is none, and see that it takes a file; an OSError says why it does not.

    What killed processes have left there half written is removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drafts.bury(folder)
    probe = drafts.beside(folder / "writable")
    os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
    probe.unlink()


def check_results(results: Path) -> None:
    """Fail now, before anything is measured, if results could not be written later."""
    for folder in (results / "tables", results / "figures", results / "report"):
        try:
            check(folder)
        except OSError as error:
            raise _unwritten(folder, error) from None


def replace(path: Path, content: str | bytes, option: str = "--results, or another file") -> None:
    """Write a result whole or not at all: under another name first, then moved to its place.

    `option` is the one that names another place, for the sentence where this one takes nothing.
    A full disk, a crash or Ctrl-C leave what was there before, never an empty file.
    """
    draft = drafts.beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(content.encode() if isinstance(content, str) else content)
        draft.replace(path)
    except OSError as error:
        raise _unwritten(path, error, option) from None
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()


def _unwritten(path: Path, error: OSError, option: str = "--results, or another file") -> UserError:
    return UserError(f"Cannot write {path}: {error.strerror}. {_mend(error, option)}")


def _mend(error: OSError, option: str) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "Free some space and run the same command again."
    return f"Name a writable folder with {option}."


def _sync_folder(folder: Path) -> None:
    """Make a new file's name as durable as its content."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
