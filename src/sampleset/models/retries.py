"""Calls with one limiter, a time limit for each try, and retries after transient errors.

When a server limits requests or loads its model, all its calls wait by one clock: up to a minute until it
takes requests again, up to ten minutes until the model is loaded. Other failures concern one call only. A
server that asks for a wait of more than ten minutes is taken at its word: the call fails at once.
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
from sampleset.wording import plural

T = TypeVar("T")

_LONGEST_BACKOFF = 60.0
_SERVERS_TIMEOUT = 600.0
_LONGEST_ASKED = 600.0
"""A server that asks to wait longer, for the next day's quota say, is not asked again."""
_FORGOTTEN = 60.0
"""Seconds after the end of a wait in which a limit still counts as the one that was waited for."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Number and duration of the tries of a call.

    Attributes:
        max_retries: Further tries of a call after a transient error.
        timeout: Seconds one try may take, `math.inf` for no limit. By default 600, and no limit for a model
            in this process, where another try would repeat the same work.
        limited: Seconds after which a call fails if the server limits requests and takes none. A call that
            begins later fails at the first limit that it meets, and nobody waits for it.
        loading: Seconds after which a call fails if the server is still loading its model.
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
        """This patience with the model's default time limit filled in."""
        if self.timeout is not None:
            return self
        return replace(self, timeout=math.inf if is_local(backend) else _SERVERS_TIMEOUT)


@dataclass
class Clock:
    """The time until which all calls of one server wait.

    Attributes:
        on_wait: Called with (seconds to wait, reason) whenever the wait grows.
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
            # If all calls resumed at once, they would meet the same limit again.
            await asyncio.sleep(left + random.uniform(0, min(1.0, 0.1 * left)))
            now = _now()

    def hold(self, error: TransientBackendError, started: float) -> None:
        """Make all calls wait because the call that began at `started` met a limit.

        An error of a call that began before the current wait counts only if it asks for a longer wait.
        """
        now = _now()
        if self._waits_since is None or now > self._until + _FORGOTTEN:
            self._waits_since, self._rounds = now, 0
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

    def has_passed(self, seconds: float, at: float | None = None) -> bool:
        """Whether the server, now or at this time, had taken no call for this many seconds."""
        if self._waits_since is None or _now() > self._until + _FORGOTTEN:
            return False
        return (_now() if at is None else at) - self._waits_since >= seconds

    def clear(self) -> None:
        """Note that the server has taken a call."""
        self._waits_since, self._rounds = None, 0


class Limiter(asyncio.Semaphore):
    """Limits the calls in flight to one server, and holds the clock by which they wait."""

    def __init__(self, calls: int, clock: Clock | None = None) -> None:
        super().__init__(calls)
        self.clock = clock or Clock()


async def patiently(
    call: Callable[[], Awaitable[T]],
    patience: Patience,
    limiter: asyncio.Semaphore,
    on_retry: Callable[[TransientBackendError], None] | None = None,
) -> T:
    """The call's result, tried again after transient errors.

    Args:
        call: Starts one try.
        patience: Number and duration of tries.
        limiter: Acquired during a try, not during a wait. A `Limiter` makes calls wait together.
        on_retry: Called with the error before each wait.

    Raises:
        TransientBackendError: All tries failed.
        BackendError: A try failed with an error that is not transient.
    """
    clock = limiter.clock if isinstance(limiter, Limiter) else Clock()
    failures = tries = 0
    begun = _now()
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
        asked, wait = failure.retry_after or 0.0, ""
        if asked > _LONGEST_ASKED:
            is_last = True
            wait = f"; the server asks to wait {plural(round(asked / 60), 'minute')}"
        elif failure.waits_for is None:
            failures += 1
            is_last = failures > patience.max_retries
        else:
            limit = patience.limited if failure.waits_for == "limit" else patience.loading
            had_its_time = clock.has_passed(limit) and (
                tries > patience.max_retries or clock.has_passed(limit, begun)
            )
            if not had_its_time:
                clock.hold(failure, started)
            is_last = had_its_time or patience.max_retries == 0
        if is_last:
            raise TransientBackendError(
                f"{failure} (after {plural(tries, 'try', 'tries')}{wait})",
                retry_after=failure.retry_after,
                waits_for=failure.waits_for,
                kind=failure.kind,
            ) from failure
        if on_retry is not None:
            on_retry(failure)
        if failure.waits_for is None:
            await asyncio.sleep(backoff(failures - 1, failure.retry_after))


def backoff(attempt: int, retry_after: float | None) -> float:
    """Seconds to wait before the next try: the server's own number, or else a jittered doubling wait.

    Args:
        attempt: Tries that failed before this one, from 0.
        retry_after: Seconds the server asked to wait. Honoured up to 60, plus up to 10 % so that clients do
            not all return at once.
    """
    doubling = min(_LONGEST_BACKOFF, 0.5 * 2 ** min(attempt, 10)) * random.uniform(0.5, 1.0)
    if not retry_after:
        return doubling
    return max(min(retry_after, _LONGEST_BACKOFF) * random.uniform(1.0, 1.1), min(doubling, 1.0))


def limiter_for(backend: Backend, max_concurrency: int) -> Limiter:
    """A limiter for as many calls as the user allows and the backend can work on."""
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
