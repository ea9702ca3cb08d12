"""Stored sample sets by path: a store of draws, or a file or folder of any shape that is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from functools import cached_property
from itertools import islice
from pathlib import Path

from sampleset.answers import Kinds
from sampleset.answers import answer_kind as known_kind
from sampleset.errors import InvalidArgumentError
from sampleset.storage.files import sets_of
from sampleset.storage.foreign.base import Source, recognised
from sampleset.storage.pipes import regular_file
from sampleset.storage.records import StoredSet
from sampleset.storage.row_folders import row_files
from sampleset.storage.rows import READABLE
from sampleset.storage.store import SampleStore, is_store
from sampleset.types import Problem


class SampleFile:
    """Sample sets that are read from the disk each time they are iterated over.

    Args:
        path: A store, a file or a folder, or `-` for standard input.
        configuration: Which of a store's configurations; not needed where it holds one only.
        limit: Only the first so many sets.
        columns: Our name of a column → the file's, where they differ.
        answer_kind: How all answers are compared, whatever the rows say.
        problems: Questions and gold answers that the sets lack, found by the question's text or the id.
        kinds: What answers are compared with.

    Raises:
        InputNotFoundError: There is nothing at the path.
        InvalidArgumentError: limit is below 1, or an option does not fit the input.
    """

    def __init__(
        self,
        path: Path | str,
        configuration: str | None = None,
        limit: int | None = None,
        columns: Mapping[str, str] | None = None,
        answer_kind: str | None = None,
        problems: Sequence[Problem] = (),
        kinds: Kinds | None = None,
    ) -> None:
        if limit is not None and limit < 1:
            raise InvalidArgumentError(f"limit={limit!r} must be at least 1.")
        self.path = regular_file(Path(path))
        self._configuration = configuration
        self._limit = limit
        self._columns = columns
        self._answer_kind = answer_kind
        self._problems = problems
        self._kinds = kinds
        if answer_kind is not None:
            known_kind(answer_kind)
        self._is_store = self.path.is_dir() and is_store(self.path)
        if not self._is_store:
            row_files(self.path)  # refused now, not when it is read
        if configuration is not None and not self._is_store:
            raise InvalidArgumentError(
                f"--configuration chooses within a store; {str(path)!r} is not a store."
            )
        if columns and self._is_store:
            raise InvalidArgumentError(f"--columns maps a file's columns; {str(path)!r} is a store.")
        if problems and self._is_store:
            raise InvalidArgumentError(f"--problems is for files without gold; {str(path)!r} is a store.")

    @property
    def name(self) -> str:
        """The file's or folder's name without its ending."""
        name = self.path.resolve().name
        for suffix in sorted(READABLE, key=len, reverse=True):
            name = name.removesuffix(suffix)
        return name

    @cached_property
    def form(self) -> str | None:
        """The other tool's format that the sets are read from; `None` where they are in our own shape."""
        if self._is_store:
            return None
        form = recognised(self._source)
        return None if form is None else form.title

    def __iter__(self) -> Iterator[StoredSet]:
        """The sets, in order.

        Raises:
            DataError: It cannot be read as sample sets, or holds none.
        """
        stored_sets = (
            self._store.sample_sets(self._configuration) if self._is_store else sets_of(self._source)
        )
        sets = (stored.with_answer_kind(self._answer_kind) for stored in islice(stored_sets, self._limit))
        return sets if self._kinds is None else (stored.with_kinds(self._kinds) for stored in sets)

    def with_kinds(self, kinds: Kinds) -> SampleFile:
        """The same file, its answers compared with what these kinds hold."""
        bound = copy(self)
        bound._kinds = kinds
        return bound

    @cached_property
    def _source(self) -> Source:
        return Source(self.path, self._columns or {}, tuple(self._problems))

    @cached_property
    def _store(self) -> SampleStore:
        return SampleStore(self.path, must_exist=True)


def smallest_set(sets: SampleFile) -> tuple[int, str]:
    """Size and id of the smallest set; one that a stopping rule left with fewer samples counts only where
    all sets are such, and then the largest does.
    """
    sizes = [(stored.sample_set.n, stored.sample_set.id, stored.sample_set.stopped) for stored in sets]
    complete = [(n, identity) for n, identity, stopped in sizes if stopped is None]
    return min(complete) if complete else max((n, identity) for n, identity, _ in sizes)
