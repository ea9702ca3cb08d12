"""Sets per second of an aggregator that is given many sets at once, against one at a time.

    python benchmarks/speed/aggregator_batching.py --model transformers:FILE.gguf --mode direct

The first k samples of recorded sets on which they disagree. `--at-once` numbers are how many sets are in work
side by side (the commands' --max-concurrency); what the backend itself allows (`max_calls`) bounds them, as
it does in the commands. The ways take turns; each repetition takes all sets.
"""

import argparse
import asyncio
import os
from collections.abc import Sequence

from aggregator_modes import RECORDED, disagreeing
from timing import Way, in_turns, table

from sampleset.aggregators.llm_aggregator import LLMAggregator
from sampleset.engines.gguf import resolve_embedded_model
from sampleset.models.opening import open_backend
from sampleset.types import SampleSet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="embedded", help="`transformers`: the embedded one, unpacked")
    parser.add_argument("--mode", choices=("select", "direct", "think"), default="direct")
    parser.add_argument("-k", type=int, default=5)
    parser.add_argument("--keep-end-tokens", type=int, default=60, help="shown of each sample")
    parser.add_argument("--sets", type=int, default=16)
    parser.add_argument("--max-tokens", type=int, default=64, help="of a reply")
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 2, 8])
    parser.add_argument("--repeats", type=int, default=3)
    asyncio.run(run(parser.parse_args()))


async def run(arguments: argparse.Namespace) -> None:
    name = arguments.model
    backend = open_backend(f"transformers:{resolve_embedded_model()}" if name == "transformers" else name)
    await backend.check()
    sets, _ = await disagreeing(RECORDED, arguments.k, arguments.sets)
    method = LLMAggregator(
        backend,
        mode=arguments.mode,
        max_tokens=arguments.max_tokens if arguments.mode != "select" else None,
        keep_end_tokens=arguments.keep_end_tokens,
    )
    print(
        f"{backend.model}, mode {arguments.mode}, {len(sets)} sets of {arguments.k} samples, at most "
        f"{backend.max_calls or 'any number of'} calls in the backend; load before: {os.getloadavg()[0]:.1f}"
    )

    def way(at_once: int) -> Way:
        return lambda: aggregated(method, sets, min(at_once, backend.max_calls or at_once))

    ways = {f"{count} at once": way(count) for count in arguments.at_once}
    times = await in_turns(ways, arguments.repeats)
    print(table(times, next(iter(ways)), dict.fromkeys(ways, len(sets)), "sets"))
    await backend.aclose()


async def aggregated(method: LLMAggregator, sets: Sequence[SampleSet], at_once: int) -> None:
    limiter = asyncio.Semaphore(at_once)

    async def one(sample_set: SampleSet) -> None:
        async with limiter:
            await method.aggregate(sample_set)

    await asyncio.gather(*map(one, sets))


if __name__ == "__main__":
    main()
