"""Files of rows: JSONL, gzipped JSONL and Parquet, read as a stream and written whole or by appending.

`JsonlLog` is the append-only file under everything that costs tokens. Each append is one write under an
exclusive lock, so processes may share a log, and a kill loses at most the rows not yet handed to it. A
torn last line (a kill or a full disk in mid-write) is cut off by whoever appends next. Rows are in the
operating system's hands when `append` returns; a power cut may lose what it has not written back.
"""

from __future__ import annotations

import fcntl
import glob
import gzip
import json
import os
import re
import zlib
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import IO, Any, cast

from sampleset.errors import (
    DataError,
    InputNotFoundError,
    InvalidArgumentError,
    MalformedRecordError,
    MissingExtraError,
)
from sampleset.storage.records import (
    ID_COLUMNS,
    QUESTION_COLUMNS,
    SAMPLES_COLUMNS,
    StoredSet,
    problem_from_row,
    stored_set_from_row,
    with_columns,
)
from sampleset.types import Problem

SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows of a file with their line numbers, from 1 (Parquet: row numbers). Blank lines are skipped.

    Raises:
        InputNotFoundError: There is no such file.
        MalformedRecordError: A line is not a JSON object.
        DataError: The suffix is unknown, or the file is damaged.
    """
    if not path.is_file():
        raise InputNotFoundError(f"No file {str(path)!r}. Give a {', '.join(SUFFIXES)} file.")
    if path.name.endswith(".parquet"):
        yield from _read_parquet(path)
    elif path.name.endswith((".jsonl", ".jsonl.gz")):
        yield from _read_jsonl(path)
    else:
        raise DataError(f"{path}: unknown kind of file. Give a {', '.join(SUFFIXES)} file.")


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write rows to a new file, whole or not at all, and return how many.

    The suffix decides the form. The same rows give the same bytes.

    Raises:
        DataError: The suffix is unknown.
    """
    with _whole(path) as partial:
        if path.name.endswith(".parquet"):
            return _write_parquet(partial, rows)
        if path.name.endswith(".jsonl.gz"):
            with open(partial, "wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as file:
                return _write_lines(cast("IO[bytes]", file), rows)
        if path.name.endswith(".jsonl"):
            with open(partial, "wb") as file:
                return _write_lines(file, rows)
        raise DataError(f"{path}: unknown kind of file. Name a {', '.join(SUFFIXES)} file.")


def check_target(path: Path) -> None:
    """Find out before any work whether `write_rows` could write a file there.

    Raises:
        DataError: The suffix is unknown.
        InvalidArgumentError: The path is a folder, or its folder cannot be written to.
        MissingExtraError: Parquet needs a package that is not installed.
    """
    if not path.name.endswith(SUFFIXES):
        raise DataError(f"{path}: unknown kind of file. Name a {', '.join(SUFFIXES)} file.")
    if path.name.endswith(".parquet"):
        _pyarrow()
    there = next(one for one in path.absolute().parents if one.exists())
    if path.is_dir() or not there.is_dir() or not os.access(there, os.W_OK):
        raise InvalidArgumentError(f"Nothing can be written to {str(path)!r}. Name another file.")


@contextmanager
def new_jsonl(path: Path) -> Generator[Callable[[Mapping[str, Any]], None]]:
    """A function that adds a row to a new JSONL file, which is there, whole, when the block ends well."""
    with _whole(path) as partial, open(partial, "wb") as file:

        def add(row: Mapping[str, Any]) -> None:
            file.write(_line(row))

        yield add


@contextmanager
def _whole(path: Path) -> Generator[Path]:
    """A file of another name beside the path, which takes its place when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*"):
        process = left.name.rpartition(".")[2]
        # What a killed process left behind; the files of live ones are in work.
        if process.isdecimal() and not Path("/proc", process).exists():
            left.unlink(missing_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def read_problems(path: Path, columns: Mapping[str, str] | None = None) -> Iterator[Problem]:
    """Problems of a file, in order.

    Args:
        path: The file.
        columns: Our name of a column → the file's, where they differ.

    Raises:
        MalformedRecordError: A row holds no problem, or its id stood before.
        DataError: The file is empty.
    """
    seen: Counter[str] = Counter()
    for number, row in read_rows(path):
        with _located(path, number):
            problem = problem_from_row(with_columns(row, columns), len(seen))
            _refuse_repeats(seen, problem.id)
        yield problem
    if not seen:
        raise DataError(f"{path}: no problems in this file.")


def read_sample_sets(path: Path, columns: Mapping[str, str] | None = None) -> Iterator[StoredSet]:
    """Sample sets of a file, or of a folder with one file per seed, in order.

    Args:
        path: The file or folder.
        columns: Our name of a column → the file's, where they differ.

    Raises:
        MalformedRecordError: A row holds no sample set, or its id stood before.
        InputNotFoundError: There is no such file or folder.
        DataError: The file is empty.
    """
    seen: Counter[str] = Counter()
    found = _joined_seeds(path, columns) if path.is_dir() else _with_source(path, columns)
    for source, number, row in found:
        with _located(source, number):
            stored = stored_set_from_row(row, len(seen))
            _refuse_repeats(seen, stored.problem.id)
        yield stored
    if not seen:
        raise DataError(f"{path}: no sample sets in this file.")


class JsonlLog:
    """An append-only JSONL file that several processes may share.

    Args:
        path: The file; made when the first row is appended.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read_to = 0
        self._lines = 0

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows in one write. If the disk is full, nothing is added and `OSError` is raised."""
        data = b"".join(_line(row) for row in rows)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            end = _repair(descriptor)
            try:
                _write_all(descriptor, data, end)
            except OSError:
                os.ftruncate(descriptor, end)
                raise
        finally:
            os.close(descriptor)

    def new_rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Whole rows added since the last call, by anyone, each with its byte offset.

        A last line without its end is left for the next call: it is being written, or torn.

        Raises:
            MalformedRecordError: A whole line is not a JSON object.
        """
        if not self.path.exists():
            return
        with open(self.path, "rb") as file:
            file.seek(self._read_to)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                offset = self._read_to
                self._read_to += len(line)
                self._lines += 1
                if line.strip():
                    with _located(self.path, self._lines):
                        row = _parse(line)
                    yield offset, row

    def row_at(self, offset: int) -> dict[str, Any]:
        """The row that starts at this byte offset."""
        with open(self.path, "rb") as file:
            file.seek(offset)
            return _parse(file.readline())


def _repair(descriptor: int) -> int:
    """Cut a torn last line off; return the size that is left. The caller holds the lock."""
    end = size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) == b"\n":
        return size
    while end > 0:
        start = max(0, end - 65536)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end < size:
        os.ftruncate(descriptor, end)
    return end


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def _line(row: Mapping[str, Any]) -> bytes:
    # Parquet knows values that JSON does not: dates, decimals.
    text = json.dumps(row, ensure_ascii=False, separators=(",", ":"), default=str)
    # Lone surrogates, which models' broken byte pieces may leave, have no UTF-8 form.
    return text.encode("utf-8", "replace") + b"\n"


