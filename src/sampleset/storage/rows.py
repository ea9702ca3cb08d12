"""Rows of a file, whatever holds them: JSONL, JSON, CSV, Parquet, Arrow, logs in a zip.

A row is a mapping of column names to JSON values. A column that a row lacks is absent, not null. Files are
read as a stream, but for JSON, whose array ends with its last byte.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
import zlib
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, cast

from sampleset.errors import DataError, InputNotFoundError, MalformedRecordError
from sampleset.storage.column_names import CHAT_COLUMNS, PROMPT_COLUMNS, even
from sampleset.storage.compressed import (
    DAMAGED,
    MAGIC,
    beginning,
    compression_of,
    opened,
    plain_name,
    pyarrow,
)
from sampleset.storage.delimited import encoding_of, read_delimited

_TEXTS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")
_TABLES = (".parquet", ".arrow", ".feather", ".eval")
READABLE = (*_TEXTS, *(f"{text}{packed}" for text in _TEXTS for packed in MAGIC), *_TABLES)
"""The endings of files that are read as rows."""

ENDINGS = f"{', '.join((*_TEXTS, *_TABLES))} (texts also compressed: {', '.join(MAGIC)})"
"""The same, for messages."""

_MOST_BYTES_OF_A_MEMBER = 1 << 28

_START = 512
_ARRAY = re.compile(rb"(?:\xef\xbb\xbf)?\s*\[\s*[{\n]")
"""A JSON file of all rows, as it begins."""
_PAGE = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype html|html)", re.IGNORECASE)

Located = tuple[Path, int, dict[str, Any]]
"""The file of a row, its line (in Parquet and JSON: its place, from 1), and the row."""


def read_rows(path: Path | str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows of a file with their line numbers, from 1 (JSON and Parquet: row numbers).

    Raises:
        InputNotFoundError: There is no such file.
        MalformedRecordError: A line is not a JSON object.
        DataError: The suffix is unknown, or the file is damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise InputNotFoundError(f"No file {str(path)!r}. Give a file that ends in {ENDINGS}.")
    name = path.name.lower()
    if not name.endswith(READABLE):
        raise DataError(f"{path}: unknown kind of file. Give a file that ends in {ENDINGS}.")
    reader = next(read for endings, read in _READERS.items() if plain_name(path).endswith(endings))
    if reader in (_read_jsonl, read_delimited) and name == plain_name(path):
        with path.open("rb") as file:
            start = file.read(_START)
        if other := _other_content(start):
            raise DataError(f"{path}: {other}.")
        if reader is _read_jsonl and _ARRAY.match(start):
            reader = _read_json
    yield from reader(path)


def _other_content(start: bytes) -> str | None:
    """What a file holds that the end of its name does not say, and what to do about it."""
    if ending := compression_of(start):
        return f"compressed; let its name end in {ending}"
    if start.startswith((b"PAR1", b"ARROW1", b"FEA1")):
        return f"not text; let its name end in {suffix_of(start)}"
    if start.startswith(b"PK\x03\x04"):
        return "a zip archive or a workbook; unpack it, or save the sheet as CSV"
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer in place of the data; fetch them with `git lfs pull`"
    if _PAGE.match(start):
        return "a page of HTML in place of the data; download the file itself"
    return None


def natural(path: Path) -> list[tuple[int, str]]:
    """Sort key by which `rs2` comes before `rs10`."""
    parts = cast("list[str]", re.split(r"(\d+)", path.name))
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


@contextmanager
def located(path: Path, number: int) -> Generator[None]:
    """Put `file:line` before a data error."""
    try:
        yield
    except MalformedRecordError:
        raise
    except DataError as error:
        raise MalformedRecordError(f"{path}:{number}: {error}.") from error


def parse_line(line: str | bytes) -> dict[str, Any]:
    """The JSON object of a line.

    Raises:
        DataError: It is not JSON, or no object.
    """
    try:
        # The parser would guess the encoding of bytes from the first ones.
        row: object = json.loads(line if isinstance(line, str) else line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        is_number = "integer string conversion" in str(error)
        reason = "a number has thousands of digits; write it as a text" if is_number else error
        raise DataError(f"not JSON ({reason})") from error
    if not isinstance(row, dict):
        raise DataError(f"expected a JSON object, got {type(row).__name__}")
    return cast("dict[str, Any]", row)


def plain_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row without nulls, which a table fills in and JSONL leaves out.

    Decimal numbers are texts; arrays, and numbers of NumPy, are lists and numbers.
    """
    return {name: _plain(value) for name, value in row.items() if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value, "f")
    return value.tolist() if hasattr(value, "tolist") else value


