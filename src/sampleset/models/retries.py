"""Ask a model patiently: one limiter, a time limit per call, and further tries after transient errors."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from sampleset.backends.base import Backend, ScoringBackend, is_local, record_of
from sampleset.chat import Continuation, Generation, Message, SamplingParams
from sampleset.errors import InvalidArgumentError, TransientBackendError

T = TypeVar("T")

_LONGEST_BACKOFF = 60.0
_SERVERS_TIMEOUT = 600.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to bear with a backend.

    Attributes:
        max_retries: Further tries of a call after a transient error.
        timeout: Seconds one try may take, `math.inf` for no limit; by default 600, and no limit for a model
            in this process, which would do the same work again.
    """

    max_retries: int = 4
    timeout: float | None = None

    def __post_init__(self) -> None:
        if self.max_retries < 0:
            raise InvalidArgumentError(f"max_retries={self.max_retries!r} must be at least 0.")
        if self.timeout is not None and not self.timeout > 0:
            raise InvalidArgumentError(f"timeout={self.timeout!r} must be above 0 seconds.")

    def with_model(self, backend: Backend) -> Patience:
        """The same, with the time limit that a call of this model has by default."""
        if self.timeout is not None:
            return self
        return replace(self, timeout=math.inf if is_local(backend) else _SERVERS_TIMEOUT)


async def patiently(
    call: Callable[[], Awaitable[T]],
    patience: Patience,
    limiter: asyncio.Semaphore,
    on_retry: Callable[[str], None] | None = None,
) -> T:
    """What the call returns, tried again after transient errors; a waiting call holds no place.

    Args:
        call: Starts one try.
        patience: How many tries, and how long each.
        limiter: Held during a try, not during the wait between two.
        on_retry: Told the reason before each wait.

    Raises:
        TransientBackendError: The last try failed as well.
        BackendError: The first error that another try cannot mend.
    """
    for attempt in range(patience.max_retries + 1):
        try:
            async with limiter:
                return await _in_time(call, patience.timeout or _SERVERS_TIMEOUT)
        except TransientBackendError as error:
            if attempt == patience.max_retries:
                raise TransientBackendError(f"{error} (after {attempt + 1} tries)") from error
            if on_retry is not None:
                on_retry(str(error))
            pause = backoff(attempt, error.retry_after)
        await asyncio.sleep(pause)
    raise AssertionError("unreachable: the last try returns or raises")


def backoff(attempt: int, retry_after: float | None) -> float:
    """Seconds to wait before the next try: what the server asked for, or a jittered doubling wait.

    Args:
        attempt: Tries that failed before this one, from 0.
        retry_after: Seconds the server asked to wait; honoured up to 60, with up to 10 % on top so that
            clients do not all come back at once.
    """
    if retry_after is not None:
        return min(retry_after, _LONGEST_BACKOFF) * random.uniform(1.0, 1.1)
    return min(_LONGEST_BACKOFF, 0.5 * 2 ** min(attempt, 10)) * random.uniform(0.5, 1.0)


def limiter_for(backend: Backend, max_concurrency: int) -> asyncio.Semaphore:
    """Room for as many calls as the user allows and the backend can work on."""
    return asyncio.Semaphore(min(max_concurrency, backend.max_calls or max_concurrency))


class PatientBackend:
    """A backend whose `generate` calls are limited and tried again, for methods that ask a model.

    Args:
        backend: The model.
        patience: How many tries, and how long each.
        max_concurrency: Calls in flight at once.
    """

    def __init__(self, backend: Backend, patience: Patience, max_concurrency: int) -> None:
        self._backend = backend
        self._patience = patience.with_model(backend)
        self._limiter = limiter_for(backend, max_concurrency)
        self.model = backend.model
        self.group_size = backend.group_size
        self.max_calls = backend.max_calls
        self.record = record_of(backend)
        self.is_local = is_local(backend)

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
        """As the backend's, tried again after transient errors."""
        return await self._try(lambda: self._backend.generate(messages, params, seeds))

    async def tokenize(self, text: str) -> list[str]:
        """As the backend's, tried again; it waits for no place, which whoever asks for it next needs."""
        return await patiently(lambda: self._backend.tokenize(text), self._patience, asyncio.Semaphore(1))

    async def aclose(self) -> None:
        """As the backend's."""
        await self._backend.aclose()

    async def _try(self, call: Callable[[], Awaitable[T]]) -> T:
        return await patiently(call, self._patience, self._limiter)


class PatientScoringBackend(PatientBackend):
    """The same around a backend that scores."""

    def __init__(self, backend: ScoringBackend, patience: Patience, max_concurrency: int) -> None:
        super().__init__(backend, patience, max_concurrency)
        self._scoring = backend

    async def score(self, messages: Sequence[Message], continuations: Sequence[str]) -> list[Continuation]:
        """As the backend's, tried again after transient errors."""
        return await self._try(lambda: self._scoring.score(messages, continuations))


def patient(backend: Backend, patience: Patience, max_concurrency: int) -> PatientBackend:
    """The backend with limited calls and retries; it scores if the backend does."""
    if isinstance(backend, ScoringBackend):
        return PatientScoringBackend(backend, patience, max_concurrency)
    return PatientBackend(backend, patience, max_concurrency)


async def _in_time(call: Callable[[], Awaitable[T]], limit: float) -> T:
    scope = asyncio.timeout(limit if math.isfinite(limit) else None)
    try:
        async with scope:
            return await call()
    except TimeoutError as error:
        if not scope.expired():
            raise
        raise TransientBackendError(f"no reply within {limit:g} s") from error
