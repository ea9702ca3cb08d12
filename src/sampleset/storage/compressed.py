"""Compressed files of text: gzip, bzip2 and xz by Python, Zstandard by pyarrow."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import IO, Any, BinaryIO

from sampleset.errors import MissingExtraError

MAGIC = {".gz": b"\x1f\x8b", ".bz2": b"BZh", ".xz": b"\xfd7zXZ\x00", ".zst": b"\x28\xb5\x2f\xfd"}
"""How a compressed file begins, by the ending of its name."""

DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, UnicodeError)
"""What reading a damaged file raises."""

_START = 1 << 16


def pyarrow(module: str = "pyarrow", use: str = "Parquet") -> Any:
    """The module of pyarrow.

    Args:
        module: Its name.
        use: What it is wanted for.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError(f"{use} needs pyarrow: pip install 'sampleset[parquet]'") from error


def compression_of(start: bytes) -> str | None:
    """The ending that the name of a file that begins so should have; `None` if it is not compressed."""
    return next((ending for ending, magic in MAGIC.items() if start.startswith(magic)), None)


def plain_name(path: Path) -> str:
    """The name of a file in lower case, without the ending that says how it is compressed."""
    name = path.name.lower()
    return name.removesuffix(_ending(name))


def opened(path: Path) -> IO[bytes]:
    """The content of a file, compressed or not."""
    return _OPENERS[_ending(path.name.lower())](path)


def beginning(start: bytes) -> bytes:
    """What a compressed file that begins so holds at its beginning.

    Raises:
        One of `DAMAGED`: It is damaged.
    """
    with _OPENERS[compression_of(start) or ""](io.BytesIO(start)) as file:
        return file.read1(_START)


class _Tolerant(io.RawIOBase):
    """A stream that can begin anew, whose errors of no file say that its content is damaged."""

    def __init__(self, begin: Callable[[], Any]) -> None:
        self._begin = begin
        self._stream = begin()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if offset or whence != io.SEEK_SET:
            raise io.UnsupportedOperation("a compressed stream only begins anew")
        self._stream.close()
        self._stream = self._begin()
        return 0

    def readinto(self, buffer: Any) -> int:
        try:
            part = self._stream.read(len(buffer))
        except OSError as error:
            if error.errno is not None:
                raise
            raise EOFError(str(error)) from error
        buffer[: len(part)] = part
        return len(part)

    def close(self) -> None:
        self._stream.close()
        super().close()


def _zstandard(source: Path | BinaryIO) -> IO[bytes]:
    file = str(source) if isinstance(source, Path) else source
    return pyarrow(use="Zstandard").input_stream(file, compression="zstd")


def _ending(name: str) -> str:
    return next((ending for ending in MAGIC if name.endswith(ending)), "")


def _plain(source: Path | BinaryIO) -> Any:
    return source.open("rb") if isinstance(source, Path) else source


_OPENERS: dict[str, Callable[[Path | BinaryIO], Any]] = {
    "": _plain,
    ".gz": gzip.open,
    ".bz2": lambda source: io.BufferedReader(_Tolerant(lambda: bz2.BZ2File(source))),
    ".xz": lzma.open,
    ".zst": lambda source: io.BufferedReader(_Tolerant(lambda: _zstandard(source))),
}
