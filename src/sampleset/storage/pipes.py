"""What comes out of a pipe, as a file that can be read more than once."""

from __future__ import annotations

import atexit
import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import IO

from sampleset.errors import InputNotFoundError
from sampleset.storage.rows import suffix_of

STDIN = Path("-")
"""The path that stands for standard input."""


def regular_file(path: Path) -> Path:
    """The path; for `-` and for a pipe of the shell, `<(zcat FILE)`, a file of what comes out of it."""
    if path == STDIN:
        return stdin_file()
    is_pipe = str(path.parent) in ("/dev/fd", "/proc/self/fd") and path.is_fifo()
    return _file_of_pipe(path) if is_pipe else path


@cache
def stdin_file() -> Path:
    """Standard input as a file that can be read again, deleted when the process ends.

    The suffix follows from what comes in: JSON, JSONL, CSV, Parquet, Arrow, an inspect log, or one of the
    texts compressed.

    Raises:
        InputNotFoundError: Nothing comes in.
    """
    return _copied(sys.stdin.buffer, "stdin")


@cache
def _file_of_pipe(path: Path) -> Path:
    with path.open("rb") as pipe:
        return _copied(pipe, f"pipe-{path.name}")


def _copied(source: IO[bytes], name: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="sampleset-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / name
    with path.open("wb") as file:
        shutil.copyfileobj(source, file)
    with path.open("rb") as file:
        start = file.read(1 << 16)
    if not start.strip():
        raise InputNotFoundError(f"Nothing came in on {name}. Pipe a file of sample sets into the command.")
    return path.rename(folder / f"{name}{suffix_of(start)}")
