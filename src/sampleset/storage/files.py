"""Files of problems and sample sets: read as a stream, written whole or by appending.

`JsonlLog` is the append-only file under everything that costs tokens. Each append is one write under an
exclusive lock, so processes may share a log, and a kill loses at most the rows not yet handed to it. A
torn last line (a kill or a full disk in mid-write) is cut off by the next append. Rows are in the
operating system's hands when `append` returns; a power cut may lose what it has not written back.
"""

from __future__ import annotations

import csv
import errno
import fcntl
import glob
import gzip
import json
import os
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from sampleset.errors import (
    DataError,
    InvalidArgumentError,
)
from sampleset.storage.column_names import mapped
from sampleset.storage.compressed import pyarrow
from sampleset.storage.foreign.base import (
    ForeignSet,
    RowSource,
    Source,
    gold_fields,
    gold_of,
    has_plain_gold,
    recognised,
)
from sampleset.storage.pipes import regular_file
from sampleset.storage.records import (
    Row,
    StoredSet,
    problem_from_row,
    stored_set_from_row,
)
from sampleset.storage.row_folders import rows_in
from sampleset.storage.rows import located, parse_line, plain_row
from sampleset.types import Problem

SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet", ".csv")


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write rows to a new file, whole or not at all, and return how many.

    The suffix decides the form. The same rows give the same bytes.

    Raises:
        DataError: The suffix is unknown.
    """
    with _complete_file(path) as partial:
        if path.name.endswith(".parquet"):
            return _write_parquet(partial, rows)
        if path.name.endswith(".csv"):
            return _write_csv(partial, rows)
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
        InvalidArgumentError: The path is a folder.
        OSError: Its folder cannot be written to.
        MissingExtraError: Parquet needs a package that is not installed.
    """
    if not path.name.endswith(SUFFIXES):
        raise DataError(f"{path}: unknown kind of file. Name a {', '.join(SUFFIXES)} file.")
    if path.name.endswith(".parquet"):
        pyarrow()
    require_writable(path, is_folder=False)


