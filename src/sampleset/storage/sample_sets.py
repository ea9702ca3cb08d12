"""Stored sample sets by path: a store of draws, a file of any shape, or a folder with a file per seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import islice
from pathlib import Path

from sampleset.answers import kinds
from sampleset.errors import InputNotFoundError, InvalidArgumentError
from sampleset.storage.files import SUFFIXES, read_sample_sets
from sampleset.storage.records import StoredSet
from sampleset.storage.store import SampleStore, is_store


class SampleFile:
    """Sample sets that are read from the disk each time they are iterated over.

    Args:
        path: A store, a file, or a folder with one file per seed.
        configuration: Which of a store's configurations; not needed where it holds one only.
        limit: Only the first so many sets.
        columns: Our name of a column → the file's, where they differ.
        answer_kind: How all answers are compared, whatever the rows say.

    Raises:
        InputNotFoundError: There is nothing at the path.
        InvalidArgumentError: limit is below 1, or an option does not go with what is there.
    """

    def __init__(
        self,
        path: Path,
        configuration: str | None = None,
        limit: int | None = None,
        columns: Mapping[str, str] | None = None,
        answer_kind: str | None = None,
    ) -> None:
        if limit is not None and limit < 1:
            raise InvalidArgumentError(f"limit={limit!r} must be at least 1.")
        if not path.exists():
            raise InputNotFoundError(
                f"No file or folder {str(path)!r}. Give a store or a file of sample sets."
            )
        self.path = path
        self._configuration = configuration
        self._limit = limit
        self._columns = columns
        self._answer_kind = answer_kind
        if answer_kind is not None:
            kinds.answer_kind(answer_kind)
        self._is_store = path.is_dir() and is_store(path)
        if configuration is not None and not self._is_store:
            raise InvalidArgumentError(
                f"--configuration chooses within a store; {str(path)!r} is not a store."
            )
        if columns and self._is_store:
            raise InvalidArgumentError(f"--columns maps a file's columns; {str(path)!r} is a store.")

    @property
    def name(self) -> str:
        """The file's or folder's name without what it ends in."""
        name = self.path.resolve().name
        for suffix in SUFFIXES:
            name = name.removesuffix(suffix)
        return name

    def __iter__(self) -> Iterator[StoredSet]:
        """The sets, in order.

        Raises:
            DataError: It cannot be read as sample sets, or holds none.
        """
        if self._is_store:
            found = self._store.sample_sets(self._configuration)
        else:
            found = read_sample_sets(self.path, self._columns)
        return (one.with_answer_kind(self._answer_kind) for one in islice(found, self._limit))

    @cached_property
    def _store(self) -> SampleStore:
        return SampleStore(self.path, must_exist=True)


def smallest_set(sets: SampleFile) -> tuple[int, str]:
    """Size and id of the smallest set; one that a stopping rule left with fewer samples counts only where
    all sets are such, and then the largest does.
    """
    sizes = [(one.sample_set.n, one.sample_set.id, one.sample_set.stopped) for one in sets]
    whole = [(n, identity) for n, identity, stopped in sizes if stopped is None]
    return min(whole) if whole else max((n, identity) for n, identity, _ in sizes)
