"""A list of completions in a row, as users of vLLM and verl write it: `prompt` and `outputs`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from sampleset.storage.foreign._completions import completion_sets, kind_of_first
from sampleset.storage.foreign.base import FORMATS, ForeignSet, Source


@FORMATS.register("completion_lists")
class CompletionLists:
    """Rows with a question and a list of completions, or the reply of an API."""

    title: ClassVar[str] = "a list of completions in a row"
    general: ClassVar[bool] = True

    def recognises(self, source: Source) -> bool:
        """Whether the first row is such a row."""
        return kind_of_first(source) == "list"

    def sets(self, source: Source) -> Iterator[ForeignSet]:
        """One set a question."""
        yield from completion_sets(source)
