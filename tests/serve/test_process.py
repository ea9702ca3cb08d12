"""The server as a process: what a signal does, and what it writes."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.running import Upstream, alias
from support.stub_server import StubServer

PROMPT = "The prompt that nobody shall read"
KEY, UPSTREAM_KEY = "key-of-a-client", "key-of-the-upstream"


class Process:
    """`sampleset serve`, its lines collected."""

    def __init__(self, upstream: StubServer, *options: str, config: Path | None = None) -> None:
        command = [sys.executable, "-m", "sampleset", "serve"]
        command += ["--config", str(config)] if config else ["--model", "stub-model", "--port", "0"]
        command += [] if config else ["--base-url", upstream.base_url]
        self._process = subprocess.Popen(
            [*command, *options],
            env={**os.environ, "OPENAI_API_KEY": UPSTREAM_KEY, "SAMPLESET_API_KEYS": KEY},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=lambda: self.lines.extend(self._process.stdout))
        self._reader.start()

    @property
    def url(self) -> str:
        end = time.monotonic() + 30
        while time.monotonic() < end and self._process.poll() is None:
            for line in self.lines:
                if found := re.search(r"at (http://127.0.0.1:\d+)/v1", line):
                    return found[1]
            time.sleep(0.02)
        raise AssertionError(self.lines)

    def ask(self, key: str = KEY, **more: Any) -> httpx.Response:
        body = {"model": "stub-model", "messages": [{"role": "user", "content": PROMPT}], **more}
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.post(f"{self.url}/v1/chat/completions", json=body, headers=headers, timeout=30)

    def signal(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    def exit_code(self) -> int:
        """Of the process, once it has ended."""
        try:
            return self._process.wait(20)
        finally:
            self._process.kill()
            self._reader.join(5)
            self._process.stdout.close()


@contextmanager
def process(upstream: StubServer, *options: str, config: Path | None = None) -> Iterator[Process]:
    started = Process(upstream, *options, config=config)
    try:
        yield started
    finally:
        started.signal()
        started.exit_code()


def until(met: Any) -> None:
    end = time.monotonic() + 10
    while not met():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("stream", [False, True])
def test_sigterm_ends_what_has_begun_and_then_the_process(stream: bool):
    with StubServer(latency=0.7) as upstream, process(upstream) as server:
        url, replies = server.url, list[httpx.Response]()
        thread = threading.Thread(target=lambda: replies.append(server.ask(stream=stream)))
        thread.start()
        until(lambda: len(upstream.requests) == 5)
        server.signal()
        until(lambda: not listens(url))
        thread.join()
        assert server.exit_code() == 0
        assert upstream.abandoned == 0
    assert replies[0].status_code == 200
    assert not stream or replies[0].text.endswith("data: [DONE]\n\n")


def test_a_second_signal_does_not_wait():
    with StubServer(latency=30) as upstream, process(upstream) as server:

        def left() -> None:
            with pytest.raises(httpx.HTTPError):
                server.ask().raise_for_status()

        thread = threading.Thread(target=left)
        thread.start()
        until(lambda: len(upstream.requests) == 5)
        server.signal()
        time.sleep(0.2)
        server.signal()
        started = time.monotonic()
        assert server.exit_code() == 0
        assert time.monotonic() - started < 5
        thread.join()


@pytest.mark.parametrize("stream", [False, True])
def test_what_the_drain_cuts_off_ends_in_an_error_of_the_api(stream: bool, tmp_path: Path):
    with StubServer(latency=30) as upstream:
        settings = {"models": {"stub-model": alias(upstream, k=2)}, "port": 0, "drain": 0.3}
        config = tmp_path / "serve.yaml"
        config.write_text(json.dumps(settings))
        with process(upstream, config=config) as server:
            replies = list[httpx.Response]()
            url = server.url
            thread = threading.Thread(target=lambda: replies.append(server.ask(stream=stream)))
            thread.start()
            until(lambda: len(upstream.requests) == 2)
            with connected_half(url):
                server.signal()
                assert server.exit_code() == 0
            thread.join()
    (reply,) = replies
    if stream:
        *_, error, done, end = reply.text.split("\n\n")
        assert (done, end) == ("data: [DONE]", "")
        assert json.loads(error.removeprefix("data: "))["error"]["code"] == "server_stopped"
        return
    assert reply.status_code == 503
    assert reply.json()["error"]["code"] == "server_stopped"
    assert reply.headers["retry-after"] == "1"


@contextmanager
def connected_half(url: str) -> Iterator[None]:
    """A client that has sent half of a body."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as opened:
        opened.sendall(
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n"
            "Content-Length: 99\r\n\r\n{".encode()
        )
        yield
        assert b" 503 " in opened.recv(4096)


def listens(url: str) -> bool:
    try:
        httpx.get(f"{url}/health", timeout=5)
    except httpx.HTTPError:
        return False
    return True


def test_no_key_prompt_or_reply_is_written_whatever_happens():
    secret = "a reply that nobody shall read"
    with Upstream(api_key=None) as upstream, process(upstream, "-k", "2") as server:
        upstream.says = lambda request: f"{secret} \\boxed{{4}}"
        assert server.ask().status_code == 200
        assert server.ask(stream=True).status_code == 200
        assert server.ask(key="a-wrong-key").status_code == 401
        assert server.ask(temperature=PROMPT).status_code == 400
        assert server.ask(model=PROMPT).status_code == 404
        upstream.says = lambda request: {"content": [secret], "tool_calls": secret}
        odd = server.ask()
        assert upstream.keys[0] == UPSTREAM_KEY
    written = "".join(server.lines)
    assert "stub-model k=2 n=1: 200 in" in written
    for word in (KEY, "a-wrong-key", UPSTREAM_KEY, PROMPT, secret):
        assert word not in written
    for word in (KEY, UPSTREAM_KEY):
        assert word not in odd.text


def test_an_upstream_that_repeats_the_key_is_not_repeated():
    with StubServer(api_key="another") as upstream, process(upstream) as server:
        reply = server.ask()
    assert reply.status_code == 502
    assert UPSTREAM_KEY not in reply.text + "".join(server.lines)
