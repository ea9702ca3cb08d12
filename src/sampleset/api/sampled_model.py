"""A model whose every answer is made of k samples: one object for scripts, notebooks and other tools."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from types import TracebackType
from typing import Any

from sampleset.aggregators.base import Aggregator
from sampleset.answers import Kinds, with_answer_kind
from sampleset.api.blocking import run_blocking
from sampleset.api.functions import Answered, Function, as_aggregator
from sampleset.api.judging import bound_to, kinds_judged_by
from sampleset.backends.base import Backend, record_of
from sampleset.chat import Message
from sampleset.errors import InvalidArgumentError
from sampleset.models.calls import ModelCalls
from sampleset.models.opening import ready_backend
from sampleset.prompts import usual_prompt
from sampleset.sampling.members import reader_named
from sampleset.sampling.sampler import Sampler, SamplingOptions
from sampleset.specs import build, models_of, with_default_model
from sampleset.types import Question, SampleSet


class SampledModel:
    """Draws k samples of a question and aggregates them.

        async with SampledModel("gpt-4o-mini", k=5) as model:
            answered = await model.answer("What is 6 x 7?")

    Args:
        model: As `open_backend` takes it, or a backend; one that is given is not closed.
        k: Samples for each question.
        aggregator: A name with options, an aggregator, or a function of a sample set.
        base_url: Address of the server.
        api_key: The server's key.
        aggregator_model: The model that the aggregator asks; by default the one that is sampled.
        judge: The model that compares answers of the kind `judge`; by default `aggregator_model`. Its tokens
            are in no count.
        options: How samples are drawn; `k` replaces their `n`.
    """

    def __init__(
        self,
        model: str | Backend = "embedded",
        k: int = 5,
        aggregator: str | Aggregator | Function = "majority_vote",
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        aggregator_model: str | None = None,
        judge: str | Backend | None = None,
        options: SamplingOptions | None = None,
    ) -> None:
        usual = usual_prompt(model) if isinstance(model, str) else "solve"
        self.options = replace(options or SamplingOptions(prompt=usual), n=k)
        self._model = model
        self._server = base_url, api_key
        self._aggregator = aggregator
        self._aggregator_model = aggregator_model
        self._judge = judge
        if isinstance(aggregator, str):
            models_of(aggregator)  # refused before a model is opened
        self._stack = AsyncExitStack()
        self._opened_parts: tuple[Backend, Aggregator, Kinds] | None = None
        self._opening = asyncio.Lock()

    async def answer(
        self,
        question: str | Question,
        messages: Sequence[Message] | None = None,
        *,
        answer_kind: str | None = None,
        k: int | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> Answered:
        """The samples of a question and the answer made of them.

        Args:
            question: Its text, which aggregators read.
            messages: The chat to draw from, as it is; by default the question with a request to solve it.
            answer_kind: How answers are compared; by default as the question says.
            k: Samples of this question.
            params: Sampling parameters of this question (`temperature`, `max_tokens`, ...).

        Raises:
            SamplingError: Every draw failed.
            BackendError: The model cannot be asked.
        """
        backend, method, kinds = await self._open()
        full_question = question if isinstance(question, Question) else Question(question[:64], question)
        full_question = bound_to(
            kinds, with_answer_kind(full_question, answer_kind) if answer_kind else full_question, None
        )
        if not full_question.text.strip():
            raise InvalidArgumentError("The question is empty. Give a text.")
        options = replace(
            self.options, n=k or self.options.n, params=replace(self.options.params, **(params or {}))
        )
        sample_set = await Sampler(backend, options).sample(full_question, messages)
        return Answered(sample_set, await method.aggregate(sample_set.without_thinking()))

    def ask(self, question: str | Question, **options: Any) -> Answered:
        """`answer`, waited for, in a script or a notebook. The model is closed afterwards."""

        async def answered() -> Answered:
            async with self:
                return await self.answer(question, **options)

        return run_blocking(answered())

    async def sets(self, questions: Sequence[Question]) -> list[SampleSet]:
        """The sample sets of many questions, in their order."""
        backend, _, kinds = await self._open()
        bound_questions = [bound_to(kinds, question, None) for question in questions]
        return [
            sample_set async for sample_set in Sampler(backend, self.options).sample_many(bound_questions)
        ]

    async def aclose(self) -> None:
        """Close the models that were opened."""
        self._opened_parts = None
        await self._stack.aclose()

    async def __aenter__(self) -> SampledModel:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _open(self) -> tuple[Backend, Aggregator, Kinds]:
        async with self._opening:
            if self._opened_parts is None:
                backend = await self._backend(self._model)
                method = self._aggregator
                if isinstance(method, str):
                    reader = self._aggregator_model or backend
                    method = await opened_aggregator(method, reader, self._stack, self.options)
                kinds = kinds_judged_by(self._judge or self._aggregator_model or backend, self._stack)
                self._opened_parts = backend, as_aggregator(method), kinds
            return self._opened_parts

    async def _backend(self, model: str | Backend) -> Backend:
        if not isinstance(model, str):
            return model
        backend = await ready_backend(model, *self._server, None)
        self._stack.push_async_callback(backend.aclose)
        return backend


async def opened_aggregator(
    spec: str, model: str | Backend, stack: AsyncExitStack, options: SamplingOptions
) -> Aggregator:
    """The aggregator that a text names, the models that it asks opened and closed with the stack.

    Args:
        spec: `NAME` or `NAME:key=value,...`.
        model: The model that is asked where the text names none.
        stack: Closes the models.
        options: Patience and concurrency of the calls.
    """
    if isinstance(model, str) or record_of(model) is None:
        spec = with_default_model(spec)
    backends: dict[str | None, Backend] = {}
    for name in models_of(spec):
        reader = model if name is None else name
        if isinstance(reader, str):
            member = reader_named(reader)
            reader = await ready_backend(
                member.model, member.base_url, member.api_key, member.context_size, member.omit
            )
            stack.push_async_callback(reader.aclose)
        backends[name] = ModelCalls(reader, options.patience, options.max_concurrency)
    return build(spec, backends.get(None), backends)
