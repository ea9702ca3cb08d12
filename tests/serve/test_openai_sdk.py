# pyright: reportAttributeAccessIssue=false, reportCallIssue=false, reportGeneralTypeIssues=false
# The SDK types its messages and replies more narrowly than a test writes them.
"""The contract, as OpenAI's own client sees it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle

import openai
import pytest

from support.running import Running, Upstream, alias, call, running
from support.stub_server import Reply

QUESTION = [{"role": "user", "content": "What is 2 + 2?"}]
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]


@pytest.fixture
def server(upstream: Upstream) -> Iterator[Running]:
    with running({"careful": alias(upstream, k=3, aggregator="majority_vote")}, keep_alive=0.2) as server:
        yield server


@pytest.fixture
def client(server: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.base_url, api_key="none", max_retries=0) as client:
        yield client


def in_turn(upstream: Upstream, *said: object) -> None:
    """Let the upstream say these, one a draw."""
    replies = cycle(said)
    upstream.says = lambda request: next(replies)


def test_a_completion_is_the_vote_of_k_samples(client: openai.OpenAI, upstream: Upstream):
    in_turn(upstream, "It is \\boxed{1/2}.", "It is \\boxed{3}.", "It is \\boxed{0.5}.")
    reply = client.chat.completions.create(model="careful", messages=QUESTION)
    choice = reply.choices[0]
    assert choice.message.content in ("It is \\boxed{1/2}.", "It is \\boxed{0.5}.")
    assert (choice.index, choice.finish_reason, choice.message.role) == (0, "stop", "assistant")
    assert reply.id.startswith("chatcmpl-")
    assert reply.object == "chat.completion"
    assert reply.created > 1_700_000_000
    assert reply.model == "careful"
    assert reply.usage is not None
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.total_tokens) == (
        30,
        15,
        45,
    )
    told = choice.model_extra["sampleset"]
    assert told["agreement"] == pytest.approx(2 / 3)
    assert sorted(one["votes"] for one in told["candidates"]) == [1, 2]
    assert reply.model_extra["sampleset"]["usage"]["sampling"]["calls"] == 3


def test_messages_and_parameters_reach_every_draw_untouched(client: openai.OpenAI, upstream: Upstream):
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": "http://10.0.0.1/secret.png"}},
            ],
        },
    ]
    given = {"temperature": 0.3, "top_p": 0.9, "presence_penalty": 0.5, "stop": ["END"], "max_tokens": 77}
    client.chat.completions.create(
        model="careful", messages=messages, seed=100, logit_bias={"7": -1}, user="ann", **given
    )
    assert sorted(one["seed"] for one in upstream.requests) == [100, 101, 102]
    for request in upstream.requests:
        assert request["messages"] == messages
        assert {name: request[name] for name in given} == given
        assert (request["logit_bias"], request["user"], "n" in request) == ({"7": -1}, "ann", False)
        assert set(request) - set(given) == {"model", "messages", "stream", "seed", "logit_bias", "user"}


async def test_the_asynchronous_client_streams(server: Running, upstream: Upstream):
    long = "word " * 100 + "\\boxed{4}"
    in_turn(upstream, long)
    async with openai.AsyncOpenAI(base_url=server.base_url, api_key="none") as client:
        stream = await client.chat.completions.create(
            model="careful", messages=QUESTION, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == long
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens == 45
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_a_stream_has_no_usage_unless_it_is_asked_for(client: openai.OpenAI):
    chunks = list(client.chat.completions.create(model="careful", messages=QUESTION, stream=True))
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


def test_the_sdk_collects_a_stream_with_progress(client: openai.OpenAI):
    with client.chat.completions.stream(
        model="careful", messages=QUESTION, extra_body={"sampleset": {"progress": True}}
    ) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.content == "\\boxed{4}"


def test_progress_tells_each_sample_and_the_vote(client: openai.OpenAI):
    chunks = client.chat.completions.create(
        model="careful", messages=QUESTION, stream=True, extra_body={"sampleset": {"progress": True, "k": 2}}
    )
    events = [chunk.model_extra["sampleset"] for chunk in chunks if "sampleset" in (chunk.model_extra or {})]
    assert [one["event"] for one in events if one["event"] != "vote"] == ["start", "sample", "sample"]
    assert events[1]["text"] == "\\boxed{4}"
    assert [one["candidates"][0]["answer"] for one in events if one["event"] == "vote"]


def test_overrides_come_in_extra_body(client: openai.OpenAI, upstream: Upstream):
    overrides = {"k": 5, "aggregator": "first_sample", "content": "answer", "samples": True}
    reply = client.chat.completions.create(
        model="careful", messages=QUESTION, extra_body={"sampleset": overrides}
    )
    assert len(upstream.requests) == 5
    assert reply.choices[0].message.content == "4"
    assert len(reply.choices[0].model_extra["sampleset"]["samples"]) == 5
    client.chat.completions.create(model="careful", messages=QUESTION, extra_body={"budget": 2})
    assert len(upstream.requests) == 7


def test_n_answers_come_of_n_independent_sets(client: openai.OpenAI, upstream: Upstream):
    reply = client.chat.completions.create(model="careful", messages=QUESTION, n=2, seed=0)
    assert [choice.index for choice in reply.choices] == [0, 1]
    assert sorted(one["seed"] for one in upstream.requests) == [0, 1, 2, 3, 4, 5]
    assert reply.usage.total_tokens == 90
    chunks = list(client.chat.completions.create(model="careful", messages=QUESTION, n=2, stream=True))
    assert {chunk.choices[0].index for chunk in chunks} == {0, 1}


def test_tool_calls_are_voted_on_by_value(client: openai.OpenAI, upstream: Upstream):
    in_turn(
        upstream,
        call("weather", '{"city": "Rome", "days": 1}'),
        call("weather", '{"city": "Oslo"}'),
        call("weather", '{"days":1.0,"city":"Rome"}'),
    )
    reply = client.chat.completions.create(model="careful", messages=QUESTION, tools=TOOLS)
    choice = reply.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert "Rome" in choice.message.tool_calls[0].function.arguments
    assert upstream.requests[0]["tools"] == TOOLS
    with client.chat.completions.stream(model="careful", messages=QUESTION, tools=TOOLS) as stream:
        final = stream.get_final_completion()
    assert "Rome" in final.choices[0].message.tool_calls[0].function.arguments


def test_words_win_where_most_samples_call_no_tool(client: openai.OpenAI, upstream: Upstream):
    in_turn(upstream, "It is \\boxed{4}.", call("weather", "{}"), "So \\boxed{4}.")
    reply = client.chat.completions.create(model="careful", messages=QUESTION, tools=TOOLS)
    assert reply.choices[0].message.tool_calls is None
    assert "4" in reply.choices[0].message.content


def test_json_replies_are_voted_on_by_value(client: openai.OpenAI, upstream: Upstream):
    in_turn(
        upstream, '{"a": 1, "b": [2]}', '{"a": 2}', '```json\n{"b":[2.0],"a":1}\n```', "no json", '{"a": 2'
    )
    reply = client.chat.completions.create(
        model="careful",
        messages=QUESTION,
        response_format={"type": "json_object"},
        extra_body={"sampleset": {"k": 5}},
    )
    told = reply.choices[0].model_extra["sampleset"]
    assert told["answer"] == '{"a": 1, "b": [2]}'
    assert sorted(one["votes"] for one in told["candidates"]) == [1, 2]
    assert upstream.requests[0]["response_format"] == {"type": "json_object"}


def test_logprobs_are_those_of_the_chosen_sample(client: openai.OpenAI):
    reply = client.chat.completions.create(model="careful", messages=QUESTION, logprobs=True)
    assert reply.choices[0].logprobs.content[0].token == "4"


def test_a_text_that_states_no_answer_is_the_first_sample(client: openai.OpenAI, upstream: Upstream):
    in_turn(upstream, "")
    upstream.says = lambda request: {"content": "Roses\nare red", "reasoning_content": "a poem"}
    reply = client.chat.completions.create(model="careful", messages=[{"role": "user", "content": "A poem"}])
    assert reply.choices[0].message.content == "Roses\nare red"
    assert reply.choices[0].message.model_extra["reasoning_content"] == "a poem"


def test_models_are_the_configured_aliases(client: openai.OpenAI):
    (model,) = client.models.list().data
    assert (model.id, model.object, model.owned_by) == ("careful", "model", "sampleset")
    assert client.models.retrieve("careful").id == "careful"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")


@pytest.mark.parametrize(
    ("given", "param"),
    [
        pytest.param({"functions": []}, "functions", id="superseded"),
        pytest.param({"temprature": 1}, "temprature", id="unknown"),
        pytest.param({"temperature": 3}, "temperature", id="out of range"),
        pytest.param({"n": 1000}, "n", id="n"),
        pytest.param({"n": 5}, "n", id="more answers than the alias allows"),
        pytest.param({"budget": 33}, "budget", id="more samples than the alias allows"),
        pytest.param({"messages": []}, "messages", id="no messages"),
        pytest.param({"messages": [{"role": "user"}]}, "messages[0].content", id="no content"),
        pytest.param({"messages": [{"role": "king", "content": ""}]}, "messages[0].role", id="no role"),
        pytest.param({"store": True}, "store", id="refused"),
        pytest.param({"sampleset": {"kk": 1}}, "sampleset.kk", id="unknown override"),
        pytest.param(
            {"sampleset": {"aggregator": "ssa:model=/etc"}}, "sampleset.aggregator", id="aggregator"
        ),
        pytest.param({"sampleset": {"stop": "gamma"}}, "sampleset.stop", id="stopping rule"),
        pytest.param({"response_format": {"type": "xml"}}, "response_format", id="format"),
        pytest.param({"tools": [{"type": "function"}]}, "tools", id="tool without a function"),
        pytest.param({"seed": 1.5}, "seed", id="seed"),
    ],
)
def test_a_bad_request_names_the_field(client: openai.OpenAI, upstream: Upstream, given: dict, param: str):
    body = {"model": "careful", "messages": QUESTION, **given}
    with pytest.raises(openai.BadRequestError) as caught:
        client.post("/chat/completions", body=body, cast_to=object)
    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"
    assert not upstream.requests


def test_values_that_ask_for_nothing_are_taken(client: openai.OpenAI):
    client.chat.completions.create(
        model="careful", messages=QUESTION, store=False, metadata={}, modalities=["text"], logprobs=False
    )


def test_an_unknown_model_is_not_found(client: openai.OpenAI):
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gpt-9", messages=QUESTION)
    assert caught.value.code == "model_not_found"


def test_what_an_upstream_refuses_is_refused(client: openai.OpenAI, upstream: Upstream):
    error = {"error": {"message": "Invalid schema for function 'weather'.", "type": "invalid_request_error"}}
    in_turn(upstream, Reply(400, error))
    with pytest.raises(openai.BadRequestError, match="Invalid schema"):
        client.chat.completions.create(model="careful", messages=QUESTION)


def test_a_failure_is_an_event_of_the_stream(client: openai.OpenAI, upstream: Upstream):
    in_turn(upstream, Reply(401, {"error": {"message": "Bad key sk-secret"}}))
    stream = client.chat.completions.create(model="careful", messages=QUESTION, stream=True)
    with pytest.raises(openai.APIError) as caught:
        list(stream)
    assert "refuses the server's key" in str(caught.value)
    assert "sk-secret" not in str(caught.value)


def test_samples_of_a_server_are_voted_on_where_no_aggregator_is_named(upstream: Upstream):
    with (
        running({"plain": alias(upstream, k=3)}) as server,
        openai.OpenAI(base_url=server.base_url, api_key="none", max_retries=0) as client,
    ):
        reply = client.chat.completions.create(model="plain", messages=QUESTION)
    assert reply.model_extra["sampleset"]["aggregator"] == "majority_vote"


@pytest.mark.model
def test_ssa_without_a_trained_model_is_that_of_this_package(
    upstream: Upstream, capsys: pytest.CaptureFixture[str]
):
    in_turn(upstream, "It is \\boxed{4}.", "It is \\boxed{4}.", "It is \\boxed{3}.")
    with (
        running({"plain": alias(upstream, k=3, aggregators=["ssa"])}) as server,
        openai.OpenAI(base_url=server.base_url, api_key="none", max_retries=0) as client,
    ):
        own = {"sampleset": {"aggregator": "ssa"}}
        reply = client.chat.completions.create(
            model="plain", messages=QUESTION, logprobs=True, extra_body=own
        )
    assert reply.model_extra["sampleset"]["aggregator"] == "ssa:model=embedded-ssa"
    choice = reply.choices[0]
    told = choice.model_extra["sampleset"]
    assert choice.message.content == f"It is \\boxed{{{told['answer']}}}."
    assert 0 < told["confidence"] < 1
    assert choice.logprobs is not None
