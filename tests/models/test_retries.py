import asyncio
from collections.abc import Sequence

import pytest

from sampleset.backends.replay import ReplayBackend
from sampleset.chat import Generation, Message, SamplingParams
from sampleset.errors import BackendError, InvalidArgumentError, SamplingError, TransientBackendError
from sampleset.models import retries
from sampleset.models.budget import MeteredBackend
from sampleset.models.retries import Patience, backoff, patient, patiently
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
    metered = MeteredBackend(kind(lambda messages, seed: "4"), [])
    drawn = Sampler(metered, SamplingOptions(n=1, patience=patience)).sample(Question("q", "2+2?"))
    asked = patient(metered, patience, 1).generate(
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
