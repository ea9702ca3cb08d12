"""Who may ask, and how much."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import socket
from collections.abc import AsyncIterator
from typing import Any, ClassVar, cast

import httpx
import pytest
from starlette.requests import Request

from sampleset.serve.api_errors import ApiError
from sampleset.serve.config import ServeConfig, serve_config
from sampleset.serve.limits import Allowances, Gate, Keys, read_body
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


@pytest.mark.parametrize(
    "header", ["", "ann", "Bearer", "Bearer ", "Basic ann", "Bearer Ann", "Bearer \udcff"]
)
def test_what_is_not_a_key_is_refused(header: str):
    with pytest.raises(ApiError) as caught:
        Keys(["ann"]).check(header)
    assert (caught.value.status, caught.value.code) == (401, "invalid_api_key")


ANY_CONFIG = {"models": {"careful": {"upstreams": [{"model": "m", "base_url": "http://127.0.0.1:1/v1"}]}}}


class _Sent:
    """A request with a body."""

    headers: ClassVar[dict[str, str]] = {}

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def stream(self) -> AsyncIterator[bytes]:
        yield self._body


@pytest.mark.parametrize(
    ("body", "what"),
    [
        pytest.param(b"[" * 200_000 + b"]" * 200_000, None, id="deep"),
        pytest.param(b"[" + b"[]," * 300_000 + b"1]", "brackets and braces", id="lists"),
        pytest.param(b"{" + b",".join(b'"%d":1' % i for i in range(100_001)) + b"}", "names", id="names"),
        pytest.param(
            b"{" + b",".join(b'"%d\\\\" :1' % i for i in range(200_004)) + b"}", "names", id="hidden"
        ),
        pytest.param(b"[" + b"1," * 2_000_001 + b"1]", "commas", id="numbers"),
    ],
)
async def test_a_body_of_more_values_than_are_read_in_a_moment_is_refused_unread(
    body: bytes, what: str | None
) -> None:
    def read(value: Any) -> Any:
        raise AssertionError("it was read")

    config = serve_config(ANY_CONFIG)
    with pytest.raises(ApiError, match=what or "not valid JSON") as caught:
        await read_body(cast("Request", _Sent(body)), config, read)
    assert caught.value.status == 400


async def test_a_long_text_with_many_quotes_and_commas_is_read() -> None:
    text = '"a", {b}, ' * 100_000
    config = serve_config(ANY_CONFIG)
    body = json.dumps({"text": text.replace("{", "").replace("}", "")}).encode()
    assert await read_body(cast("Request", _Sent(body)), config, lambda value: len(value["text"])) > 700_000


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


def config_of(**settings: Any) -> ServeConfig:
    models = {"careful": {"upstreams": [{"model": "m", "base_url": "http://localhost:1/v1"}]}}
    return serve_config({"models": models, **settings})


def test_a_key_has_so_many_requests_and_bytes_at_once_and_gets_them_back():
    allowances = Allowances(config_of(max_key_requests=2, max_key_bytes=100), lambda: 0.0)
    first, second = allowances.begin("ann"), allowances.begin("ann")
    with pytest.raises(ApiError, match="2 requests of this key are in work") as caught:
        allowances.begin("ann")
    assert (caught.value.status, caught.value.retry_after) == (429, 1)
    allowances.begin("bob").add(90)
    first.add(60)
    with pytest.raises(ApiError, match="100 bytes"):
        second.add(60)
    second.end()
    second.end()
    allowances.begin("ann").add(40)


def test_a_key_has_so_many_requests_and_bytes_within_any_minute():
    now = [0.0]
    allowances = Allowances(config_of(key_requests_per_minute=2, key_bytes_per_minute=100), lambda: now[0])
    for _ in range(2):
        turn = allowances.begin("ann")
        turn.add(50)
        turn.end()
        now[0] += 20
    with pytest.raises(ApiError, match=r"2 times a minute\. Try again in 20 s") as caught:
        allowances.begin("ann")
    assert caught.value.code == "rate_limit_exceeded"
    now[0] = 61
    with pytest.raises(ApiError, match="100 bytes a minute"):
        allowances.begin("ann").add(51)


def test_a_limit_of_a_key_is_a_429_and_one_of_no_key_counts_by_address(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SAMPLESET_API_KEYS", "ann,bob")
    with (
        Upstream() as upstream,
        running({"careful": alias(upstream, k=1)}, key_requests_per_minute=1) as server,
    ):
        statuses = [
            httpx.post(
                f"{server.base_url}/chat/completions",
                json=QUESTION,
                headers={"Authorization": f"Bearer {key}"},
            ).status_code
            for key in ("ann", "ann", "bob")
        ]
    assert statuses == [200, 429, 200]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        pytest.param("evil.example:80", 403, id="a name that may be pointed here"),
        pytest.param("127.0.0.1.evil.example", 403, id="an address in a name"),
        pytest.param("192.168.0.7:8700", 200, id="an address"),
        pytest.param("[::1]:8700", 200, id="an address of version 6"),
        pytest.param("sampleset:8700", 200, id="a name of a container"),
        pytest.param("answers.example.org", 200, id="a name that is allowed"),
    ],
)
def test_a_server_without_keys_that_all_reach_answers_to_its_own_names_only(host: str, status: int):
    settings = {"host": "0.0.0.0", "open_to_all": True, "allow_hosts": ["answers.example.org"]}
    with Upstream() as upstream, running({"careful": alias(upstream, k=1)}, **settings) as server:
        reply = httpx.post(
            f"{server.base_url}/chat/completions",
            json=QUESTION,
            headers={"Host": host, "Origin": f"http://{host}"},
        )
    assert reply.status_code == status
    assert status == 200 or reply.json()["error"]["code"] == "wrong_host"


@pytest.mark.parametrize(
    ("hosts", "status"),
    [
        pytest.param(["localhost"], 200, id="its own"),
        pytest.param(["localhost", "evil.test"], 400, id="two"),
        pytest.param(["localhost", "localhost"], 400, id="the same twice"),
        pytest.param(["localhost/evil.test"], 400, id="a path"),
        pytest.param(["evil.test#@localhost"], 400, id="signs of an address"),
    ],
)
def test_a_request_names_one_host(hosts: list[str], status: int):
    with Upstream() as upstream, running({"careful": alias(upstream)}) as server:
        names = "".join(f"Host: {host}\r\n" for host in hosts)
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as opened:
            opened.sendall(f"GET /v1/models HTTP/1.1\r\n{names}Connection: close\r\n\r\n".encode())
            assert opened.recv(65536).startswith(f"HTTP/1.1 {status} ".encode())
