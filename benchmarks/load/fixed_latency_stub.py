"""An upstream that takes little processor time: every chat request is answered after a fixed latency.

    python benchmarks/load/fixed_latency_stub.py --latency 0.05

The first line on stdout is the base URL. The text depends on the question and the seed, and names an answer.
`GET /draws` tells how many draws were made. With `--tokens N` a completion has about N tokens, each with its
log-probability where they are asked for. Nothing else is honoured; tests use `tests/stub_server.py`.
"""

import argparse
import asyncio
import json
from itertools import count

MODEL = "stub-model"
_LIKELY = {"token": "so ", "logprob": -0.105, "bytes": [115, 111, 32]}
TOKENS = {0: {**_LIKELY, "top_logprobs": []}, 1: {**_LIKELY, "top_logprobs": [_LIKELY]}}
"""A token as vLLM sends it, by how many alternatives are asked for."""


class Stub(asyncio.Protocol):
    """One connection; requests on it come one after the other."""

    latency = 0.05
    tokens = 12
    owner = "stub"
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
            rows = [{"id": MODEL, "object": "model", "owned_by": Stub.owner}]
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
            words = ["so "] * (Stub.tokens - 12)
            said = f"{''.join(words)}After some thought the answer is \\boxed{{{answer}}}."
            choice = {"index": index, "message": {"role": "assistant", "content": said}}
            choice["finish_reason"] = "stop"
            if Stub.tokens > 12 and request.get("logprobs"):
                choice["logprobs"] = {"content": [TOKENS[request.get("top_logprobs", 0)]] * Stub.tokens}
            choices.append(choice)
        written = Stub.tokens * k
        usage = {"prompt_tokens": 20, "completion_tokens": written, "total_tokens": 20 + written}
        head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": MODEL}
        self.send({**head, "choices": choices, "usage": usage})

    def send(self, value: object) -> None:
        body = json.dumps(value).encode()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        self.transport.write(head.encode() + body)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds a request takes")
    parser.add_argument("--tokens", type=int, default=12, help="of a completion")
    parser.add_argument("--owner", default="stub", help="who it says owns its model, e.g. vllm")
    arguments = parser.parse_args()
    Stub.latency, Stub.tokens = arguments.latency, max(12, arguments.tokens)
    Stub.owner = arguments.owner
    server = await asyncio.get_running_loop().create_server(Stub, "127.0.0.1", 0, backlog=2048)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    try:
        import uvloop

        uvloop.run(main())
    except ImportError:
        asyncio.run(main())
