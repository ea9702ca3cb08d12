"""Datasets of the Hugging Face Hub, read from a local copy or fetched at a pinned revision."""

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
        file: The split's file within the repository.
        rows: Number of rows in the file.
    """

    file: str
    rows: int


@dataclass(frozen=True, slots=True)
class HubDataset:
    """A dataset at a pinned revision.

    Attributes:
        name: The name that users type.
        about: A description in a few words.
        repo: The Hub's repository, `owner/name`.
        revision: The commit.
        licence: The licence according to its card or paper.
        citation: Its authors.
        splits: The splits by our name, which may differ from the source's.
        problem: Called with (row of the source, split, index of the row from 0); returns a problem, or `None`
            if the row has no gold answer.
        local: Folder of the normalised local copy, and the stem of the file by split, if their names differ
            from the dataset's and its splits'.
        is_choice: Whether the questions are multiple choice.
        left_out: By split, the `question_key` of questions that are in another split, too.
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
        """One line: description, splits, source and licence."""
        sizes = ", ".join(f"{split} {details.rows:,}" for split, details in self.splits.items())
        return f"{self.about}; {sizes}; {self.repo}, {self.licence}"

    def load(self, part: str, data_dir: Path | None) -> Loaded:
        """The problems of a split, or of a file in the source's form or ours.

        A split from the Hub must have its stated number of rows. A local copy may have fewer; compare
        `stated`.

        Raises:
            InvalidArgumentError: There is no such split; the message lists them.
            InputNotFoundError: There is no local copy, and the file cannot be fetched.
            MalformedRecordError: A row is in neither form, or two rows have the same id.
            DataError: The source's file has another number of rows, or no problems.
            MissingExtraError: The Hub's client is not installed.
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
        candidates = [] if data_dir is None else list(self._local_files(data_dir, split))
        for path in candidates:
            if path.is_file():
                return Loaded(self._problems(path, split), str(path), stated)
        path = self._fetch(split, candidates)
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

    def _fetch(self, split: str, candidates: list[Path]) -> Path:
        file = self.splits[split].file
        try:
            return fetch(self.repo, self.revision, file)
        except _failures() as error:
            alternatives = (
                f", nor is any of {', '.join(map(str, candidates[:3]))} there" if candidates else ""
            )
            raise InputNotFoundError(
                f"Cannot get {self.name}:{split}: {file} of {self.repo} at {self.revision[:8]} is not in "
                f"the cache and could not be fetched ({_first_line(error)}){alternatives}. Go online "
                f"(HF_ENDPOINT names a mirror), or put a copy at DIR/{self.name}/{split}.jsonl and "
                "give --data-dir DIR."
            ) from error

    def _problems(self, path: Path, split: str, stated: int | None = None) -> list[Problem]:
        rows = list(self._read(path, split))
        if stated is not None and len(rows) != stated:
            raise DataError(
                f"{self.name}:{split} of {self.repo} at {self.revision} has {len(rows)} rows and should have "
                f"{stated}. Delete {str(path)!r} and fetch it again, or give a copy with --data-dir."
            )
        problems = [problem for problem in rows if problem is not None]
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
                    raise MalformedRecordError(f"{path}:{number}: the id {problem.id!r} is not unique.")
                ids.add(problem.id)
            yield problem

    def _problem(self, row: Row, split: str, index: int) -> Problem | None:
        if not self._is_normalised(row):
            return self.problem(row, split, index)
        problem = problem_from_row(row, index)
        return with_choices(problem) if self.is_choice and not problem.question.choices else problem

    def _is_normalised(self, row: Row) -> bool:
        if not {"id", "question", "answer"} <= set(row):
            return False
        home = self.local[0] if self.local else self.name
        return bool(_NORMALISED_ONLY & set(row)) or str(row["id"]).startswith(f"{home}-")


def fetch(repo: str, revision: str, file: str) -> Path:
    """Path of a file of a dataset on the Hugging Face Hub, fetched into the client's cache if necessary.

    The client reads its usual variables: HF_HOME, HF_HUB_OFFLINE, HF_ENDPOINT, HF_TOKEN.
    """
    try:
        hub: Any = import_module("huggingface_hub")
    except ImportError as error:
        raise MissingExtraError("The hub needs huggingface_hub: pip install 'sampleset[data]'") from error
    return Path(hub.hf_hub_download(repo, file, repo_type="dataset", revision=revision))


def _failures() -> tuple[type[Exception], ...]:
    """The errors that `fetch` raises if the file cannot be fetched."""
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
