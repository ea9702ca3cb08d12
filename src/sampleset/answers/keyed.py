"""Kinds of answers that are equal when their keys are, text and choice, and how marked text is read.

Shared by the kinds that stand in files of their own (`json_values`, `near_numbers`, `programs`, `judged`).
"""

from __future__ import annotations

import re
import unicodedata
from abc import abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from sampleset.answers.grouping import AnswerGroup, Grouping
from sampleset.answers.maths.equivalence import Verdict
from sampleset.answers.maths.extraction import Extracted, extract_answer

MAX_TEXT = 100_000
"""Characters of an answer that is not mathematics; what is longer is none."""
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
        """What equal answers share, `None` for what is no answer."""

    def group(self, answers: Sequence[str | None]) -> Grouping:
        """One group per key."""
        return grouped_by([None if one is None else self.key(one) for one in answers], answers)

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
        found = marked_text(text)
        if found is None and not truncated:
            found = Extracted(after_reasoning(text).strip(), "whole_reply")
        return found if found and found.text and len(found.text) <= MAX_TEXT else None

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
        found = extract_answer(f"<answer>{answer[:MAX_TEXT]}</answer>", choices=_LETTERS, truncated=True)
        return found.text if found else None


def grouped_by(
    keys: Sequence[Hashable], answers: Sequence[str | None], notes: Sequence[str] = ()
) -> Grouping:
    """One group per key, in order of first appearance; `None` is no key."""
    places: dict[Hashable, list[int]] = {}
    for place, key in enumerate(keys):
        if key is not None:
            places.setdefault(key, []).append(place)
    return Grouping(
        tuple(AnswerGroup(answers[one[0]] or "", tuple(one)) for one in places.values()),
        tuple(sorted(set(notes))),
    )


def plain_text(text: str) -> str:
    """The text by which texts are equal: compatibility forms resolved, without case, white space as one."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(folded.split())


def after_reasoning(text: str) -> str:
    """What a model's text says after its last `</think>`; all of it where nothing follows."""
    _, mark, rest = text.rpartition("</think>")
    return rest if mark and rest.strip() else text


def tagged_text(text: str) -> str | None:
    """What the last answer tags hold, of which the closing one may be missing; `None` without any."""
    _, mark, rest = text.rpartition("<answer>")
    return rest.partition("</answer>")[0].strip() if mark else None


def marked_text(text: str) -> Extracted | None:
    """What the last answer tags hold, or what follows the last line that opens with `Answer:`."""
    text = after_reasoning(text)
    tagged = tagged_text(text)
    if tagged:
        return Extracted(tagged, "answer_tag")
    marks = [found.end() for found in _MARKED.finditer(text)]
    rest = text[marks[-1] :].strip() if marks else ""
    return Extracted(rest, "phrase") if rest else None
