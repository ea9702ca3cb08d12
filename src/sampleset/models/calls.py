"""A model as the package calls it: with limits, retries and budgets, and its text reported while it writes.

    calls = ModelCalls(backend, Patience(), max_concurrency=8)
    await calls.generate(messages, params, seeds)

`ModelCalls` is the one backend around a backend: the model of a question's samples, an aggregator's model,
judges and teachers are all asked through it. Each try is billed on its own, since each may cost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

from sampleset.backends.base import Backend, can_score, can_stream, is_local, record_of, takes_requests
from sampleset.chat import (
    TURN_TOKENS,
    Continuation,
    Generation,
    Message,
    OnText,
    Prompt,
    SamplingParams,
    longest_prompt,
)
from sampleset.errors import TransientBackendError, UnsupportedByBackendError
from sampleset.models.budget import Budget, Meter, Tariff
from sampleset.models.prices import Prices
from sampleset.models.retries import Patience, limiter_for, patiently

T = TypeVar("T")

OnRetry = Callable[[TransientBackendError], None]


@dataclass(frozen=True, slots=True)
class CallContext:
    """What applies to the current calls, beside the model's own budgets.

    Attributes:
        budgets: Further budgets that each call must fit.
        on_messages: Called with the messages of each call.
        listener: Called once a call; returns `None`, or a function that each try calls for its listener.
    """

    budgets: Sequence[Budget] = ()
    on_messages: Callable[[Sequence[Message]], None] | None = None
    listener: Callable[[], Callable[[], OnText] | None] | None = None


_NO_CONTEXT = CallContext()

_within: ContextVar[tuple[Sequence[Budget], Prices | None]] = ContextVar("within", default=((), None))
"""Budgets that an aggregator sets for the calls of one answer, and the prices of those in money."""


@contextmanager
def within(budgets: Sequence[Budget], prices: Prices | None = None) -> Generator[None]:
    """Around calls: each must fit these budgets, too.

    Args:
        budgets: The budgets.
        prices: The prices of all models that are asked, for budgets in money.
    """
    outer, known = _within.get()
    token = _within.set(((*outer, *budgets), prices or known))
    try:
        yield
    finally:
        _within.reset(token)


class ModelCalls:
    """A backend whose calls are limited, tried again, billed and reported.

    Args:
        backend: The model.
        patience: Number and duration of tries; `None` makes one try without a time limit.
        max_concurrency: Calls in flight at once; ignored with a `limiter`.
        limiter: Acquired during a try; for limiters that several models share.
        budgets: Budgets that each call must fit.
        tariff: Price of the model's tokens, for budgets in money.
        prompt_tokens: Length of the prompt; if `None`, it is taken from the first reply.
        context: Returns the context of the current calls.

    Raises:
        InvalidArgumentError: A budget is in money and there is no tariff.
    """

    def __init__(
        self,
        backend: Backend,
        patience: Patience | None = None,
        max_concurrency: int | None = None,
        *,
        limiter: asyncio.Semaphore | None = None,
        budgets: Sequence[Budget] = (),
        tariff: Tariff | None = None,
        prompt_tokens: int | None = None,
        context: Callable[[], CallContext] = lambda: _NO_CONTEXT,
    ) -> None:
        Meter(budgets, tariff, backend.model)  # raises now if a price is missing
        self._backend, self._budgets, self._tariff = backend, tuple(budgets), tariff
        self._patience = None if patience is None else patience.with_model(backend)
        self._limiter = limiter or limiter_for(backend, max_concurrency or 2**31)
        self._prompt: tuple[list[Message] | None, int | None] = (None, prompt_tokens)
        self._context = context
        self.model = backend.model
        self.group_size = backend.group_size
        self.max_calls = backend.max_calls
        self.record = record_of(backend)
        self.is_local = is_local(backend)
        self.takes_requests = takes_requests(backend)
        self.scores = can_score(backend)
        self.streams = can_stream(backend)

    @property
    def context_size(self) -> int | None:
        """As the backend's, which may learn it from its server."""
        return self._backend.context_size

    @property
    def continues_assistant(self) -> bool:
        """As the backend's, which may learn it from its server."""
        return self._backend.continues_assistant

    async def check(self) -> None:
        """As the backend's."""
        await self._backend.check()

    async def generate(
        self, messages: Sequence[Message], params: SamplingParams, seeds: Sequence[int]
    ) -> list[Generation]:
        """As the backend's, tried again after transient errors, if the worst case fits the budgets.

        Raises:
            CapReachedError: It does not fit, and no call in flight could leave room.
        """
        return await self.ask(messages, params, seeds)

    async def stream(
        self, messages: Sequence[Message], params: SamplingParams, seeds: Sequence[int], on_text: OnText
    ) -> list[Generation]:
        """As `generate`; `on_text` is called with the text while it is written."""
        return await self.ask(messages, params, seeds, on_text)

    async def ask(
        self,
        messages: Sequence[Message],
        params: SamplingParams,
        seeds: Sequence[int],
        on_text: OnText | None = None,
        on_retry: OnRetry | None = None,
    ) -> list[Generation]:
        """One completion for every seed.

        Args:
            messages: The chat so far.
            params: How to draw.
            seeds: Consecutive integers.
            on_text: Called with (index of the seed, next piece of its text) if the backend streams.
            on_retry: Called with the error before each further try.

        Raises:
            CapReachedError: The worst case does not fit, and no call in flight could leave room.
            BackendError: As of the backend.
        """
        context = self._context()
        if context.on_messages is not None:
            context.on_messages(messages)
        listen = None if context.listener is None else context.listener()

        async def call() -> list[Generation]:
            backend, heard = self._backend, on_text if listen is None else listen()
            if heard is not None and can_stream(backend):
                return await backend.stream(messages, params, seeds, heard)
            return await backend.generate(messages, params, seeds)

        budgets = self._all_budgets(context)
        return await self._tried(
            (lambda: self._billed(call, budgets, messages, params, len(seeds))) if budgets else call, on_retry
        )

    async def score(self, messages: Sequence[Message], continuations: Sequence[str]) -> list[Continuation]:
        """As the backend's; the continuations count as prompt, read once.

        Raises:
            CapReachedError: The worst case does not fit the budgets.
            UnsupportedByBackendError: The backend cannot score.
        """
        backend = self._backend
        if not can_score(backend):
            raise UnsupportedByBackendError(f"{self.model!r} cannot tell how likely a given text is.")
        context = self._context()
        if context.on_messages is not None:
            context.on_messages(messages)
        texts = sum(len(text.encode("utf-8", "replace")) + TURN_TOKENS for text in continuations)

        async def call() -> list[Continuation]:
            meter = Meter(self._all_budgets(context), self._priced(), self.model)
            async with meter.billed(self._longest(messages) + texts, 0) as bill:
                scored = await backend.score(messages, continuations)
                bill.prompt = max((text.prompt_tokens for text in scored), default=0)
                bill.prompt += sum(text.tokens for text in scored)
                return scored

        return await self._tried(call, None)

    async def tokenize(self, text: str) -> list[str]:
        """As the backend's, tried again. It does not use the limiter, which its caller may have acquired."""
        if self._patience is None:
            return await self._backend.tokenize(text)
        return await patiently(lambda: self._backend.tokenize(text), self._patience, asyncio.Semaphore(1))

    async def aclose(self) -> None:
        """As the backend's."""
        await self._backend.aclose()

    async def _tried(self, call: Callable[[], Awaitable[T]], on_retry: OnRetry | None) -> T:
        if self._patience is None:
            return await call()
        return await patiently(call, self._patience, self._limiter, on_retry)

    async def _billed(
        self,
        call: Callable[[], Awaitable[list[Generation]]],
        budgets: Sequence[Budget],
        messages: Sequence[Message],
        params: SamplingParams,
        count: int,
    ) -> list[Generation]:
        """The call's result. Its worst case is reserved before, its real cost booked after."""
        worst = self._longest(messages) * count, _most_written(messages, params) * count
        async with Meter(budgets, self._priced(), self.model).billed(*worst) as bill:
            replies = await call()
            if replies and all(reply.prompt_tokens is not None for reply in replies):
                bill.prompt = sum(reply.prompt_tokens or 0 for reply in replies)
                self._prompt = (list(messages), max(reply.prompt_tokens or 0 for reply in replies))
            if all(reply.completion_tokens is not None for reply in replies):
                bill.completion = sum(reply.completion_tokens or 0 for reply in replies)
            return replies

    def _all_budgets(self, context: CallContext) -> tuple[Budget, ...]:
        return (*self._budgets, *context.budgets, *_within.get()[0])

    def _priced(self) -> Tariff | None:
        prices = _within.get()[1]
        return self._tariff or (None if prices is None else prices.models.get(self.model))

    def _longest(self, messages: Sequence[Message]) -> int:
        """An upper bound of the prompt's tokens."""
        known_for, tokens = self._prompt
        if tokens is not None and known_for in (None, list(messages)):
            return tokens
        return longest_prompt(messages)


def _most_written(messages: Sequence[Message], params: SamplingParams) -> int:
    """Most tokens of a completion. A client's request names its own limit."""
    extra = messages.extra if isinstance(messages, Prompt) else None
    return params.max_tokens if extra is None else extra.get("max_completion_tokens", 0)
