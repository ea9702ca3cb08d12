"""What is asked of llama.cpp's server, and where the work on long prompts is done."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

from sampleset.engines import llamacpp
from sampleset.engines.llamacpp import Engine


class LlamaServer(BaseHTTPRequestHandler):
    """Renders a chat as its last text, and cuts a text into characters."""

    def do_POST(self) -> None:
        assert self.headers["content-type"] == "application/json"
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/apply-template":
            reply: dict[str, Any] = {"prompt": body["messages"][-1]["content"]}
        else:
            pieces = body.get("with_pieces")
            reply = {"tokens": [{"id": 1, "piece": letter} if pieces else 1 for letter in body["content"]]}
        payload = json.dumps(reply).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(("size", "is_beside"), [(100, False), (100_000, True)])
async def test_long_prompts_are_written_and_read_beside_the_event_loop(
    size: int, is_beside: bool, monkeypatch: pytest.MonkeyPatch
):
    threads: list[int] = []

    def noting(name: str) -> Any:
        def work(*arguments: Any) -> Any:
            threads.append(threading.get_ident())
            return getattr(json, name)(*arguments)

        return work

    monkeypatch.setattr(llamacpp, "json", SimpleNamespace(dumps=noting("dumps"), loads=noting("loads")))
    with ThreadingHTTPServer(("127.0.0.1", 0), LlamaServer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        engine = object.__new__(Engine)
        engine.close = SimpleNamespace(alive=True)  # type: ignore[assignment]
        engine._address, engine._secret = f"http://127.0.0.1:{server.server_port}", "secret"
        tokens = await engine.read_prompt([{"role": "user", "content": "x" * size}])
        pieces = await engine.pieces("x" * size)
        server.shutdown()
    assert (len(tokens), len(pieces)) == (size, size)
    assert len(threads) == 6
    assert {thread != threading.get_ident() for thread in threads} == {is_beside}
