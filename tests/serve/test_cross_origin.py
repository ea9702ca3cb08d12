"""Pages of another origin that may ask: what they are allowed to send, and what they may read."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from support.running import Running, Upstream, alias, running

ORIGIN = {"Origin": "https://ui.test"}
QUESTION = {"model": "careful", "messages": [{"role": "user", "content": "What is 2 + 2?"}]}
PATHS = ["/chat/completions", "/completions", "/responses", "/messages", "/models", "/nothing"]
STAINLESS = "authorization, content-type, x-stainless-arch, x-stainless-retry-count, X-Stainless-OS"


@pytest.fixture
def server() -> Iterator[Running]:
    with (
        Upstream() as upstream,
        running({"careful": alias(upstream, k=1)}, allow_origins=["https://ui.test"]) as server,
    ):
        yield server


@pytest.mark.parametrize("path", PATHS)
def test_a_preflight_allows_the_headers_that_it_asks_for(server: Running, path: str):
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": STAINLESS}
    reply = httpx.options(server.base_url + path, headers=ORIGIN | asks)
    assert reply.status_code == 204
    assert reply.headers["access-control-allow-headers"] == STAINLESS
    assert reply.headers["access-control-allow-origin"] == "https://ui.test"
    assert "POST" in reply.headers["access-control-allow-methods"]


@pytest.mark.parametrize(
    "wanted", [None, "", "a b", "*;", "ä"], ids=["none", "empty", "space", "sign", "umlaut"]
)
def test_a_preflight_that_names_no_headers_allows_the_usual_ones(server: Running, wanted: str | None):
    asks = {} if wanted is None else {"Access-Control-Request-Headers": wanted.encode()}
    reply = httpx.options(f"{server.base_url}/chat/completions", headers=[*ORIGIN.items(), *asks.items()])
    assert reply.headers["access-control-allow-headers"] == "authorization, content-type, x-api-key"


@pytest.mark.parametrize("path", PATHS)
def test_errors_can_be_read_by_a_page_that_may_ask(server: Running, path: str):
    reply = httpx.put(server.base_url + path, headers=ORIGIN)
    assert reply.status_code in (404, 405)
    assert reply.headers["access-control-allow-origin"] == "https://ui.test"
    refused = httpx.post(f"{server.base_url}/chat/completions", json={**QUESTION, "n": 99}, headers=ORIGIN)
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (400, "https://ui.test")
    streamed = httpx.post(
        f"{server.base_url}/chat/completions", json={**QUESTION, "stream": True}, headers=ORIGIN
    )
    assert streamed.headers["access-control-allow-origin"] == "https://ui.test"


@pytest.mark.parametrize("path", PATHS)
def test_a_page_that_may_not_ask_is_allowed_nothing(server: Running, path: str):
    asks = {"Origin": "https://evil.test", "Access-Control-Request-Headers": "authorization"}
    for method in ("OPTIONS", "PUT"):
        reply = httpx.request(method, server.base_url + path, headers=asks)
        assert reply.status_code in (403, 404, 405)
        assert not [name for name in reply.headers if name.startswith("access-control-")]
