"""Ask a model patiently: one limiter, a time limit per call, and further tries after transient errors.

A server that limits requests, or loads its model, makes all its calls wait: there is one clock for them. It
is given a minute to take a request again, and ten to load; other failures are a matter of one call.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from sampleset.backends.base import Backend, is_local
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
        limited: Seconds for which a server may limit requests and take none before a call is given up.
        loading: Seconds for which it may load its model.
    """

    max_retries: int = 4
    timeout: float | None = None
    limited: float = 60.0
    loading: float = 600.0

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


@dataclass
class Clock:
    """How long the calls of one server have to wait, all together.

    Attributes:
        on_wait: Called with the seconds to wait, and with what for, whenever that changes.
    """

    on_wait: Callable[[float, str], None] | None = None
    _until: float = 0.0
    _held_at: float = -math.inf
    _waits_since: float | None = None
    _rounds: int = 0

    async def pass_by(self) -> None:
        """Return once no call has to wait."""
        now = _now()
        while (left := self._until - now) > 0:
            # Not all at once: they would meet the same limit again.
            await asyncio.sleep(left + random.uniform(0, min(1.0, 0.1 * left)))
            now = _now()

    def hold(self, error: TransientBackendError, started: float) -> None:
        """Make all calls wait, since one that began at `started` was told to.

        A call that began before others were told to wait has nothing new to say, but for a longer wait.
        """
        now = _now()
        self._waits_since = now if self._waits_since is None else self._waits_since
        is_new = started >= self._held_at
        if is_new:
            self._rounds += 1
            self._held_at = now
        elif error.retry_after is None:
            return
        until = now + backoff(self._rounds - 1, error.retry_after)
        if until > self._until:
            self._until = until
            if self.on_wait is not None:
                self.on_wait(until - now, str(error))

    def has_passed(self, seconds: float) -> bool:
        """Whether the server has taken nothing for so long."""
        return self._waits_since is not None and _now() - self._waits_since >= seconds

    def clear(self) -> None:
        """The server has taken a call."""
        self._waits_since, self._rounds = None, 0


class Limiter(asyncio.Semaphore):
    """Room for calls of one server, and the clock by which they wait."""

    def __init__(self, calls: int, clock: Clock | None = None) -> None:
        super().__init__(calls)
        self.clock = clock or Clock()


async def patiently(
    call: Callable[[], Awaitable[T]],
    patience: Patience,
    limiter: asyncio.Semaphore,
    on_retry: Callable[[TransientBackendError], None] | None = None,
) -> T:
    """What the call returns, tried again after transient errors; a waiting call holds no place.

    Args:
        call: Starts one try.
        patience: How many tries, and how long each.
        limiter: Held during a try, not during the wait between two; a `Limiter` makes calls wait together.
        on_retry: Called with the error before each wait.

    Raises:
        TransientBackendError: The last try failed as well.
        BackendError: The first error that another try cannot mend.
    """
    clock = limiter.clock if isinstance(limiter, Limiter) else Clock()
    failures = tries = 0
    while True:
        await clock.pass_by()
        async with limiter:
            started = _now()
            try:
                result = await _in_time(call, patience.timeout or _SERVERS_TIMEOUT)
            except TransientBackendError as error:
                failure = error
            else:
                clock.clear()
                return result
        tries += 1
        if failure.waits_for is None:
            failures += 1
            is_last = failures > patience.max_retries
        else:
            clock.hold(failure, started)
            limit = patience.limited if failure.waits_for == "limit" else patience.loading
            is_last = patience.max_retries == 0 or (tries > patience.max_retries and clock.has_passed(limit))
        if is_last:
            raise TransientBackendError(
                f"{failure} (after {tries} tries)",
                retry_after=failure.retry_after,
                waits_for=failure.waits_for,
                kind=failure.kind,
            ) from failure
        if on_retry is not None:
            on_retry(failure)
        if failure.waits_for is None:
            await asyncio.sleep(backoff(failures - 1, failure.retry_after))


def backoff(attempt: int, retry_after: float | None) -> float:
    """Seconds to wait before the next try: what the server asked for, or else a jittered doubling wait.

    Args:
        attempt: Tries that failed before this one, from 0.
        retry_after: Seconds the server asked to wait; honoured up to 60, with up to 10 % on top so that
            clients do not all come back at once.
    """
    doubling = min(_LONGEST_BACKOFF, 0.5 * 2 ** min(attempt, 10)) * random.uniform(0.5, 1.0)
    if not retry_after:
        return doubling
    return max(min(retry_after, _LONGEST_BACKOFF) * random.uniform(1.0, 1.1), min(doubling, 1.0))


def limiter_for(backend: Backend, max_concurrency: int) -> Limiter:
    """Room for as many calls as the user allows and the backend can work on."""
    return Limiter(min(max_concurrency, backend.max_calls or max_concurrency))


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _in_time(call: Callable[[], Awaitable[T]], limit: float) -> T:
    scope = asyncio.timeout(limit if math.isfinite(limit) else None)
    try:
        async with scope:
            return await call()
    except TimeoutError as error:
        if not scope.expired():
            raise
        raise TransientBackendError(f"no reply within {limit:g} s") from error
