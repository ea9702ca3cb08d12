"""A running vLLM server as the product uses it: what its prefix cache saves, and how texts are scored.

    vllm serve MODEL --enable-prompt-tokens-details --port 8000
    python benchmarks/speed/vllm_server.py http://localhost:8000/v1 MODEL [LORA_NAME] [--local FOLDER]

1. Fan-out: draws of one prompt by requests of their own, K = 8. Prompt tokens that came from the cache (the
   server tells them with --enable-prompt-tokens-details), and the time beside K draws of K different prompts.
2. Scoring four candidate answers after a prompt: one request over their tokens, against one prompt per answer
   with `prompt_logprobs`. Seconds, and the largest difference of the log-probabilities.
3. With --local, the same scores by the backend `transformers` from the same weights, for each name given.

`--named-only` leaves `prompt_logprobs` away: with `--enable-lora`, they end vLLM 0.32 on a CPU.
"""

import argparse
import asyncio
from itertools import islice
from pathlib import Path
from typing import Any

from timing import Way, in_turns, table

from sampleset.backends.vllm import VllmBackend
from sampleset.chat import Message, SamplingParams
from sampleset.models.opening import open_backend
from sampleset.storage.sample_sets import SampleFile

HERE = Path(__file__).parents[2]
SETS = HERE / "src" / "sampleset" / "data" / "gsm8k_small8_100.jsonl.gz"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("base_url")
    parser.add_argument("models", nargs="+", help="names that the server knows")
    parser.add_argument("--local", nargs="+", default=[], help="for each of them, the same weights here")
    parser.add_argument("--named-only", action="store_true", help="without prompt_logprobs")
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--max-tokens", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    asyncio.run(measure(parser.parse_args()))


def prompts(count: int) -> list[list[Message]]:
    """What an aggregator is asked, roughly: a question and five solutions to it."""
    found: list[list[Message]] = []
    for stored in islice(SampleFile(SETS), count):
        one = stored.sample_set
        shown = "\n\n".join(sample.text for sample in one.samples[:5])
        found.append(
            [
                {"role": "user", "content": f"{one.question.text}\n\n{shown}\n\nWhich answer is right?"},
                {"role": "assistant", "content": "<answer>"},
            ]
        )
    return found


async def measure(arguments: argparse.Namespace) -> None:
    backend = VllmBackend(arguments.models[0], arguments.base_url)
    await backend.check()
    chats = prompts(100)
    params = SamplingParams(max_tokens=arguments.max_tokens)

    async def drawn(asked: list[list[Message]]) -> None:
        await asyncio.gather(*(backend.generate(one, params, [at]) for at, one in enumerate(asked)))

    fresh = iter(chats)
    k = arguments.draws
    times = await in_turns(
        {
            "one prompt": lambda: drawn([next(fresh)] * k),
            "different prompts": lambda: drawn([next(fresh) for _ in range(k)]),
        },
        arguments.repeats,
    )
    print(f"{k} draws of up to {arguments.max_tokens} tokens, by {k} requests at once")
    print(table(times, "one prompt", dict.fromkeys(times, float(k)), "draws"))
    print(f"of a prompt drawn {k} times, from the cache: {await cached(backend, chats[-1], k)}")

    texts = [f"{number}</answer>" for number in (42, 1250, 7, 18)]
    print(f"\n{len(texts)} candidates scored")
    for name in arguments.models:
        one = VllmBackend(name, arguments.base_url)
        await one.check()
        await compared(one, fresh, texts, arguments.repeats, arguments.named_only)
        await one.aclose()
    await backend.aclose()
    for name, folder in zip(arguments.models, arguments.local, strict=False):
        served, local = VllmBackend(name, arguments.base_url), open_backend(f"transformers:{folder}")
        await served.check()
        await local.check()
        worst = 0.0
        for chat in chats[:3]:
            pair = await served.score(chat, texts), await local.score(chat, texts)  # type: ignore[attr-defined]
            worst = max(worst, *(abs(a.logprob - b.logprob) for a, b in zip(*pair, strict=True)))
        print(f"{name}: largest difference from the backend transformers: {worst:.1e} nats, 12 texts")
        await served.aclose()
        await local.aclose()


async def compared(
    backend: VllmBackend, fresh: Any, texts: list[str], repeats: int, named_only: bool
) -> None:
    """Both ways of scoring, in turns, each time after a prompt that the server has not seen."""

    async def scored(by_tokens: bool, chat: list[Message]) -> list[float]:
        backend.names_tokens = by_tokens
        return [one.logprob for one in await backend.score(chat, texts)]

    ways: dict[str, Way] = {"one request": lambda: scored(True, next(fresh))}
    if not named_only:
        ways["prompt_logprobs"] = lambda: scored(False, next(fresh))
    times = await in_turns(ways, repeats)
    print(backend.model)
    print(table(times, "one request", dict.fromkeys(times, 1.0), "sets"))
    if named_only:
        return
    chat = next(fresh)
    pairs = zip(await scored(True, chat), await scored(False, chat), strict=True)
    print(f"largest difference between the two: {max(abs(a - b) for a, b in pairs):.1e} nats")


async def cached(backend: VllmBackend, chat: list[Message], k: int) -> str:
    """Share of the prompt tokens of k draws that the server says it did not compute."""
    import httpx

    body = {"model": backend.model, "messages": chat[:1], "max_tokens": 1}
    address = f"{backend.base_url}/chat/completions"
    async with httpx.AsyncClient(timeout=600) as client:
        replies = await asyncio.gather(*(client.post(address, json={**body, "seed": at}) for at in range(k)))
    usages = [reply.json()["usage"] for reply in replies]
    details = [usage.get("prompt_tokens_details") or {} for usage in usages]
    if not any(details):
        return "not told; start the server with --enable-prompt-tokens-details"
    hit = sum(one.get("cached_tokens") or 0 for one in details)
    whole = sum(usage["prompt_tokens"] for usage in usages)
    return f"{hit} of {whole} prompt tokens, {hit / whole:.0%} (at best {1 - 1 / k:.0%})"


if __name__ == "__main__":
    main()
