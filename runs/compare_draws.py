"""Two draws of the same questions: `python runs/compare_draws.py FILE FILE`.

Prints, over the questions that both hold, the share of samples that are right (pass@1), the mean difference
by question with the 95 % interval of a bootstrap over questions, and what else tells two engines apart:
tokens, samples cut off, samples with a block of code.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from sampleset import extract_answer, matches_gold
from sampleset.metrics import paired_bootstrap
from sampleset.storage.sample_sets import SampleFile
from sampleset.types import Sample

RESAMPLES = 10_000


def main() -> None:
    """Read both files and compare."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    files = [{one.sample_set.question.text: one for one in SampleFile(Path(name))} for name in sys.argv[1:3]]
    shared = [text for text in files[0] if text in files[1]]
    rates: list[list[float]] = []
    for name, sets in zip(sys.argv[1:3], files, strict=True):
        found = [sets[text] for text in shared]
        samples = [sample for one in found for sample in one.sample_set.samples]
        rates.append([right(one.sample_set.samples, one.problem.answer or "") for one in found])
        print(
            f"{Path(name).name}: {len(shared)} questions, {len(samples)} samples; "
            f"right {fmean(rates[-1]):.1%}, "
            f"tokens {fmean(one.completion_tokens or 0 for one in samples):.0f}, "
            f"cut off {fmean(one.finish_reason == 'length' for one in samples):.1%}, "
            f"with code {fmean('```' in one.text for one in samples):.1%}"
        )
    differences = [one - other for one, other in zip(*rates, strict=True)]
    low, high = paired_bootstrap(differences, RESAMPLES, 0)
    print(f"difference {100 * fmean(differences):+.1f} points ({100 * low:+.1f} to {100 * high:+.1f})")


def right(samples: Sequence[Sample], gold: str) -> float:
    """Share of samples whose answer is the gold one; samples that were cut off are wrong."""
    answers = [extract_answer(one.text) for one in samples if one.finish_reason != "length"]
    return sum(one is not None and matches_gold(one.text, gold).equal is True for one in answers) / len(
        samples
    )


if __name__ == "__main__":
    main()
