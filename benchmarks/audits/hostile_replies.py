"""10,000 hostile texts through extraction, equivalence, votes and `sampleset serve`.

    python benchmarks/audits/hostile_replies.py [--texts 10000] [--seed 0]

The texts are those of the tests (`tests/support/hostile_texts.py`), cut, joined, repeated and spoilt by a
seed. Each is read as an answer, compared with the one before it, and counted in a vote of four. Then a stub
upstream gives them to a server as replies, four to a request. No text may raise an error, take more than
--seconds of this process, or leave the server without a reply in OpenAI's form. Exits with 1 if any of that
does not hold.
"""

import argparse
import asyncio
import json
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import aiohttp  # noqa: TID253

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1] / "load"))

from server_faults import Running

from sampleset.answers import canonical, count_choices, extract_answer, group_answers, same_answer
from support.hostile_texts import HOSTILE
from support.running import Upstream

MOST = 20_000
"""Characters of a text; the long ones of the tests are read there."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--texts", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=1.0, help="processor time a text may take")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    texts = list(hostile_texts(arguments.texts, random.Random(arguments.seed)))
    slow = read_and_vote(texts, arguments.seconds)
    seen = served(texts)
    print(
        f"served: {dict(seen)}; peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB"
    )
    sys.exit(1 if slow or any(name.startswith("wrong") for name in seen) else 0)


def hostile_texts(count: int, draw: random.Random) -> Iterator[str]:
    """Texts made of the tests' ones."""
    seeds = [text[:MOST] for text in HOSTILE.values()]
    for _ in range(count):
        text = draw.choice(seeds)
        for _ in range(draw.randint(1, 4)):
            other = draw.choice(seeds)
            start, length = draw.randrange(len(text) + 1), int(10 ** draw.uniform(0, 3.5))
            text = draw.choice(
                (
                    text[start : start + length],
                    text[:start] + other[:length],
                    other[:length] + text[start:],
                    text[start : start + 40] * draw.randint(1, 200),
                    text[:start]
                    + chr(draw.choice((0, 0x1B, 0x202E, 0xD800, 0xFEFF, 0x1F600)))
                    + text[start:],
                    f"\\boxed{{{text[:length]}}} The answer is {other[:length]}",
                )
            )
        yield text[:MOST]


def read_and_vote(texts: list[str], seconds: float) -> int:
    """How many texts took longer; prints what was read."""
    answers, taken = list[str](), list[float]()
    before = "7"
    same_answer(r"\sqrt{8}", r"2\sqrt{2}")  # loads what comparing needs
    for number, text in enumerate(texts):
        started = time.process_time()
        found = extract_answer(text)
        extract_answer(text, choices=4)
        count_choices(text)
        canonical(text)
        answer = found.text if found else text[:200]
        same_answer(answer, before)
        answers.append(answer)
        before = answer
        if number % 4 == 3:
            group_answers(answers[-4:])
        taken.append(time.process_time() - started)
    taken.sort()
    slow = sum(each > seconds for each in taken)
    print(f"{len(texts)} texts read, compared and counted; processor seconds of one: median", end=" ")
    print(f"{taken[len(taken) // 2]:.4f}, most {taken[-1]:.2f}; {slow} above {seconds:g}", flush=True)
    return slow


def served(texts: list[str]) -> Counter[str]:
    """What the server made of them, by outcome."""
    replies = iter(texts)
    with Upstream(says=lambda request: next(replies, "\\boxed{7}")) as stub:
        running = Running(stub.base_url)
        running.thread.start()
        running.ready.wait(30)
        try:
            return asyncio.run(asked(running.url, (len(texts) + 3) // 4))
        finally:
            running.server.should_exit = True
            running.thread.join(60)


async def asked(url: str, requests: int) -> Counter[str]:
    seen, numbers = Counter[str](), iter(range(requests))

    async def work(client: aiohttp.ClientSession) -> None:
        for number in numbers:
            body = {
                "model": "careful",
                "messages": [{"role": "user", "content": f"What is {number} plus 1?"}],
            }
            async with client.post(f"{url}/v1/chat/completions", json=body) as response:
                reply = json.loads(await response.text())
            if response.status == 200 and "content" in reply["choices"][0]["message"]:
                seen["answered"] += 1
            elif response.status in (502, 504) and reply["error"]["code"]:
                seen[reply["error"]["code"]] += 1
            else:
                seen[f"wrong: {response.status} {str(reply)[:200]}"] += 1

    limit = aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(timeout=limit) as client:
        await asyncio.gather(*(work(client) for _ in range(8)))
    return seen


if __name__ == "__main__":
    main()
