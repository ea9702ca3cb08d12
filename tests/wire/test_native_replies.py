"""Replies in the forms of Ollama, Anthropic, Gemini and others, whole and in pieces."""

import json
from typing import Any

import pytest

from sampleset.chat import Generation
from sampleset.wire.faults import Fault
from sampleset.wire.replies import completion_of, read_completion
from sampleset.wire.stream import StreamedCompletion

OLLAMA = {"model": "m", "message": {"role": "assistant", "content": "So 4"}, "done": True,
          "done_reason": "stop", "prompt_eval_count": 3, "eval_count": 2}  # fmt: skip
ANTHROPIC = {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "So 4"}],
             "stop_reason": "end_turn", "usage": {"input_tokens": 3, "output_tokens": 2}}  # fmt: skip
GEMINI = {"candidates": [{"content": {"parts": [{"text": "So 4"}], "role": "model"}, "finishReason": "STOP"}],
          "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2}}  # fmt: skip
RESPONSES = {"object": "response", "status": "completed",
             "output": [{"type": "message", "content": [{"type": "output_text", "text": "So 4"}]}],
             "usage": {"input_tokens": 3, "output_tokens": 2}}  # fmt: skip
COHERE = {"message": {"content": [{"type": "text", "text": "So 4"}]}, "finish_reason": "COMPLETE",
          "usage": {"tokens": {"input_tokens": 3, "output_tokens": 2}}}  # fmt: skip


def read(body: object) -> Generation | Fault:
    return read_completion(json.dumps(body).encode())


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(OLLAMA, id="Ollama's chat"),
        pytest.param({**OLLAMA, "message": None, "response": "So 4"}, id="Ollama's generate"),
        pytest.param(ANTHROPIC, id="Anthropic"),
        pytest.param({"result": None, **GEMINI}, id="Gemini"),
        pytest.param([GEMINI], id="Gemini's list"),
        pytest.param(RESPONSES, id="Responses"),
        pytest.param(COHERE, id="Cohere"),
    ],
)
def test_a_native_reply_is_read_whole_with_its_tokens(body: object):
    reply = read(body)
    assert isinstance(reply, Generation), reply
    assert (reply.text, reply.finish_reason) == ("So 4", "stop")
    assert (reply.prompt_tokens, reply.completion_tokens) == (3, 2)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({**OLLAMA, "done_reason": "length"}, id="Ollama"),
        pytest.param({**ANTHROPIC, "stop_reason": "max_tokens"}, id="Anthropic"),
        pytest.param({"candidates": [{"content": {"parts": [{"text": "So 4"}]},
                                      "finishReason": "MAX_TOKENS"}]}, id="Gemini"),
        pytest.param({**RESPONSES, "status": "incomplete",
                      "incomplete_details": {"reason": "max_output_tokens"}}, id="Responses"),
        pytest.param({"generated_text": "So 4", "details": {"finish_reason": "length"}}, id="TGI"),
    ],
)  # fmt: skip
def test_a_limit_of_tokens_is_a_limit_in_every_form(body: object):
    reply = read(body)
    assert isinstance(reply, Generation), reply
    assert (reply.text, reply.finish_reason) == ("So 4", "length")


@pytest.mark.parametrize(
    ("body", "meaning"),
    [
        pytest.param({**OLLAMA, "done": False}, "passing", id="a piece alone"),
        pytest.param({**ANTHROPIC, "content": [], "stop_reason": "refusal"}, "filtered", id="refusal"),
        pytest.param({"candidates": [{"finishReason": "SAFETY"}]}, "filtered", id="safety"),
        pytest.param(
            {"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL"}]}, "passing", id="malformed"
        ),
        pytest.param({**RESPONSES, "status": "failed"}, "passing", id="failed"),
        pytest.param({"candidates": []}, "passing", id="no candidate"),
    ],
)
def test_what_is_no_whole_reply_is_none_in_any_form(body: object, meaning: str):
    fault = read(body)
    assert isinstance(fault, Fault)
    assert fault.meaning == meaning


def test_tool_calls_and_thought_are_read():
    for body in [
        {**ANTHROPIC, "stop_reason": "tool_use", "content": [
            {"type": "thinking", "thinking": "hm"},
            {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}}]},
        {"candidates": [{"finishReason": "STOP", "content": {"parts": [
            {"text": "hm", "thought": True},
            {"functionCall": {"id": "a", "name": "f", "args": {"x": 1}}}]}}]},
        {**OLLAMA, "message": {"content": "", "reasoning_content": "hm", "tool_calls": [
            {"id": "a", "function": {"name": "f", "arguments": {"x": 1}}}]}},
    ]:  # fmt: skip
        reply = read(body)
        assert isinstance(reply, Generation), reply
        assert (reply.text, reply.finish_reason) == ("", "tool_calls")
        assert reply.message is not None
        (call,) = reply.message["tool_calls"]
        assert (call["id"], call["function"]) == ("a", {"name": "f", "arguments": '{"x": 1}'})
        assert reply.message["reasoning_content"] == "hm"


