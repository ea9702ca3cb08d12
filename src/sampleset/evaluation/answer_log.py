"""A log of answers that cost tokens, so that a run that was killed continues where it stopped."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from sampleset.aggregators.base import Aggregator
from sampleset.errors import (
    BackendError,
    DataError,
    PromptError,
    TransientBackendError,
)
from sampleset.models.together import in_order
from sampleset.risk.escalation import STEP_FAILED
from sampleset.specs import models_asked, options_of
from sampleset.storage.files import JsonlLog
from sampleset.storage.records import answer_from_row, answer_to_row
from sampleset.storage.store import digest
from sampleset.types import DEFAULT_KIND, Answer, SampleSet, as_dict


class AnswerLog:
    """Answers by aggregator, options and sample set, in an append-only file or in memory.

    With a file, only the answers' offsets in it are kept in memory.

    Args:
        log: The file; `None` keeps answers in memory only.
        context_size: Tokens of the model's context, to which prompts are cut, if not the model's own.

    Raises:
        DataError: The file holds other rows.
    """

    def __init__(self, log: JsonlLog | None = None, context_size: int | None = None) -> None:
        self._context_size = context_size
        self._log = log
        self._answers: dict[str, Answer] = {}
        self._offsets: dict[str, int] = {}
        self._refresh()

    @classmethod
    def beside(cls, output: Path, aggregator: Aggregator, context_size: int | None) -> AnswerLog:
        """The log in the folder `OUTPUT.asked`, for a command that writes one file.

        It is in memory if the aggregator asks no model.
        """
        asks = bool(models_asked(aggregator))
        file = output.with_suffix(".asked") / "answers.jsonl"
        return cls(JsonlLog(file) if asks else None, context_size)

    def _refresh(self) -> None:
        if self._log is None:
            return
        for offset, row in self._log.new_rows():
            try:
                answer_from_row(row)
                self._offsets[row["key"]] = offset
            except (KeyError, TypeError) as error:
                raise DataError(
                    f"{self._log.path}: a row is no logged answer ({error}). Use another --output-dir."
                ) from error

    async def answer(self, aggregator: Aggregator, sample_set: SampleSet) -> Answer:
        """The aggregator's answer to the set, from the log if it is there.

        If the method fails on the set (a prompt beyond the context, a server that stays busy), the answer
        abstains with the flag `failed`. It is not logged, so a later run tries again.

        Raises:
            BackendError: A model that the method needs cannot be asked at all.
        """
        key = answer_key(aggregator, sample_set, self._context_size)
        if key in self._answers:
            return self._answers[key]
        if self._log is not None and key in self._offsets:
            return answer_from_row(self._log.row_at(self._offsets[key]))
        try:
            answer = await aggregator.aggregate(sample_set)
        except (PromptError, TransientBackendError) as error:
            return Answer(sample_set.id, aggregator.name, None, text=str(error), flags=("failed",))
        if STEP_FAILED in answer.flags:
            return answer  # a later run tries the step again
        if self._log is None:
            self._answers[key] = answer
        else:
            self._log.append([{"key": key, **answer_to_row(answer, sample_set.usage)}])
            self._refresh()
        return answer

    async def answer_or_raise(self, aggregator: Aggregator, sample_set: SampleSet, label: str) -> Answer:
        """As `answer`, for work that every set counts in.

        Raises:
            DataError: The method, called `label` in the message, fails on the set.
        """
        answer = await self.answer(aggregator, sample_set)
        if "failed" in answer.flags:
            raise DataError(f"{label} fails on question {sample_set.id!r}: {answer.text}")
        return answer


def answer_key(aggregator: Aggregator, sample_set: SampleSet, context_size: int | None = None) -> str:
    """A key of everything an answer depends on: the method, its options and the sample set."""
    question = sample_set.question
    samples = [as_dict(sample) for sample in sample_set.samples]
    inputs: list[object] = [question.id, question.text, question.choices, samples]
    if question.answer_kind != DEFAULT_KIND:
        inputs.append(question.answer_kind)
    if context_size is not None:
        inputs.append({"context_size": context_size})
    return digest([aggregator.name, dict(options_of(aggregator)), inputs])[:32]


async def answer_all(
    aggregator: Aggregator, sample_sets: Iterable[SampleSet], log: AnswerLog, max_concurrency: int
) -> AsyncIterator[Answer]:
    """The aggregator's answers in the order of the sets, computed concurrently.

    Raises:
        BackendError: The method failed on every set, or its model cannot be asked at all.
    """
    failures: list[str] = []
    done = 0
    async for answer in in_order(
        sample_sets, lambda sample_set: log.answer(aggregator, sample_set), max_concurrency
    ):
        done += 1
        failures += [answer.text] if "failed" in answer.flags else []
        yield answer
    if failures and len(failures) == done:
        raise BackendError(f"{aggregator.name} failed on all {done} sample sets. First: {failures[0]}")
