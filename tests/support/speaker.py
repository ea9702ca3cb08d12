"""An upstream that streams what it says, and may be held between two pieces."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Speaker:
    """A server that streams its replies, and may be held between two pieces.

    Args:
        says: A request → the pieces of its reply; `None` among them waits until `go` is set, and an
            exception breaks the connection off.
    """

    def __init__(self, says: Callable[[dict[str, Any]], Sequence[Any]], streams: bool = True) -> None:
        self.go = threading.Event()
        self.requests: list[dict[str, Any]] = []
        speaker = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["content-length"])))
                speaker.requests.append(request)
                self.send_response(200)
                streamed = request.get("stream") and streams
                self.send_header("content-type", "text/event-stream" if streamed else "application/json")
                self.end_headers()
                pieces = says(request)
                if not streamed:
                    self.wfile.write(json.dumps(whole("".join(filter(None, pieces)))).encode())
                    return
                for piece in pieces:
                    if isinstance(piece, Exception):
                        return
                    if piece is None:
                        assert speaker.go.wait(20)
                    else:
                        delta = piece if isinstance(piece, dict) else {"content": piece}
                        self.tell({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
                self.tell({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
                self.tell({"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5}})
                self.wfile.write(b"data: [DONE]\n\n")

            def tell(self, event: dict[str, Any]) -> None:
                self.wfile.write(
                    b"data: " + json.dumps({"object": "chat.completion.chunk", **event}).encode()
                )
                self.wfile.write(b"\r\n\r\n")

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def model(self) -> dict[str, str]:
        return {"model": "speaker", "base_url": f"http://127.0.0.1:{self._server.server_address[1]}/v1"}

    def __enter__(self) -> Speaker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.go.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def whole(text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 10, "completion_tokens": 5}
    return {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}
