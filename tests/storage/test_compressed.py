"""Compressed files are read as plain ones, and damage is told."""

import bz2
import gzip
import io
import json
import lzma
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from sampleset.errors import DataError, MissingExtraError
from sampleset.storage.pipes import stdin_file
from sampleset.storage.row_folders import rows_in
from sampleset.storage.rows import read_rows


def _zstandard(data: bytes) -> bytes:
    return pa.Codec("zstd").compress(data, asbytes=True)


COMPRESSED = pytest.mark.parametrize(
    ("ending", "compress"),
    [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress), (".zst", _zstandard)],
)
Compress = Callable[[bytes], bytes]
ROWS = [{"question": f"{number}? ½", "output": f"so {number}"} for number in range(3000)]


def texts(rows: list[dict[str, str]]) -> dict[str, str]:
    """The rows as files of every kind."""
    names = list(rows[0])
    table = [names, *(list(row.values()) for row in rows)]
    return {
        ".jsonl": "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows),
        ".json": json.dumps(rows, indent=1),
        ".csv": "".join(f"{','.join(cells)}\n" for cells in table),
        ".tsv": "".join("\t".join(cells) + "\n" for cells in table),
    }


@COMPRESSED
@pytest.mark.parametrize("kind", [".jsonl", ".json", ".csv", ".tsv"])
def test_rows_are_those_of_the_plain_file(tmp_path: Path, ending: str, compress: Compress, kind: str):
    path = tmp_path / f"R.V1{kind}{ending.upper()}"
    path.write_bytes(compress(texts(ROWS)[kind].encode()))
    assert [row for _, _, row in rows_in(tmp_path)] == ROWS


@COMPRESSED
def test_parts_behind_each_other_and_another_encoding_are_read(
    tmp_path: Path, ending: str, compress: Compress
):
    lines = texts(ROWS)[".jsonl"]
    (tmp_path / f"twice.jsonl{ending}").write_bytes(compress(lines.encode()) * 2)
    assert [row for _, row in read_rows(tmp_path / f"twice.jsonl{ending}")] == ROWS * 2
    (tmp_path / f"wide.jsonl{ending}").write_bytes(compress(lines.encode("utf-16")))
    assert [row for _, row in read_rows(tmp_path / f"wide.jsonl{ending}")] == ROWS


@COMPRESSED
@pytest.mark.parametrize("kind", [".jsonl", ".json", ".csv"])
def test_a_file_cut_short_is_told(tmp_path: Path, ending: str, compress: Compress, kind: str):
    whole = compress(texts(ROWS)[kind].encode())
    path = tmp_path / f"r{kind}{ending}"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"not JSON" if kind == ".json" else r"damaged after line \d+"):
        list(read_rows(path))


def test_a_file_of_bzip2_damaged_in_its_middle_is_told(tmp_path: Path):
    whole = bz2.compress("".join(f'{{"text": "{str(number) * 50}"}}\n' for number in range(5000)).encode())
    half = len(whole) // 2
    path = tmp_path / "r.jsonl.bz2"
    path.write_bytes(whole[:half] + b"\xff" * 64 + whole[half:])
    with pytest.raises(DataError, match="damaged after line"):
        list(read_rows(path))


@COMPRESSED
@pytest.mark.parametrize("kind", [".jsonl", ".json", ".csv"])
def test_what_is_piped_in_is_recognised(
    monkeypatch: pytest.MonkeyPatch, ending: str, compress: Compress, kind: str
):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(compress(texts(ROWS)[kind].encode()))))
    stdin_file.cache_clear()
    assert stdin_file().name == f"stdin{kind}{ending}"
    assert [row for _, row in read_rows(stdin_file())] == ROWS


@COMPRESSED
def test_a_name_that_hides_it_is_told(tmp_path: Path, ending: str, compress: Compress):
    (tmp_path / "r.jsonl").write_bytes(compress(b"{}\n"))
    with pytest.raises(DataError, match=rf"compressed; let its name end in \{ending}"):
        list(read_rows(tmp_path / "r.jsonl"))


def test_a_compressed_table_of_binary_form_is_no_known_kind(tmp_path: Path):
    (tmp_path / "r.parquet.gz").write_bytes(gzip.compress(b"PAR1"))
    with pytest.raises(DataError, match=r"unknown kind of file.*texts also compressed: \.gz, \.bz2"):
        list(read_rows(tmp_path / "r.parquet.gz"))


def test_zstandard_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "r.jsonl.zst").write_bytes(_zstandard(b"{}\n"))
    missing: Any = None
    monkeypatch.setitem(sys.modules, "pyarrow", missing)
    with pytest.raises(MissingExtraError, match=r"Zstandard needs pyarrow: .*pip install"):
        list(read_rows(tmp_path / "r.jsonl.zst"))
