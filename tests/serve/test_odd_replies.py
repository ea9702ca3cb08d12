"""Replies of upstreams that are damaged, or whole and yet odd."""

from __future__ import annotations

import json

import httpx
import pytest

from sampleset.chat import Generation
from sampleset.wire.faults import Fault
from sampleset.wire.replies import read_completion
from support.running import Upstream, alias, call, running
from support.stub_server import Reply

QUESTION = {"model": "careful", "messages": [{"role": "user", "content": "What is 2 + 2?"}]}


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b'{"choices": [{"message": {"content": "4', id="cut off"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"<html>busy</html>", id="a page"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b'{"choices": [{"message": {"content": ""}}]}', id="no text"),
        pytest.param(b'{"choices": [{"message": {"content": "4", "tool_calls": "4"}}]}', id="odd calls"),
        pytest.param(b'{"choices": [{"message": {"content": "4", "tool_calls": ["4"]}}]}', id="odd call"),
        pytest.param(b'{"choices": [{"message": {"tool_calls": [{"function": "f"}]}}]}', id="odd function"),
        pytest.param(
            b'{"choices": [{"message": {"tool_calls": [{"function": {"name": 5}}]}}]}', id="odd name"
        ),
        pytest.param(
            b'{"choices": [{"message": {"tool_calls": {"function": {"name": "f"}}}}]}', id="one call"
        ),
    ],
)
def test_a_damaged_reply_is_worth_another_try(raw: bytes):
    fault = read_completion(raw)
    assert isinstance(fault, Fault)
    assert fault.meaning == "passing"


def test_a_reply_without_usage_is_a_reply_all_the_same():
    reply = read_completion(json.dumps({"choices": [{"message": {"content": "4"}}]}).encode())
    assert isinstance(reply, Generation)
    assert (reply.text, reply.prompt_tokens, reply.finish_reason) == ("4", None, None)


def test_a_damaged_tool_call_is_drawn_again_and_costs_no_other_sample():
    good = call("weather", '{"city": "Oslo"}')
    damaged = {"content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": "weather"}]}
    with Upstream() as upstream, running({"careful": alias(upstream, k=3)}) as server:
        said = iter([good, damaged])
        upstream.says = lambda request: next(said, good)
        tools = [{"type": "function", "function": {"name": "weather"}}]
        reply = httpx.post(
            f"{server.base_url}/chat/completions", json={**QUESTION, "tools": tools}, timeout=30
        )
    draws = reply.json()["choices"][0]["sampleset"]["draws"]
    assert (draws["returned"], draws["retries"]) == (3, {"damaged reply": 1})


def test_arguments_that_came_as_an_object_are_passed_on_as_json():
    function = {"name": "weather", "arguments": {"city": "Oslo"}}
    message = {"tool_calls": [{"id": "call_1", "type": "function", "function": function}]}
    reply = read_completion(json.dumps({"choices": [{"message": message}]}).encode())
    assert isinstance(reply, Generation)
    assert reply.whole_message["tool_calls"][0]["function"]["arguments"] == '{"city": "Oslo"}'


def test_a_content_in_parts_is_passed_on_as_a_text():
    parts = [{"type": "text", "text": "So "}, {"type": "text", "text": "\\boxed{4}"}]
    reply = read_completion(json.dumps({"choices": [{"message": {"content": parts}}]}).encode())
    assert isinstance(reply, Generation)
    assert reply.whole_message["content"] == "So \\boxed{4}"


@pytest.mark.parametrize("stream", [False, True])
def test_half_a_character_and_numbers_that_are_none_do_no_harm(stream: bool):
    half = {"role": "assistant", "content": "\ud83d so \\boxed{4}", "reasoning_content": "\ud83d"}
    choice = json.dumps({"message": half, "finish_reason": "stop", "logprobs": {"content": [{"token": "4"}]}})
    odd = choice.replace('{"token": "4"}', '{"token": "4", "logprob": -Infinity}')
    with Upstream() as upstream, running({"careful": alias(upstream, k=2)}, keep_runs=1) as server:
        upstream.says = lambda request: Reply(200, f'{{"choices": [{odd}]}}')
        own = {"samples": True, "progress": True}
        body = {**QUESTION, "stream": stream, "logprobs": True, "sampleset": own}
        reply = httpx.post(f"{server.base_url}/chat/completions", json=body)
    assert reply.status_code == 200
    assert "\ufffd so" in reply.text.replace("\\ufffd", "\ufffd")
    assert "Infinity" not in reply.text
    assert "error" not in reply.text


def test_half_a_character_in_a_question_does_no_harm():
    with Upstream() as upstream, running({"careful": alias(upstream, k=2)}, keep_runs=1) as server:
        body = '{"model": "careful", "messages": [{"role": "user", "content": "\\ud83d 2 + 2?"}]}'
        reply = httpx.post(f"{server.base_url}/chat/completions", content=body)
        run = httpx.get(f"{server.base_url}/runs/{reply.json()['sampleset']['run']}")
    assert (reply.status_code, run.status_code) == (200, 200)
