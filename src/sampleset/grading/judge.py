"""Asking a model whether two answers mean the same, for questions whose answers are of the kind `judge`.

Answers of one plain text are one without asking. Any other is compared with one representative of each class
there is, until one is called the same: at most C calls for an answer where there are C classes, and never
more than `MAX_CLASSES`. What was said holds for the question from then on, and may be kept in a file.
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
"""Classes of a question that a new answer is compared with; beyond them it stands alone, which is noted."""
_MOST_QUESTIONS = 4096
"""Questions whose judgements are kept, the last ones asked about."""
_MAX_TOKENS = 256
_VERDICT = re.compile(r"\b(yes|no)\b", re.IGNORECASE)


class LLMJudge:
    """A model that says whether two answers mean the same, for `Kinds(judge=LLMJudge(backend))`.

    Args:
        model: The model, or what opens it when it is first needed.
        log: Where its verdicts are kept and looked up.

    Attributes:
        usage: Tokens spent on asking.
    """

    def __init__(
        self, model: Backend | Callable[[], Awaitable[Backend]], log: JsonlLog | None = None
    ) -> None:
        self.usage = Usage()
        self._model = model
        self._backend: Backend | None = None
        self._said: OrderedDict[Question, Judgements] = OrderedDict()
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

    async def classify(self, question: Question, answers: Iterable[str | None]) -> Judgements:
        """All that was said about the question, these answers put into classes of equal ones."""
        lock = self._locks.setdefault(question, asyncio.Lock())
        async with lock:
            said = self._on(question)
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
            return said

    async def grade(self, question: Question, gold: str, answers: Iterable[str | None]) -> Judgements:
        """All that was said about the question, each of these answers compared with the gold one.

        Answers of one class are asked about once.
        """
        listed = [one for one in answers if one is not None]
        said = await self.classify(question, listed)
        gold_text = plain_text(gold)
        if gold_text in map(plain_text, listed):
            said.right[gold_text, gold_text] = True
        by_class = {
            said.classes[text]: right for (text, against), right in said.right.items() if against == gold_text
        }
        for answer in listed:
            text = plain_text(answer)
            number = said.classes[text]
            if number not in by_class:
                by_class[number] = await self._same(question, gold, answer)
            said.right.setdefault((text, gold_text), by_class[number])
        return said

    def _on(self, question: Question) -> Judgements:
        said = self._said.setdefault(question, Judgements())
        self._said.move_to_end(question)
        if len(self._said) > _MOST_QUESTIONS:
            self._said.popitem(last=False)
        return said

    async def _same(self, question: Question, first: str, second: str) -> bool | None:
        """The model's verdict, `None` if it cannot be read."""
        if self._backend is None:
            self._backend = self._model if isinstance(self._model, Backend) else await self._model()
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
