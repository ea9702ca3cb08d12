"""One row a completion, in one file, in shards, or in one file per seed (NeMo-Skills)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from sampleset.storage.foreign._completions import completion_sets, kind_of_first
from sampleset.storage.foreign.base import FORMATS, ForeignSet, Source


@FORMATS.register("completions")
class Completions:
    """Rows with a question and the text of one completion."""

    title: ClassVar[str] = "one row a completion"
    general: ClassVar[bool] = True

    def recognises(self, source: Source) -> bool:
        """Whether the first row is such a row."""
        return kind_of_first(source) == "text"

    def sets(self, source: Source) -> Iterator[ForeignSet]:
        """One set a question."""
        yield from completion_sets(source)
