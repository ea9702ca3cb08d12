# pyright: reportAttributeAccessIssue=false, reportCallIssue=false, reportArgumentType=false
"""`/v1/responses`, as OpenAI's own client asks."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from openai.types.responses.response_create_params import (
    ResponseCreateParamsNonStreaming,
    ResponseCreateParamsStreaming,
)

from sampleset.serve.dialects.responses import RESPONSES
from support.faults import said
from support.running import Running, Upstream, call
from support.stub_server import Reply

WEATHER = {
    "type": "function",
    "name": "weather",
    "description": "The weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": True,
}


def test_every_parameter_of_openais_client_has_a_row():
    theirs: set[str] = set()
    for kind in (ResponseCreateParamsNonStreaming, ResponseCreateParamsStreaming):
        theirs |= kind.__required_keys__ | kind.__optional_keys__
    assert {"input", "stream", "tools", "conversation"} <= theirs
    assert theirs <= set(RESPONSES)


def test_a_text_is_answered_by_the_vote(client: openai.OpenAI, upstream: Upstream):
    reply = client.responses.create(
        model="careful", input="What is 2 + 2?", instructions="Be brief.", max_output_tokens=50, top_p=0.9
    )
    assert (reply.output_text, reply.status, reply.object) == ("\\boxed{4}", "completed", "response")
    assert reply.id.startswith("resp_")
    assert (reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.total_tokens) == (30, 15, 45)
    assert reply.model_extra["sampleset"]["candidates"][0]["votes"] == 3
    assert (reply.model_extra["store"], reply.instructions, reply.top_p) == (False, "Be brief.", 0.9)
    for request in upstream.requests:
        assert request["messages"] == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "What is 2 + 2?"},
        ]
        assert (request["max_tokens"], request["top_p"]) == (50, 0.9)
        assert not {"input", "instructions", "max_output_tokens"} & set(request)


def test_instructions_may_be_as_long_as_those_of_coding_agents(client: openai.OpenAI, upstream: Upstream):
    client.responses.create(model="careful", input="What is 2 + 2?", instructions="Be brief. " * 3000)
    assert {len(request["messages"][0]["content"]) for request in upstream.requests} == {30_000}


def test_a_conversation_becomes_messages(client: openai.OpenAI, upstream: Upstream):
    upstream.models = ("stub-model",)
    client.responses.create(
        model="careful",
        tools=[WEATHER],
        tool_choice={"type": "function", "name": "weather"},
        input=[
            {"role": "developer", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "How is it here?"},
                    {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"},
                ],
            },
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {
                "type": "message",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "Let me look."}],
            },
            {"type": "function_call", "call_id": "a", "name": "weather", "arguments": '{"city": "Oslo"}'},
            {"type": "function_call", "call_id": "b", "name": "weather", "arguments": '{"city": "Rome"}'},
            {"type": "function_call_output", "call_id": "a", "output": "rain"},
            {
                "type": "function_call_output",
                "call_id": "b",
                "output": [{"type": "input_text", "text": "sun"}],
            },
        ],
    )

    def called(id: str, city: str) -> dict[str, Any]:
        arguments = f'{{"city": "{city}"}}'
        return {"id": id, "type": "function", "function": {"name": "weather", "arguments": arguments}}

    sent = upstream.requests[0]
    assert sent["messages"] == [
        {"role": "developer", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "How is it here?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
            ],
        },
        {
            "role": "assistant",
            "content": "Let me look.",
            "tool_calls": [called("a", "Oslo"), called("b", "Rome")],
        },
        {"role": "tool", "tool_call_id": "a", "content": "rain"},
        {"role": "tool", "tool_call_id": "b", "content": "sun"},
    ]
    own = {name: value for name, value in WEATHER.items() if name != "type"}
    assert sent["tools"] == [{"type": "function", "function": own}]
    assert sent["tool_choice"] == {"type": "function", "function": {"name": "weather"}}


def test_formats_and_efforts_reach_every_draw(client: openai.OpenAI, upstream: Upstream):
    upstream.says = lambda request: '{"city": "Oslo"}'
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    reply = client.responses.create(
        model="careful",
        input="Where?",
        text={
            "format": {"type": "json_schema", "name": "where", "schema": schema, "strict": True},
            "verbosity": "low",
        },
        reasoning={"effort": "high", "summary": "auto"},
        include=["reasoning.encrypted_content"],
        store=True,
        metadata={"a": "b"},
        truncation="disabled",
    )
    assert (reply.output_text, reply.metadata) == ('{"city": "Oslo"}', {"a": "b"})
    sent = upstream.requests[0]
    assert sent["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "where", "schema": schema, "strict": True},
    }
    assert (sent["verbosity"], sent["reasoning_effort"]) == ("low", "high")
    assert not {"text", "reasoning", "include", "store", "metadata", "truncation"} & set(sent)


async def test_events_tell_the_response_piece_by_piece(server: Running, upstream: Upstream):
    upstream.says = lambda request: {"content": "word " * 100 + "\\boxed{4}", "reasoning_content": "Hm."}
    async with openai.AsyncOpenAI(base_url=server.base_url, api_key="none") as client:
        stream = await client.responses.create(model="careful", input="2 + 2?", stream=True)
        events = [event async for event in stream]
    kinds = [event.type for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    assert [event.sequence_number for event in events] == list(range(len(events)))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == "word " * 100 + "\\boxed{4}" == events[-1].response.output_text
    assert len(deltas) > 2
    assert [event.delta for event in events if event.type == "response.reasoning_text.delta"] == ["Hm."]
    ended = [event.item for event in events if event.type == "response.output_item.done"]
    assert ended == events[-1].response.output
    assert [item.type for item in ended] == ["reasoning", "message"]
    assert len({item.id for item in ended}) == 2
    assert events[-1].response.usage.total_tokens == 45


def test_the_sdk_collects_a_stream_into_the_whole_response(client: openai.OpenAI, upstream: Upstream):
    upstream.says = lambda request: call("weather", '{"city": "Oslo"}')
    asked: dict[str, Any] = {"model": "careful", "input": "How is it?", "tools": [WEATHER]}
    with client.responses.stream(**asked) as stream:
        streamed = stream.get_final_response()
    plain = client.responses.create(**asked)
    for reply in (streamed, plain):
        (item,) = reply.output
        assert (item.type, item.name, item.arguments) == ("function_call", "weather", '{"city": "Oslo"}')
        assert (item.call_id, item.status) == ("call_1", "completed")
    assert streamed.usage == plain.usage


def test_log_probabilities_come_where_they_are_included(client: openai.OpenAI):
    asked: dict[str, Any] = {"model": "careful", "input": "2?", "include": ["message.output_text.logprobs"]}
    assert client.responses.create(**asked).output[0].content[0].logprobs[0].token == "4"
    *_, last = client.responses.create(**asked, stream=True)
    assert last.response.output[0].content[0].logprobs[0].token == "4"


@pytest.mark.parametrize(
    ("finish_reason", "reason"), [("length", "max_output_tokens"), ("stop", None)], ids=["cut off", "whole"]
)
def test_a_response_that_was_cut_off_is_incomplete(
    client: openai.OpenAI, upstream: Upstream, finish_reason: str, reason: str | None
):
    upstream.says = lambda request: said("It is \\boxed{4}", finish_reason)
    *_, last = client.responses.create(model="careful", input="2?", stream=True)
    for reply in (client.responses.create(model="careful", input="2?"), last.response):
        assert reply.status == reply.output[-1].status == ("incomplete" if reason else "completed")
        assert getattr(reply.incomplete_details, "reason", None) == reason


@pytest.mark.parametrize(
    ("given", "param"),
    [
        pytest.param({"previous_response_id": "resp_1"}, "previous_response_id", id="stored response"),
        pytest.param({"conversation": "conv_1"}, "conversation", id="stored conversation"),
        pytest.param({"background": True}, "background", id="background"),
        pytest.param({"prompt": {"id": "pmpt_1"}}, "prompt", id="stored prompt"),
        pytest.param({"truncation": "auto"}, "truncation", id="truncation"),
        pytest.param({"tools": [{"type": "web_search"}]}, "tools[0].type", id="built-in tool"),
        pytest.param({"tool_choice": {"type": "file_search"}}, "tool_choice.type", id="tool choice"),
        pytest.param({"include": ["file_search_call.results"]}, "include", id="include"),
        pytest.param({"input": [{"type": "item_reference", "id": "a"}]}, "input[0].type", id="reference"),
        pytest.param({"input": [{"role": "king", "content": "a"}]}, "input[0].role", id="role"),
        pytest.param({"input": [{"role": "user", "content": 1}]}, "input[0].content", id="content"),
        pytest.param(
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "a"}]}]},
            "input[0].content[0]",
            id="stored image",
        ),
        pytest.param({"input": []}, "input", id="no input"),
        pytest.param({"input": None}, "input", id="none at all"),
        pytest.param({"text": {"format": {"type": "xml"}}}, "text.format", id="format"),
        pytest.param({"text": {"colour": "red"}}, "text.colour", id="part of an object"),
        pytest.param({"reasoning": {"effort": 3}}, "reasoning.effort", id="effort"),
        pytest.param({"max_output_tokens": 0}, "max_output_tokens", id="limit"),
        pytest.param({"n": 2}, "n", id="a field of the chat API"),
    ],
)
def test_what_is_not_served_is_refused_by_name(
    client: openai.OpenAI, upstream: Upstream, given: dict[str, Any], param: str
):
    body = {"model": "careful", "input": "2 + 2?", **given}
    with pytest.raises(openai.BadRequestError) as caught:
        client.post("/responses", body=body, cast_to=object)
    assert caught.value.param == param
    assert not upstream.requests


def test_a_failure_is_an_event_of_the_stream(client: openai.OpenAI, upstream: Upstream):
    upstream.says = lambda request: Reply(401, {"error": {"message": "Bad key sk-secret"}})
    with pytest.raises(openai.APIError, match="refuses the server's key"):
        list(client.responses.create(model="careful", input="2?", stream=True))
    with pytest.raises(openai.InternalServerError, match="refuses the server's key"):
        client.responses.create(model="careful", input="2?")
