"""A model judges whether two answers mean the same, for questions whose answers are of the kind `judge`.

Answers with the same plain text are equal, and no model is asked. Another answer is compared with one
representative of each class in turn, until the model calls two the same. That takes at most one call for each
class, and at most `MAX_CLASSES` calls. Judgements are remembered by question and may be kept in a file.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from weakref import WeakValueDictionary

from sampleset.answers import Judgements, plain_text
from sampleset.backends.base import Backend, can_score
from sampleset.chat import SamplingParams
from sampleset.errors import DataError
from sampleset.prompts import SAME_PROMPT, same_messages
from sampleset.storage.files import JsonlLog
from sampleset.storage.store import digest
from sampleset.types import Question, Usage

MAX_CLASSES = 32
"""Most classes that a new answer is compared with. Beyond them it forms a class alone, which is noted."""
_MOST_QUESTIONS = 4096
"""Questions whose judgements are kept in memory; the least recently used is dropped."""
_MAX_TOKENS = 256
_VERDICT = re.compile(r"\b(yes|no)\b", re.IGNORECASE)


class LLMJudge:
    """A model that says whether two answers mean the same, for `Kinds(judge=LLMJudge(backend))`.

    Args:
        model: The model, or a function that opens it when it is first needed.
        log: Where verdicts are stored and looked up; `None` keeps them in memory only.

    Attributes:
        usage: Tokens of all calls.
    """

    def __init__(
        self, model: Backend | Callable[[], Awaitable[Backend]], log: JsonlLog | None = None
    ) -> None:
        self.usage = Usage()
        self._model = model
        self._backend: Backend | None = None
        self._judgements: OrderedDict[Question, Judgements] = OrderedDict()
        self._log = log
        self._verdicts: dict[str, bool | None] = {}
        self._locks: WeakValueDictionary[Question, asyncio.Lock] = WeakValueDictionary()
        for _, row in log.new_rows() if log else ():
            try:
                self._verdicts[row["key"]] = row["same"]
            except KeyError as error:
                raise DataError(
                    f"{log and log.path}: a row is no judgement. Use another --output-dir."
                ) from error

    @property
    def model(self) -> str | None:
        """The name of the model; `None` until it is opened, when it is first asked."""
        return None if self._backend is None else self._backend.model

    async def classify(self, question: Question, answers: Iterable[str | None]) -> Judgements:
        """All judgements on the question, after these answers were put into classes of equal answers."""
        lock = self._locks.setdefault(question, asyncio.Lock())
        async with lock:
            judgements = self._on(question)
            for answer in answers:
                if answer is None or (text := plain_text(answer)) in judgements.classes:
                    continue
                for number, other in enumerate(judgements.representatives[:MAX_CLASSES]):
                    same = await self._same(question, other, answer)
                    if same is None:
                        judgements.notes.add("judge_unreadable")
                    if same:
                        judgements.classes[text] = number
                        break
                else:
                    if len(judgements.representatives) > MAX_CLASSES:
                        judgements.notes.add("too_many_comparisons")
                    judgements.classes[text] = len(judgements.representatives)
                    judgements.representatives.append(answer)
            return judgements

    async def grade(self, question: Question, gold: str, answers: Iterable[str | None]) -> Judgements:
        """All judgements on the question, after these answers were compared with the gold answer.

        Each class of answers is compared once.
        """
        stated = [answer for answer in answers if answer is not None]
        judgements = await self.classify(question, stated)
        gold_text = plain_text(gold)
        if gold_text in map(plain_text, stated):
            judgements.right[gold_text, gold_text] = True
        by_class = {
            judgements.classes[text]: right
            for (text, against), right in judgements.right.items()
            if against == gold_text
        }
        for answer in stated:
            text = plain_text(answer)
            number = judgements.classes[text]
            if number not in by_class:
                by_class[number] = await self._same(question, gold, answer)
            judgements.right.setdefault((text, gold_text), by_class[number])
        return judgements

    def _on(self, question: Question) -> Judgements:
        judgements = self._judgements.setdefault(question, Judgements())
        self._judgements.move_to_end(question)
        if len(self._judgements) > _MOST_QUESTIONS:
            self._judgements.popitem(last=False)
        return judgements

    async def _same(self, question: Question, first: str, second: str) -> bool | None:
        """The model's verdict; `None` if its reply is unreadable."""
        if self._backend is None:
            self._backend = self._model if isinstance(self._model, Backend) else await self._model()
        comparison = [self._backend.model, SAME_PROMPT, question.text, plain_text(first), plain_text(second)]
        key = digest(comparison)[:32]
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
        verdict = _VERDICT.search(reply.text.rpartition("</think>")[2])
        return None if verdict is None else verdict[1].lower() == "yes"
