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


X, Y = '{"x": 1}', '{"y": 2}'
HALF_X, REST_X, HALF_Y, REST_Y = '{"x"', ": 1}", '{"y"', ": 2}"


def piece(
    index: object = None, identity: str | None = None, name: str | None = None, arguments: object = None
) -> dict[str, Any]:
    fields = {"index": index, "id": identity, "function": {"name": name, "arguments": arguments}}
    return {key: value for key, value in fields.items() if value is not None}


@pytest.mark.parametrize(
    "events",
    [
        pytest.param([[piece(0, None, "f", X)], [piece(0, None, "g", Y)]], id="one index, no ids"),
        pytest.param([[piece(0, "", "f", X)], [piece(0, "", "g", Y)]], id="one index, empty ids"),
        pytest.param([[piece(0, None, "f", X), piece(0, None, "g", Y)]], id="one index in one event"),
        pytest.param([[piece(None, "a", "f", X)], [piece(None, "b", "g", Y)]], id="ids alone"),
        pytest.param(
            [
                [piece(None, None, "f", HALF_X)],
                [piece(None, None, None, REST_X)],
                [piece(None, None, "g", HALF_Y)],
                [piece(None, None, None, REST_Y)],
            ],
            id="neither index nor id",
        ),
        pytest.param(
            [
                [piece(0, "a1", "f", HALF_X)],
                [piece(0, "a2", "", REST_X)],
                [piece(1, "b1", "g", HALF_Y)],
                [piece(1, "b2", None, REST_Y)],
            ],
            id="another id with each piece",
        ),
        pytest.param(
            [
                [piece("0", "a", "f", HALF_X), piece("1", "b", "g", HALF_Y)],
                [piece("0", None, None, REST_X)],
                [piece("1", None, None, REST_Y)],
            ],
            id="an index as a text",
        ),
        pytest.param(
            [
                [piece(0, "a", "f", HALF_X)],
                [piece(0, "b", "g", HALF_Y)],
                [piece(0, "a", None, REST_X)],
                [piece(0, "b", None, REST_Y)],
            ],
            id="by turns, one index",
        ),
        pytest.param(
            [[piece(0, "a", "f", X)], [piece(0, "b", "g", HALF_Y)], [piece(1, None, None, REST_Y)]],
            id="the index is right from the second piece on",
        ),
        pytest.param(
            [
                [piece(0, "a", "f", HALF_X)],
                [piece(None, "a", None, REST_X)],
                [piece(1, "b", "g", HALF_Y)],
                [piece(None, "b", None, REST_Y)],
            ],
            id="an index in the first piece only",
        ),
        pytest.param(
            [[piece(0, "a", "f", HALF_X), piece(0, None, None, REST_X)], [piece(1, "b", "g", Y)]],
            id="two pieces of a call in one event",
        ),
        pytest.param(
            [[piece(0, None, "f", HALF_X)], [piece(0, "a", "f", REST_X)], [piece(1, "b", "g", Y)]],
            id="an id that comes late, a name twice",
        ),
        pytest.param([[piece(0, "call", "f", X)], [piece(1, "call", "g", Y)]], id="one id for both"),
        pytest.param(
            [
                [piece(0, "a", "f", X)],
                [piece(1, "b", "g", Y)],
                [piece(0, "a", "f", X), piece(1, "b", "g", Y)],
            ],
            id="all once more at the end",
        ),
        pytest.param([[piece(0, "a", "f", {"x": 1})], [piece(0, "b", "g", {"y": 2})]], id="objects"),
        pytest.param(
            [
                [piece(0, "a", "f", {})],
                [piece(0, "a", None, X)],
                [piece(1, "b", "g", {})],
                [piece(1, "b", None, Y)],
            ],
            id="an empty object first",
        ),
        pytest.param(
            [[{"index": 0, "name": "f", "arguments": X}], [{"index": 1, "name": "g", "arguments": Y}]],
            id="names beside the index",
        ),
        pytest.param([piece(0, "a", "f", X), piece(1, "b", "g", Y)], id="no list"),
    ],
)
def test_parallel_calls_are_told_apart_however_they_are_numbered(events: list[Any]):
    stream = StreamedCompletion()
    for pieces in events:
        stream.add({"choices": [{"delta": {"tool_calls": pieces}}]})
    stream.add({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    reply = completion_of(stream.body())
    assert isinstance(reply, Generation)
    calls = reply.whole_message["tool_calls"]
    assert [(call["function"]["name"], call["function"]["arguments"]) for call in calls] == [
        ("f", X),
        ("g", Y),
    ]
    assert len({call["id"] for call in calls}) == 2
    assert (reply.finish_reason, {call["type"] for call in calls}) == ("tool_calls", {"function"})


def test_calls_and_text_that_a_whole_message_repeats_come_once():
    calls = [piece(None, None, "f", X), piece(None, None, "g", Y)]
    stream = StreamedCompletion()
    stream.add({"choices": [{"delta": {"content": "So ", "tool_calls": calls}}]})
    message = {"role": "assistant", "content": "So 4", "tool_calls": calls}
    assert stream.add({"choices": [{"message": message, "finish_reason": "tool_calls"}]}) == "4"
    message = stream.body()["choices"][0]["message"]
    assert message["content"] == "So 4"
    assert [call["function"]["name"] for call in message["tool_calls"]] == ["f", "g"]


def test_the_older_field_of_one_call_is_joined():
    stream = StreamedCompletion()
    for call in ({"name": "f", "arguments": HALF_X}, {"arguments": REST_X}):
        stream.add({"choices": [{"delta": {"function_call": call}}]})
    stream.add({"choices": [{"delta": {}, "finish_reason": "function_call"}]})
    reply = completion_of(stream.body())
    assert isinstance(reply, Generation)
    assert reply.whole_message["function_call"] == {"name": "f", "arguments": X}


def test_many_pieces_of_a_call_are_joined_in_time_that_grows_with_their_length():
    stream = StreamedCompletion()
    for number in range(50_000):
        call = piece(0, f"a{number}", None if number else "f", "a}" if number else '{"x": "')
        stream.add({"choices": [{"delta": {"tool_calls": [call]}}]})
    stream.add(
        {"choices": [{"delta": {"tool_calls": [piece(0, None, None, '"}')]}, "finish_reason": "stop"}]}
    )
    (call,) = stream.body()["choices"][0]["message"]["tool_calls"]
    assert call["function"]["arguments"] == '{"x": "' + "a}" * 49_999 + '"}'


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        pytest.param({"function": {"name": "f", "arguments": None}}, "{}", id="null"),
        pytest.param(
            {"id": "", "function": {"name": "f", "arguments": ""}}, "{}", id="empty, and an empty id"
        ),
        pytest.param({"id": "a", "name": "f", "arguments": {"x": 1}}, X, id="beside the id"),
        pytest.param({"function": {"name": "f", "arguments": '"{\\"x\\": 1}"'}}, X, id="JSON twice"),
    ],
)
def test_a_whole_call_gets_the_form_that_clients_read(call: dict[str, Any], arguments: str):
    message = {"role": "assistant", "content": None, "tool_calls": [call, call]}
    reply = completion_of({"choices": [{"message": message, "finish_reason": "stop"}]})
    assert isinstance(reply, Generation)
    first, second = reply.whole_message["tool_calls"]
    assert first["function"] == {"name": "f", "arguments": arguments}
    assert first["type"] == "function"
    assert first["id"]
    assert first["id"] != second["id"]
