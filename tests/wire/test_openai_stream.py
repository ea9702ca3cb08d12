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


def body_of(text: str, size: int) -> dict[str, Any]:
    """The body of a stream that comes in parts of so many bytes."""
    stream, raw = StreamedCompletion(), text.encode()
    for start in range(0, len(raw), size):
        stream.feed(raw[start : start + size])
    stream.close()
    return stream.body()


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
def test_lines_end_as_the_standard_allows_wherever_the_parts_are_cut(end: str, size: int):
    lines = [
        'data: {"choices": [{"index": 0, "delta": {"content": "So é "}}]}',
        "",
        'data: {"choices": [{"index": 0,',
        'data: "delta": {"content": "4"}, "finish_reason": "stop"}]}',
        "",
    ]
    body = body_of(end.join(lines) + end, size)
    assert body["choices"][0]["message"]["content"] == "So é 4"


def test_an_error_by_the_name_of_its_event_ends_the_reply_with_its_reason():
    lines = ['data: {"choices": [{"delta": {"content": "A guess"}}]}', "", "event: error"]
    for data in ('{"message": "died"}', "died"):
        fault = completion_of(body_of("\n".join([*lines, f"data: {data}", "", ""]), 1000))
        assert isinstance(fault, Fault)
        assert "died" in fault.text


def test_data_that_never_become_json_are_an_error():
    with pytest.raises(ValueError, match="Expecting"):
        body_of('data: {"choices": [\ndata: oops\n\n', 1000)


def test_tokens_that_only_groqs_own_field_counts_are_counted():
    choice = '{"delta": {"content": "4"}, "finish_reason": "stop"}'
    event = f'{{"choices": [{choice}], "x_groq": {{"usage": {{"prompt_tokens": 7}}}}}}'
    assert body_of(f"data: {event}\n\n", 1000)["usage"] == {"prompt_tokens": 7}
