"""A server in a thread of its own, and an upstream that says what a test wants it to say."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sampleset.serve.config import serve_config
from sampleset.serve.server import GracefulServer, serve
from sampleset.storage.files import write_rows
from support.stub_server import Reply, StubServer

Says = Callable[[dict[str, Any]], Any]
"""A request → a text, a message, a whole `Reply`, or a fault's name."""


@dataclass
class Upstream(StubServer):
    """The stub with replies by a function of the request."""

    says: Says = field(default=lambda request: "\\boxed{4}")

    async def _answer(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, reader: Any
    ) -> Any:
        if (method, path) != ("POST", "/v1/chat/completions"):
            return await super()._answer(method, path, headers, body, reader)
        request = json.loads(body)
        self.requests.append(request)
        self.keys.append(headers.get("authorization", "").removeprefix("Bearer "))
        said = self.says(request)
        if isinstance(said, Reply):
            return said
        if said == "hang":
            await self._stays(reader, float("inf"))
            return None
        if not await self._stays(reader, self.latency):
            return None
        message = {"content": said} if isinstance(said, str) else said
        choice = {"index": 0, "message": {"role": "assistant", **message}}
        choice["finish_reason"] = "tool_calls" if "tool_calls" in message else "stop"
        if request.get("logprobs"):
            choice["logprobs"] = {"content": [{"token": "4", "logprob": -0.1}]}
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        return Reply(200, {"object": "chat.completion", "choices": [choice], "usage": usage})


@dataclass
class Running:
    """A server that listens."""

    port: int
    server: GracefulServer
    thread: threading.Thread

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    def stop(self) -> None:
        """Ask it to stop, as a signal does."""
        self.server.should_exit = True


@contextmanager
def running(models: Mapping[str, Any], **settings: Any) -> Iterator[Running]:
    """A server of these aliases on a free port."""
    config = serve_config({"models": dict(models), "port": 0, **settings})
    ready, found, failed = threading.Event(), list[Running](), list[BaseException]()

    def started(server: GracefulServer, port: int) -> None:
        found.append(Running(port, server, thread))
        ready.set()

    def work() -> None:
        try:
            asyncio.run(serve(config, started))
        except BaseException as error:
            failed.append(error)
            ready.set()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert ready.wait(120)
    if failed:
        raise failed[0]
    try:
        yield found[0]
    finally:
        found[0].stop()
        thread.join(60)
        assert not thread.is_alive()


def alias(upstream: StubServer, **more: Any) -> dict[str, Any]:
    """An alias of one upstream."""
    return {"upstreams": [{"model": "stub-model", "base_url": upstream.base_url}], **more}


def local_alias(
    folder: Path, question: str, text: str = "So it is \\boxed{4}.", **more: Any
) -> dict[str, Any]:
    """An alias of a model in the server's process that knows one question."""
    path = folder / "draws.jsonl"
    samples = [{"index": 0, "text": text, "prompt_tokens": 7, "completion_tokens": 4}]
    write_rows(path, [{"id": "q", "question": question, "samples": samples}])
    return {"upstreams": [{"model": f"replay:{path}"}], "k": 3, **more}


def call(name: str, arguments: str) -> dict[str, Any]:
    """A message that calls one tool."""
    function = {"name": name, "arguments": arguments}
    return {"content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": function}]}
