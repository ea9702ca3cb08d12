"""`/v1/messages`, as it goes over the wire; Anthropic's own client is tried in `tests/serve/test_sdks.py`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.faults import said
from support.running import Running, Upstream, alias, call, running
from support.stub_server import Reply, error_reply

WEATHER = {"name": "weather", "description": "The weather.", "input_schema": {"type": "object"}}


def ask(server: Running, headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
    body = {"model": "careful", "max_tokens": 50, "messages": [{"role": "user", "content": "2 + 2?"}], **more}
    return httpx.post(f"{server.base_url}/messages", json=body, headers=headers, timeout=30)


def events(reply: httpx.Response) -> list[dict[str, Any]]:
    """The events of a stream; the name of each is its type."""
    found: list[dict[str, Any]] = []
    for block in reply.text.split("\n\n"):
        if block.startswith("event:"):
            name, data = block.split("\n")
            found.append(json.loads(data.removeprefix("data: ")))
            assert name == f"event: {found[-1]['type']}"
    return found


def test_a_message_is_the_vote_of_k_samples(server: Running, upstream: Upstream):
    told = ask(
        server,
        system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        stop_sequences=["END"],
        temperature=0.5,
        top_k=20,
        metadata={"user_id": "ann"},
        service_tier="auto",
    ).json()
    assert told["content"] == [{"type": "text", "text": "\\boxed{4}"}]
    assert (told["type"], told["role"], told["stop_reason"]) == ("message", "assistant", "end_turn")
    assert told["id"].startswith("msg_")
    assert (told["usage"]["input_tokens"], told["usage"]["output_tokens"]) == (30, 15)
    assert told["sampleset"]["candidates"][0]["votes"] == 3
    sent = upstream.requests[0]
    assert sent["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "2 + 2?"},
    ]
    own = {name: sent[name] for name in ("max_tokens", "stop", "temperature", "top_k", "user")}
    assert own == {
        "max_tokens": 50,
        "stop": ["END"],
        "temperature": 0.5,
        "top_k": 20,
        "user": "ann",
    }
    assert not {"system", "stop_sequences", "metadata", "service_tier"} & set(sent)


def test_tools_and_their_results_become_those_of_the_chat_api(server: Running, upstream: Upstream):
    messages = [
        {"role": "user", "content": "How is it?"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": ""},
                {"type": "text", "text": "Let me look."},
                {"type": "tool_use", "id": "a", "name": "weather", "input": {"city": "Oslo"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": "no network", "is_error": True},
                {"type": "text", "text": "And this?"},
                {
                    "type": "image",
                    "source": {"type": "base64", "media_type": "image/png", "data": "AA=="},
                },
            ],
        },
    ]
    choice = {"type": "any", "disable_parallel_tool_use": True}
    assert ask(server, messages=messages, tools=[WEATHER], tool_choice=choice).status_code == 200
    sent = upstream.requests[0]
    function = {"name": "weather", "arguments": '{"city": "Oslo"}'}
    assert sent["messages"] == [
        {"role": "user", "content": "How is it?"},
        {
            "role": "assistant",
            "content": "Let me look.",
            "tool_calls": [{"id": "a", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "a", "content": "Error: no network"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "And this?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
            ],
        },
    ]
    own = {"name": "weather", "parameters": {"type": "object"}, "description": "The weather."}
    assert sent["tools"] == [{"type": "function", "function": own}]
    assert (sent["tool_choice"], sent["parallel_tool_calls"]) == ("required", False)


def test_calls_of_tools_are_blocks_plain_and_streamed(server: Running, upstream: Upstream):
    upstream.says = lambda request: call("weather", '{"city": "Oslo"}')
    told = ask(server, tools=[WEATHER]).json()
    block = {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Oslo"}}
    assert (told["content"], told["stop_reason"]) == ([block], "tool_use")
    stream = events(ask(server, tools=[WEATHER], stream=True))
    assert [one["type"] for one in stream] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert json.loads(stream[2]["delta"]["partial_json"]) == {"city": "Oslo"}
    assert stream[4]["delta"]["stop_reason"] == "tool_use"


def test_a_thought_is_a_block_where_it_is_asked_for(server: Running, upstream: Upstream):
    upstream.says = lambda request: {"content": "\\boxed{4}", "reasoning_content": "Hm."}
    assert [one["type"] for one in ask(server).json()["content"]] == ["text"]
    thinking = {"type": "enabled", "budget_tokens": 1024}
    told = ask(server, thinking=thinking).json()
    assert told["content"][0] == {"type": "thinking", "thinking": "Hm.", "signature": ""}
    stream = events(ask(server, thinking=thinking, stream=True))
    started = [
        (one["index"], one["content_block"]["type"]) for one in stream if one["type"] == "content_block_start"
    ]
    assert started == [(0, "thinking"), (1, "text")]
    deltas = [one["delta"] for one in stream if one["type"] == "content_block_delta"]
    assert deltas == [
        {"type": "thinking_delta", "thinking": "Hm."},
        {"type": "text_delta", "text": "\\boxed{4}"},
    ]


def test_a_stream_ends_with_its_usage(server: Running, upstream: Upstream):
    upstream.says = lambda request: said("word " * 100 + "\\boxed{4}", "length")
    stream = events(ask(server, stream=True))
    assert stream[0]["message"]["content"] == []
    text = "".join(one["delta"]["text"] for one in stream if one["type"] == "content_block_delta")
    assert text == "word " * 100 + "\\boxed{4}"
    assert stream[-2]["delta"] == {"stop_reason": "max_tokens", "stop_sequence": None}
    assert set(stream[-2]["usage"]) >= {"input_tokens", "output_tokens"}
    assert stream[-2]["sampleset"]["answer"] == "4"


def test_a_format_of_the_output_reaches_every_draw(server: Running, upstream: Upstream):
    upstream.says = lambda request: '{"a": 1}'
    config = {"effort": "high", "format": {"type": "json_schema", "schema": {"type": "object"}}}
    assert ask(server, output_config=config).json()["content"][0]["text"] == '{"a": 1}'
    sent = upstream.requests[0]
    assert sent["reasoning_effort"] == "high"
    assert sent["response_format"]["json_schema"]["schema"] == {"type": "object"}


@pytest.mark.parametrize(
    ("given", "param"),
    [
        pytest.param({"mcp_servers": [{"url": "http://a"}]}, "mcp_servers", id="servers of tools"),
        pytest.param({"container": "a"}, "container", id="container"),
        pytest.param({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools[0].type", id="tool"),
        pytest.param({"tool_choice": {"type": "some"}}, "tool_choice.type", id="choice"),
        pytest.param({"messages": [{"role": "king", "content": "a"}]}, "messages[0].role", id="role"),
        pytest.param({"messages": []}, "messages", id="no messages"),
        pytest.param(
            {"messages": [{"role": "user", "content": [{"type": "document"}]}]},
            "messages[0].content[0].type",
            id="document",
        ),
        pytest.param(
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "file"}}]}]},
            "messages[0].content[0].source",
            id="stored image",
        ),
        pytest.param({"system": [{"type": "image"}]}, "system[0].type", id="system"),
        pytest.param({"stop_sequences": [1]}, "stop_sequences", id="stop sequences"),
        pytest.param({"output_config": {"speed": 1}}, "output_config.speed", id="part of an object"),
        pytest.param({"n": 2}, "n", id="a field of the chat API"),
    ],
)
def test_what_is_not_served_is_refused_by_name(
    server: Running, upstream: Upstream, given: dict[str, Any], param: str
):
    reply = ask(server, **given)
    told = reply.json()
    assert (reply.status_code, told["type"], told["error"]["type"]) == (400, "error", "invalid_request_error")
    assert told["error"]["param"] == param
    assert not upstream.requests


@pytest.mark.parametrize(
    ("says", "status", "kind", "words"),
    [
        pytest.param(
            error_reply(401, "Bad key"), 502, "api_error", "refuses the server's key", id="upstream"
        ),
        pytest.param(
            error_reply(400, "Too long.", code="context_length_exceeded"),
            400,
            "invalid_request_error",
            "prompt is too long: Too long.",
            id="overflow",
        ),
    ],
)
def test_errors_are_in_anthropics_form(
    server: Running, upstream: Upstream, says: Reply, status: int, kind: str, words: str
):
    upstream.says = lambda request: says
    reply = ask(server)
    assert (reply.status_code, reply.json()["error"]["type"]) == (status, kind)
    assert words in reply.json()["error"]["message"]
    (error,) = [one for one in events(ask(server, stream=True)) if one["type"] == "error"]
    assert error["error"] == reply.json()["error"]


def test_unknown_models_and_counts_of_tokens_are_not_found(server: Running):
    for reply in (
        ask(server, model="claude"),
        httpx.post(f"{server.base_url}/messages/count_tokens", json={}),
    ):
        assert (reply.status_code, reply.json()["error"]["type"]) == (404, "not_found_error")
    assert "count_tokens" in reply.json()["error"]["message"]
    assert httpx.get(f"{server.base_url}/messages/batches").json()["type"] == "error"


def test_a_key_may_come_as_anthropics_clients_send_it(upstream: Upstream, tmp_path: Path):
    (tmp_path / "keys").write_text("key-ann\n")
    with running({"careful": alias(upstream)}, api_keys_file=str(tmp_path / "keys")) as server:
        assert ask(server, {"x-api-key": "key-ann"}).status_code == 200
        refused = ask(server, {"x-api-key": "key-eve"})
        assert (refused.status_code, refused.json()["error"]["type"]) == (401, "authentication_error")
        assert ask(server, {"Authorization": "Bearer key-eve", "x-api-key": "key-ann"}).status_code == 401
