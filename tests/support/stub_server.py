"""A stand-in for an OpenAI-compatible server: standard library only, deterministic, faulty on request.

In a test: `with StubServer() as server:` and then `server.base_url`, `server.requests`. From a shell:

    python tests/stub_server.py --port 8123 --latency 0.01 --fail-rate 0.3 --seed 0 --log draws.jsonl
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
import signal
import socket
import struct
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

FAULTS = (
    "429",  # too many requests, with Retry-After: 0
    "500",  # internal error
    "reset",  # the connection is reset before any answer
    "truncated",  # 200, the JSON is cut off
    "empty",  # 200, the text is empty
    "null",  # 200, the text is null
    "no_choices",  # 200, without a choice
    "hang",  # no answer until the client leaves
)
RANDOM_FAULTS = ("429", "500", "reset", "truncated", "empty")


@dataclass(frozen=True)
class Reply:
    """An answer as it goes over the wire; a `str` body is sent as it is."""

    status: int
    body: Mapping[str, Any] | Sequence[Any] | str
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


def stub_text(question: str, seed: int | None) -> str:
    """What the stub writes: a pure function, right (that is, the same answer) about six times in ten."""
    draw = random.Random(hashlib.sha256(f"{question}\0{seed}".encode()).digest())
    answer = int.from_bytes(hashlib.sha256(question.encode()).digest()[:2]) % 1000
    if draw.random() > 0.6:
        answer += draw.randint(1, 3)
    steps = " ".join(f"step {draw.randint(0, 999)}," for _ in range(draw.randint(2, 8)))
    return f"Let us think: {steps} so the answer is \\boxed{{{answer}}}."


def error_reply(
    status: int, message: str, *, code: object = None, param: str | None = None, **headers: str
) -> Reply:
    """An error in OpenAI's shape; `retry_after="1"` becomes the header `retry-after`."""
    error = {"message": message, "type": "stub_error", "param": param, "code": code}
    return Reply(status, {"error": error}, {name.replace("_", "-"): value for name, value in headers.items()})


