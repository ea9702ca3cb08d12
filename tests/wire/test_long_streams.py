"""A long stream is read in pieces of a bounded size, and no order of its events makes reading it longer."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from sampleset.backends.openai import OpenAIBackend
from sampleset.chat import SamplingParams
from sampleset.errors import TransientBackendError
from sampleset.wire import beside as beside_module
from sampleset.wire import stream as stream_module
from sampleset.wire import tool_calls as tool_calls_module
from sampleset.wire.beside import MOST_AT_ONCE, size_of
from sampleset.wire.parsing import parsed
from sampleset.wire.stream import StreamedCompletion
from support.stub_server import Reply, StubServer


def event(**choice: Any) -> bytes:
    return f"data: {json.dumps({'choices': [choice]})}\n\n".encode()


def call_piece(arguments: str, **fields: Any) -> bytes:
    return event(delta={"tool_calls": [{"index": 0, **fields, "function": {"arguments": arguments}}]})


END = event(delta={}, finish_reason="tool_calls") + b"data: [DONE]\n\n"


def long_streams() -> Iterator[Any]:
    begin = event(delta={"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f"}}]})
    yield pytest.param(begin + call_piece('{"x": "' + "y" * 400_000 + '"}'), id="arguments in one event")
    yield pytest.param(
        begin + call_piece('{"x": "') + call_piece("y" * 50) * 4000 + call_piece('"}'), id="in small pieces"
    )
    yield pytest.param(begin + call_piece("[" * 9 + '"}', id="b") * 4000, id="with other ids")
    yield pytest.param(
        event(delta={"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}]})
        * 3000,
        id="the same call again",
    )
    yield pytest.param(
        b"".join(
            event(
                delta={"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": f'{{"x": {n}}}'}}]}
            )
            for n in range(3000)
        ),
        id="many calls",
    )
    yield pytest.param(event(delta={"reasoning_details": [{"text": "so"}]}) * 5000, id="lists")


@pytest.mark.parametrize("events", list(long_streams()))
@pytest.mark.parametrize("size", [100, 4096, 200_000])
def test_reading_grows_with_what_comes_and_no_faster(
    events: bytes, size: int, monkeypatch: pytest.MonkeyPatch
):
    """Counts the bytes that are searched for line ends and read as JSON."""
    read = 0

    def counted(text: Any, **options: Any) -> Any:
        nonlocal read
        read += len(text)
        return parsed(text, **options)

    monkeypatch.setattr(stream_module, "parsed", counted)
    monkeypatch.setattr(tool_calls_module, "parsed", counted)

    class Counted:
        def split(self, buffer: bytes) -> list[bytes]:
            nonlocal read
            read += len(buffer)
            return line_end.split(buffer)

    line_end = stream_module._LINE_END
    monkeypatch.setattr(stream_module, "_LINE_END", Counted())

    stream, announced = StreamedCompletion(), 0
    raw = events + END
    for start in range(0, len(raw), size):
        part = raw[start : start + size]
        before, work = read, stream.work(part)
        stream.feed(part)
        assert read - before <= 12 * work + 20_000
        announced += work
    assert stream.body()["choices"]
    assert read <= 8 * len(raw) + 20_000


class Turns:
    """Counts the turns of the loop."""

    def __init__(self) -> None:
        self.count = 0

    async def run(self) -> None:
        while True:
            self.count += 1
            await asyncio.sleep(0)


@pytest.mark.parametrize("events", list(long_streams()))
async def test_others_get_their_turn_while_a_long_stream_is_read(
    events: bytes, monkeypatch: pytest.MonkeyPatch
):
    """Between two turns of the loop no more is read on it than takes about a millisecond."""
    turns, seen, most = Turns(), {"turn": 0, "bytes": 0}, 0
    feed = StreamedCompletion.feed
    is_beside = False

    def counted(stream: StreamedCompletion, part: bytes) -> list[str]:
        nonlocal most
        if not is_beside:
            if seen["turn"] != turns.count:
                seen.update(turn=turns.count, bytes=0)
            seen["bytes"] += stream.work(part)
            most = max(most, seen["bytes"])
        return feed(stream, part)

    to_thread = asyncio.to_thread

    async def marked(function: Any, *arguments: Any) -> Any:
        nonlocal is_beside
        is_beside = True
        try:
            return await to_thread(function, *arguments)
        finally:
            is_beside = False

    monkeypatch.setattr(StreamedCompletion, "feed", counted)
    monkeypatch.setattr(beside_module.asyncio, "to_thread", marked)
    stream = Reply(200, (events + END).decode(), {"content-type": "text/event-stream"})
    with StubServer(script=[stream]) as stub:
        backend = OpenAIBackend("stub-model", stub.base_url)
        other = asyncio.create_task(turns.run())
        try:
            await backend.generate([{"role": "user", "content": "?"}], SamplingParams(), [0])
        except TransientBackendError as error:
            assert "a damaged tool call" in str(error)
        finally:
            other.cancel()
            await backend.aclose()
    assert 0 < most <= 2 * MOST_AT_ONCE
    assert turns.count > len(events) // 4096


@pytest.mark.parametrize(
    ("value", "is_long"),
    [
        pytest.param({"choices": [{"delta": {"content": "4"}}]}, False, id="a token"),
        pytest.param({"choices": [{"delta": {"content": "4" * 70_000}}]}, True, id="a long text"),
        pytest.param({"logprobs": [{"token": "4", "logprob": -1.0}] * 3000}, True, id="many rows"),
        pytest.param({"x" * 70_000: 1}, True, id="a long name"),
        pytest.param({str(n): n for n in range(7000)}, True, id="many names"),
        pytest.param({1: "a", 2: ["b"]}, False, id="names that are numbers"),
        pytest.param([0] * 7000, True, id="many numbers"),
    ],
)
def test_the_size_of_a_value_tells_whether_it_is_written_beside_the_loop(value: Any, is_long: bool):
    assert (size_of(value) > MOST_AT_ONCE) is is_long