def require_writable(path: Path, *, is_folder: bool) -> None:
    """Find out before any work whether a file or a folder can be written.

    Raises:
        InvalidArgumentError: It is a file in place of a folder, or the reverse.
        OSError: It cannot.
    """
    where = path.absolute()
    there = next(part for part in (where, *where.parents) if part.exists())
    if there == where and there.is_dir() != is_folder:
        other, what = ("file", "folder") if is_folder else ("folder", "file")
        raise InvalidArgumentError(f"{str(path)!r} is a {other}. Name another {what}.")
    if there != where and not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    if not os.access(there, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


@contextmanager
def new_jsonl(path: Path) -> Generator[Callable[[Mapping[str, Any]], None]]:
    """A function that adds a row to a new JSONL file, which is there, whole, when the block ends well."""
    with _complete_file(path) as partial, open(partial, "wb") as file:

        def add(row: Mapping[str, Any]) -> None:
            file.write(_line(row))

        yield add


@contextmanager
def _complete_file(path: Path) -> Generator[Path]:
    """A file of another name beside the path, which takes its place when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*"):
        process = left.name.rpartition(".")[2]
        # Files that a killed process left; a live process still writes its files.
        if process.isdecimal() and not Path("/proc", process).exists():
            left.unlink(missing_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with _naming(path):
            yield partial
            os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def read_problems(path: Path | str, columns: Mapping[str, str] | None = None) -> Iterator[Problem]:
    """Problems of a file, or of a folder of shards, in order.

    Args:
        path: The file or folder.
        columns: Our name of a column → the file's, where they differ.

    Raises:
        MalformedRecordError: A row holds no problem, or its id stood before.
        DataError: The file is empty.
    """
    counts: Counter[str] = Counter()
    for file, number, row in rows_in(regular_file(Path(path))):
        with located(file, number):
            problem = problem_from_row(mapped(row, columns), len(counts))
            _refuse_repeats(counts, problem.id)
        yield problem
    if not counts:
        raise DataError(f"{path}: no problems in this file.")


def read_sample_sets(path: Path | str, columns: Mapping[str, str] | None = None) -> Iterator[StoredSet]:
    """Sample sets of a file or a folder, in order.

    Files of other tools are recognised by their shape (docs/reference/formats.md).

    Args:
        path: The file or folder.
        columns: Our name of a column → the file's, where they differ.

    Raises:
        MalformedRecordError: A row holds no sample set, or its id stood before.
        InputNotFoundError: There is no such file or folder.
        DataError: The file is empty.
    """
    yield from sets_of(Source(Path(path), columns or {}))


def sets_of(source: Source) -> Iterator[StoredSet]:
    """Sample sets of a source, in the shape that it is recognised to have; see `read_sample_sets`."""
    form = recognised(source)
    foreign_sets = _our_rows(source) if form is None else form.sets(source)
    counts: Counter[str] = Counter()
    for foreign in foreign_sets:
        with located(foreign.file, foreign.number):
            stored = stored_set_from_row(source.completed(foreign.with_columns(source.columns)), len(counts))
            _refuse_repeats(counts, stored.problem.id)
        yield stored
    if not counts:
        raise DataError(f"{source.path}: no sample sets in this file.")


def sets_in(rows: Sequence[Row]) -> Iterator[StoredSet]:
    """Sample sets of rows in memory, of any shape that a file may have.

    Raises:
        MalformedRecordError: A row holds no sample set, or its id stood before.
    """
    if rows:
        yield from sets_of(RowSource(Path("rows"), listed=tuple(map(plain_row, rows))))


def _our_rows(source: Source) -> Iterator[ForeignSet]:
    for file, number, row in source.rows():
        with located(file, number):
            named = dict(mapped(row, source.columns))
            if not has_plain_gold(named):
                named |= gold_fields(gold_of(named))
        yield ForeignSet(file, number, named)


class JsonlLog:
    """An append-only JSONL file that several processes may share.

    Args:
        path: The file; made when the first row is appended.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read_to = 0
        self.lines = 0
        """Lines that `new_rows` has read."""

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows in one write. If the disk is full, nothing is added and `OSError` is raised."""
        data = b"".join(_line(row) for row in rows)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with locked(self.path) as descriptor:
            end = _repair(descriptor)
            try:
                write_all(descriptor, data, end)
            except OSError:
                os.ftruncate(descriptor, end)
                raise

    def new_rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Whole rows added since the last call, by anyone, each with its byte offset.

        A last line without its end is left for the next call: it is being written, or torn.

        Raises:
            MalformedRecordError: A whole line is not a JSON object.
        """
        if not self.path.exists():
            return
        require_regular(self.path)
        with open(self.path, "rb") as file:
            file.seek(self._read_to)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                offset = self._read_to
                self._read_to += len(line)
                self.lines += 1
                if line.strip():
                    with located(self.path, self.lines):
                        row = parse_line(line)
                    yield offset, row

    def row_at(self, offset: int) -> dict[str, Any]:
        """The row that starts at this byte offset."""
        with open(self.path, "rb") as file:
            file.seek(offset)
            return parse_line(file.readline())


def require_regular(path: Path) -> None:
    """Refuse a pipe, a device or a folder in place of a file: opening a pipe would wait for its writer.

    Raises:
        DataError: It is none of those that can be read from begin to end.
    """
    if path.exists() and not path.is_file():
        raise DataError(f"{str(path)!r} is no regular file. Move it away, and put the file back.")


@contextmanager
def locked(path: Path) -> Generator[int]:
    """A descriptor of a file that no other process of this package writes meanwhile; it is made if need be.

    Raises:
        OSError: It names the file, whatever fails.
    """
    with _naming(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)


@contextmanager
def _naming(path: Path) -> Generator[None]:
    """Put the name of the file into an error of the system that names none, a full disk say."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


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


def write_all(descriptor: int, data: bytes, offset: int) -> None:
    """Write bytes at a place of a file, however many writes that takes."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def _line(row: Mapping[str, Any]) -> bytes:
    # Parquet knows values that JSON does not: dates, decimals.
    text = json.dumps(row, ensure_ascii=False, separators=(",", ":"), default=str)
    # Lone surrogates, which models' broken byte pieces may leave, have no UTF-8 form.
    return text.encode("utf-8", "replace") + b"\n"


def _write_lines(file: IO[bytes], rows: Iterable[Mapping[str, Any]]) -> int:
    count = 0
    for row in rows:
        file.write(_line(row))
        count += 1
    return count


def _write_csv(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Lists and objects stand in their cells as JSON; a column that a row lacks is an empty cell."""
    listed = list(rows)
    columns = list(dict.fromkeys(name for row in listed for name in row))
    with open(path, "w", encoding="utf-8", errors="replace", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([_cell(row.get(name)) for name in columns] for row in listed)
    return len(listed)


def _cell(value: object) -> object:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | tuple | Mapping) else value


def _write_parquet(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    parquet = pyarrow("pyarrow.parquet")
    listed = [dict(row) for row in rows]
    # Rows of different shapes share a table: a column that a row lacks is null in it.
    columns = dict.fromkeys(name for row in listed for name in row)
    table = {name: _of_one_type([row.get(name) for row in listed]) for name in columns}
    parquet.write_table(pyarrow().table(table), path, compression="zstd")
    return len(listed)


def _of_one_type(column: list[Any]) -> list[Any]:
    """The column; where some of its lists hold texts and others sample rows, all hold sample rows."""
    items = [item for value in column if isinstance(value, list) for item in cast("list[Any]", value)]
    if {type(item) for item in items} != {str, dict}:
        return column
    return [
        [
            {"index": place, "text": item} if isinstance(item, str) else item
            for place, item in enumerate(cast("list[Any]", value))
        ]
        if isinstance(value, list)
        else value
        for value in column
    ]


def _refuse_repeats(counts: Counter[str], identity: str) -> None:
    counts[identity] += 1
    if counts[identity] > 1:
        raise DataError(f"the id {identity!r} stands here a second time; ids must be unique within a file")