def _parse(line: str | bytes) -> dict[str, Any]:
    try:
        row: object = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"not JSON ({error})") from error
    if not isinstance(row, dict):
        raise DataError(f"expected a JSON object, got {type(row).__name__}")
    return cast("dict[str, Any]", row)


def _read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    number = 0
    with gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb") as file:
        try:
            for line in file:
                number += 1
                if line.strip():
                    with _located(path, number):
                        row = _parse(line)
                    yield number, row
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"{path}: damaged after line {number} ({error}).") from error


def _write_lines(file: IO[bytes], rows: Iterable[Mapping[str, Any]]) -> int:
    count = 0
    for row in rows:
        file.write(_line(row))
        count += 1
    return count


def _read_parquet(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    parquet = _pyarrow("pyarrow.parquet")
    number = 0
    try:
        for batch in parquet.ParquetFile(path).iter_batches(batch_size=256):
            for row in batch.to_pylist():
                number += 1
                # A column absent from this row comes back as null; JSONL would not have it at all.
                yield number, {name: value for name, value in row.items() if value is not None}
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a Parquet file that can be read ({error}).") from error


def _write_parquet(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    parquet = _pyarrow("pyarrow.parquet")
    listed = [dict(row) for row in rows]
    # Rows of different shapes share a table: a column that a row lacks is null in it.
    columns = dict.fromkeys(name for row in listed for name in row)
    table = {name: [row.get(name) for row in listed] for name in columns}
    parquet.write_table(_pyarrow().table(table), path, compression="zstd")
    return len(listed)


def _pyarrow(module: str = "pyarrow") -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError("Parquet needs pyarrow: pip install 'sampleset[parquet]'") from error


def _with_source(path: Path, columns: Mapping[str, str] | None) -> Iterator[tuple[Path, int, dict[str, Any]]]:
    for number, row in read_rows(path):
        with _located(path, number):
            mapped = dict(with_columns(row, columns))
        yield path, number, mapped


def _joined_seeds(
    folder: Path, columns: Mapping[str, str] | None
) -> Iterator[tuple[Path, int, dict[str, Any]]]:
    """Rows of files that hold one `generation` each per question, joined to one row per question."""
    files = sorted(
        (path for path in folder.iterdir() if path.name.endswith((".jsonl", ".jsonl.gz"))), key=_natural
    )
    if not files:
        raise InputNotFoundError(f"No .jsonl files in {str(folder)!r}. Give a file or folder of samples.")
    joined: dict[str, dict[str, Any]] = {}
    places: dict[str, tuple[Path, int]] = {}
    for path in files:
        for _, number, row in _with_source(path, columns):
            names = (name for name in (*ID_COLUMNS, *QUESTION_COLUMNS) if row.get(name) is not None)
            key = next((str(row[name]) for name in names), None)
            with _located(path, number):
                if key is None or not isinstance(row.get("generation"), str):
                    raise DataError(
                        "in a folder of files per seed each row needs an id or question and a 'generation'"
                    )
            whole = joined.setdefault(key or "", {**row, SAMPLES_COLUMNS[0]: []})
            whole[SAMPLES_COLUMNS[0]].append(row["generation"])
            places.setdefault(key or "", (path, number))
    for key, row in joined.items():
        row.pop("generation")
        yield *places[key], row


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort key by which `rs2` comes before `rs10`."""
    parts = cast("list[str]", re.split(r"(\d+)", path.name))
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _refuse_repeats(seen: Counter[str], identity: str) -> None:
    seen[identity] += 1
    if seen[identity] > 1:
        raise DataError(f"the id {identity!r} stands here a second time; ids must be unique within a file")


@contextmanager
def _located(path: Path, number: int) -> Generator[None]:
    """Put `file:line` before a data error."""
    try:
        yield
    except MalformedRecordError:
        raise
    except DataError as error:
        raise MalformedRecordError(f"{path}:{number}: {error}.") from error
