"""The text of an aggregator, streamed while it is written.

The aggregator says what that is (`Writing`). A thought becomes the reply's `reasoning_content`, a solution
its `content`. The text of an aggregator without a `Writing` is not streamed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, Literal, cast

from sampleset.aggregators.base import Aggregator, writing_of
from sampleset.chat import OnText

Field = Literal["reasoning_content", "content"]
OnDelta = Callable[[Field, str], None]
"""Called with a field of the message and the next piece of its text."""

MOST_HEARD = 200_000
"""Characters of a text that are streamed while it is written; they are read within a millisecond."""

_FIELDS: tuple[Field, Field] = ("reasoning_content", "content")
_TAGS = re.compile(r"</?(?:think|answer)>")


class Voice:
    """The words of one aggregator for one answer.

    Args:
        field: The field of the message that they belong to.
        call: Number of the call that writes them, from 0.
        on_delta: Called with each piece.
    """

    def __init__(self, field: Field, call: int, on_delta: OnDelta) -> None:
        self._field: Field = field
        self._call, self._on_delta = call, on_delta
        self._calls = self._tries = 0
        self._heard = ""
        self._passed_on: dict[Field, int] = {}

    def speaks(self) -> bool:
        """Whether the call that begins now is the streamed call. Ask once a call."""
        self._calls += 1
        return self._calls - 1 == self._call

    def listener(self) -> OnText:
        """The listener of one try. Only the first try is passed on: words cannot be unsaid."""
        self._tries += 1
        return self._hear if self._tries == 1 else lambda index, text: None

    def _hear(self, index: int, text: str) -> None:
        # Each piece has the whole text read. The end of a long one is sent when it is all there.
        if len(self._heard) > MOST_HEARD:
            return
        self._heard += text
        parts = so_far(self._heard, self._field == "reasoning_content")
        for field, part in zip(_FIELDS, parts, strict=True):
            if new := part[self._passed_on.get(field, 0) :]:
                self._passed_on[field] = len(part)
                self._on_delta(field, new)


def so_far(text: str, thinks: bool) -> tuple[str, str]:
    """Thought and words of a text that goes on, as far as nothing that comes can change them."""
    end = next((cut for cut in range(len(text) - 1, len(text) - 9, -1) if _may_be_tag(text[cut:])), None)
    thought, words = told_apart(text[:end], thinks)
    # A text that names an answer is worded after it is read.
    return thought, "" if thinks else words


def told_apart(text: str, thinks: bool) -> tuple[str, str]:
    """Thought and words of an aggregator's text, without tags.

    Args:
        text: The text that it wrote.
        thinks: Whether the text before its answer is thought, if no tag says so.
    """
    thought, mark, words = text.partition("</think>")
    if not mark and (thinks or text.lstrip().startswith("<think>")):
        thought, _, words = text.partition("<answer>")
    elif not mark:
        thought, words = "", text
    return _TAGS.sub("", thought).strip(), _TAGS.sub("", words).strip()


def thinks(aggregator: Aggregator) -> bool:
    """Whether an aggregator writes a thought, then names an answer."""
    writing = writing_of(aggregator)
    return writing is not None and writing.words == "thought"


def writes_solutions(aggregator: Aggregator) -> bool:
    """Whether an aggregator, or an aggregator that it is made of, writes solutions."""
    writing = writing_of(aggregator)
    if writing is not None and writing.words == "solution":
        return True
    parts = (getattr(aggregator, option.name) for option in fields(cast("Any", aggregator)))
    return any(
        is_dataclass(part) and hasattr(part, "aggregate") and writes_solutions(cast("Aggregator", part))
        for part in parts
    )


def voice_of(aggregator: Aggregator, on_delta: OnDelta) -> Voice | None:
    """The voice of an aggregator; `None` if none of its text is sure to be shown."""
    writing = writing_of(aggregator)
    if writing is None or writing.call is None:
        return None
    return Voice("reasoning_content" if writing.words == "thought" else "content", writing.call, on_delta)


def _may_be_tag(ending: str) -> bool:
    return any(tag.startswith(ending) for tag in ("<think>", "</think>", "<answer>", "</answer>"))
