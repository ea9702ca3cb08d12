import asyncio
from collections.abc import Sequence

import pytest

from sampleset.backends.replay import ReplayBackend
from sampleset.chat import Generation, Message, SamplingParams
from sampleset.errors import BackendError, InvalidArgumentError, SamplingError, TransientBackendError
from sampleset.models import retries
from sampleset.models.calls import ModelCalls
from sampleset.models.retries import Limiter, Patience, backoff, patiently
from sampleset.sampling.sampler import Sampler, SamplingOptions
from sampleset.types import Question


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waits: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        waits.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", note)
    return waits


def failing(times: int, error: Exception):
    tries = 0

    async def call() -> str:
        nonlocal tries
        tries += 1
        if tries <= times:
            raise error
        return f"try {tries}"

    return call


async def test_a_transient_error_is_tried_again(no_waiting: list[float]):
    call = failing(2, TransientBackendError("busy"))
    assert await patiently(call, Patience(), asyncio.Semaphore(1)) == "try 3"
    assert len(no_waiting) == 2


async def test_retry_after_is_honoured(no_waiting: list[float]):
    await patiently(
        failing(1, TransientBackendError("busy", retry_after=7.0)), Patience(), asyncio.Semaphore(1)
    )
    assert 7.0 <= no_waiting[0] <= 7.7


async def test_a_server_that_asks_for_a_wait_until_the_next_day_is_not_asked_again(no_waiting: list[float]):
    for waits_for in (None, "limit"):
        error = TransientBackendError("busy", retry_after=7200.0, waits_for=waits_for)
        with pytest.raises(TransientBackendError, match=r"busy \(after 1 try; .* asks to wait 120 minutes\)"):
            await patiently(failing(1, error), Patience(), Limiter(1))
    assert no_waiting == []


async def test_the_last_error_says_how_often_it_was_tried(no_waiting: list[float]):
    with pytest.raises(TransientBackendError, match=r"busy \(after 3 tries\)"):
        await patiently(
            failing(9, TransientBackendError("busy")), Patience(max_retries=2), asyncio.Semaphore(1)
        )


async def test_an_error_that_will_not_pass_is_not_tried_again(no_waiting: list[float]):
    with pytest.raises(BackendError, match="no"):
        await patiently(failing(1, BackendError("no")), Patience(), asyncio.Semaphore(1))
    assert no_waiting == []


async def test_a_call_that_hangs_is_given_up_after_the_timeout():
    async def hang() -> None:
        await asyncio.Event().wait()

    with pytest.raises(TransientBackendError, match=r"no reply within 0.01 s"):
        await patiently(hang, Patience(max_retries=0, timeout=0.01), asyncio.Semaphore(1))


class Slow(ReplayBackend):
    """Takes longer than a server may, in this test."""

    async def generate(
        self, messages: Sequence[Message], params: SamplingParams, seeds: Sequence[int]
    ) -> list[Generation]:
        await asyncio.sleep(0.1)
        return await super().generate(messages, params, seeds)


class SlowHere(Slow):
    is_local = True


