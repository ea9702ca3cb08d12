"""Seconds per set of the modes select, direct and think of one model, and how much each gets right.

    python benchmarks/speed/aggregator_modes.py --sets 30

The first k samples of recorded sets on which they disagree (where they agree, `select` asks nothing). Every
set is given to all modes, which take turns in going first; one set at a time. Ratios are of one set's times,
with the quartiles. The embedded model is small and untrained for this: read its accuracy beside the vote's.
"""

import argparse
import asyncio
import os
import time
from pathlib import Path
from statistics import median, quantiles

from sampleset.aggregators.base import tally, vote_answer
from sampleset.aggregators.llm_aggregator import LLMAggregator
from sampleset.answers import matches_gold
from sampleset.models.opening import open_backend
from sampleset.storage.sample_sets import SampleFile
from sampleset.types import SampleSet

RECORDED = Path(__file__).parents[2] / "src" / "sampleset" / "data" / "gsm8k_small8_100.jsonl.gz"
MODES = ("select", "direct", "think")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("file", type=Path, nargs="?", default=RECORDED)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("-k", type=int, default=5)
    parser.add_argument("--sets", type=int, default=30)
    parser.add_argument("--keep-end-tokens", type=int, default=90, help="shown of each sample")
    parser.add_argument("--max-tokens", type=int, default=256, help="of a reply in mode think")
    asyncio.run(run(parser.parse_args()))


async def run(arguments: argparse.Namespace) -> None:
    backend = open_backend(arguments.model)
    await backend.check()
    sets, golds = await disagreeing(arguments.file, arguments.k, arguments.sets)
    limits = {"think": arguments.max_tokens}
    methods = {
        mode: LLMAggregator(
            backend, mode=mode, max_tokens=limits.get(mode), keep_end_tokens=arguments.keep_end_tokens
        )
        for mode in MODES
    }
    times: dict[str, list[float]] = {mode: [] for mode in MODES}
    tokens = dict.fromkeys(MODES, 0)
    right = dict.fromkeys((*MODES, "majority_vote", "some sample"), 0)
    load = os.getloadavg()[0]
    for mode in MODES:
        await methods[mode].aggregate(sets[0])
    for number, one in enumerate(sets):
        gold = golds[one.id]
        for place in range(len(MODES)):
            mode = MODES[(number + place) % len(MODES)]
            started = time.perf_counter()
            answer = await methods[mode].aggregate(one)
            times[mode].append(time.perf_counter() - started)
            tokens[mode] += answer.usage.completion_tokens
            right[mode] += is_right(answer.answer, gold)
        counted = await tally(one)
        right["majority_vote"] += is_right(vote_answer(one, "majority_vote", counted, (), 0).answer, gold)
        right["some sample"] += any(is_right(group.answer, gold) for group in counted.candidates)
    await backend.aclose()
    print(
        f"{backend.model}, {len(sets)} sets of {arguments.k} samples that disagree; load before: {load:.1f}"
    )
    for mode in MODES:
        each = [one / base for one, base in zip(times[mode], times["select"], strict=True)]
        low, _, high = quantiles(each, n=4)
        print(
            f"{mode:<8} {median(times[mode]):6.2f} s a set ({min(times[mode]):.2f} to {max(times[mode]):.2f})"
            f"  x {median(each):5.2f} ({low:.2f} to {high:.2f})  {tokens[mode] / len(sets):6.1f} tokens read "
            f"off or written  {right[mode]:3} right"
        )
    print(f"majority_vote {right['majority_vote']} right; some sample is right in {right['some sample']}")


async def disagreeing(path: Path, k: int, most: int) -> tuple[list[SampleSet], dict[str, str]]:
    """Sets of k samples with two answers or more, and the gold answers."""
    sets, golds = list[SampleSet](), dict[str, str]()
    for stored in SampleFile(path):
        one = stored.sample_set.subset(range(k))
        if stored.problem is not None and len((await tally(one)).candidates) > 1 and len(sets) < most:
            sets.append(one)
            golds[one.id] = stored.problem.answer
    return sets, golds


def is_right(answer: str | None, gold: str) -> bool:
    return answer is not None and bool(matches_gold(answer, gold).equal)


if __name__ == "__main__":
    main()
