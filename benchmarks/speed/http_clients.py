"""Processor time of a draw over HTTP, by client: which one the package should use.

    python benchmarks/speed/http_clients.py --draws 1000 --tokens 12 300

A stub in a process of its own answers at once; the clients take turns within each round, in this process, and
the processor time of this process is measured, so that other work on the machine hardly matters. Figures are
medians of the rounds, and ratios within one run.

- `package`: the `openai` backend, from messages to a `Generation`;
- `sampler`: the same through the sampler of `sampleset sample`, in memory;
- `aiohttp`, `httpx`: the bare libraries, a request and `json.loads`;
- `SDK, text`: OpenAI's SDK, its reply read as a text and `json.loads`;
- `SDK`: the same with its own models.

`httpx` and `openai` are left out where they are not installed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp  # noqa: TID253

from sampleset.backends.openai import OpenAIBackend
from sampleset.chat import SamplingParams
from sampleset.sampling.sampler import Sampler, SamplingOptions
from sampleset.types import Question

STUB = Path(__file__).parents[1] / "load" / "fixed_latency_stub.py"
MESSAGES = [{"role": "user", "content": "What is 3 + 4? Put your final answer within \\boxed{}."}]
Draw = Callable[[int], Awaitable[Any]]


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--draws", type=int, default=1000, help="of each client and round")
    parser.add_argument("--tokens", type=int, nargs="+", default=[12, 300], help="of a completion")
    parser.add_argument("--at-once", type=int, default=32, help="draws in flight")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    for tokens in arguments.tokens:
        command = [sys.executable, STUB, "--latency", "0.001", "--tokens", str(tokens)]
        stub = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert stub.stdout is not None
        try:
            asyncio.run(measure(stub.stdout.readline().strip(), tokens, arguments))
        finally:
            stub.terminate()
            stub.wait()


async def measure(url: str, tokens: int, arguments: argparse.Namespace) -> None:
    """Time every client in turn, with log-probabilities where completions are long enough to have them."""
    asked = {"model": "stub-model", "messages": MESSAGES, "temperature": 0.8, "max_tokens": 512}
    with_logprobs = tokens > 12
    asked |= {"logprobs": True, "top_logprobs": 1} if with_logprobs else {}
    params = SamplingParams()
    async with AsyncExitStack() as stack:
        backend = OpenAIBackend("stub-model", url, "none", logprobs=with_logprobs)
        stack.push_async_callback(backend.aclose)
        session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        await stack.enter_async_context(session)

        async def by_aiohttp(seed: int) -> None:
            async with session.post(f"{url}/chat/completions", json={**asked, "seed": seed}) as reply:
                json.loads(await reply.read())

        clients: dict[str, Draw] = {
            "package": lambda seed: backend.generate(MESSAGES, params, [seed]),
            "aiohttp": by_aiohttp,
            **others(url, asked, stack),
        }
        spent: dict[str, list[float]] = {name: [] for name in (*clients, "sampler")}
        for _ in range(arguments.rounds):
            for name, draw in clients.items():
                spent[name].append(await seconds_of(draw, arguments.draws, arguments.at_once))
            spent["sampler"].append(await seconds_of_sampler(backend, arguments.draws, arguments.at_once))
    base = median(spent["package"])
    print(
        f"\n{tokens} tokens{' with log-probabilities' if with_logprobs else ''}, {arguments.at_once} at once"
    )
    for name, seconds in sorted(spent.items(), key=lambda one: median(one[1])):
        value = median(seconds)
        print(f"{name:10} {1000 * value / arguments.draws:7.3f} ms of a core a draw {value / base:6.2f}")


async def seconds_of(draw: Draw, draws: int, at_once: int) -> float:
    """Processor seconds of so many draws."""
    seeds = iter(range(draws))

    async def work() -> None:
        for seed in seeds:
            await draw(seed)

    await draw(0)
    started = time.process_time()
    await asyncio.gather(*(work() for _ in range(at_once)))
    return time.process_time() - started


async def seconds_of_sampler(backend: OpenAIBackend, draws: int, at_once: int) -> float:
    """The same through the sampler, eight draws a question."""
    sampler = Sampler(backend, SamplingOptions(n=8, max_concurrency=at_once))
    questions = [Question(f"q{number}", f"What is {number} + 4?") for number in range(draws // 8)]
    started = time.process_time()
    async for _ in sampler.sample_many(questions):
        pass
    return time.process_time() - started


def others(url: str, asked: dict[str, Any], stack: AsyncExitStack) -> dict[str, Draw]:
    """Clients that the package does without."""
    try:
        import httpx
        import openai
    except ImportError:
        return {}
    sdk = openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0)
    client = httpx.AsyncClient(limits=httpx.Limits(max_connections=None))
    stack.push_async_callback(sdk.close)
    stack.push_async_callback(client.aclose)

    async def by_httpx(seed: int) -> None:
        json.loads((await client.post(f"{url}/chat/completions", json={**asked, "seed": seed})).content)

    async def by_text(seed: int) -> None:
        json.loads(await sdk.post("/chat/completions", cast_to=str, body={**asked, "seed": seed}))

    async def by_sdk(seed: int) -> None:
        await sdk.chat.completions.create(**{**asked, "seed": seed})

    return {"httpx": by_httpx, "SDK, text": by_text, "SDK": by_sdk}


if __name__ == "__main__":
    main()
