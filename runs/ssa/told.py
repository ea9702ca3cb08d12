"""Sample sets whose samples say how sure their model was: `python told.py FROM SETS OUTPUT`.

The last line of each sample that states an answer becomes one of five, from "The writer was very unsure." to
"The writer was very sure.", by the fifth in which its mean token log-probability lies among those of FROM, a
file of train questions. Nothing else changes: the answers that samples state are checked to be the same.
"""

import sys
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import quantiles
from typing import Any

from sampleset.aggregators.base import answers_of
from sampleset.storage.files import write_rows
from sampleset.storage.sample_sets import SampleFile
from sampleset.types import Sample

WORDS = ("very unsure", "unsure", "neither sure nor unsure", "sure", "very sure")


def confidence(sample: Sample) -> float:
    """The mean log-probability of the sample's tokens."""
    if sample.logprobs is None:
        raise SystemExit(f"Sample {sample.index} has no log-probabilities, of which this script tells.")
    return sample.logprobs.mean


def level(sample: Sample, limits: list[float]) -> str:
    """How sure, in words."""
    return WORDS[bisect_right(limits, confidence(sample))]


def rows(sets: Path, limits: list[float]) -> Iterator[dict[str, Any]]:
    """The sets of the file with the line added."""
    for stored in SampleFile(sets):
        stated = answers_of(stored.sample_set)
        told = (
            one if answer is None else replace(one, text=f"{one.text}\nThe writer was {level(one, limits)}.")
            for one, answer in zip(stored.sample_set.samples, stated, strict=True)
        )
        changed = replace(stored.sample_set, samples=tuple(told))
        if answers_of(changed) != stated:
            raise SystemExit(f"{stored.problem.id}: the line changes an answer that is read.")
        yield replace(stored, sample_set=changed).to_row()


def main() -> None:
    """Write the sets, and print how many."""
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    source, sets, output = map(Path, sys.argv[1:])
    limits = quantiles(
        (confidence(one) for stored in SampleFile(source) for one in stored.sample_set.samples), n=len(WORDS)
    )
    print(write_rows(output, rows(sets, limits)), "sample sets")


if __name__ == "__main__":
    main()
