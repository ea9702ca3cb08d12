"""How long what one client sends, or one upstream answers, holds up everybody else.

    python benchmarks/load/server_hold_ups.py [--only big values]

`sampleset serve` runs in this process, its upstream in another. While a load runs, `/health` is asked a
hundred times a second from a third process, and every step of the server's event loop is timed by the
processor time of its thread, which other work on the machine hardly changes. The loads:

- `idle`: none, the floor;
- `big`: eight requests of 7.8 MB at once, k = 32;
- `name`: ten requests with an unknown parameter whose name has 7.9 MB;
- `values`: ten requests of 7.9 MB of small JSON values;
- `replies`: eight requests at once whose upstream answers 31 MB.

A step still grows with a request where Python's own parser of JSON works on it in one go, in a thread beside
the loop: it keeps Python's lock. That shows in the latency, not in the steps.
"""

import argparse
import asyncio
import json
import multiprocessing
import sys
import threading
import time
from pathlib import Path
from typing import Any

import aiohttp  # noqa: TID253

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from sampleset.serve.config import serve_config
from sampleset.serve.server import GracefulServer, serve

LOADS = ("idle", "big", "name", "values", "replies")
REPLY_BYTES = 31_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=LOADS, default=LOADS)
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    ports = context.Queue()
    upstream = context.Process(target=run_upstream, args=(ports,), daemon=True)
    upstream.start()
    steps: list[float] = []
    time_steps(steps)
    server, port = start(f"http://127.0.0.1:{ports.get(timeout=60)}/v1")
    print("| load | replies | seconds | longest step, ms | steps over 1 ms | /health: median, ms | longest |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for load in arguments.only:
        stop, latencies = context.Event(), context.Queue()
        watcher = context.Process(target=watch, args=(port, stop, latencies), daemon=True)
        watcher.start()
        latencies.get(timeout=60)  # it watches
        steps.clear()
        started = time.monotonic()
        worker = context.Process(target=ask, args=(load, port, latencies), daemon=True)
        worker.start()
        worker.join()
        seconds = time.monotonic() - started
        taken = sorted(steps)
        stop.set()
        statuses = latencies.get(timeout=60)
        waits = sorted(latencies.get(timeout=60))
        watcher.join()
        print(
            f"| {load} | {statuses} | {seconds:.1f} | {1000 * taken[-1]:.1f} |"
            f" {sum(step > 0.001 for step in taken)} of {len(taken)} |"
            f" {1000 * waits[len(waits) // 2]:.1f} | {1000 * waits[-1]:.0f} |",
            flush=True,
        )
    server.should_exit = True
    upstream.terminate()


def start(base_url: str) -> tuple[GracefulServer, int]:
    """The server in a thread, and its port."""
    upstream = {"model": "stub-model", "base_url": base_url}
    alias = {"upstreams": [upstream], "k": 4, "timeout": 300.0, "deadline": 600.0, "max_retries": 0}
    config = serve_config({"models": {"careful": alias}, "port": 0})
    ready, servers = threading.Event(), list[tuple[GracefulServer, int]]()

    def started(server: GracefulServer, port: int) -> None:
        servers.append((server, port))
        ready.set()

    threading.Thread(target=lambda: asyncio.run(serve(config, started)), daemon=True).start()
    if not ready.wait(60):
        raise SystemExit("the server did not start")
    return servers[0]


def time_steps(steps: list[float]) -> None:
    """Have every step of an event loop in this process timed."""
    run = asyncio.Handle._run

    def timed(handle: asyncio.Handle) -> None:
        started = time.thread_time()
        run(handle)
        steps.append(time.thread_time() - started)

    asyncio.Handle._run = timed  # type: ignore[method-assign]


def run_upstream(ports: Any) -> None:
    """Answers at once; 31 MB where the question asks for them."""
    asyncio.run(_upstream(ports))


async def _upstream(ports: Any) -> None:
    def reply(text: str) -> bytes:
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
        body = json.dumps({"choices": [choice], "usage": usage}).encode()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        return head.encode() + body

    short, long = reply("It is \\boxed{4}."), reply("so " * (REPLY_BYTES // 3) + "\\boxed{4}")

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n") if b": " in line)
                left, wants_long = int(fields[b"content-length"]), False
                while left > 0:
                    part = await reader.read(min(left, 2**20))
                    left -= len(part)
                    wants_long = wants_long or b"At length" in part
                writer.write(long if wants_long else short)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0, limit=2**22)
    ports.put(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def watch(port: int, stop: Any, latencies: Any) -> None:
    """Ask for /health a hundred times a second, and hand the waits back."""

    async def work() -> list[float]:
        waits: list[float] = []
        async with aiohttp.ClientSession() as client:
            while not stop.is_set():
                started = time.monotonic()
                async with client.get(f"http://127.0.0.1:{port}/health") as response:
                    await response.read()
                waits.append(time.monotonic() - started)
                if len(waits) == 1:
                    latencies.put("ready")
                await asyncio.sleep(0.01)
        return waits[1:]

    latencies.put(asyncio.run(work()))


def ask(load: str, port: int, results: Any) -> None:
    """Put one load on the server, and hand back what came of it."""
    results.put(asyncio.run(_ask(load, port)))


async def _ask(load: str, port: int) -> str:
    if load == "idle":
        await asyncio.sleep(5)
        return "none"
    messages = [{"role": "user", "content": "What is 2 + 2?"}]
    body: dict[str, Any] = {"model": "careful", "messages": messages}
    count, at_once = 8, 8
    if load == "big":
        messages[0]["content"] = "What is 2 + 2? " + "word " * (7_800_000 // 5)
        body["sampleset"] = {"k": 32}
    elif load == "name":
        body["x" * 7_900_000] = 1
        count, at_once = 10, 1
    elif load == "values":
        body["metadata"] = [[{}]] * (7_900_000 // 7)
        count, at_once = 10, 1
    else:
        messages[0]["content"] = "At length: what is 2 + 2?"
    raw = json.dumps(body, separators=(",", ":")).encode()
    statuses: dict[int, int] = {}
    limit = asyncio.Semaphore(at_once)

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=600)) as client:

        async def post() -> None:
            async with limit, client.post(f"http://127.0.0.1:{port}/v1/chat/completions", data=raw) as reply:
                await reply.read()
                statuses[reply.status] = statuses.get(reply.status, 0) + 1

        await asyncio.gather(*(post() for _ in range(count)))
    return ", ".join(f"{number} x {status}" for status, number in sorted(statuses.items()))


if __name__ == "__main__":
    main()
