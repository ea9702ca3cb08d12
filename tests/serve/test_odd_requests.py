"""Requests that are malformed, or well formed and yet odd: told so in OpenAI's form, or answered."""

from __future__ import annotations

import gzip
import json
from typing import Any

import httpx
import pytest

from sampleset.backends.replay import ReplayBackend
from sampleset.models.retries import Patience
from sampleset.sampling.members import Member
from sampleset.serve.config import serve_config
from sampleset.serve.members import ServedMember
from sampleset.serve.requests import parse_request
from support.running import Running, Upstream, alias, running
from support.stub_server import Reply

QUESTION = {"model": "careful", "messages": [{"role": "user", "content": "What is 2 + 2?"}]}


def ask(server: Running, **more: Any) -> httpx.Response:
    # As ASCII: halves of characters have no other form.
    body = json.dumps({**QUESTION, **more})
    return httpx.post(f"{server.base_url}/chat/completions", content=body, timeout=30)


def after(calls: object) -> list[dict[str, Any]]:
    return [{"role": "assistant", "content": None, "tool_calls": calls}, *QUESTION["messages"]]


@pytest.mark.parametrize(
    ("more", "param"),
    [
        pytest.param({"\ud800": 1}, "\ud800", id="half a character as a key"),
        pytest.param({"sampleset": {"\ud800": 1}}, "sampleset.\ud800", id="as an override"),
        pytest.param({"temperature": 10**400}, "temperature", id="temperature"),
        pytest.param({"logit_bias": {"7": 10**400}}, "logit_bias", id="bias"),
        pytest.param({"sampleset": {"deadline": -(10**400)}}, "sampleset.deadline", id="deadline"),
        pytest.param({"messages": after("abc")}, "messages[0].tool_calls", id="calls that are a text"),
        pytest.param({"messages": after(5)}, "messages[0].tool_calls", id="calls that are a number"),
        pytest.param({"messages": after([1])}, "messages[0].tool_calls", id="a call that is a number"),
    ],
)
def test_a_malformed_field_is_named_and_nothing_is_asked(more: dict[str, Any], param: str):
    with Upstream() as upstream, running({"careful": alias(upstream)}) as server:
        reply = ask(server, **more)
    assert reply.status_code == 400
    assert (reply.json()["error"]["type"], reply.json()["error"]["param"]) == ("invalid_request_error", param)
    assert not upstream.requests


def test_an_origin_that_is_no_address_may_not_ask():
    with Upstream() as upstream, running({"careful": alias(upstream)}) as server:
        reply = httpx.post(
            f"{server.base_url}/chat/completions", json=QUESTION, headers={"Origin": "http://["}
        )
    assert (reply.status_code, reply.json()["error"]["code"]) == (403, "wrong_origin")


def test_half_a_character_in_what_an_upstream_refuses_does_no_harm():
    with Upstream() as upstream, running({"careful": alias(upstream)}) as server:
        upstream.says = lambda request: Reply(400, {"error": {"message": "Bad tool \ud800."}})
        reply = ask(server)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, None)
    assert "Bad tool" in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    "content", ["2 + 2? \ud83d", [{"type": "text", "text": "2 + 2? \ud83d"}]], ids=["text", "parts"]
)
def test_half_a_character_in_a_question_does_not_keep_it_from_the_aggregator(content: Any):
    with Upstream() as upstream, Upstream() as reader:
        upstream.says = lambda request: f"\\boxed{{{request['seed']}}}"
        reader.says = lambda request: "They err.</think><answer>4</answer>"
        model = {"model": "stub-model", "base_url": reader.base_url}
        careful = alias(upstream, k=2, aggregator="llm_aggregator", aggregator_model=model)
        with running({"careful": careful}) as server:
            reply = ask(server, messages=[{"role": "user", "content": content}], seed=1)
    assert reply.json()["choices"][0]["message"]["content"] == "4"
    assert "2 + 2? \ufffd" in reader.requests[0]["messages"][-1]["content"]


async def test_a_model_in_this_process_reads_and_stops_at_whole_characters():
    aliases = serve_config({"models": {"careful": {"upstreams": [{"model": "embedded"}]}}}).models
    messages = [{"role": "user", "content": "2 + 2? \ud83d"}]
    backend = ReplayBackend(lambda messages, seed: messages[-1]["content"].encode().decode())
    body = {**QUESTION, "messages": messages, "stop": ["\ud83d", "END"]}
    request, _ = parse_request(body, aliases, {"careful": "majority_vote"}, {"careful": True})
    member = ServedMember(backend, Member("embedded"), aliases["careful"], None)
    drawer = member.drawer(request, Patience())
    (reply,) = await drawer.calls.generate(drawer.messages, drawer.params, [0])
    assert reply.text == "2 + 2? \ufffd"
    assert backend.calls[0][1].stop == ("\ufffd", "END")


def test_an_aggregator_that_fails_in_an_unforeseen_way_leaves_it_to_the_vote(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    async def broken(self: object, shown: object) -> None:
        raise KeyError("a prompt")

    monkeypatch.setattr("sampleset.aggregators.first_sample.FirstSample.aggregate", broken)
    with Upstream() as upstream, running({"careful": alias(upstream, k=3)}) as server:
        reply = ask(server, sampleset={"aggregator": "first_sample"})
    told = reply.json()["choices"][0]["sampleset"]
    assert (told["answer"], "aggregator_failed" in told["flags"]) == ("4", True)
    assert "KeyError at" in caplog.text
    assert "a prompt" not in caplog.text + reply.text


def test_a_compressed_body_is_named_as_such():
    with Upstream() as upstream, running({"careful": alias(upstream)}) as server:
        reply = httpx.post(
            f"{server.base_url}/chat/completions",
            content=gzip.compress(json.dumps(QUESTION).encode()),
            headers={"content-encoding": "gzip", "content-type": "application/json"},
        )
    assert reply.status_code == 415
    assert "'gzip' is not read; send it uncompressed" in reply.json()["error"]["message"]


@pytest.mark.parametrize(("path", "name"), [("responses", "input"), ("messages", "messages")])
def test_tools_that_are_no_list_are_refused_in_every_dialect(path: str, name: str):
    body = {"model": "careful", "max_tokens": 9, name: QUESTION["messages"], "tools": "search"}
    body = body if path == "messages" else {key: body[key] for key in body if key != "max_tokens"}
    with Upstream() as upstream, running({"careful": alias(upstream)}) as server:
        reply = httpx.post(f"{server.base_url}/{path}", json=body, timeout=30)
    assert reply.status_code == 400
    assert "'tools' must be a list" in reply.json()["error"]["message"]
    assert not upstream.requests
