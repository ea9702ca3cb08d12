from typing import Any

import pytest

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
