"""Which files of a folder hold rows that belong together, as tools and the Hub lay them out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from sampleset.errors import DataError, InputNotFoundError
from sampleset.storage.compressed import plain_name
from sampleset.storage.rows import ENDINGS, READABLE, Located, natural, read_rows

_DEEPEST = 4
_SHARD = re.compile(r"(?P<split>[A-Za-z_]\w*?)-\d{5}-of-\d{5}\.")
_SPLIT = re.compile(r"(?P<split>train|test|validation|valid|val|dev)\.")
_NUMBER = re.compile(r"\d+|(?<==)[^/]+")
_PART = re.compile(r"part[-_.]?\d+|shard[-_.]?\d+|data-\d{5}-of-\d{5}")

T = TypeVar("T")


def rows_in(path: Path) -> Iterator[Located]:
    """Rows of a file, or of all files of a folder, in natural order of their names."""
    for file in row_files(path):
        for number, row in read_rows(file):
            yield file, number, row


def row_files(path: Path) -> list[Path]:
    """The files whose rows belong together: one file, the shards of a folder, or those of one split.

    A folder is what a tool left or the Hub holds: `data/train-00000-of-00002.parquet`, what `save_to_disk`
    wrote, or any number of files of one kind. A JSON file counts only where there is nothing else, since it
    tells of the others. `FOLDER/SPLIT` names the shards of one split. Where a folder holds folders only, as
    tools leave them, it is the one with rows, or those whose names differ in a number (`seed0`, `seed1`).

    Raises:
        InputNotFoundError: There is nothing to read.
        DataError: There are several splits, or files of several kinds.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        if path.exists():
            raise InputNotFoundError(
                f"{str(path)!r} is a pipe or a device. Give a file, or - for what is piped into the command."
            )
        shards = _shards(path.parent) if path.parent.is_dir() else {}
        if path.name in shards:
            return shards[path.name]
        raise InputNotFoundError(f"No file or folder {str(path)!r}. Give a store or a file of sample sets.")
    if (path / "state.json").is_file():
        return _saved_files(path)
    if (path / "dataset_dict.json").is_file():
        splits = {entry.name: entry for entry in sorted(path.iterdir()) if (entry / "state.json").is_file()}
        return _saved_files(_only_split(path, splits))
    if shards := _shards(path):
        return _only_split(path, shards)
    files = _readable(path)
    if not files and (configurations := _configurations(path)):
        if len(configurations) == 1:
            return row_files(configurations[0])
        names = ", ".join(entry.name for entry in configurations)
        raise DataError(
            f"{path} has several configurations ({names}). Name one of them, as {str(configurations[0])!r}."
        )
    if not files:
        files = [file for folder in _inner_folders(path) for file in row_files(folder)]
    kinds = sorted({_kind(entry) for entry in files})
    if len(kinds) > 1:
        raise DataError(f"{path} holds files of several kinds: {', '.join(kinds)}. Give one of the files.")
    return files


def _is_json(path: Path) -> bool:
    return plain_name(path).endswith(".json")


def _kind(path: Path) -> str:
    return next(suffix for suffix in READABLE if plain_name(path).endswith(suffix))


def _shards(folder: Path) -> dict[str, list[Path]]:
    """The shards of each split, or its one file, where a folder is laid out as on the Hub."""
    shards: dict[str, list[Path]] = {}
    for directory in (folder, folder / "data"):
        for file in sorted(directory.iterdir() if directory.is_dir() else [], key=natural):
            match = _SHARD.match(file.name)
            if match and file.name.lower().endswith(READABLE) and not _PART.match(file.name):
                shards.setdefault(match["split"], []).append(file)
        shards = shards or _split_files(directory)
    return shards


def _split_files(folder: Path) -> dict[str, list[Path]]:
    """The one file of each split, where the files of a folder are named after splits and nothing else."""
    files = _readable(folder) if folder.is_dir() else []
    names = {file: match["split"] for file in files if (match := _SPLIT.match(file.name))}
    return {split: [file] for file, split in names.items()} if len(names) == len(files) else {}


def _readable(folder: Path) -> list[Path]:
    """The files of a folder that hold rows, in natural order; JSON only where there is nothing else."""
    files = sorted(
        (
            entry
            for entry in folder.iterdir()
            if entry.is_file() and entry.name.lower().endswith(READABLE) and not entry.name.startswith(".")
        ),
        key=natural,
    )
    return [entry for entry in files if not _is_json(entry)] or files


def _configurations(folder: Path) -> list[Path]:
    """The folders with shards in a folder of the Hub that has one for each configuration."""
    folders = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    return [entry for entry in folders if _shards(entry)]


def _inner_folders(folder: Path) -> list[Path]:
    """The folders with rows below a folder that has none itself: one, or several that a number tells apart.

    Raises:
        InputNotFoundError: There is none.
        DataError: There are several.
    """
    folders = _with_rows(folder, _DEEPEST)
    tables = [entry for entry in folders if not _is_json(_readable(entry)[0])] or folders
    if not tables:
        raise InputNotFoundError(
            f"No files in {str(folder)!r} that end in {ENDINGS}. Give a file or a folder of them."
        )
    names = [str(entry.relative_to(folder)) for entry in tables]
    if len({_NUMBER.sub("#", name) for name in names}) > 1:
        raise DataError(
            f"{folder} has several folders with rows ({', '.join(names)}). Name one of them, as "
            f"{str(tables[0])!r}."
        )
    return tables


def _with_rows(folder: Path, depth: int) -> list[Path]:
    """The folders below that hold files of rows, in natural order; no deeper than the first that does."""
    folders: list[Path] = []
    for entry in sorted(folder.iterdir(), key=natural):
        if entry.is_dir() and not entry.name.startswith(".") and not entry.is_symlink():
            folders += [entry] if _readable(entry) else _with_rows(entry, depth - 1) if depth else []
    return folders


def _only_split(folder: Path, splits: Mapping[str, T]) -> T:
    if len(splits) == 1:
        return next(iter(splits.values()))
    names = ", ".join(splits) or "none"
    example = str(folder / next(iter(splits), "SPLIT"))
    raise DataError(f"{folder} has several splits or none ({names}). Name one of them, as {example!r}.")


def _saved_files(folder: Path) -> list[Path]:
    """The files that `save_to_disk` of Hugging Face's datasets wrote, in order."""
    try:
        state: Any = json.loads((folder / "state.json").read_bytes())
        # A name, not a path: no file outside the folder is read.
        return [folder / Path(str(record["filename"])).name for record in state["_data_files"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{folder / 'state.json'}: not what save_to_disk writes ({error!r}).") from error