def suffix_of(start: bytes) -> str:
    """The ending for the name of a file that begins so."""
    if ending := compression_of(start):
        try:
            inside = beginning(start)
        except DAMAGED as error:
            raise DataError(f"stdin: compressed, and damaged ({error}).") from error
        return f".jsonl{ending}" if compression_of(inside) else f"{suffix_of(inside)}{ending}"
    for magic, suffix in (
        (b"PAR1", ".parquet"),
        (b"PK\x03\x04", ".eval"),
        (b"ARROW1", ".arrow"),
        (b"\xff\xff\xff\xff", ".arrow"),  # a stream of it
        (b"FEA1", ".feather"),
    ):
        if start.startswith(magic):
            return suffix
    if (encoding := encoding_of(start)) != "utf-8-sig":
        start = start.decode(encoding, "ignore").encode()
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith(b"["):
        return ".json"
    if not text.startswith(b"{"):
        return ".csv"
    first, newline, _ = text.partition(b"\n")
    try:
        parse_line(first)
    except DataError:
        # A line longer than the part that was read, or an object over several lines.
        return ".json" if newline else ".jsonl"
    return ".jsonl"


def _read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    number = 0
    try:
        with opened(path) as file, _lines(file) as lines:
            for line in lines:
                number += 1
                if line.strip():
                    with located(path, number):
                        row = _row_of(line)
                    yield number, row
    except DAMAGED as error:
        raise DataError(f"{path}: damaged after line {number} ({error}).") from error


def _row_of(line: str | bytes) -> dict[str, Any]:
    try:
        return parse_line(line)
    except DataError as error:
        if line[-1:] in ("\n", b"\n") or "Extra data" in str(error):
            raise
        raise DataError(
            f"{error}; the file ends within this line. Make it whole again, or remove the line"
        ) from error


def _lines(file: IO[bytes]) -> IO[bytes] | IO[str]:
    """The lines of JSON; those of UTF-16, as PowerShell writes it, decoded."""
    encoding = encoding_of(file.read(4))
    file.seek(0)
    return file if encoding == "utf-8-sig" else io.TextIOWrapper(file, encoding, newline="\n")


def _read_json(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with opened(path) as file:
            content = file.read()
        if (encoding := encoding_of(content)) != "utf-8-sig":
            content = content.decode(encoding).encode()
        if _is_lines(content):
            yield from _read_jsonl(path)
            return
        document: object = json.loads(content)
    except (ValueError, RecursionError, *DAMAGED) as error:
        raise DataError(f"{path}: not JSON ({error}).") from error
    for number, item in enumerate(_listed(document), 1):
        if isinstance(item, str):
            yield number, {"text": item}
        elif isinstance(item, dict):
            yield number, plain_row(cast("dict[str, Any]", item))
        else:
            raise DataError(f"{path}: item {number} is {type(item).__name__}, not an object or a text.")


def _is_lines(content: bytes) -> bool:
    """Whether a JSON file holds an object a line, as many write JSONL."""
    first, newline, rest = content.lstrip(b"\xef\xbb\xbf \t\r\n").partition(b"\n")
    if not newline or not rest.lstrip().startswith(b"{"):
        return False
    try:
        parse_line(first)
    except DataError:
        return False
    return True


def _listed(content: object) -> Iterable[object]:
    """The rows that a JSON document holds: an array, the one array of objects in an object, objects by id, or
    the object itself.
    """
    if isinstance(content, list):
        return cast("list[object]", content)
    if not isinstance(content, dict):
        return [content]
    document = cast("dict[str, object]", content)
    if rows := _rows_of_columns(document):
        return rows
    if "question" in document or "problem" in document:
        return [document]
    if _are_objects(document.get("samples")):  # an inspect log, which has other lists, too
        return cast("list[object]", document["samples"])
    lists = [cast("list[dict[str, object]]", item) for item in document.values() if _are_objects(item)]
    asking = [item for item in lists if _asks(item[0])]
    for candidates in (lists, asking):
        if len(candidates) == 1:
            return candidates[0]
    values = list(document.values())
    if values and all(map(_are_texts, values)):  # samples under the id or the text of their question
        return [
            {"question" if " " in key.strip() else "id": key, "samples": item}
            for key, item in document.items()
        ]
    if values and all(isinstance(item, dict) for item in values):
        return [{"id": key, **cast("dict[str, Any]", value)} for key, value in document.items()]
    return [document]


def _rows_of_columns(document: Mapping[str, object]) -> list[dict[str, Any]]:
    """The rows of a table that was written by columns: each a list of values, or an object of values by their
    row's number, or split into names and cells.
    """
    names, cells = document.get("columns"), document.get("data")
    if (
        {"columns", "data"} <= set(document) <= {"columns", "index", "data"}
        and isinstance(names, list)
        and isinstance(cells, list)
    ):
        listed = [cast("list[Any]", item) for item in cast("list[object]", cells) if isinstance(item, list)]
        return [dict(zip(cast("list[str]", names), item, strict=False)) for item in listed]
    lists = {name: cast("list[Any]", item) for name, item in document.items() if isinstance(item, list)}
    if len(lists) == len(document) and len({*map(len, lists.values())}) == 1 and _asks(document):
        return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]
    columns = {
        name: cast("dict[str, object]", item) for name, item in document.items() if isinstance(item, dict)
    }
    numbers = list(next(iter(columns.values()))) if columns else []
    if len(columns) < len(document) or not all(number.isdecimal() for number in numbers):
        return []
    return [{name: column.get(number) for name, column in columns.items()} for number in numbers]


