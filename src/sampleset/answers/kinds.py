"""Answer kinds: how the final answer is read out of a sample, and when two answers are equal.

A question names its kind as users type it, `NAME` or `NAME:OPTION`: `maths` (the default), `text`, `choice`,
`json`, `number`, `code`, `judge`. The rules of each stand in the docs, under Answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

from sampleset.answers.code.programs import code_kind
from sampleset.answers.grouping import Grouping, group_answers
from sampleset.answers.json_values import Json
from sampleset.answers.judged import Judged
from sampleset.answers.keyed import Choice, Text
from sampleset.answers.maths.equivalence import Verdict, matches_gold, same_answer
from sampleset.answers.maths.extraction import Extracted, count_choices, extract_answer
from sampleset.answers.maths.gold import gold_is_readable
from sampleset.answers.maths.near_numbers import number_kind
from sampleset.errors import InvalidArgumentError, UnknownNameError
from sampleset.types import DEFAULT_KIND, Question


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


def choices_of(question: Question) -> int | None:
    """How many lettered options a question has, given or in its text; `None` if it is open."""
    return len(question.choices) if question.choices else _count_choices(question.text)


_count_choices = lru_cache(64)(count_choices)


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
    _refuse_option(DEFAULT_KIND, option)
    return _MATHS


def _text(option: str | None) -> AnswerKind:
    if option not in (None, "exact"):
        raise InvalidArgumentError(f"Answer kind 'text:{option}': write text or text:exact.")
    return Text(option == "exact")


def _choice(option: str | None) -> AnswerKind:
    _refuse_option("choice", option)
    return Choice()


def _json(option: str | None) -> AnswerKind:
    return Json(tuple(dict.fromkeys(key.strip() for key in option.split(","))) if option else ())


def _judge(option: str | None) -> AnswerKind:
    _refuse_option("judge", option)
    return Judged()


ANSWER_KINDS: dict[str, Callable[[str | None], AnswerKind]] = {
    "maths": _maths,
    "text": _text,
    "choice": _choice,
    "json": _json,
    "number": number_kind,
    "code": code_kind,
    "judge": _judge,
}


def _refuse_option(name: str, option: str | None) -> None:
    """Raise if a kind that has no option was given one."""
    if option is not None:
        raise InvalidArgumentError(f"Answer kind '{name}:{option}': {name} has no option. Write {name}.")
