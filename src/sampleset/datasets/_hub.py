"""Datasets of the Hugging Face hub: read from a local copy, else fetched at a pinned revision."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from sampleset.datasets._rows import Row, with_choices
from sampleset.datasets.base import Loaded, question_key
from sampleset.errors import (
    DataError,
    InputNotFoundError,
    InvalidArgumentError,
    MalformedRecordError,
    MissingExtraError,
)
from sampleset.storage.files import SUFFIXES
from sampleset.storage.records import problem_from_row
from sampleset.storage.rows import READABLE, read_rows
from sampleset.types import Problem

_NORMALISED_ONLY = {"schema", "solution", "subject", "level", "choices"}


@dataclass(frozen=True, slots=True)
class Split:
    """One split at its source.

    Attributes:
        file: Its file within the repository.
        rows: How many rows that has.
    """

    file: str
    rows: int


@dataclass(frozen=True, slots=True)
class HubDataset:
    """A dataset at a pinned revision.

    Attributes:
        name: What users type.
        about: What it is, in a few words.
        repo: The hub's repository, `owner/name`.
        revision: The commit.
        licence: The licence its card or paper states.
        citation: Who made it.
        splits: By our name for the split; the source's own may differ, see the files.
        problem: Maps a row of the source, the split and the row's place in it (from 0) to a problem, or
            to `None` where the source's row holds no gold answer.
        local: Folder of the normalised local copy and, by split, the stem of its file, where they are
            not called as the dataset and its splits.
        is_choice: Whether the questions are multiple choice.
        left_out: By split, the `question_key` of questions that another split holds as well.
    """

    name: str
    about: str
    repo: str
    revision: str
    licence: str
    citation: str
    splits: Mapping[str, Split]
    problem: Callable[[Row, str, int], Problem | None]
    local: tuple[str, Mapping[str, str]] | None = None
    is_choice: bool = False
    left_out: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])

    @property
    def summary(self) -> str:
        """One line: what it is, its splits, its source and licence."""
        sizes = ", ".join(f"{split} {one.rows:,}" for split, one in self.splits.items())
        return f"{self.about}; {sizes}; {self.repo}, {self.licence}"

    def load(self, part: str, data_dir: Path | None) -> Loaded:
        """The problems of a split, or of a file in the source's form or ours.

        A split from the hub must have the number of rows it is stated to have; a local copy may be a
        part of the split, and `stated` tells.

        Raises:
            InvalidArgumentError: No such split; the message lists them.
            InputNotFoundError: There is no local copy, and the source does not answer.
            MalformedRecordError: A row is in neither form, or an id stands there twice.
            DataError: The source's file is not what it should be.
            MissingExtraError: The hub's client is not installed.
        """
        if part.endswith(READABLE):
            path = Path(part).expanduser()
            return Loaded(self._problems(path, _stem(path)), str(path))
        split = part or self._default()
        if split not in self.splits:
            raise InvalidArgumentError(
                f"{self.name} has no split {split!r}; its splits are {', '.join(self.splits)}. A file of its "
                f"rows is read with {self.name}:FILE.jsonl."
            )
        stated = self.splits[split].rows
        looked_for = [] if data_dir is None else list(self._local_files(data_dir, split))
        for path in looked_for:
            if path.is_file():
                return Loaded(self._problems(path, split), str(path), stated)
        path = self._fetch(split, looked_for)
        problems = self._problems(path, split, stated)
        return Loaded(problems, f"{self.repo} at {self.revision[:8]}", len(problems))

    def _default(self) -> str:
        return "test" if "test" in self.splits else next(iter(self.splits))

    def _local_files(self, folder: Path, split: str) -> Iterator[Path]:
        home, stems = self.local or (self.name, {})
        for suffix in SUFFIXES:
            yield folder / home / f"{stems.get(split, split)}{suffix}"
        if self.local is not None:
            for suffix in SUFFIXES:
                yield folder / self.name / f"{split}{suffix}"
        yield folder / self.name / self.splits[split].file

    def _fetch(self, split: str, looked_for: list[Path]) -> Path:
        file = self.splits[split].file
        try:
            return fetch(self.repo, self.revision, file)
        except _failures() as error:
            places = f", nor is any of {', '.join(map(str, looked_for[:3]))} there" if looked_for else ""
            raise InputNotFoundError(
                f"Cannot get {self.name}:{split}: {file} of {self.repo} at {self.revision[:8]} is not in "
                f"the cache and could not be fetched ({_first_line(error)}){places}. Go online (HF_ENDPOINT "
                f"names a mirror of the hub), or put a copy at DIR/{self.name}/{split}.jsonl and give "
                "--data-dir DIR."
            ) from error

    def _problems(self, path: Path, split: str, stated: int | None = None) -> list[Problem]:
        read = list(self._read(path, split))
        if stated is not None and len(read) != stated:
            raise DataError(
                f"{self.name}:{split} of {self.repo} at {self.revision} has {len(read)} rows and should have "
                f"{stated}. Delete {str(path)!r} and fetch it again, or give a copy with --data-dir."
            )
        problems = [problem for problem in read if problem is not None]
        if not problems:
            raise DataError(f"{path}: no problems in this file.")
        return problems

    def _read(self, path: Path, split: str) -> Iterator[Problem | None]:
        ids = set[str]()
        for number, row in read_rows(path):
            try:
                problem = self._problem(row, split, number - 1)
            except DataError as error:
                raise MalformedRecordError(f"{path}:{number}: not a row of {self.name}: {error}.") from error
            left_out = self.left_out.get(split, ())
            if problem is not None and left_out and question_key(problem.question.text) in left_out:
                problem = None
            if problem is not None:
                if problem.id in ids:
                    raise MalformedRecordError(
                        f"{path}:{number}: the id {problem.id!r} stands here a second time."
                    )
                ids.add(problem.id)
            yield problem

    def _problem(self, row: Row, split: str, place: int) -> Problem | None:
        if not self._is_normalised(row):
            return self.problem(row, split, place)
        problem = problem_from_row(row, place)
        return with_choices(problem) if self.is_choice and not problem.question.choices else problem

    def _is_normalised(self, row: Row) -> bool:
        if not {"id", "question", "answer"} <= set(row):
            return False
        home = self.local[0] if self.local else self.name
        return bool(_NORMALISED_ONLY & set(row)) or str(row["id"]).startswith(f"{home}-")


def fetch(repo: str, revision: str, file: str) -> Path:
    """A file of a dataset of the Hugging Face hub, from the client's cache or fetched into it.

    The client's own variables hold: HF_HOME, HF_HUB_OFFLINE, HF_ENDPOINT, HF_TOKEN.
    """
    try:
        hub: Any = import_module("huggingface_hub")
    except ImportError as error:
        raise MissingExtraError("The hub needs huggingface_hub: pip install 'sampleset[data]'") from error
    return Path(hub.hf_hub_download(repo, file, repo_type="dataset", revision=revision))


def _failures() -> tuple[type[Exception], ...]:
    """What fetching raises when the file cannot be had."""
    try:
        errors: Any = import_module("huggingface_hub.errors")
    except ImportError:
        return (OSError, ValueError)
    return (OSError, ValueError, errors.HTTPError)


def _stem(path: Path) -> str:
    name = path.name
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    return re.sub(r"\W+", "_", name)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
