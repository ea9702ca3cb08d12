"""The answer kind `judge`: answers are equal when a language model says that they mean the same.

The kind holds its judge and awaits it. `sampleset.grading.judge` has the judge that asks a model; `Recorded`
repeats earlier judgements, where no model can be asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sampleset.answers.grouping import Grouping
from sampleset.answers.keyed import Text, grouped_by, plain_text
from sampleset.answers.maths.equality.verdicts import Verdict
from sampleset.answers.maths.reading.extraction import Extracted
from sampleset.errors import InvalidArgumentError
from sampleset.types import Question

_TEXT = Text()


@dataclass(slots=True)
class Judgements:
    """A judge's verdicts on the answers to one question.

    Attributes:
        classes: Number of its class, by the answer's plain text.
        representatives: The answer that stands for each class: its first.
        right: Whether an answer is the gold one, by the plain texts of both; `None` where it did not say.
        notes: Faults: `judge_unreadable`, `too_many_comparisons`.
    """

    classes: dict[str, int] = field(default_factory=dict[str, int])
    representatives: list[str] = field(default_factory=list[str])
    right: dict[tuple[str, str], bool | None] = field(default_factory=dict[tuple[str, str], "bool | None"])
    notes: set[str] = field(default_factory=set[str])


class Judge(Protocol):
    """Decides whether answers mean the same."""

    async def classify(self, question: Question, answers: Iterable[str | None]) -> Judgements:
        """All judgements on the question, with these answers put into classes of equal ones."""
        ...

    async def grade(self, question: Question, gold: str, answers: Iterable[str | None]) -> Judgements:
        """All judgements on the question, with each of these answers compared with the gold one."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """A judge that repeats earlier judgements on one question and asks no model.

    Attributes:
        judgements: The judgements.
    """

    judgements: Judgements

    async def classify(self, question: Question, answers: Iterable[str | None]) -> Judgements:
        """The recorded judgements."""
        return self.judgements

    async def grade(self, question: Question, gold: str, answers: Iterable[str | None]) -> Judgements:
        """The recorded judgements."""
        return self.judgements


@dataclass(frozen=True, slots=True)
class Judged:
    """Answers read as texts and compared by a judge.

    Attributes:
        judge: Who compares them; without one they can be read only.
        question: What they answer.
    """

    judge: Judge | None = None
    question: Question | None = None
    spec: str = "judge"

    @property
    def asks_model(self) -> bool:
        """Comparing them does."""
        return True

    def check(self) -> None:
        """Raise unless there is a judge."""
        self._party()

    def read(self, text: str, choices: int | None = None, truncated: bool = False) -> Extracted | None:
        """As kind `text` reads it."""
        return _TEXT.read(text, choices, truncated)

    def gold_is_readable(self, gold: str) -> bool:
        """Whether it says anything."""
        return bool(gold.strip())

    async def group(self, answers: Sequence[str | None]) -> Grouping:
        """The classes that the judge makes."""
        judge, question = self._party()
        judgements = await judge.classify(question, answers)
        keys = [None if answer is None else _class(judgements, answer, question) for answer in answers]
        return grouped_by(keys, answers, sorted(judgements.notes))

    async def read_and_group(
        self, texts: Sequence[tuple[str, bool] | None], choices: int | None
    ) -> tuple[tuple[str | None, ...], Grouping]:
        """The texts' answers and the classes that the judge makes."""
        read = [None if text is None else self.read(text[0], choices, text[1]) for text in texts]
        answers = tuple(stated and stated.text for stated in read)
        return answers, await self.group(answers)

    def restricts(self, answers: Sequence[str | None], grouping: Grouping) -> bool:
        """Whether there is nothing to note: the judgements hold for every set."""
        return not grouping.notes

    async def same(self, a: str, b: str) -> Verdict:
        """Whether the judge puts them into one class; equal texts need no judge."""
        if plain_text(a) == plain_text(b):
            return Verdict(True, "judge")
        judge, question = self._party()
        judgements = await judge.classify(question, [a, b])
        return Verdict(_class(judgements, a, question) == _class(judgements, b, question), "judge")

    async def matches_gold(self, answer: str, gold: str) -> Verdict:
        """Whether the judge calls the answer the gold one; equal texts need no judge."""
        texts = plain_text(answer), plain_text(gold)
        if texts[0] == texts[1]:
            return Verdict(True, "text")
        judge, question = self._party()
        judgements = await judge.grade(question, gold, [answer])
        if texts not in judgements.right:
            raise _unknown(answer, question)
        return Verdict(judgements.right[texts], "judge")

    def _party(self) -> tuple[Judge, Question]:
        if self.judge is None:
            raise InvalidArgumentError(
                "Answer kind 'judge' asks a model whether two answers mean the same, and none is named here. "
                "Name one with Kinds(judge=LLMJudge(backend)), or choose another kind, such as text."
            )
        if self.question is None:
            raise InvalidArgumentError(
                "Answer kind 'judge' compares the answers to a question. Take the kind of one: "
                "kind_of(question)."
            )
        return self.judge, self.question


def _class(judgements: Judgements, answer: str, question: Question) -> int:
    text = plain_text(answer)
    if text not in judgements.classes:
        raise _unknown(answer, question)
    return judgements.classes[text]


def _unknown(answer: str, question: Question) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"Nothing is recorded about the answer {answer[:60]!r} to question {question.id!r}, whose answers a "
        "judge compares, and no model can be asked here. Where a method writes new answers, run it in "
        "the process that has the judge."
    )
