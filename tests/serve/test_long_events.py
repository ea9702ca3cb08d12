"""Long events are written beside the loop and sent in pieces; long texts are not read again and again."""

import json
import threading
from typing import Any

import pytest

from sampleset.serve import streaming, voice
from sampleset.serve.dialects.responses import Responses
from sampleset.serve.streaming import EventStream
from sampleset.serve.voice import MOST_HEARD, Voice


async def sent(events: list[Any]) -> list[bytes]:
    """The parts of a response of these events."""
    parts: list[bytes] = []

    async def produce(emit: Any) -> None:
        for event in events:
            emit(event)

    async def receive() -> dict[str, Any]:
        await never.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            parts.append(message["body"])

    import asyncio

    never = asyncio.Event()
    await EventStream(produce, keep_alive=5)({"type": "http"}, receive, send)
    return parts


async def test_a_long_event_is_written_beside_the_loop_and_sent_in_pieces_in_its_place(
    monkeypatch: pytest.MonkeyPatch,
):
    threads: dict[str, int] = {}

    def written(event: Any) -> bytes:
        threads[event["id"]] = threading.get_ident()
        return plain(event)

    plain = streaming._written
    monkeypatch.setattr(streaming, "_written", written)
    events = [{"id": "a"}, {"id": "b", "arguments": "4" * 1_000_000}, {"id": "c"}]
    parts = await sent(events)
    assert max(map(len, parts)) <= 2**17
    lines = b"".join(parts).decode().split("\n\n")
    assert [json.loads(line[6:]) for line in lines if line.startswith("data: ")] == events
    here = threading.get_ident()
    assert [name for name, thread in threads.items() if thread != here] == ["b"]


def test_a_text_that_goes_on_is_read_anew_up_to_a_length_only(monkeypatch: pytest.MonkeyPatch):
    read: list[int] = []
    monkeypatch.setattr(voice, "so_far", lambda text, thinks: read.append(len(text)) or ("", text))
    heard: list[str] = []
    listener = Voice("content", 0, lambda field, text: heard.append(text)).listener()
    for _ in range(1000):
        listener(0, "x" * 1000)
    assert max(read) <= MOST_HEARD + 1000
    assert sum(map(len, heard)) == MOST_HEARD + 1000


def test_the_responses_api_joins_a_text_once_for_each_event_that_holds_it(monkeypatch: pytest.MonkeyPatch):
    from sampleset.serve.dialects import responses

    joins = 0

    def text(events: Any) -> str:
        nonlocal joins
        joins += 1
        return "".join(events._pieces)

    monkeypatch.setattr(responses._Events, "_text", property(text))
    dialect = Responses.__new__(Responses)
    monkeypatch.setattr(Responses, "response", lambda self, value, **fields: fields)
    told: list[Any] = []
    take = responses._Events(dialect, told.append)
    head = {"id": "chatcmpl-1", "created": 1, "model": "m"}
    for _ in range(2000):
        take({**head, "choices": [{"delta": {"content": "so "}, "finish_reason": None}]})
    end = {"delta": {}, "finish_reason": "stop", "sampleset": {}, "logprobs": None}
    take({**head, "choices": [end]})
    assert joins <= 3
    assert told[-1]["item"]["content"][0]["text"] == "so " * 2000
