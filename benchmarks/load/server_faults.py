"""5,000 requests to `sampleset serve` while 30 % of its upstream's replies fail in every way.

    python benchmarks/load/server_faults.py [--requests 5000] [--fail-rate 0.3]

The stub upstream answers 429 or 500, hangs, resets the connection, cuts its JSON off, or sends an empty text.
Requests come in turns plain, streamed, with bad parameters (which must be refused), and from clients that
leave early. Every other one must be answered, or end in an error of OpenAI's form. At the end the server must
hold no more tasks, sockets and open files than after the first tenth, and its memory must not have grown with
the number of requests. Exits with 1 if any of that does not hold.

What was read in replies and how votes went is remembered up to a limit of bytes (112 MB in all, as its caches
count). What they count stands beside the memory; twice that does not count as growth, since an entry takes
about twice what it counts.
"""

import argparse
import asyncio
import gc
import json
import os
import sys
import threading
import time
from collections import Counter, deque
from pathlib import Path
from typing import Any

import aiohttp  # noqa: TID253

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from sampleset.answers import kinds
from sampleset.answers.maths.equality import verdicts
from sampleset.serve.config import serve_config
from sampleset.serve.server import GracefulServer, serve
from support.stub_server import StubServer

KINDS = ("429", "500", "hang", "reset", "truncated", "empty")
GROWTH_MB = 30


class Running:
    """The server in this process, in a thread with its loop, so that its tasks can be counted."""

    def __init__(self, base_url: str) -> None:
        upstream = {"model": "stub-model", "base_url": base_url}
        alias = {"upstreams": [upstream], "k": 4, "quorum": 2, "timeout": 1.0, "deadline": 10.0}
        alias |= {"max_retries": 2, "hedge_after": 0.4}
        self.config = serve_config({"models": {"careful": alias}, "port": 0, "max_queue": 1000})
        self.ready = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self.work()))

    async def work(self) -> None:
        def started(server: GracefulServer, port: int) -> None:
            self.server, self.url = server, f"http://127.0.0.1:{port}"
            self.loop = asyncio.get_running_loop()
            self.ready.set()

        await serve(self.config, started)

    def tasks(self) -> int:
        return len(asyncio.all_tasks(self.loop))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--fail-rate", type=float, default=0.3)
    parser.add_argument("--clients", type=int, default=48)
    arguments = parser.parse_args()
    stub = StubServer(latency=0.01, fail_rate=arguments.fail_rate, fail_kinds=KINDS)
    # What it keeps for tests would be taken for memory of the server, whose process it shares.
    stub.requests = stub.keys = deque(maxlen=0)
    with stub:
        running = Running(stub.base_url)
        running.thread.start()
        running.ready.wait(30)
        try:
            fine = asyncio.run(attack(running, stub, arguments))
        finally:
            running.server.should_exit = True
            running.thread.join(60)
    sys.exit(0 if fine else 1)


async def attack(running: Running, stub: StubServer, arguments: argparse.Namespace) -> bool:
    """Whether all went as it must."""
    seen, wrong, taken = Counter[str](), list[str](), list[float]()
    held = list[tuple[int, int, float, float]]()
    numbers = iter(range(arguments.requests))

    async def work(client: aiohttp.ClientSession) -> None:
        for number in numbers:
            started = time.perf_counter()
            outcome = await one(client, running.url, number)
            taken.append(time.perf_counter() - started)
            seen[outcome.partition(":")[0]] += 1
            if outcome.startswith("wrong"):
                wrong.append(outcome)

    tenth = max(1, arguments.requests // 10)
    for end in (tenth, arguments.requests - tenth):
        numbers = iter(range(end))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:
            await asyncio.gather(*(work(client) for _ in range(arguments.clients)))
        held.append(await settled(running, stub))
    taken.sort()
    print(f"{sum(seen.values())} requests, {arguments.fail_rate:.0%} of upstream replies fail: {dict(seen)}")
    print(f"seconds: median {taken[len(taken) // 2]:.2f}, 99 % {taken[len(taken) * 99 // 100]:.2f}")
    for name, (tasks, files, megabytes, cached) in zip(("after a tenth", "at the end"), held, strict=True):
        print(
            f"{name}: {tasks} tasks, {files} open files and sockets, {megabytes:.0f} MB, {cached:.1f} cached"
        )
    (tasks, files, megabytes, cached), (more_tasks, more_files, more_megabytes, more_cached) = held
    growth = more_megabytes - megabytes - 2 * (more_cached - cached)
    kept = more_tasks <= tasks and more_files <= files + 2 and growth <= GROWTH_MB
    for line in wrong[:10]:
        print(line)
    print("every request ended properly" if not wrong else f"{len(wrong)} requests ended wrongly")
    print("nothing is left behind" if kept else "something is left behind")
    return not wrong and kept


async def one(client: aiohttp.ClientSession, url: str, number: int) -> str:
    """What came of one request, in a word; `wrong: ...` for what must not happen."""
    kind = ("plain", "streamed", "plain", "streamed", "refused", "leaving")[number % 6]
    body: dict[str, Any] = {
        "model": "careful",
        "messages": [{"role": "user", "content": f"What is {number} plus 1?"}],
        "stream": kind == "streamed",
    }
    if kind == "refused":
        body["temperature"] = "hot"
    limit = aiohttp.ClientTimeout(total=0.02 if kind == "leaving" else 60)
    try:
        async with client.post(f"{url}/v1/chat/completions", json=body, timeout=limit) as response:
            text = await response.text()
    except TimeoutError:
        return "client left" if kind == "leaving" else "wrong: no reply within 60 s"
    except aiohttp.ClientError as error:
        return f"wrong: {type(error).__name__}"
    if kind == "refused":
        return "refused" if response.status == 400 and "error" in json.loads(text) else f"wrong: {text[:200]}"
    return read_stream(text) if kind == "streamed" else read_plain(response.status, text)


def read_plain(status: int, text: str) -> str:
    body = json.loads(text)
    if status == 200 and body["choices"][0]["message"]["content"] and body["usage"]["total_tokens"]:
        return "answered"
    if status in (502, 504) and body["error"]["code"] == "too_few_samples":
        return "error"
    return f"wrong: {status} {text[:200]}"


def read_stream(text: str) -> str:
    lines = [line for line in text.splitlines() if line.startswith("data: ")]
    if not lines or lines[-1] != "data: [DONE]":
        return f"wrong: the stream ends in {text[-100:]!r}"
    chunks = [json.loads(line[6:]) for line in lines[:-1]]
    if "error" in chunks[-1]:
        return "error"
    said = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    return "answered" if said and chunks[-1]["choices"][0]["finish_reason"] else f"wrong: {text[:200]}"


async def settled(running: Running, stub: StubServer) -> tuple[int, int, float, float]:
    """Tasks of the server, open files, memory of the process and what its caches hold, once idle connections
    are closed.
    """
    end = time.monotonic() + 100
    await asyncio.sleep(2)
    while running.tasks() > 2 and time.monotonic() < end:  # noqa: ASYNC110 - the tasks are another loop's
        await asyncio.sleep(0.5)
    gc.collect()
    # Idle connections to the upstream are kept for a while, on purpose: both ends are in this process.
    return running.tasks(), len(os.listdir("/proc/self/fd")) - 2 * len(stub._clients), memory(), cached()


def cached() -> float:
    """MB in the caches of this process, as they count them."""
    caches = (kinds._groupings, kinds._read_answers, verdicts._cache)
    return sum(cache.weight for cache in caches) / 2**20


def memory() -> float:
    """MB of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
