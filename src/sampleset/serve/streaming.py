"""Server-sent events, and work that ends when its client leaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sampleset.serve.api_errors import ApiError
from sampleset.wire.beside import MOST_AT_ONCE, size_of

T = TypeVar("T")
Event = Mapping[str, Any] | str
"""A JSON value, or `[DONE]`."""
Emit = Callable[[Event], None]
"""Sends one event."""

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]
_PIECE_BYTES = 2**17
_COMMENT = b": keep-alive\n\n"


class Stop:
    """The end of a server. Work that is not done ends in an error that its client understands."""

    def __init__(self) -> None:
        self._is_over = False
        self._working = set[asyncio.Task[Any]]()

    def cut_off(self) -> None:
        """Cancel all work."""
        self._is_over = True
        for task in self._working:
            task.cancel()

    async def unless(self, work: Awaitable[T]) -> T:
        """Return the result of the work. No task is made for it: most requests end before the server does.

        Raises:
            ApiError: 503, the server was stopped before, and the work was cancelled.
        """
        task = asyncio.current_task()
        assert task is not None
        self._working.add(task)
        try:
            return await work
        except asyncio.CancelledError:
            if not self._is_over:
                raise
            task.uncancel()
            raise ApiError(
                503,
                "The server was stopped before this request was answered. Ask again.",
                code="server_stopped",
                retry_after=1,
            ) from None
        finally:
            self._working.discard(task)


class EventStream:
    """A response whose events are made while it is sent. A comment opens it, and fills its silences.

    Args:
        produce: Makes the events; cancelled when the client leaves. Handles its own errors.
        keep_alive: Seconds between two comments.
        on_end: Called when all is sent, or nobody listens any more.
    """

    def __init__(
        self,
        produce: Callable[[Emit], Coroutine[Any, Any, None]],
        keep_alive: float,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._produce = produce
        self._keep_alive = keep_alive
        self._on_end = on_end
        self._headers = list(_HEADERS)

    def add_headers(self, headers: Mapping[str, str]) -> None:
        """Send these, too."""
        self._headers += [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it all."""
        queue: asyncio.Queue[bytes | Event | None] = asyncio.Queue()

        def emit(event: Event) -> None:
            is_long = size_of(event) > MOST_AT_ONCE
            queue.put_nowait(event if is_long else _written(event))

        producer = asyncio.create_task(self._produce(emit))
        producer.add_done_callback(lambda _: queue.put_nowait(None))
        listener = asyncio.create_task(_gone(receive))
        listener.add_done_callback(lambda _: producer.cancel())
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self._headers})
            await send({"type": "http.response.body", "body": _COMMENT, "more_body": True})
            while (data := await self._next(queue)) is not None:
                await _send_pieces(data, send)
            await send({"type": "http.response.body", "body": b""})
        finally:
            producer.cancel()
            listener.cancel()
            await asyncio.gather(producer, listener, return_exceptions=True)
            self._on_end()

    async def _next(self, queue: asyncio.Queue[bytes | Event | None]) -> bytes | None:
        """The next event, a comment after a while without one, or the end."""
        try:
            async with asyncio.timeout(self._keep_alive):
                event = await queue.get()
        except TimeoutError:
            return _COMMENT
        if event is None or isinstance(event, bytes):
            return event
        return await asyncio.to_thread(_written, event)


class LongResponse(Response):
    """A response whose body is sent piece by piece: a connection copies all that it cannot send at once."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it all."""
        if len(self.body) <= _PIECE_BYTES:
            return await super().__call__(scope, receive, send)
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await _send_pieces(bytes(self.body), send)
        await send({"type": "http.response.body", "body": b""})


async def _send_pieces(data: bytes, send: Send) -> None:
    """Send a part of a body, a long one piece by piece."""
    for start in range(0, len(data), _PIECE_BYTES):
        piece = data[start : start + _PIECE_BYTES]
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        if len(data) > _PIECE_BYTES:
            await asyncio.sleep(0)


async def unless_gone(work: Awaitable[T], receive: Receive) -> T | None:
    """Return the result of the work. If the client leaves before, cancel the work and return `None`."""
    task, listener = asyncio.ensure_future(work), asyncio.create_task(_gone(receive))
    try:
        await asyncio.wait((task, listener), return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        task.cancel()
        listener.cancel()
        await asyncio.gather(task, listener, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _written(value: Mapping[str, Any] | str) -> bytes:
    if isinstance(value, str):
        return f"data: {value}\n\n".encode()
    # Events of the APIs that name them; chunks of the chat API have no type.
    name = f"event: {value['type']}\n" if "type" in value else ""
    return f"{name}data: {json.dumps(value)}\n\n".encode()