@pytest.mark.parametrize(
    ("kind", "timeout", "fails"),
    [(Slow, None, True), (SlowHere, None, False), (SlowHere, 0.01, True), (Slow, 60.0, False)],
)
async def test_only_what_may_get_lost_has_a_time_limit_by_default(
    kind: type[Slow], timeout: float | None, *, fails: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(retries, "_SERVERS_TIMEOUT", 0.01)
    patience = Patience(max_retries=0, timeout=timeout)
    metered = ModelCalls(kind(lambda messages, seed: "4"))
    drawn = Sampler(metered, SamplingOptions(n=1, patience=patience)).sample(Question("q", "2+2?"))
    asked = ModelCalls(metered, patience, 1).generate(
        [{"role": "user", "content": "2+2?"}], SamplingParams(), [0]
    )
    if fails:
        with pytest.raises(SamplingError, match=r"no reply within 0.01 s"):
            await drawn
        with pytest.raises(TransientBackendError, match=r"no reply within 0.01 s"):
            await asked
    else:
        assert (await drawn).n == len(await asked) == 1


async def test_a_waiting_call_does_not_hold_the_limiter(no_waiting: list[float]):
    limiter = asyncio.Semaphore(1)
    held: list[bool] = []
    call = failing(1, TransientBackendError("busy"))
    await patiently(call, Patience(), limiter, lambda reason: held.append(limiter.locked()))
    assert held == [False]


@pytest.mark.parametrize(
    ("attempt", "least", "most"), [(0, 0.25, 0.5), (1, 0.5, 1.0), (3, 2.0, 4.0), (20, 30.0, 60.0)]
)
def test_the_wait_doubles_with_jitter_up_to_a_minute(attempt: int, least: float, most: float):
    waits = [backoff(attempt, None) for _ in range(50)]
    assert all(least <= wait <= most for wait in waits)
    assert len(set(waits)) > 1


def test_a_negative_number_of_retries_is_refused():
    with pytest.raises(InvalidArgumentError, match="max_retries=-1 must be at least 0"):
        Patience(max_retries=-1)


def limited(retry_after: float | None = None) -> TransientBackendError:
    return TransientBackendError("limited", retry_after=retry_after, waits_for="limit")


async def test_all_calls_of_a_limited_server_wait_together():
    limiter, asked = Limiter(8), list[float]()
    said: list[tuple[float, str]] = []
    limiter.clock.on_wait = lambda seconds, reason: said.append((seconds, reason))
    clock = asyncio.get_running_loop().time
    started = clock()

    async def call() -> str:
        asked.append(clock() - started)
        await asyncio.sleep(0)
        if asked[-1] < 0.3:
            raise limited(0.3)
        return "4"

    tries = [patiently(call, Patience(max_retries=1), limiter) for _ in range(8)]
    assert await asyncio.gather(*tries) == ["4"] * 8
    assert len(asked) == 16
    assert min(asked[8:]) >= 0.3
    assert len(said) <= 8
    assert said
    assert said[0][0] >= 0.3
    assert said[0][1] == "limited"


async def test_a_limited_server_is_given_its_time_and_then_given_up():
    patience = Patience(max_retries=1, limited=0.5)
    tries = 0

    async def call() -> None:
        nonlocal tries
        tries += 1
        raise limited(0.1)

    started = asyncio.get_running_loop().time()
    with pytest.raises(TransientBackendError, match="limited"):
        await patiently(call, patience, Limiter(1))
    assert asyncio.get_running_loop().time() - started >= 0.5
    assert tries >= 2


async def test_calls_after_a_limited_server_had_its_time_fail_at_once(monkeypatch: pytest.MonkeyPatch):
    patience, limiter, tries = Patience(max_retries=4, limited=0.3), Limiter(1), 0
    monkeypatch.setattr(retries, "_FORGOTTEN", 0.5)

    async def call() -> None:
        nonlocal tries
        tries += 1
        raise limited(0.1)

    async def fails() -> int:
        before = tries
        with pytest.raises(TransientBackendError, match="limited"):
            await patiently(call, patience, limiter)
        return tries - before

    assert await fails() == 5
    started = asyncio.get_running_loop().time()
    assert [await fails() for _ in range(8)] == [1] * 8
    assert asyncio.get_running_loop().time() - started < 0.4
    await asyncio.sleep(0.6)
    assert await fails() == 5


async def test_a_server_that_takes_ten_requests_a_window_gives_every_draw(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(retries, "_LONGEST_BACKOFF", 0.4)
    window, taken = 0.0, 0
    clock = asyncio.get_running_loop().time

    class Limited(ReplayBackend):
        async def generate(
            self, messages: Sequence[Message], params: SamplingParams, seeds: Sequence[int]
        ) -> list[Generation]:
            nonlocal window, taken
            if clock() - window >= 0.5:
                window, taken = clock(), 0
            taken += 1
            if taken > 10:
                raise limited()
            return await super().generate(messages, params, seeds)

    backend = Limited(lambda messages, seed: f"{seed}")
    sampler = Sampler(backend, SamplingOptions(n=2))
    sets = [one async for one in sampler.sample_many(Question(f"q{i}", f"{i}?") for i in range(20))]
    assert [one.n for one in sets] == [2] * 20
    assert sampler.progress.failed == 0
    assert sampler.progress.waits_for == "limited"


def test_a_wait_of_zero_does_not_switch_the_backoff_off():
    assert all(backoff(3, 0.0) >= 2.0 for _ in range(20))