OLLAMA_PIECES = [
    {"message": {"role": "assistant", "content": "So "}, "done": False},
    {"message": {"role": "assistant", "content": "4"}, "done": False},
    {**OLLAMA, "message": {"role": "assistant", "content": ""}},
]
GEMINI_PIECES = [
    {"candidates": [{"content": {"parts": [{"text": "So "}]}}]},
    {**GEMINI, "candidates": [{"content": {"parts": [{"text": "4"}]}, "finishReason": "STOP"}]},
]
ANTHROPIC_PIECES = [
    {"type": "message_start", "message": {**ANTHROPIC, "content": [], "stop_reason": None,
                                          "usage": {"input_tokens": 3, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "ping"},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "So "}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "4"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
]  # fmt: skip


@pytest.mark.parametrize("pieces", [OLLAMA_PIECES, GEMINI_PIECES, ANTHROPIC_PIECES],
                         ids=["Ollama", "Gemini", "Anthropic"])  # fmt: skip
def test_native_events_are_joined(pieces: list[dict[str, Any]]):
    stream = StreamedCompletion()
    told = stream.feed("".join(f"data: {json.dumps(piece)}\n\n" for piece in pieces).encode())
    assert told == ["So ", "4"]
    reply = completion_of(stream.body())
    assert isinstance(reply, Generation), reply
    assert (reply.text, reply.finish_reason) == ("So 4", "stop")
    assert (reply.prompt_tokens, reply.completion_tokens) == (3, 2)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param("".join(json.dumps(piece) + "\n" for piece in OLLAMA_PIECES), id="Ollama's lines"),
        pytest.param(json.dumps(GEMINI_PIECES), id="Gemini's list"),
    ],
)
def test_native_pieces_in_a_plain_reply_are_joined(raw: str):
    reply = read_completion(raw.encode())
    assert isinstance(reply, Generation), reply
    assert (reply.text, reply.finish_reason) == ("So 4", "stop")
    assert (reply.prompt_tokens, reply.completion_tokens) == (3, 2)


@pytest.mark.parametrize("pieces", [OLLAMA_PIECES, ANTHROPIC_PIECES[:-1]], ids=["Ollama", "Anthropic"])
def test_native_pieces_without_their_end_are_a_broken_reply(pieces: list[dict[str, Any]]):
    stream = StreamedCompletion()
    for piece in pieces[:-1]:
        stream.add(piece)
    assert isinstance(completion_of(stream.body()), Fault)


def test_the_calls_of_anthropic_come_in_pieces():
    stream = StreamedCompletion()
    for number, name in enumerate(["f", "g"], 1):
        block = {"type": "tool_use", "id": name * 2, "name": name, "input": {}}
        stream.add({"type": "content_block_start", "index": number, "content_block": block})
        for part in ['{"x"', ": 1}"]:
            delta = {"type": "input_json_delta", "partial_json": part}
            stream.add({"type": "content_block_delta", "index": number, "delta": delta})
    stream.add({"type": "message_delta", "delta": {"stop_reason": "tool_use"}})
    calls = stream.body()["choices"][0]["message"]["tool_calls"]
    assert [(call["id"], call["function"]["arguments"]) for call in calls] == [
        ("ff", '{"x": 1}'),
        ("gg", '{"x": 1}'),
    ]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        pytest.param(b"<!doctype html><p>Welcome", "a page of HTML", id="a page"),
        pytest.param(b'{"version": 1, "models": ["m"]}', "an object of 'version', 'models'", id="an object"),
    ],
)
def test_what_came_instead_of_a_completion_is_named_with_the_remedy(raw: bytes, words: str):
    fault = read_completion(raw)
    assert isinstance(fault, Fault)
    assert words in fault.text
    assert "It usually ends in /v1" in fault.text


@pytest.mark.parametrize(
    "choice",
    [
        pytest.param({"message": {"content": [{"type": "text", "text": {"value": "So 4"}}]}}, id="a value"),
        pytest.param({"message": {"content": {"parts": [{"text": "So "}, {"text": "4"}]}}}, id="parts"),
        pytest.param({"message": "So 4"}, id="a message that is a text"),
    ],
)
def test_a_text_is_read_wherever_it_stands(choice: dict[str, Any]):
    reply = read({"choices": [{**choice, "finish_reason": "stop"}]})
    assert isinstance(reply, Generation), reply
    assert reply.text == "So 4"
