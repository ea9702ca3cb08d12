"""What it saves to draw many samples at once with the backend `transformers`.

    python benchmarks/speed/transformers_batching.py --model FILE.gguf --threads 1

Tokens per second of the same draws in two ways, in one process: all requests in flight at once, and one
request for one draw at a time. The ways take turns, and the slow one makes the first draw of each question
only. Draws end where the model ends them; the time of reading the prompts counts.
"""

import argparse
import asyncio
import os
import time
from statistics import median

from sampleset.backends.transformers import TransformersBackend
from sampleset.chat import Generation, Message, SamplingParams
from sampleset.engines.gguf import resolve_embedded_model

NAMES = ("Tom", "Ann", "Omar", "Lin", "Ravi", "Eva", "Noor", "Jan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", help="by default the embedded model, its weights unpacked")
    parser.add_argument("--questions", type=int, default=4)
    parser.add_argument("--n", type=int, default=8, help="draws of each question")
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--device")
    asyncio.run(run(parser.parse_args()))


async def run(arguments: argparse.Namespace) -> None:
    backend = TransformersBackend(
        model=arguments.model or f"transformers:{resolve_embedded_model()}",
        threads=arguments.threads,
        device=arguments.device,
    )
    await backend.check()
    params = SamplingParams(temperature=0.8, max_tokens=arguments.max_tokens)
    asked = [chat(number) for number in range(arguments.questions)]
    await backend.generate(asked[0], params, [99])
    print(
        f"{backend.model}, {arguments.questions} questions, {arguments.n} draws each of up to "
        f"{arguments.max_tokens} tokens, threads {arguments.threads or 'as torch chooses'}; "
        f"load before: {os.getloadavg()[0]:.1f}"
    )
    together: list[float] = []
    alone: list[float] = []
    for _ in range(arguments.repeats):
        started = time.perf_counter()
        sets = await asyncio.gather(
            *(backend.generate(messages, params, range(arguments.n)) for messages in asked)
        )
        together.append(tokens([one for drawn in sets for one in drawn]) / (time.perf_counter() - started))
        started = time.perf_counter()
        singles = [(await backend.generate(messages, params, [0]))[0] for messages in asked]
        alone.append(tokens(singles) / (time.perf_counter() - started))
        assert [one.text for one in singles] == [drawn[0].text for drawn in sets], "a batch changed a draw"
    ratios = [batch / single for batch, single in zip(together, alone, strict=True)]
    for name, values, unit in (
        ("all at once", together, "tokens/s"),
        ("one at a time", alone, "tokens/s"),
        ("ratio", ratios, "times"),
    ):
        print(f"{name:14} {median(values):8.1f} {unit} ({min(values):.1f} to {max(values):.1f})")
    await backend.aclose()


def chat(number: int) -> list[Message]:
    name = NAMES[number % len(NAMES)]
    text = f"{name} has {number + 3} boxes of 12 pens and gives {number + 5} pens away. How many are left?"
    return [{"role": "user", "content": f"{text} Think step by step."}]


def tokens(drawn: list[Generation]) -> int:
    return sum(one.completion_tokens or 0 for one in drawn)


if __name__ == "__main__":
    main()