@dataclass
class StubServer:
    """The server; a context manager that serves from a thread of its own.

    Attributes:
        models: Names it knows.
        owned_by: What `/v1/models` says of every model, e.g. `vllm`.
        listing: Replaces the answer to `/v1/models`.
        api_key: The only key it accepts; `None` accepts all.
        latency: Seconds a draw takes.
        fail_rate: Share of chat requests that get a fault of `fail_kinds`, by a generator seeded with `seed`.
        script: Faults (or replies) of the next chat requests, in order; `None` serves one as usual.
        honours_seed: If not, all draws of a question are equal.
        honours_n: If not, one choice comes back whatever `n` says.
        refuses: Fields that are answered by a 400 (`max_tokens` demands `max_completion_tokens`).
        context_size: Most words of prompt and completion together.
        usage: Whether replies count tokens (words, here).
        log: File that gets one JSON line for every draw served, written before its reply is sent.
        requests: Bodies of the chat requests so far.
        keys: Keys of all requests so far.
        abandoned: Requests whose client left before the answer.
        connections: Connections opened so far.
    """

    models: Sequence[str] = ("stub-model",)
    owned_by: str = "stub"
    listing: Reply | None = None
    api_key: str | None = None
    latency: float = 0.0
    fail_rate: float = 0.0
    fail_kinds: Sequence[str] = RANDOM_FAULTS
    seed: int = 0
    script: Iterable[str | Reply | None] = ()
    honours_seed: bool = True
    honours_n: bool = True
    refuses: Sequence[str] = ()
    context_size: int | None = None
    usage: bool = True
    log: Path | None = None
    port: int = 0

    def __post_init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.abandoned = 0
        self.connections = 0
        self._script = iter(self.script)
        self._random = random.Random(self.seed)
        self._clients: set[asyncio.Task[None]] = set()

    @property
    def base_url(self) -> str:
        """Address for an OpenAI client, up to `/v1`."""
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Self:
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True)
        self._thread.start()
        if not ready.wait(10):
            raise RuntimeError("The stub server did not start.")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _serve(self, ready: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(
            self._converse, "127.0.0.1", self.port, limit=1 << 24, backlog=1024
        )
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await self._stop.wait()
        # A connection that is just accepted needs some turns before it can be cancelled, and a server that is
        # still open: asyncio leaves its socket open otherwise.
        for listener in server.sockets:
            self._loop.remove_reader(listener.fileno())
        for _ in range(5):
            await asyncio.sleep(0)
        server.close()
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        await asyncio.sleep(0)  # an aborted transport closes its socket in the next turn of the loop

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request after the other on a connection that stays open (HTTP/1.1 keep-alive)."""
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, path, _ = head[0].split(" ")
                pairs = (line.partition(":") for line in head[1:] if line)
                headers = {name.lower(): value.strip() for name, _, value in pairs}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                reply = await self._answer(method, path, headers, body, reader)
                if reply is None:
                    linger = struct.pack("ii", 1, 0)  # makes the close a reset
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    return
                content = (reply.body if isinstance(reply.body, str) else json.dumps(reply.body)).encode()
                fields = {
                    "content-type": "application/json",
                    "content-length": str(len(content)),
                    **reply.headers,
                }
                lines = [
                    f"HTTP/1.1 {reply.status} -",
                    *(f"{name}: {value}" for name, value in fields.items()),
                ]
                writer.write("\r\n".join([*lines, "", ""]).encode() + content)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._clients.discard(task)
            writer.transport.abort()

    async def _answer(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, reader: asyncio.StreamReader
    ) -> Reply | None:
        """The reply to one request; `None` resets the connection."""
        self.keys.append(headers.get("authorization", "").removeprefix("Bearer "))
        if self.api_key is not None and self.keys[-1] != self.api_key:
            return error_reply(401, f"Incorrect API key provided: {self.keys[-1]}", code="invalid_api_key")
        if (method, path) == ("GET", "/v1/models"):
            rows = [{"id": name, "object": "model", "owned_by": self.owned_by} for name in self.models]
            return self.listing or Reply(200, {"object": "list", "data": rows})
        if (method, path) != ("POST", "/v1/chat/completions"):
            return Reply(404, {"detail": "Not Found"})
        request = json.loads(body)
        self.requests.append(request)
        fault = next(self._script, None)
        if fault is None and self._random.random() < self.fail_rate:
            fault = self._random.choice(self.fail_kinds)
        if isinstance(fault, Reply):
            return fault
        return self._refusal(request) or await self._chat(request, fault, reader)

    def _refusal(self, request: Mapping[str, Any]) -> Reply | None:
        if request["model"] not in self.models:
            return error_reply(404, f"The model `{request['model']}` does not exist.", code="model_not_found")
        for name in self.refuses:
            if name in request:
                hint = " Use 'max_completion_tokens' instead." if name == "max_tokens" else ""
                return error_reply(400, f"Unsupported parameter: {name!r}.{hint}", param=name)
        words = sum(len(message["content"].split()) for message in request["messages"])
        if self.context_size is not None and words + _limit(request) > self.context_size:
            text = f"This model's maximum context length is {self.context_size} tokens."
            return error_reply(400, text, code="context_length_exceeded")
        return None

    async def _chat(
        self, request: Mapping[str, Any], fault: str | None, reader: asyncio.StreamReader
    ) -> Reply | None:
        if fault == "429":
            return error_reply(429, "Too many requests.", code="rate_limit_exceeded", retry_after="0")
        if fault == "500":
            return error_reply(500, "The stub failed as it was told to.")
        if fault == "reset" or not await self._stays(
            reader, float("inf") if fault == "hang" else self.latency
        ):
            return None
        question = next(m["content"] for m in reversed(request["messages"]) if m["role"] == "user")
        count = request.get("n", 1) if self.honours_n else 1
        seed = request.get("seed") if self.honours_seed else None
        seeds = [seed if seed is None else seed + place for place in range(count)]
        for own in seeds:
            self._record({"question": question, "seed": own, "fault": fault})
        body = completion(request, [stub_text(question, own) for own in seeds])
        if not self.usage:
            del body["usage"]
        if fault in ("empty", "null"):
            body["choices"][0]["message"]["content"] = "" if fault == "empty" else None
        if fault == "no_choices":
            body["choices"] = []
        return Reply(200, json.dumps(body)[:-40] if fault == "truncated" else body)

    async def _stays(self, reader: asyncio.StreamReader, seconds: float) -> bool:
        """Whether the client is still there after so many seconds."""
        end = self._loop.time() + seconds
        # Polled: a reader waits for bytes or the end, and bytes would be the next request's.
        while not reader.at_eof() and (left := end - self._loop.time()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(left, 0.05))
        self.abandoned += reader.at_eof()
        return not reader.at_eof()

    def _record(self, draw: Mapping[str, Any]) -> None:
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(json.dumps(draw) + "\n")


def completion(request: Mapping[str, Any], texts: Sequence[str]) -> dict[str, Any]:
    """The body of a chat completion with these texts, each cut at the request's limit of words."""
    choices: list[dict[str, Any]] = []
    limit, written = _limit(request), 0
    for index, text in enumerate(texts):
        words = text.split(" ")
        written += min(len(words), limit)
        choice: dict[str, Any] = {
            "index": index,
            "message": {"role": "assistant", "content": " ".join(words[:limit])},
            "finish_reason": "stop" if len(words) <= limit else "length",
        }
        if request.get("logprobs"):
            rows = [{"token": word, "logprob": -len(word) / 10} for word in words[:limit]]
            choice["logprobs"] = {"content": rows}
        choices.append(choice)
    read = sum(len(message["content"].split()) for message in request["messages"])
    usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
    return {"object": "chat.completion", "model": request["model"], "choices": choices, "usage": usage}


def _limit(request: Mapping[str, Any]) -> int:
    return request.get("max_tokens") or request.get("max_completion_tokens") or 10**6


def main() -> None:
    """Serve until interrupted; the first line on stdout is the base URL."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    option = parser.add_argument
    option("--port", type=int, default=0, help="0 takes a free one")
    option("--models", nargs="+", default=["stub-model"], help="names it knows")
    option("--api-key", help="the only key accepted")
    option("--latency", type=float, default=0.0, help="seconds a draw takes")
    option("--fail-rate", type=float, default=0.0, help="share of chat requests that fail")
    option("--fail-kinds", nargs="+", choices=FAULTS, default=RANDOM_FAULTS, help="how they fail")
    option("--seed", type=int, default=0, help="of the faults")
    option("--ignore-seeds", dest="honours_seed", action="store_false", help="equal draws of a question")
    option("--log", type=Path, help="file that gets a line for every draw served")
    # Blocked before the server's thread starts, so that the signal waits for `sigwait`.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    with StubServer(**vars(parser.parse_args())) as server:
        print(server.base_url, flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    main()
