"""Who may ask, and how much."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from typing import Any

import httpx
import pytest

from sampleset.serve.api_errors import ApiError
from sampleset.serve.limits import Gate, Keys
from support.running import Upstream, alias, running

QUESTION = {"model": "careful", "messages": [{"role": "user", "content": "What is 2 + 2?"}]}


def test_a_key_is_compared_with_every_known_one_in_constant_time(monkeypatch: pytest.MonkeyPatch):
    compared: list[tuple[bytes, bytes]] = []

    def compare(given: bytes, known: bytes) -> bool:
        compared.append((given, known))
        return given == known

    monkeypatch.setattr(hmac, "compare_digest", compare)
    digests = [hashlib.sha256(key.encode()).digest() for key in ("ann", "bob", "eve")]
    Keys(["ann", "bob", "eve"]).check("Bearer ann")
    assert compared == [(digests[0], one) for one in digests]
    with pytest.raises(ApiError, match="API key"):
        Keys(["ann"]).check("Bearer an")
    assert len({len(given) for given, _ in compared}) == 1


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_of_a_key_may_be_written_as_one_likes(scheme: str):
    Keys(["ann"]).check(f"{scheme} ann")


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic ann", "Bearer Ann", "Bearer \udcff"])
def test_what_is_not_a_key_is_refused(header: str):
    with pytest.raises(ApiError) as caught:
        Keys(["ann"]).check(header)
    assert (caught.value.status, caught.value.code) == (401, "invalid_api_key")


@pytest.mark.parametrize(
    ("more", "param"),
    [
        pytest.param({"sampleset": {"k": 9}}, "sampleset.k", id="k"),
        pytest.param({"sampleset": {"k": 0}}, "sampleset.k", id="no sample"),
        pytest.param({"budget": 9}, "budget", id="budget"),
        pytest.param({"n": 3}, "n", id="n"),
        pytest.param({"max_tokens": 101}, "max_tokens", id="tokens of a sample"),
        pytest.param({"max_tokens": 90, "n": 2, "sampleset": {"k": 8}}, "max_tokens", id="of a request"),
    ],
)
def test_what_is_above_the_limits_of_an_alias_costs_nothing(more: dict[str, Any], param: str):
    limits = {"k": 2, "max_k": 8, "max_n": 2, "max_sample_tokens": 100, "max_request_tokens": 1000}
    with Upstream() as upstream, running({"careful": alias(upstream, **limits)}) as server:
        reply = httpx.post(f"{server.base_url}/chat/completions", json={**QUESTION, **more})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)
    assert not upstream.requests


async def test_the_wait_that_a_full_queue_names_grows_with_it():
    gate = Gate(max_concurrent=1, max_queue=4)
    gate._mean = 10.0

    async def work() -> None:
        gate.enter()
        try:
            async with gate.place():
                await asyncio.Event().wait()
        finally:
            gate.leave()

    tasks = [asyncio.create_task(work()) for _ in range(5)]
    await asyncio.sleep(0)
    with pytest.raises(ApiError) as caught:
        gate.enter()
    assert (caught.value.status, caught.value.retry_after) == (429, 50)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (gate.active, gate.waiting) == (0, 0)
    gate.enter()


async def test_of_requests_that_come_at_once_no_more_are_let_in_than_there_is_room_for():
    with (
        Upstream(latency=0.5) as upstream,
        running({"careful": alias(upstream, k=1)}, max_concurrent=2, max_queue=3) as server,
    ):
        async with httpx.AsyncClient(base_url=server.base_url, timeout=20) as client:
            asked = (client.post("/chat/completions", json=QUESTION) for _ in range(30))
            replies = await asyncio.gather(*asked)
    assert sorted(one.status_code for one in replies) == [200] * 5 + [429] * 25
