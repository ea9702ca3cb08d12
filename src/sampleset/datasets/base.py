"""Problems by name or from a file."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Protocol

from sampleset.errors import InvalidArgumentError
from sampleset.registry import Registry
from sampleset.storage import SUFFIXES, read_problems
from sampleset.types import Problem


class Dataset(Protocol):
    """A named set of problems.

    Attributes:
        summary: One line: what it is, from where, under which licence.
    """

    summary: str

    def load(self) -> Iterator[Problem]:
        """The problems, in a fixed order."""
        ...


DATASETS: Registry[Dataset] = Registry("dataset", "sampleset.datasets")


def load_problems(ref: str, limit: int | None = None) -> list[Problem]:
    """The first problems of a dataset.

    Args:
        ref: A registered name, or a path to a JSONL or Parquet file with one problem a row.
        limit: How many at most.

    Raises:
        UnknownNameError: No dataset of that name.
        InputNotFoundError: No such file.
        MalformedRecordError: A row holds no problem.
        InvalidArgumentError: limit is below 1.
    """
    if limit is not None and limit < 1:
        raise InvalidArgumentError(f"limit={limit!r} must be at least 1.")
    is_file = ref.endswith(SUFFIXES) or "/" in ref or Path(ref).is_file()
    problems = read_problems(Path(ref)) if is_file else DATASETS.get(ref).load()
    return list(islice(problems, limit))
