"""The answer kind `judge`: answers are equal when a language model has said that they mean the same.

Asking has to be awaited, and comparing answers must not wait. So what a judge has said is written into a
book, and answers are compared by the book. `sampleset.grading.judge` has the judge that asks a model.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol

from sampleset.answers.grouping import Grouping
from sampleset.answers.keyed import Text, grouped_by, plain_text
from sampleset.answers.maths.equivalence import Verdict
from sampleset.answers.maths.extraction import Extracted
from sampleset.errors import InvalidArgumentError
from sampleset.types import Problem, Question

JUDGE_KIND = "judge"
_MOST_QUESTIONS = 4096
_TEXT = Text()


@dataclass(slots=True)
class Judgements:
    """What a judge has said about the answers to one question.

    Attributes:
        classes: Number of its class, by the answer's plain text.
        representatives: The answer that stands for each class: its first.
        right: Whether an answer is the gold one, by the plain texts of both; `None` where it did not say.
        notes: What went wrong: `judge_unreadable`, `too_many_comparisons`.
    """

    classes: dict[str, int] = field(default_factory=dict[str, int])
    representatives: list[str] = field(default_factory=list[str])
    right: dict[tuple[str, str], bool | None] = field(default_factory=dict[tuple[str, str], "bool | None"])
    notes: set[str] = field(default_factory=set[str])


class JudgementBook:
    """The judgements of one judge, by question; the last few thousand questions are kept."""

    def __init__(self) -> None:
        self._by_question: OrderedDict[Question, Judgements] = OrderedDict()

    def on(self, question: Question) -> Judgements:
        """The judgements about a question's answers."""
        found = self._by_question.setdefault(question, Judgements())
        self._by_question.move_to_end(question)
        if len(self._by_question) > _MOST_QUESTIONS:
            self._by_question.popitem(last=False)
        return found

    def put(self, question: Question, judgements: Judgements) -> None:
        """Take over what was said elsewhere."""
        self._by_question[question] = judgements


class Judge(Protocol):
    """Who says whether answers mean the same.

    Attributes:
        book: What was said so far.
    """

    book: JudgementBook

    async def classify(self, question: Question, answers: Iterable[str | None]) -> None:
        """Put each answer into a class of equal ones, in the book."""
        ...

    async def grade(self, problem: Problem, answers: Iterable[str | None]) -> None:
        """Say of each answer whether it is the gold one, in the book."""
        ...


class AbsentJudge:
    """What a judge who is not there said before.

    Args:
        question: The only question.
        judgements: What was said about its answers.
    """

    def __init__(self, question: Question, judgements: Judgements) -> None:
        self.book = JudgementBook()
        self.book.put(question, judgements)

    async def classify(self, question: Question, answers: Iterable[str | None]) -> None:
        """Add nothing."""

    async def grade(self, problem: Problem, answers: Iterable[str | None]) -> None:
        """Add nothing."""


_judge: ContextVar[Judge | None] = ContextVar("judge", default=None)


def current_judge() -> Judge | None:
    """Who judges here, `None` if there is nobody."""
    return _judge.get()


@contextmanager
def judged_by(judge: Judge) -> Generator[None]:
    """Have this judge compare the answers of the kind `judge`, within the block and the tasks it starts."""
    token = _judge.set(judge)
    try:
        yield
    finally:
        _judge.reset(token)


async def judge_answers(question: Question, answers: Iterable[str | None]) -> None:
    """Have the judge say which of these answers are one, if they are of the kind `judge`."""
    judge = _judge.get()
    if question.answer_kind == JUDGE_KIND and judge is not None:
        await judge.classify(question, answers)


async def judge_grades(problem: Problem, answers: Iterable[str | None]) -> None:
    """Have the judge say which of these answers are right, if they are of the kind `judge`."""
    judge = _judge.get()
    if problem.question.answer_kind == JUDGE_KIND and judge is not None and problem.answer is not None:
        await judge.grade(problem, answers)


@dataclass(frozen=True, slots=True)
class Judged:
    """Answers read as texts; which are one was asked before, and is looked up.

    Attributes:
        question: What they answer.
    """

    question: Question | None = None
    spec: str = JUDGE_KIND

    def about(self, question: Question) -> Judged:
        """The same for the answers to this question."""
        return Judged(question)

    def check(self) -> None:
        """Raise unless there is a judge."""
        if current_judge() is None:
            raise InvalidArgumentError(
                "Answer kind 'judge' asks a model whether two answers mean the same, and none is named here. "
                "Work within `judging(backend)`, or choose another kind, such as text."
            )

    def read(self, text: str, choices: int | None = None, truncated: bool = False) -> Extracted | None:
        """As kind `text` reads it."""
        return _TEXT.read(text, choices, truncated)

    def group(self, answers: Sequence[str | None]) -> Grouping:
        """The classes that the judge has made."""
        said = self._said()
        keys = [None if one is None else self._class(one) for one in answers]
        return grouped_by(keys, answers, sorted(said.notes))

    def same(self, a: str, b: str) -> Verdict:
        """Whether the judge has put them into one class."""
        return Verdict(plain_text(a) == plain_text(b) or self._class(a) == self._class(b), "judge")

    def matches_gold(self, answer: str, gold: str) -> Verdict:
        """Whether the judge has called the answer the gold one; equal texts need no judge."""
        texts = plain_text(answer), plain_text(gold)
        if texts[0] == texts[1]:
            return Verdict(True, "text")
        right = self._said().right
        if texts not in right:
            raise self._not_asked(answer)
        return Verdict(right[texts], "judge")

    def gold_is_readable(self, gold: str) -> bool:
        """Whether it says anything."""
        return bool(gold.strip())

    def _said(self) -> Judgements:
        self.check()
        judge = current_judge()
        assert judge is not None and self.question is not None
        return judge.book.on(self.question)

    def _class(self, answer: str) -> int:
        classes = self._said().classes
        if (text := plain_text(answer)) not in classes:
            raise self._not_asked(answer)
        return classes[text]

    def _not_asked(self, answer: str) -> InvalidArgumentError:
        identity = self.question.id if self.question else None
        return InvalidArgumentError(
            f"Question {identity!r} has answers of the kind 'judge', and the judge was not asked about "
            f"{answer[:60]!r}. Asking has to be awaited (tally, not tally_now; judge_grades before grade); "
            "where that cannot be, choose another kind, such as text."
        )
