"""Asking a model whether two answers mean the same, for questions whose answers are of the kind `judge`.

Answers of one plain text are one without asking. Any other is compared with one representative of each class
there is, until one is called the same: at most C calls for an answer where there are C classes, and never
more than `MAX_CLASSES`. What was said holds for the question from then on, and may be kept in a file.
"""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import contextmanager

from sampleset.answers import JudgementBook, judged_by, plain_text
from sampleset.backends.base import Backend, can_score
from sampleset.chat import SamplingParams
from sampleset.errors import DataError
from sampleset.prompts import SAME_PROMPT, same_messages
from sampleset.storage.files import JsonlLog
from sampleset.storage.store import digest
from sampleset.types import Problem, Question, Usage

MAX_CLASSES = 32
"""Classes of a question that a new answer is compared with; beyond them it stands alone, which is noted."""
_MAX_TOKENS = 256
_VERDICT = re.compile(r"\b(yes|no)\b", re.IGNORECASE)


class LLMJudge:
    """A model that says whether two answers mean the same.

    Args:
        open_backend: Returns the model; called when it is first needed.
        log: Where its verdicts are kept and looked up.

    Attributes:
        book: What it has said.
        usage: Tokens spent on asking.
    """

    def __init__(self, open_backend: Callable[[], Awaitable[Backend]], log: JsonlLog | None = None) -> None:
        self.book = JudgementBook()
        self.usage = Usage()
        self._open = open_backend
        self._backend: Backend | None = None
        self._log = log
        self._verdicts: dict[str, bool | None] = {}
        self._locks: defaultdict[Question, asyncio.Lock] = defaultdict(asyncio.Lock)
        for _, row in log.new_rows() if log else ():
            try:
                self._verdicts[row["key"]] = row["same"]
            except KeyError as error:
                raise DataError(
                    f"{log and log.path}: a row is no judgement. Use another --output-dir."
                ) from error

    async def classify(self, question: Question, answers: Iterable[str | None]) -> None:
        """Put each answer into a class of equal ones."""
        async with self._locks[question]:
            said = self.book.on(question)
            for answer in answers:
                if answer is None or (text := plain_text(answer)) in said.classes:
                    continue
                for number, other in enumerate(said.representatives[:MAX_CLASSES]):
                    same = await self._same(question, other, answer)
                    if same is None:
                        said.notes.add("judge_unreadable")
                    if same:
                        said.classes[text] = number
                        break
                else:
                    if len(said.representatives) > MAX_CLASSES:
                        said.notes.add("too_many_comparisons")
                    said.classes[text] = len(said.representatives)
                    said.representatives.append(answer)

    async def grade(self, problem: Problem, answers: Iterable[str | None]) -> None:
        """Say of each answer whether it is the gold one; equal answers are asked about once."""
        listed = [one for one in answers if one is not None]
        await self.classify(problem.question, listed)
        said, gold = self.book.on(problem.question), problem.answer or ""
        by_class: dict[int, bool | None] = {}
        for answer in listed:
            pair = plain_text(answer), plain_text(gold)
            number = said.classes[pair[0]]
            if pair in said.right:
                by_class[number] = said.right[pair]
            elif pair[0] == pair[1]:
                said.right[pair] = by_class[number] = True
        for answer in listed:
            number = said.classes[plain_text(answer)]
            if number not in by_class:
                by_class[number] = await self._same(problem.question, gold, answer)
            said.right.setdefault((plain_text(answer), plain_text(gold)), by_class[number])

    async def _same(self, question: Question, first: str, second: str) -> bool | None:
        """The model's verdict, `None` if it cannot be read."""
        if self._backend is None:
            self._backend = await self._open()
        asked = [self._backend.model, SAME_PROMPT, question.text, plain_text(first), plain_text(second)]
        key = digest(asked)[:32]
        if key not in self._verdicts:
            self._verdicts[key] = same = await self._ask(self._backend, question, first, second)
            if self._log is not None:
                self._log.append([{"key": key, "question": question.id, "same": same}])
        return self._verdicts[key]

    async def _ask(self, backend: Backend, question: Question, first: str, second: str) -> bool | None:
        messages = same_messages(question, first, second)
        if can_score(backend):
            yes, no = await backend.score(messages, ["Yes", "No"])
            self.usage += Usage(yes.prompt_tokens, yes.tokens + no.tokens, calls=1)
            return yes.logprob > no.logprob
        (reply,) = await backend.generate(
            messages, SamplingParams(temperature=0.0, max_tokens=_MAX_TOKENS), [0]
        )
        uncounted = int(reply.completion_tokens is None)
        self.usage += Usage(reply.prompt_tokens or 0, reply.completion_tokens or 0, 1, uncounted)
        found = _VERDICT.search(reply.text.rpartition("</think>")[2])
        return None if found is None else found[1].lower() == "yes"


@contextmanager
def judging(
    model: Backend | Callable[[], Awaitable[Backend]], log: JsonlLog | None = None
) -> Generator[LLMJudge]:
    """Have a model compare the answers of the kind `judge`, within the block and the tasks it starts.

    Args:
        model: The model, or what opens it when it is first needed.
        log: A file in which verdicts are kept.
    """

    async def given() -> Backend:
        assert isinstance(model, Backend)
        return model

    judge = LLMJudge(given if isinstance(model, Backend) else model, log)
    with judged_by(judge):
        yield judge
