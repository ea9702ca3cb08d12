"""An upstream that takes little time of its own: every chat request is answered after a fixed latency.

    python benchmarks/fixed_latency_stub.py --latency 0.05

The first line on stdout is the base URL. The text depends on the question and the seed, and names an answer.
`GET /draws` tells how many draws were made. Nothing else is honoured; tests use `tests/stub_server.py`.
"""

import argparse
import asyncio
import json
from itertools import count

MODEL = "stub-model"


class Stub(asyncio.Protocol):
    """One connection; requests on it come one after the other."""

    latency = 0.05
    draws = 0
    seeds = count()

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.held = b""

    def data_received(self, data: bytes) -> None:
        self.held += data
        head, mark, body = self.held.partition(b"\r\n\r\n")
        if not mark:
            return
        fields = head.lower()
        at = fields.find(b"content-length:")
        length = int(fields[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(body) < length:
            return
        self.held = body[length:]
        if head.startswith(b"GET"):
            rows = [{"id": MODEL, "object": "model"}]
            self.send({"draws": Stub.draws} if b"/draws " in head else {"object": "list", "data": rows})
            return
        request = json.loads(body)
        asyncio.get_running_loop().call_later(self.latency, self.answer, request)

    def answer(self, request: dict) -> None:
        k = request.get("n") or 1
        Stub.draws += k
        choices = []
        for index in range(k):
            seed = request.get("seed")
            answer = (next(self.seeds) if seed is None else seed) % 3
            said = f"After some thought the answer is \\boxed{{{answer}}}."
            message = {"role": "assistant", "content": said}
            choices.append({"index": index, "message": message, "finish_reason": "stop"})
        usage = {"prompt_tokens": 20, "completion_tokens": 12 * k, "total_tokens": 20 + 12 * k}
        head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": MODEL}
        self.send({**head, "choices": choices, "usage": usage})

    def send(self, value: object) -> None:
        body = json.dumps(value).encode()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        self.transport.write(head.encode() + body)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds a request takes")
    Stub.latency = parser.parse_args().latency
    server = await asyncio.get_running_loop().create_server(Stub, "127.0.0.1", 0, backlog=2048)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    try:
        import uvloop

        uvloop.run(main())
    except ImportError:
        asyncio.run(main())
