"""Text files that others wrote: their encoding, and tables whose cells a mark parts.

Spreadsheets write UTF-8, UTF-16 behind a byte order mark, or Windows-1252, and part cells by commas,
semicolons, tabs or bars. A table whose quotes are not written twice is refused, since cells would shift.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import IO, Any

from sampleset.errors import DataError
from sampleset.storage.compressed import DAMAGED, opened, plain_name

_LONGEST_CELL = 1 << 26
_MARKS = ",;\t|"
_QUOTED = re.compile(r'"[^"]*"?')
_RULER = re.compile(r" *(?::?-{2,}:?)? *")
_SEPARATOR = re.compile(r'"?sep=(.)"?', re.I)
_ENCODINGS = (
    # The mark of UTF-32 begins as that of UTF-16 does.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WINDOWS = "sampleset-windows-1252"


def encoding_of(start: bytes) -> str:
    """The encoding that a byte order mark names, UTF-8 without one."""
    return next((name for mark, name in _ENCODINGS if start.startswith(mark)), "utf-8-sig")


def encoding_of_file(path: Path) -> str:
    """The same of a file."""
    with opened(path) as file:
        return encoding_of(file.read(4))


def read_delimited(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a table, each with the line that it ends in; an empty cell is a column that the row lacks.

    Raises:
        DataError: The file is damaged, or a row has more cells than the header.
    """
    csv.field_size_limit(max(_LONGEST_CELL, csv.field_size_limit()))
    number = before = 0
    cells = csv.reader(())
    try:
        with opened(path) as raw, _text(raw, encoding_of_file(path)) as text:
            mark, header, number = _start(text)
            mark = mark or _mark(path, header)
            lines = _without_spaces_after_quotes(chain([header], text), mark)
            cells = csv.reader(lines, delimiter=mark, strict=True, skipinitialspace=_is_spaced(header, mark))
            is_padded = mark == "|" and header.lstrip().startswith("|")
            before, names = number, [name.strip() for name in next(cells, list[str]())]
            repeats = any(name and names.count(name) > 1 for name in names)
            for row in cells:
                number = before + cells.line_num
                if len(row) > len(names) and any(row[len(names) :]):
                    raise DataError(
                        f"{path}:{number}: {len(row)} cells under a header of {len(names)}. A cell with "
                        f"{mark!r} in it must be quoted, and a quote in it written twice."
                    )
                if repeats:
                    _require_one_value(path, number, names, row)
                if row and not _is_ruler(row, mark):
                    yield (
                        number,
                        {
                            name: cell.strip() if is_padded else cell
                            for name, cell in zip(names, row, strict=False)
                            if name and cell
                        },
                    )
    except csv.Error as error:
        raise DataError(
            f"{path}:{before + cells.line_num}: {error}. A quote in a quoted cell must be written twice, and "
            "the cell must be closed."
        ) from error
    except DAMAGED as error:
        raise DataError(f"{path}: damaged after line {number} ({error}).") from error


def _require_one_value(path: Path, number: int, names: list[str], row: list[str]) -> None:
    """Refuse a row with two values under one name: one of them would be lost."""
    values: dict[str, str] = {}
    for name, cell in zip(names, row, strict=False):
        if name and cell and values.setdefault(name, cell) != cell:
            raise DataError(
                f"{path}:{number}: two columns are named {name!r}, and their cells differ. Rename one."
            )


def _is_ruler(row: list[str], mark: str) -> bool:
    """Whether a row is the line under the header of a Markdown table."""
    return mark == "|" and all(_RULER.fullmatch(cell) for cell in row) and any(row)


def _text(raw: IO[bytes], encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(raw, encoding, _WINDOWS if encoding == "utf-8-sig" else "strict", newline="")


def _start(text: io.TextIOWrapper) -> tuple[str, str, int]:
    """The mark that a line `sep=;` names (Excel's), the first line of the header, and the lines before it."""
    mark = ""
    for number, line in enumerate(text):
        content = line.strip("\r\n")
        if match := _SEPARATOR.fullmatch(content):
            mark = match[1]
        elif content.strip():
            return mark, line, number
    return mark, "", 0


def _mark(path: Path, header: str) -> str:
    """What parts the cells: a tab in `.tsv`, else what the header has most often outside of quotes."""
    if plain_name(path).endswith(".tsv"):
        return "\t"
    return max(_MARKS, key=_QUOTED.sub("", header).count)


def _is_spaced(header: str, mark: str) -> bool:
    """Whether a space follows each mark, which is then no part of a cell."""
    _, *others = _QUOTED.sub("", header).split(mark)
    return bool(others) and all(name.startswith(" ") for name in others)


def _without_spaces_after_quotes(lines: Iterable[str], mark: str) -> Iterator[str]:
    """The lines with each closing quote at the end of its cell: `"a" , "b"` becomes `"a", "b"`."""
    space = " +" if mark == "\t" else r"[ \t]+"
    spaced = re.compile(rf'"{space}(?={re.escape(mark)}|[\r\n]*$)')
    quotes = 0
    for line in lines:
        position, pieces = 0, list[str]()
        for match in spaced.finditer(line):
            end = match.start() + 1
            # An even number of quotes up to here: this one closes its cell.
            is_closing = (quotes + line.count('"', 0, end)) % 2 == 0
            pieces.append(line[position : end if is_closing else match.end()])
            position = match.end()
        quotes += line.count('"')
        yield "".join([*pieces, line[position:]])


def _of_windows(error: UnicodeError) -> tuple[str, int]:
    """The text of bytes that are no UTF-8, as Excel writes them."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    bad: Any = error.object[error.start : error.end]
    return bytes(bad).decode("cp1252", "replace"), error.end


codecs.register_error(_WINDOWS, _of_windows)
