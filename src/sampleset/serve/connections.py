"""Connections: how many a peer and all together may hold, and how long a request may take to arrive.

A connection without a request in work is closed when its next request has begun and its header, or its body,
is not whole in time. A new connection beyond the limit replaces the oldest without work. If there
is none, the new connection gets status 503.
"""

from __future__ import annotations

import asyncio
import json
import resource
from collections import Counter
from typing import TYPE_CHECKING, Any

from uvicorn.config import Config
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from sampleset.serve.api_errors import ApiError
from sampleset.serve.config import ServeConfig

MOST_HEADER_BYTES = 64_000
_HELD_BACK = 128
"""File descriptors that are never a client's: models, files, the log."""
_FRESH_SECONDS = 1.0
"""So old is a connection before another may take its place: its request may be on its way."""
_REASONS = {
    400: "Bad Request",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}
if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as _Protocol
else:
    _Protocol = AutoHTTPProtocol


def raise_file_limit() -> int:
    """Allow this process as many open files as it may; returns how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return wanted if soft == resource.RLIM_INFINITY else soft


class Connections:
    """The open connections of one server.

    Args:
        config: The limits. They are lowered to half of the files that the process may open: an answer needs
            connections to upstreams, too.
        files: How many files the process may open.
    """

    def __init__(self, config: ServeConfig, files: int) -> None:
        self.config = config
        room = max(8, (files - _HELD_BACK) // 2)
        self.most = min(config.max_connections, room)
        self.most_of_a_peer = min(config.max_connections_per_peer, max(4, self.most * 3 // 4))
        self._open: dict[Any, None] = {}
        self._of_peers: Counter[str] = Counter()

    def protocol(self) -> type[asyncio.Protocol]:
        """The class of uvicorn's protocol that keeps to these limits."""
        connections = self

        class Limited(_Limited):
            limits = connections

        return Limited

    def has_room(self, connection: Any) -> bool:
        """Whether a new connection may stay; an older one may have to go for it."""
        peer = connection.peer
        if self._of_peers[peer] >= self.most_of_a_peer:
            return self._evicted(peer)
        return len(self._open) < self.most or self._evicted(None)

    def add(self, connection: Any) -> None:
        """Count a connection that stays."""
        self._open[connection] = None
        self._of_peers[connection.peer] += 1

    def remove(self, connection: Any) -> None:
        """Forget a connection that is closed."""
        if connection in self._open:
            del self._open[connection]
            self._of_peers[connection.peer] -= 1
            if not self._of_peers[connection.peer]:
                del self._of_peers[connection.peer]

    def _evicted(self, peer: str | None) -> bool:
        """Whether a connection without work has been closed, the oldest of the peer or of all."""
        now = asyncio.get_running_loop().time()
        for connection in self._open:
            if now - connection.since < _FRESH_SECONDS:
                break
            if (peer is None or connection.peer == peer) and not connection.is_at_work:
                self.remove(connection)
                connection.transport.abort()
                return True
        return False


class _Limited(_Protocol):
    """uvicorn's protocol with limits of time, size and number."""

    limits: Connections

    def __init__(
        self, config: Config, server_state: Any, app_state: dict[str, Any], _loop: Any = None
    ) -> None:
        super().__init__(config=config, server_state=server_state, app_state=app_state, _loop=_loop)
        self.peer, self.since = "", 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._header_bytes = 0
        self._waits_for = ""

    @property
    def is_answering(self) -> bool:
        """Whether a request's header is there, and its response is not complete."""
        cycle: Any = self.cycle
        return cycle is not None and not cycle.response_complete

    @property
    def is_at_work(self) -> bool:
        """Whether a request that is whole is being answered."""
        return self.is_answering and not self.cycle.more_body

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.peer = self.client[0] if self.client else ""
        self.since = self.loop.time()
        if not self.limits.has_room(self):
            self._refuse(
                503, "The server holds as many connections as it may. Try again.", "too_many_connections"
            )
            return
        self.limits.add(self)
        self._watch("header")

    def connection_lost(self, exc: Exception | None) -> None:
        self.limits.remove(self)
        self._watch("")
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self.transport.is_closing():
            return
        cycle: Any = self.cycle
        if cycle is not None and cycle.more_body:
            self._watch("body")
        elif self.is_answering:
            self._watch("")
        else:
            # A part of a header, before the first request or behind one that is answered.
            self._header_bytes += len(data)
            if self._header_bytes > MOST_HEADER_BYTES:
                message = f"The request's header is longer than {MOST_HEADER_BYTES} bytes."
                self._refuse(431, message, "header_too_large")
                return
            self._watch("header")
            return
        self._header_bytes = 0

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP in the form of the other errors."""
        if self.is_answering and self.cycle.response_started:
            self.transport.abort()
            return
        message = "This is no valid HTTP request. The server speaks HTTP/1.1 without TLS."
        self._refuse(400, message, "invalid_http")

    def pause_writing(self) -> None:
        """The client does not read; it is given as long as for a body."""
        super().pause_writing()
        if self._stalled is None:
            self._stalled = self.loop.call_later(self.limits.config.body_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        super().resume_writing()

    def _watch(self, waits_for: str) -> None:
        """Limit the time until the header or body is whole. For the same part the clock runs on."""
        if waits_for == self._waits_for:
            return
        self._waits_for = waits_for
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if waits_for:
            config = self.limits.config
            seconds = config.header_seconds if waits_for == "header" else config.body_seconds
            self._timer = self.loop.call_later(seconds, self._late)

    def _late(self) -> None:
        """Close a connection whose request did not arrive in time."""
        what, cycle = self._waits_for, self.cycle
        if self.transport.is_closing() or (what == "body" and not cycle.more_body):
            return
        if what == "body" and cycle.response_started:
            self.transport.abort()
        else:
            self._refuse(408, f"The request's {what} did not arrive in time.", "request_timeout")

    def _refuse(self, status: int, message: str, code: str) -> None:
        """Answer outside of any request, and close."""
        body = json.dumps(ApiError(status, message, code=code).body()).encode()
        wait = "retry-after: 1\r\n" if status in (408, 503) else ""
        head = (
            f"HTTP/1.1 {status} {_REASONS[status]}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n{wait}connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
        # A client that does not read must not keep the connection.
        self.loop.call_later(_FRESH_SECONDS, self.transport.abort)
