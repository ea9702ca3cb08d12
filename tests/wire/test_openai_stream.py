from typing import Any

import pytest

from sampleset.chat import Generation
from sampleset.wire.faults import Fault
from sampleset.wire.replies import completion_of
from sampleset.wire.stream import StreamedCompletion


def calls_of(*pieces: dict[str, Any]) -> list[Any]:
    stream = StreamedCompletion()
    for piece in pieces:
        stream.add({"choices": [{"delta": {"tool_calls": [{"index": 0, **piece}]}}]})
    stream.add({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]})
    return stream.body()["choices"][0]["message"]["tool_calls"]


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([{"name": "f", "arguments": '{"a":'}, {"arguments": " 1}"}], id="pieces"),
        pytest.param([{"name": "f"}, {"arguments": {"a": 1}}], id="object"),
        pytest.param([{"name": "f", "arguments": None}, {"arguments": '{"a": 1}'}], id="null first"),
    ],
)
def test_arguments_come_out_as_json(pieces: list[dict[str, Any]]):
    (call,) = calls_of(*({"function": piece} for piece in pieces))
    assert call["function"] == {"name": "f", "arguments": '{"a": 1}'}


def test_a_function_that_is_first_a_text_ends_nothing():
    (call,) = calls_of({"function": "f"}, {"function": {"name": "f", "arguments": "{}"}})
    assert call["function"] == {"name": "f", "arguments": "{}"}


def pieces_of_calls(*calls: dict[str, Any]) -> list[dict[str, Any]]:
    stream = StreamedCompletion()
    for one in calls:
        stream.add({"choices": [{"delta": {"tool_calls": [one]}}]})
    stream.add({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]})
    return stream.body()["choices"][0]["message"]["tool_calls"]


def test_another_id_begins_another_call_under_whatever_index():
    made = pieces_of_calls(
        {"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x":'}},
        {"index": 0, "id": "a", "function": {"arguments": " 1}"}},
        {"index": 0, "id": "b", "function": {"name": "g", "arguments": "{}"}},
        {"index": 0, "id": "", "function": {"name": "", "arguments": ""}},
    )
    assert [(one["id"], one["function"]["name"], one["function"]["arguments"]) for one in made] == [
        ("a", "f", '{"x": 1}'),
        ("b", "g", "{}"),
    ]


def test_arguments_that_are_no_json_are_a_damaged_reply_unless_cut_at_a_limit():
    def completed(finish_reason: str) -> Generation | Fault:
        call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}{"y'}}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        return completion_of({"choices": [{"message": message, "finish_reason": finish_reason}]})

    broken = completed("tool_calls")
    assert isinstance(broken, Fault)
    assert broken.kind == "damaged reply"
    assert isinstance(completed("length"), Generation)


def test_the_last_event_needs_no_line_break():
    stream = StreamedCompletion()
    assert stream.feed(b'data: {"choices": [{"delta": {"content": "4"}, "finish_reason": "stop"}]}') == []
    assert stream.close() == "4"
    assert stream.is_whole
