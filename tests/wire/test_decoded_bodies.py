"""Bodies of replies: the fast reader's value where the body is plain JSON, and what servers send besides."""

import json
import threading
from collections.abc import Callable

import pytest

from sampleset.chat import Generation
from sampleset.wire.parsing import decoder_for, has_many_values, parsed
from sampleset.wire.replies import decoded, read_completion
from sampleset.wire.stream import StreamedCompletion


@pytest.mark.parametrize(
    ("body", "value"),
    [
        pytest.param(b' {"a": [1, -0.25, 1e5, null]} ', {"a": [1, -0.25, 1e5, None]}, id="plain"),
        pytest.param(b'\xef\xbb\xbf{"a": 1}', {"a": 1}, id="a byte order mark"),
        pytest.param(b'{"a": -Infinity}', {"a": -9999.0}, id="a probability of 0"),
        pytest.param(b'{"a": "1\n2"}', {"a": "1\n2"}, id="a line break within a text"),
        pytest.param(b'{"a": 1}\n\x00', {"a": 1}, id="a zero byte at the end"),
        pytest.param('{"a": "\u00e9"}'.encode("utf-16"), {"a": "\u00e9"}, id="UTF-16"),
        pytest.param(b'{"a": NaN}', {"a": None}, id="not a number"),
        pytest.param(b'{"a": 1, "a": 2}', {"a": 2}, id="a name twice"),
        pytest.param(b'{"a": "\\ud83d"}', {"a": "\ud83d"}, id="half a surrogate pair"),
        pytest.param(
            b'{"a": 123456789012345678901234567890}', {"a": 123456789012345678901234567890}, id="long"
        ),
    ],
)
def test_a_body_has_the_value_of_its_json(body: bytes, value: object):
    assert decoded(body) == value
    assert decoded(bytearray(body)) == value


def with_many_values(content: str) -> bytes:
    """A completion with more values beside its message than are read at once."""
    choice = {"message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    return json.dumps(
        {"choices": [choice], "x": [{}] * 700_000, "y": {str(number): 0 for number in range(9)}}
    ).encode()


def test_a_text_of_very_many_values_is_read_in_steps_to_the_same_value():
    body = with_many_values("4")
    assert has_many_values(body) and not has_many_values(body[:100_000])
    assert not has_many_values(json.dumps({"text": '"[{' * 700_000}).replace("[{", "").encode())
    assert decoder_for(body) is not decoder_for(b"[]")
    assert decoded(body) == parsed(body.decode()) == json.loads(body)
    with pytest.raises(ValueError, match="Expecting"):
        decoded(body[:-1])


@pytest.mark.parametrize("read", [
    pytest.param(read_completion, id="a reply"),
    pytest.param(lambda body: StreamedCompletion().feed(b"data: " + body + b"\n\n"), id="an event"),
])  # fmt: skip
def test_others_get_their_turn_while_very_many_values_are_read(read: Callable[[bytes], object]):
    body, turns = with_many_values("4"), 0
    worker = threading.Thread(target=read, args=(body,))
    worker.start()
    while worker.is_alive():
        worker.join(0.001)
        turns += 1
    assert turns > 50


def test_numbers_are_read_to_the_last_bit():
    numbers = [1 / 3, -2.2250738585072014e-308, 0.1 + 0.2, -9.313225746154785e-10]
    assert decoded(json.dumps(numbers).encode()) == numbers


@pytest.mark.parametrize("body", [b"", b"{", b'{"a": 1} x', b'"\xff"', b"[" * 100_000])
def test_a_body_that_is_no_json_is_refused(body: bytes):
    with pytest.raises((ValueError, RecursionError)):
        decoded(body)


def test_a_reply_whose_text_a_relay_read_as_a_number_is_that_text():
    choice = {"message": {"role": "assistant", "content": 42}, "finish_reason": "stop"}
    generation = read_completion(json.dumps({"choices": [choice]}).encode())
    assert isinstance(generation, Generation)
    assert (generation.text, generation.message["content"]) == ("42", "42")
