"""A field that a server does not know is left away from then on; what is wrong with one request is told."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from support.running import Running, Upstream, alias, running
from support.stub_server import Reply, StubServer

TOOLS = [{"type": "function", "function": {"name": "seed", "parameters": {"type": "object"}}}]


def ask(server: Running, **more: Any) -> httpx.Response:
    body = {"model": "careful", "messages": [{"role": "user", "content": "What is 2 + 2?"}], **more}
    return httpx.post(f"{server.base_url}/chat/completions", json=body, timeout=30)


def refusing(message: str, **error: Any) -> Reply:
    return Reply(400, {"error": {"message": message, "type": "invalid_request_error", **error}})


def test_every_draw_of_the_first_request_goes_without_what_the_server_refuses():
    with (
        StubServer(refuses=("seed", "max_tokens")) as upstream,
        running({"careful": alias(upstream, k=5)}) as server,
    ):
        draws = ask(server, max_tokens=50).json()["choices"][0]["sampleset"]["draws"]
        assert (draws["returned"], draws["failed"]) == (5, {})
        assert len(upstream.requests) == 15
        assert ask(server, max_tokens=50).status_code == 200
    assert [(one.get("seed"), one["max_completion_tokens"]) for one in upstream.requests[15:]] == [
        (None, 50)
    ] * 5


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(
            refusing("Unsupported parameter.", param="seed", code="unsupported_parameter"), id="OpenAI"
        ),
        pytest.param(refusing("seed: not here", param="seed"), id="param alone"),
        pytest.param(refusing("property 'seed' is unsupported"), id="Groq"),
        pytest.param(
            refusing('Invalid JSON payload received. Unknown name "seed": Cannot find field.'), id="Google"
        ),
        pytest.param(Reply(400, 'json: unknown field "seed"'), id="no JSON"),
        pytest.param(
            Reply(422, {"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}),
            id="FastAPI",
        ),
        pytest.param(refusing("This model does not support `seed`."), id="a sentence"),
    ],
)
def test_a_server_that_does_not_know_seeds_is_sent_none(refusal: Reply):
    with Upstream() as upstream, running({"careful": alias(upstream, k=2)}) as server:
        upstream.says = lambda request: refusal if "seed" in request else "\\boxed{4}"
        assert [ask(server).status_code for _ in range(2)] == [200, 200]
    sent = ["seed" in one for one in upstream.requests]
    # The second draw of the first answer may be asked after the refusal of the first one.
    assert sent in ([True] * count + [False] * 4 for count in (1, 2))


@pytest.mark.parametrize(
    ("asked", "refusal"),
    [
        pytest.param({"seed": 5_000_000_000}, refusing("Invalid value at seed (TYPE_INT32)"), id="value"),
        pytest.param(
            {"seed": 5_000_000_000},
            refusing("Integer above maximum value.", param="seed", code="integer_above_max_value"),
            id="value, by param",
        ),
        pytest.param({"tools": TOOLS}, refusing("Invalid schema for function seed: no type"), id="tool"),
        pytest.param({"tools": TOOLS}, refusing("function 'seed': unknown keyword 'stream'"), id="keyword"),
    ],
)
def test_what_is_wrong_with_one_request_changes_no_other(asked: dict[str, Any], refusal: Reply):
    with Upstream() as upstream, running({"careful": alias(upstream, k=2)}) as server:
        upstream.says = lambda request: (
            refusal if request.get("seed") == 5_000_000_000 or "tools" in request else "\\boxed{4}"
        )
        refused = ask(server, **asked, sampleset={"k": 1})
        assert refused.status_code == 400
        assert refusal.body["error"]["message"] in refused.json()["error"]["message"]  # type: ignore[index]
        assert ask(server, seed=7).status_code == 200
    assert sorted(one["seed"] for one in upstream.requests[-2:]) == [7, 8]


def test_a_server_that_does_not_stream_is_read_whole():
    with Upstream() as upstream, running({"careful": alias(upstream, k=2)}) as server:
        refusal = refusing("Your organization must be verified to stream this model.", param="stream")
        upstream.says = lambda request: refusal if request["stream"] else "\\boxed{4}"
        for _ in range(2):
            assert "boxed" in ask(server, stream=True, sampleset={"progress": "words"}).text
    assert [one["stream"] for one in upstream.requests] == [True, True, False, False, False, False]


def test_who_asks_for_no_stream_does_not_end_those_of_others():
    with Upstream() as upstream, running({"careful": alias(upstream, k=1)}) as server:
        upstream.says = lambda request: refusing("Unsupported tool: stream.")
        assert ask(server).status_code == 400
        upstream.says = lambda request: "\\boxed{4}"
        ask(server, stream=True, sampleset={"progress": "words"})
    # The first request is tried again without the field.
    assert [one.get("stream") for one in upstream.requests] == [False, None, True]
