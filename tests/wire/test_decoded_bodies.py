"""Bodies of replies: the fast reader's value where the body is plain JSON, and what servers send besides."""

import json

import pytest

from sampleset.wire.replies import decoded


@pytest.mark.parametrize(
    ("body", "value"),
    [
        pytest.param(b' {"a": [1, -0.25, 1e5, null]} ', {"a": [1, -0.25, 1e5, None]}, id="plain"),
        pytest.param(b'\xef\xbb\xbf{"a": 1}', {"a": 1}, id="a byte order mark"),
        pytest.param(b'{"a": -Infinity}', {"a": -9999.0}, id="a probability of 0"),
        pytest.param(b'{"a": "1\n2"}', {"a": "1\n2"}, id="a line break within a text"),
        pytest.param(b'{"a": 1}\n\x00', {"a": 1}, id="a zero byte at the end"),
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


def test_numbers_are_read_to_the_last_bit():
    numbers = [1 / 3, -2.2250738585072014e-308, 0.1 + 0.2, -9.313225746154785e-10]
    assert decoded(json.dumps(numbers).encode()) == numbers


@pytest.mark.parametrize("body", [b"", b"{", b'{"a": 1} x', b'"\xff"', b"[" * 100_000])
def test_a_body_that_is_no_json_is_refused(body: bytes):
    with pytest.raises((ValueError, RecursionError)):
        decoded(body)
