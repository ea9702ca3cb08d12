"""What it saves to draw K samples of one prompt in one batch, on the embedded model.

    python benchmarks/speed/shared_prompt.py --k 5 10 --repeats 5

Three ways to the same K draws of the same length: one request for K, which reads the prompt once and
decodes together; K requests one after another, each reading the prompt anew; and the same with llama.cpp's
prompt cache, so that only the first reads it. Every way gets a prompt of its own in every repetition, so no
cache helps across them, and the ways take turns in going first. Ratios are of one repetition's times.
"""

import argparse
import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any

from sampleset.backends.llamacpp import LlamaCppBackend
from sampleset.engines.llamacpp import Engine

BATCH, ALONE, CACHED = "one batch", "one by one", "one by one, cached prompt"
TEXT = "A shop sells pens in boxes of 12 and pencils in boxes of 20. "


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--k", type=int, nargs="+", default=[5, 10])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--prompt-tokens", type=int, default=200, help="about")
    parser.add_argument("--max-tokens", type=int, default=64, help="exactly, for every draw")
    asyncio.run(run(parser.parse_args()))


async def run(arguments: argparse.Namespace) -> None:
    longest = arguments.prompt_tokens + 100 + max(arguments.k) * arguments.max_tokens
    backend = LlamaCppBackend(group_size=max(arguments.k), context_size=longest)
    engine = await backend._loaded_engine()
    prompts = Prompts(engine, arguments.prompt_tokens)
    await draw(engine, await prompts.fresh(), 1, arguments.max_tokens, cached=False)
    length = len(await prompts.fresh())
    print(
        f"{backend.model}, {backend.threads} threads, prompt {length} tokens, {arguments.max_tokens} a draw"
    )
    print(f"median of {arguments.repeats} (least to most); load before: {os.getloadavg()[0]:.1f}")
    for k in arguments.k:
        times = await repetitions(engine, prompts, k, arguments.repeats, arguments.max_tokens)
        report(k, times, arguments.max_tokens)
    await backend.aclose()


class Prompts:
    """Prompts of equal length that differ from the first word of the question on."""

    def __init__(self, engine: Engine, tokens: int) -> None:
        self.engine = engine
        self.repeats = max(1, tokens // 18)
        self.made = 0

    async def fresh(self) -> list[int]:
        self.made += 1
        question = f"{self.made + 1000} {TEXT * self.repeats}"
        return await self.engine.read_prompt([{"role": "user", "content": question}])


async def repetitions(
    engine: Engine, prompts: Prompts, k: int, repeats: int, max_tokens: int
) -> dict[str, list[float]]:
    async def batch() -> None:
        await draw(engine, await prompts.fresh(), k, max_tokens, cached=False)

    async def alone(*, cached: bool = False) -> None:
        prompt = await prompts.fresh()
        for _ in range(k):
            await draw(engine, prompt, 1, max_tokens, cached=cached)

    ways: dict[str, Callable[[], Awaitable[None]]] = {
        BATCH: batch,
        ALONE: alone,
        CACHED: lambda: alone(cached=True),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats):
        for place in range(len(ways)):
            name = list(ways)[(repeat + place) % len(ways)]
            started = time.perf_counter()
            await ways[name]()
            times[name].append(time.perf_counter() - started)
    return times


async def draw(engine: Engine, prompt: list[int], n: int, max_tokens: int, *, cached: bool) -> None:
    body: dict[str, Any] = {"prompt": prompt, "n": n, "n_predict": max_tokens, "cache_prompt": cached}
    body |= {"ignore_eos": True, "samplers": ["temperature"], "temperature": 0.8, "seed": 0, "n_probs": 1}
    results = await engine.complete(body)
    assert [one.tokens for one in results] == [max_tokens] * n


def report(k: int, times: dict[str, list[float]], max_tokens: int) -> None:
    print(f"\nK = {k}; if {k} draws took as long as one, one by one would take {k} times the batch")
    for name, seconds in times.items():
        ratios = [one / batch for one, batch in zip(seconds, times[BATCH], strict=True)]
        print(
            f"  {name:27} {median(seconds):6.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"
            f"  {k * max_tokens / median(seconds):5.0f} tokens/s"
            f"  {median(ratios):5.2f} times the batch ({min(ratios):.2f} to {max(ratios):.2f})"
        )


if __name__ == "__main__":
    main()
