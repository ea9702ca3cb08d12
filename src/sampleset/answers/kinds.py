"""Answer kinds: how the final answer is read out of a sample, and when two answers are equal.

A question names its kind as users type it, `NAME` or `NAME:OPTION`: `maths` (the default), `text`, `choice`,
`json`, `number`, `code`, `judge`. The rules of each stand in the docs, under Answers.
"""

from __future__ import annotations

import re
import unicodedata
from abc import abstractmethod
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

from sampleset.answers.equivalence import Verdict, matches_gold, same_answer
from sampleset.answers.extraction import Extracted, extract_answer
from sampleset.answers.gold import gold_is_readable
from sampleset.answers.grouping import AnswerGroup, Grouping, group_answers
from sampleset.errors import InvalidArgumentError, UnknownNameError
from sampleset.types import DEFAULT_KIND, Question

MAX_TEXT = 100_000
"""Characters of an answer that is not mathematics; what is longer is none."""
_LETTERS = 26

_MARKED = re.compile(
    r"^[ \t#>*_]{0,8}(?:the |my )?(?:final )?answer[ \t]{0,4}[*_]{0,3}:[*_]{0,3}",
    re.IGNORECASE | re.MULTILINE,
)


class AnswerKind(Protocol):
    """How answers are read and compared.

    Attributes:
        spec: As users type it.
    """

    @property
    def spec(self) -> str:
        """As users type it."""
        ...

    def check(self) -> None:
        """Return if answers can be compared here and now.

        Raises:
            InvalidArgumentError: They cannot; the message says what is missing.
        """
        ...

    def read(self, text: str, choices: int | None = None, truncated: bool = False) -> Extracted | None:
        """The final answer of a model's text, `None` if it states none."""
        ...

    def group(self, answers: Sequence[str | None]) -> Grouping:
        """The distinct answers of a set; an answer that turns out to be none is in no group."""
        ...

    def same(self, a: str, b: str) -> Verdict:
        """Whether two answers are equal, with no gold to lean on."""
        ...

    def matches_gold(self, answer: str, gold: str) -> Verdict:
        """Whether an answer is the gold one."""
        ...

    def gold_is_readable(self, gold: str) -> bool:
        """Whether a gold answer is one that an answer can equal."""
        ...


@dataclass(frozen=True, slots=True)
class Maths:
    """Numbers, expressions, letters and words, by value: see `extract_answer` and `group_answers`."""

    spec: str = DEFAULT_KIND

    def check(self) -> None:
        """Nothing is missing."""

    def read(self, text: str, choices: int | None = None, truncated: bool = False) -> Extracted | None:
        """The last of the strongest marker."""
        return extract_answer(text, choices=choices, truncated=truncated)

    def group(self, answers: Sequence[str | None]) -> Grouping:
        """By text, value and algebra."""
        return group_answers(answers)

    def same(self, a: str, b: str) -> Verdict:
        """By text, value and algebra."""
        return same_answer(a, b)

    def matches_gold(self, answer: str, gold: str) -> Verdict:
        """The gold decides how the answer is read."""
        return matches_gold(answer, gold)

    def gold_is_readable(self, gold: str) -> bool:
        """Whether it states one final answer."""
        return gold_is_readable(gold)


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


def answer_kind(spec: str, question: Question | None = None) -> AnswerKind:
    """The kind that `NAME` or `NAME:OPTION` names.

    Args:
        spec: As users type it.
        question: The question whose answers are compared; only `judge` needs to know.

    Raises:
        UnknownNameError: No such kind.
        InvalidArgumentError: The option has no meaning.
    """
    if spec == DEFAULT_KIND:
        return _MATHS
    kind = _parsed(spec)
    bind = getattr(kind, "about", None)
    return kind if bind is None or question is None else bind(question)


def kind_of(question: Question) -> AnswerKind:
    """The kind of a question's answers."""
    return answer_kind(question.answer_kind, question)


def with_answer_kind(question: Question, spec: str | None) -> Question:
    """The question with this kind of answers; `None` leaves it as it is.

    Raises:
        InvalidArgumentError: There is no such kind.
    """
    return question if spec is None else replace(question, answer_kind=answer_kind(spec).spec)


_MATHS = Maths()


@lru_cache(256)
def _parsed(spec: str) -> AnswerKind:
    name, colon, option = spec.strip().partition(":")
    if name not in ANSWER_KINDS:
        raise UnknownNameError("answer kind", name, ANSWER_KINDS)
    if colon and not option.strip():
        raise InvalidArgumentError(
            f"Answer kind {spec!r} has an empty option. Write {name}, or {name}:OPTION."
        )
    return ANSWER_KINDS[name](option.strip() or None)


def _maths(option: str | None) -> AnswerKind:
    refuse_option(DEFAULT_KIND, option)
    return _MATHS


def _text(option: str | None) -> AnswerKind:
    if option not in (None, "exact"):
        raise InvalidArgumentError(f"Answer kind 'text:{option}': write text or text:exact.")
    return Text(option == "exact")


def _choice(option: str | None) -> AnswerKind:
    refuse_option("choice", option)
    return Choice()


def _number(option: str | None) -> AnswerKind:
    from sampleset.answers.near_numbers import number_kind

    return number_kind(option)


def _json(option: str | None) -> AnswerKind:
    from sampleset.answers.json_values import Json

    return Json(tuple(dict.fromkeys(key.strip() for key in option.split(","))) if option else ())


def _code(option: str | None) -> AnswerKind:
    from sampleset.answers.programs import code_kind

    return code_kind(option)


def _judge(option: str | None) -> AnswerKind:
    from sampleset.answers.judged import Judged

    refuse_option("judge", option)
    return Judged()


ANSWER_KINDS: dict[str, Callable[[str | None], AnswerKind]] = {
    "maths": _maths,
    "text": _text,
    "choice": _choice,
    "json": _json,
    "number": _number,
    "code": _code,
    "judge": _judge,
}


def refuse_option(name: str, option: str | None) -> None:
    """Raise if a kind that has no option was given one."""
    if option is not None:
        raise InvalidArgumentError(f"Answer kind '{name}:{option}': {name} has no option. Write {name}.")


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
