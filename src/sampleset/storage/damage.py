"""Finds damaged rows of a store, and sets them aside.

A damaged row is written into a file beside its own, `samples.jsonl.damaged`, and overwritten with spaces,
which every reader skips. No other byte moves, so that a process which has the store open is not disturbed.
Rows that a damaged or lost line break has joined are parted again where they are whole; one without room for
a line break before it is moved to the end of its file.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from sampleset.errors import DataError, InputNotFoundError
from sampleset.storage.files import locked, require_regular, write_all
from sampleset.storage.records import problem_from_row, sample_from_row
from sampleset.storage.rows import parse_line
from sampleset.storage.store import checked_row, configuration_of, is_store, require_known_schema

_FILES = ("samples.jsonl", "problems.jsonl", "shared.jsonl", "stops.jsonl")
_ID_FIELDS = {"samples.jsonl": "problem_id", "problems.jsonl": "id"}
"""What a row calls its problem, by file."""
_SHOWN = 60
_KEY = re.compile(r"[0-9a-f]{32}")
_ROW_START = b'{"schema"'


@dataclass(frozen=True, slots=True)
class Damage:
    """A part of a file that is no row.

    Attributes:
        file: Name of the file.
        row: Line, from 1.
        offset: Byte at which the damaged part begins.
        length: Its bytes, without the end of the line.
        byte: Byte at which reading fails, where that is known.
        reason: Why it is no row.
        begins: How it begins, for people.
    """

    file: str
    row: int
    offset: int
    length: int
    byte: int | None
    reason: str
    begins: str

    def __str__(self) -> str:
        where = "" if self.byte is None else f", byte {self.byte}"
        return f"{self.file}:{self.row}{where}: {self.reason}; it begins {self.begins!r}"


@dataclass(frozen=True, slots=True)
class StoreCheck:
    """The contents of a store.

    Attributes:
        rows: Rows that are whole, by file.
        damage: The damaged parts, in the order of the files.
        without_problem: Questions with draws that are not in problems.jsonl.
    """

    rows: Mapping[str, int]
    damage: tuple[Damage, ...]
    without_problem: int


def check_store(folder: Path) -> StoreCheck:
    """Find the damaged parts of a store; nothing is changed.

    Raises:
        InputNotFoundError: There is no store.
    """
    for path in (folder, *(folder / name for name in _FILES)):
        if path.is_symlink() and not path.exists():
            raise InputNotFoundError(
                f"{str(path)!r} is a link to {os.readlink(path)!r}, which leads nowhere. "
                "Mend the link, or remove it."
            )
    if not is_store(folder):
        raise InputNotFoundError(f"No sample store in {str(folder)!r}. Draw one with `sampleset sample`.")
    rows: dict[str, int] = {}
    damage: list[Damage] = []
    ids: dict[str, set[str]] = {name: set() for name in _ID_FIELDS}
    for name in _FILES:
        path = folder / name
        if not path.exists():
            continue
        require_regular(path)
        rows[name] = 0
        with open(path, "rb") as file:
            for part in _parts(name, file, ids.get(name)):
                if part is None:
                    rows[name] += 1
                else:
                    damage.append(part)
    return StoreCheck(rows, tuple(damage), len(ids["samples.jsonl"] - ids["problems.jsonl"]))


def repair_store(folder: Path) -> tuple[StoreCheck, list[Path]]:
    """Set damaged rows aside; returns the check before the repair, and the files that hold them now.

    Raises:
        InputNotFoundError: There is no store.
    """
    before = check_store(folder)
    aside: list[Path] = []
    for name in dict.fromkeys(part.file for part in before.damage):
        path = folder / name
        target = path.with_name(f"{name}.damaged")
        with locked(path) as descriptor, open(path, "rb") as file:
            # Looked for again under the lock: another process may have added rows.
            damage = [part for part in _parts(name, file) if part is not None]
            contents = [os.pread(descriptor, part.length, part.offset) for part in damage]
            moved = [content for content in contents if _fault(name, content) is None]
            if moved:
                write_all(descriptor, b"\n" + b"\n".join([*moved, b""]), os.fstat(descriptor).st_size)
            with open(target, "ab") as aside_file:
                aside_file.writelines(content + b"\n" for content in contents if content not in moved)
                aside_file.flush()
                os.fsync(aside_file.fileno())
            for part in damage:
                _blank(descriptor, part)
            os.fsync(descriptor)
        aside.append(target)
    return before, aside


def _blank(descriptor: int, damage: Damage) -> None:
    """Overwrite a damaged part; line breaks stand at both of its ends, if it has two bytes."""
    spaces = b"\n" if damage.length == 1 else b"\n" + b" " * (damage.length - 2) + b"\n"
    write_all(descriptor, spaces, damage.offset)


def _parts(name: str, file: Any, ids: set[str] | None = None) -> Iterator[Damage | None]:
    """The parts of a file in order: `None` for a row that is whole; `ids` takes the ids of their problems."""
    offset = 0
    for number, line in enumerate(cast("Iterator[bytes]", file), 1):
        content = line.removesuffix(b"\n")
        if content.strip():
            fault = _fault(name, content, ids)
            if not line.endswith(b"\n"):
                fault = ("the last row has no end: a write was cut off", len(content))
            if fault is None:
                yield None
            else:
                yield from _damaged_line(name, number, offset, content, *fault, ids)
        offset += len(line)


def _damaged_line(
    name: str, number: int, offset: int, content: bytes, reason: str, at: int | None, ids: set[str] | None
) -> Iterator[Damage | None]:
    """The parts of a line that is no row: complete rows within it, and the text between them."""
    done = 0
    for start, end in _whole_rows(name, content, ids):
        if start > done:
            yield _damage(name, number, offset + done, content[done:start], reason, at, done)
        yield None
        done = end
    if done < len(content):
        yield _damage(name, number, offset + done, content[done:], reason, at, done)


def _damage(
    name: str, number: int, offset: int, part: bytes, reason: str, at: int | None, done: int
) -> Damage:
    byte = offset + at - done if at is not None and done <= at <= done + len(part) else None
    return Damage(name, number, offset, len(part), byte, reason, part[:_SHOWN].decode("utf-8", "replace"))


def _whole_rows(name: str, content: bytes, ids: set[str] | None) -> Iterator[tuple[int, int]]:
    """Begin and end of each row that is whole within a damaged line."""
    start, done = content.find(_ROW_START), 0
    while start >= 0:
        after = content.find(_ROW_START, start + 1)
        # The byte before the next row is the line break that is no more, or the end of this row.
        last = len(content) if after < 0 else after - (content[after - 1 : after] != b"}")
        end = next((end for end in (last, _end_of_object(content[start:last]) + start) if end > start), last)
        has_room = start == 0 or start > done
        if has_room and (start > 0 or end < len(content)) and _fault(name, content[start:end], ids) is None:
            yield start, end
            done = end
        start = after


def _end_of_object(content: bytes) -> int:
    """Where the JSON object ends that stands first in these bytes; 0 if none does."""
    try:
        text = content.decode("utf-8")
        return len(text[: json.JSONDecoder().raw_decode(text)[1]].encode())
    except (ValueError, RecursionError):
        return 0


def _fault(name: str, content: bytes, ids: set[str] | None = None) -> tuple[str, int | None] | None:
    """Why these bytes are no row, and where reading fails; `None` if they are one, whose id `ids` takes."""
    try:
        row = parse_line(content)
        require_known_schema(row)
        if name == "problems.jsonl":
            problem_from_row(row, 0)
        else:
            _check_keys(checked_row(name, row))
        if name == "samples.jsonl":
            sample_from_row(row)
        identity = row.get(_ID_FIELDS.get(name, ""))
        if ids is not None and isinstance(identity, str):
            ids.add(identity)
    except DataError as error:
        cause = error.__cause__
        at = None
        if isinstance(cause, UnicodeDecodeError):
            at = cause.start
        elif isinstance(cause, json.JSONDecodeError):
            at = len(cause.doc[: cause.pos].encode("utf-8", "replace"))
        return str(error), at
    return None


def _check_keys(row: Mapping[str, Any]) -> None:
    """Refuse a row whose keys are not what they are made of: it would be found by nobody.

    Raises:
        DataError: Says which.
    """
    if not _KEY.fullmatch(row["key"]):
        raise DataError(f"'key' must be 32 hexadecimal digits, got {row['key'][:_SHOWN]!r}")
    if "configuration" in row:
        configuration_of(row)
