"""Kinds of answers that are equal when their keys are, text and choice, and how marked text is read.

Shared by the kinds that have files (`json_values`, `near_numbers`, `programs`, `judged`).
"""

from __future__ import annotations

import re
import unicodedata
from abc import abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from sampleset.answers.grouping import AnswerGroup, Grouping
from sampleset.answers.maths.equality.verdicts import Verdict
from sampleset.answers.maths.equality.workers import Budget
from sampleset.answers.maths.reading.extraction import Extracted, extract_answer
from sampleset.answers.maths.reading.reasoning import after_reasoning

MAX_TEXT = 100_000
"""Characters of an answer that is not mathematics; a longer text is no answer."""
_LETTERS = 26

_MARKED = re.compile(
    r"^[ \t#>*_]{0,8}(?:the |my )?(?:final )?answer[ \t]{0,4}[*_]{0,3}:[*_]{0,3}",
    re.IGNORECASE | re.MULTILINE,
)


class Keyed:
    """Base of the kinds whose answers are equal when their keys are."""

    def check(self) -> None:
        """Nothing is missing."""

    @abstractmethod
    def key(self, answer: str) -> Hashable:
        """The key that equal answers share, `None` for a text that is no answer."""

    def group(self, answers: Sequence[str | None], budget: Budget | None = None) -> Grouping:
        """One group per key."""
        return grouped_by([None if answer is None else self.key(answer) for answer in answers], answers)

    def restricts(self, answers: Sequence[str | None], grouping: Grouping) -> bool:
        """Always: an answer's key is its own."""
        return True

    def same(self, a: str, b: str) -> Verdict:
        """Whether the keys are equal."""
        key = self.key(a)
        return Verdict(key is not None and key == self.key(b), "key")

    def matches_gold(self, answer: str, gold: str) -> Verdict:
        """Whether the keys are equal."""
        return self.same(answer, gold)

    def gold_is_readable(self, gold: str) -> bool:
        """Whether it has a key."""
        return self.key(gold) is not None


@dataclass(frozen=True, slots=True)
class Text(Keyed):
    """What stands in the last answer tags, or after the last line that opens with `Answer:`, or all of it.

    Attributes:
        exact: Equal only if the characters are; else up to compatibility forms, case and white space.
    """

    exact: bool = False

    @property
    def spec(self) -> str:
        """As users type it."""
        return "text:exact" if self.exact else "text"

    def read(self, text: str, choices: int | None = None, truncated: bool = False) -> Extracted | None:
        """The marked text; without a mark all of it, unless it was cut off."""
        answer = marked_text(text)
        if answer is None and not truncated:
            answer = Extracted(after_reasoning(text).strip(), "whole_reply")
        return answer if answer and answer.text and len(answer.text) <= MAX_TEXT else None

    def key(self, answer: str) -> Hashable:
        """The text, normalised unless exact."""
        return (answer.strip() if self.exact else plain_text(answer)) or None


@dataclass(frozen=True, slots=True)
class Choice(Keyed):
    """The letter of an option; A to Z where the question does not say how many there are."""

    spec: str = "choice"

    def read(self, text: str, choices: int | None = None, truncated: bool = False) -> Extracted | None:
        """The option named last, by the strongest marker."""
        return extract_answer(text, choices=choices or _LETTERS, truncated=truncated)

    def key(self, answer: str) -> Hashable:
        """The letter of `B`, `(B)` or `B. mitosis`."""
        extracted = extract_answer(f"<answer>{answer[:MAX_TEXT]}</answer>", choices=_LETTERS, truncated=True)
        return extracted.text if extracted else None


def grouped_by(
    keys: Sequence[Hashable], answers: Sequence[str | None], notes: Sequence[str] = ()
) -> Grouping:
    """One group per key, in order of first appearance; `None` is no key."""
    indices_by_key: dict[Hashable, list[int]] = {}
    for index, key in enumerate(keys):
        if key is not None:
            indices_by_key.setdefault(key, []).append(index)
    return Grouping(
        tuple(AnswerGroup(answers[indices[0]] or "", tuple(indices)) for indices in indices_by_key.values()),
        tuple(sorted(set(notes))),
    )


def plain_text(text: str) -> str:
    """The text by which texts are equal: compatibility forms resolved, without case, white space as one."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(folded.split())


def tagged_text(text: str) -> str | None:
    """The content of the last answer tags; the closing tag may be missing. `None` without tags."""
    _, mark, rest = text.rpartition("<answer>")
    return rest.partition("</answer>")[0].strip() if mark else None


def marked_text(text: str) -> Extracted | None:
    """The content of the last answer tags, or the text behind the last `Answer:` that opens a line."""
    text = after_reasoning(text)
    tagged = tagged_text(text)
    if tagged:
        return Extracted(tagged, "answer_tag")
    marks = [match.end() for match in _MARKED.finditer(text)]
    rest = text[marks[-1] :].strip() if marks else ""
    return Extracted(rest, "phrase") if rest else None
