"""Chats with the reply inside: `messages` as OpenAI writes them, `conversations` as ShareGPT does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from sampleset.storage.foreign._completions import completion_sets, kind_of_first
from sampleset.storage.foreign.base import FORMATS, ForeignSet, Source


@FORMATS.register("chats")
class Chats:
    """Rows with a chat whose end, one turn of the assistant or several, is the completion."""

    title: ClassVar[str] = "chats that end in replies"
    general: ClassVar[bool] = True

    def recognises(self, source: Source) -> bool:
        """Whether the first row is such a row."""
        return kind_of_first(source) == "chat"

    def sets(self, source: Source) -> Iterator[ForeignSet]:
        """One set a question."""
        yield from completion_sets(source)