def _asks(row: Mapping[str, object]) -> bool:
    """Whether a row has a question, by the names of its columns."""
    return any(even(name) in (*PROMPT_COLUMNS, *CHAT_COLUMNS) for name in row)


def _are_texts(value: object) -> bool:
    listed = cast("list[object]", value) if isinstance(value, list) else []
    return bool(listed) and all(isinstance(item, str) for item in listed)


def _are_objects(value: object) -> bool:
    listed = cast("list[object]", value) if isinstance(value, list) else []
    return bool(listed) and all(isinstance(item, dict) for item in listed)


def _read_parquet(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    parquet = pyarrow("pyarrow.parquet")
    number = 0
    try:
        for batch in parquet.ParquetFile(path).iter_batches(batch_size=256):
            for row in batch.to_pylist():
                number += 1
                yield number, plain_row(row)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a Parquet file that can be read ({error}).") from error


def _read_arrow(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of an Arrow stream or file (Feather is one), or of Feather's first version."""
    arrow = pyarrow()
    number = 0
    try:
        with arrow.memory_map(str(path)) as source:
            if path.stat().st_size and source.read(4) == b"FEA1":
                batches = pyarrow("pyarrow.feather").read_table(str(path)).to_batches()
            else:
                source.seek(0)
                batches = _arrow_batches(source)
            for batch in batches:
                for row in batch.to_pylist():
                    number += 1
                    yield number, plain_row(row)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not an Arrow file that can be read ({error}).") from error


def _arrow_batches(source: Any) -> Iterable[Any]:
    arrow, ipc = pyarrow(), pyarrow("pyarrow.ipc")
    try:
        return ipc.open_stream(source)
    except arrow.ArrowInvalid:
        file = ipc.open_file(source)
        return (file.get_batch(index) for index in range(file.num_record_batches))


def _read_eval(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The samples of an inspect_ai log, a zip with one JSON file each."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [entry for entry in archive.infolist() if entry.filename.startswith("samples/")]
            for number, member in enumerate(
                sorted(members, key=lambda entry: natural(Path(entry.filename))), 1
            ):
                with located(path, number):
                    row = parse_line(_member(archive, member))
                yield number, row
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: not an inspect log that can be read ({error}).") from error


_ZSTANDARD = 93
_LOCAL_HEADER = 30


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """The content of a file of the zip. Python reads zstandard, which inspect packs in, from 3.14 on only."""
    if member.file_size > _MOST_BYTES_OF_A_MEMBER:
        raise DataError(
            f"{member.filename} holds {member.file_size} bytes, more than {_MOST_BYTES_OF_A_MEMBER}"
        )
    if member.compress_type != _ZSTANDARD:
        return archive.read(member)
    file = cast("IO[bytes]", archive.fp)
    file.seek(member.header_offset)
    header = file.read(_LOCAL_HEADER)
    file.seek(int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little"), 1)
    packed = file.read(member.compress_size)
    return pyarrow().Codec("zstd").decompress(packed, decompressed_size=member.file_size, asbytes=True)


_READERS = {
    (".jsonl", ".ndjson"): _read_jsonl,
    (".json",): _read_json,
    (".csv", ".tsv"): read_delimited,
    (".parquet",): _read_parquet,
    (".arrow", ".feather"): _read_arrow,
    (".eval",): _read_eval,
}
