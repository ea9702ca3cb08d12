"""Pages of another origin that may ask: what they are allowed to send, and what they may read."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from sampleset.errors import InvalidArgumentError
from sampleset.serve.config import serve_config
from support.running import Running, Upstream, alias, running

ORIGIN = {"Origin": "https://ui.test"}
QUESTION = {"model": "careful", "messages": [{"role": "user", "content": "What is 2 + 2?"}]}
PATHS = ["/chat/completions", "/completions", "/responses", "/messages", "/models", "/nothing"]
PATHS += ["/chat/completions/", "//chat/completions", "/models/careful/"]
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


@pytest.mark.parametrize(
    "path", ["/health", "/static/playground.css/none", "/static/katex/katex.min.js", "/"]
)
def test_what_everybody_may_ask_can_be_read_by_a_page_that_may_ask(server: Running, path: str):
    assert (
        httpx.get(server.url + path, headers=ORIGIN).headers["access-control-allow-origin"]
        == ORIGIN["Origin"]
    )
    other = httpx.get(server.url + path, headers={"Origin": "https://evil.test"})
    assert "access-control-allow-origin" not in other.headers
    assert other.headers["vary"] == "origin"


@pytest.mark.parametrize("names", ["x-one,,x-two", "x-one, x-two,", ",x-one , x-two", "x-one,\tx-two"])
def test_a_preflight_may_ask_with_commas_too_many(server: Running, names: str):
    asks = {"Access-Control-Request-Headers": names}
    reply = httpx.options(f"{server.base_url}/chat/completions", headers=ORIGIN | asks)
    assert reply.headers["access-control-allow-headers"] == "x-one, x-two"


def test_a_preflight_may_ask_in_two_lines_and_for_a_private_network(server: Running):
    asks = [("Access-Control-Request-Headers", name) for name in ("x-one", "x-two")]
    private = ("Access-Control-Request-Private-Network", "true")
    reply = httpx.options(f"{server.base_url}/models", headers=[*ORIGIN.items(), *asks, private])
    assert reply.headers["access-control-allow-headers"] == "x-one, x-two"
    assert reply.headers["access-control-allow-private-network"] == "true"
    plain = httpx.options(f"{server.base_url}/models", headers=ORIGIN)
    assert "access-control-allow-private-network" not in plain.headers


@pytest.mark.parametrize("path", ["//chat/completions", "/chat/completions/", "//chat//completions//"])
def test_slashes_too_many_lead_to_the_same_route(server: Running, path: str):
    assert httpx.post(server.base_url + path, json=QUESTION).status_code == 200


@pytest.mark.parametrize(
    "setting", ["https://ui.test/", "HTTPS://UI.test", "https://ui.test:443", " https://ui.test"]
)
def test_an_origin_may_be_written_as_one_likes(setting: str):
    with Upstream() as upstream, running({"careful": alias(upstream)}, allow_origins=[setting]) as server:
        assert httpx.get(f"{server.base_url}/models", headers=ORIGIN).status_code == 200


@pytest.mark.parametrize("setting", ["*", "ui.test", "https://", "https://ui.test/page", "https://[", "null"])
def test_what_is_no_origin_is_refused_at_start(setting: str):
    with pytest.raises(InvalidArgumentError, match=r"allow_origins=.* is no origin"):
        serve_config({"models": {"a": {"upstreams": [{"model": "m"}]}}, "allow_origins": [setting]})


def test_a_name_that_is_allowed_may_be_written_as_one_likes():
    config = serve_config({"models": {"a": {"upstreams": [{"model": "m"}]}}, "allow_hosts": ["Ui.Test."]})
    assert config.allow_hosts == ("ui.test",)


def test_a_page_of_an_application_has_an_origin_too():
    models = {"a": {"upstreams": [{"model": "m"}]}}
    config = serve_config({"models": models, "allow_origins": ["app://notes.test", "http://[::1]:3000/"]})
    assert config.allow_origins == ("app://notes.test", "http://[::1]:3000")
