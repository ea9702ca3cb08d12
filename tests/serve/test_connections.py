"""How many connections there may be, and how long a request may take to arrive."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from sampleset.serve.config import serve_config
from sampleset.serve.connections import Connections
from support.running import Running, Upstream, alias, running

QUESTION = {"model": "careful", "messages": [{"role": "user", "content": "What is 2 + 2?"}]}


@contextmanager
def serving(**settings: Any) -> Iterator[Running]:
    with Upstream() as upstream, running({"careful": alias(upstream, k=1)}, **settings) as server:
        yield server


def connected(server: Running, said: bytes = b"") -> socket.socket:
    opened = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    opened.sendall(said)
    return opened


def heard(opened: socket.socket) -> bytes:
    """All that comes until the server closes."""
    parts = list[bytes]()
    try:
        while part := opened.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET /health HT", id="half a line"),
        pytest.param(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-A: b\r\n", id="half a header"),
        pytest.param(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{",
            id="half a body",
        ),
        pytest.param(
            b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{",
            id="half a body that nobody reads",
        ),
    ],
)
def test_a_request_that_does_not_arrive_in_time_ends_its_connection(said: bytes):
    with serving(header_seconds=0.5, body_seconds=0.5) as server, connected(server, said) as opened:
        started = time.monotonic()
        reply = heard(opened)
        assert 0.3 < time.monotonic() - started < 15
    assert b" 408 " in reply or b"nowhere" in said
    if reply.startswith(b"HTTP/1.1 408"):
        assert "error" in json.loads(reply.partition(b"\r\n\r\n")[2])


BEGIN = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"HELLO\r\n\r\n", id="no HTTP"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="TLS"),
        pytest.param(BEGIN + b"Content-Length: x\r\n\r\n", id="no length"),
        pytest.param(BEGIN + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n", id="no chunk"),
        pytest.param(b"GET /health HTTP/1.1\r\nHost: a\x00b\r\n\r\n", id="a NUL"),
    ],
)
def test_what_is_no_http_gets_an_error_in_the_form_of_the_others(said: bytes):
    with serving() as server, connected(server, said) as opened:
        head, _, body = heard(opened).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"content-type: application/json" in head
    assert json.loads(body)["error"]["code"] == "invalid_http"


def test_a_second_request_has_no_more_time_than_the_first():
    with serving(header_seconds=0.5) as server, connected(server) as opened:
        opened.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert opened.recv(65536).startswith(b"HTTP/1.1 200")
        opened.sendall(b"GET /hea")
        assert b" 408 " in heard(opened)


def test_a_client_that_sends_a_byte_now_and_then_gets_no_more_time():
    with serving(header_seconds=1.0) as server, connected(server, b"GET / HTTP/1.1\r\nX-A: ") as opened:
        opened.settimeout(0.1)
        end = time.monotonic() + 15
        with pytest.raises((BrokenPipeError, ConnectionResetError, EOFError)):
            while time.monotonic() < end:
                opened.sendall(b"a")
                try:
                    if not opened.recv(4096):
                        raise EOFError
                except TimeoutError:
                    pass


def test_a_header_has_an_end():
    with serving() as server, connected(server, b"GET / HTTP/1.1\r\nX-A: ") as opened:
        for _ in range(40):
            try:
                opened.sendall(b"a" * 4096)
            except OSError:
                break
        assert b" 431 " in heard(opened)


def test_half_open_connections_make_room_for_those_that_ask():
    with serving(max_connections=20, header_seconds=60.0) as server:
        silent = [connected(server, b"GET /hea") for _ in range(15)]
        time.sleep(1.2)
        replies = [httpx.get(f"{server.url}/health").status_code for _ in range(10)]
        for opened in silent:
            opened.close()
    assert replies == [200] * 10


def test_where_all_connections_are_at_work_the_next_is_told_so():
    with Upstream(says=lambda request: "hang") as upstream:
        models = {"careful": alias(upstream, k=1, deadline=30.0)}
        with running(models, max_connections=8, max_connections_per_peer=4) as server:
            body = json.dumps(QUESTION).encode()
            head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
            busy = [connected(server, head % len(body) + body) for _ in range(4)]
            end = time.monotonic() + 10
            while len(upstream.requests) < 4 and time.monotonic() < end:
                time.sleep(0.02)
            reply = httpx.get(f"{server.url}/health")
            for opened in busy:
                opened.close()
    assert reply.status_code == 503
    assert reply.json()["error"]["code"] == "too_many_connections"
    assert reply.headers["retry-after"] == "1"


def test_connections_never_take_more_than_half_of_the_files():
    models = {"careful": {"upstreams": [{"model": "m", "base_url": "http://localhost:1/v1"}]}}
    config = serve_config({"models": models})
    limits = Connections(config, files=1024)
    assert (limits.most, limits.most_of_a_peer) == (448, 336)
    roomy = Connections(config, files=65_536)
    assert (roomy.most, roomy.most_of_a_peer) == (4096, 3072)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("a" * 3000, id="a long name"),
        pytest.param(f"katex/fonts/{'a' * 3000}.woff2", id="a font of a long name"),
        pytest.param("katex/fonts/%00.woff2", id="a NUL"),
        pytest.param("katex/fonts/%ed%a0%80.woff2", id="half a character"),
    ],
)
def test_a_file_that_cannot_be_is_not_there(path: str, caplog: pytest.LogCaptureFixture):
    with serving() as server:
        reply = httpx.get(f"{server.url}/static/{path}")
    assert reply.status_code == 404
    assert "Traceback" not in caplog.text
