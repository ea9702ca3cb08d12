"""Whether the samples of a file depend on their place in the set: `python runs/draws_by_place.py FILE...`.

Place i holds the i-th sample of every question. Where all questions share their seeds, place i has the same
random numbers everywhere, and its samples are alike. Prints for each file the shares of right samples and of
samples with a block of code by place, and Cochran's Q of the right samples beside the largest Q of 2,000
shuffles within questions. A Q far above that is not chance.

Of files with ten or more samples a set, also prints the variance of the accuracy of a vote over five places
that are the same for all questions, divided by its variance where each question has five places of its own.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sampleset import extract_answer, matches_gold
from sampleset.answers import same_answer
from sampleset.storage.records import StoredSet
from sampleset.storage.sample_sets import SampleFile

SHUFFLES, SUBSETS, VOTERS = 2_000, 2_000, 5


def main() -> None:
    """Print the table of each file."""
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    for name in sys.argv[1:]:
        sets = list(SampleFile(Path(name)))
        right, code, groups = (np.array(columns) for columns in zip(*map(columns_of, sets), strict=True))
        rng = np.random.default_rng(0)
        shuffled = max(cochran_q(rng.permuted(right, axis=1)) for _ in range(SHUFFLES))
        print(f"{Path(name).name}: {len(sets)} questions")
        print("  right by place, %:    ", *(f"{100 * share:5.1f}" for share in right.mean(axis=0)))
        print("  with code by place, %:", *(f"{100 * share:5.1f}" for share in code.mean(axis=0)))
        print(f"  Cochran's Q {cochran_q(right):.0f}; largest of {SHUFFLES:,} shuffles {shuffled:.0f}")
        if right.shape[1] >= 2 * VOTERS:
            shared, separate = vote_variances(right, groups, rng)
            print(f"  variance of a vote over {VOTERS} places, shared / by question: {shared / separate:.1f}")


def columns_of(stored: StoredSet) -> tuple[list[bool], list[bool], list[int]]:
    """By place: right, with a block of code, and the number of the class of its answer (-1: none)."""
    samples = stored.sample_set.samples
    answers = [extract_answer(one.text, truncated=one.finish_reason == "length") for one in samples]
    heads: list[str] = []
    groups: list[int] = []
    for answer in answers:
        if answer is None:
            groups.append(-1)
            continue
        same = [i for i, head in enumerate(heads) if same_answer(head, answer.text).equal is True]
        groups.append(same[0] if same else len(heads))
        if not same:
            heads.append(answer.text)
    gold = stored.problem.answer or ""
    right = [answer is not None and matches_gold(answer.text, gold).equal is True for answer in answers]
    return right, ["```" in sample.text for sample in samples], groups


def cochran_q(right: NDArray[np.bool_]) -> float:
    """Cochran's Q of a table of questions by places."""
    places = right.shape[1]
    columns, rows = right.sum(axis=0), right.sum(axis=1)
    return float(
        places * (places - 1) * ((columns - columns.mean()) ** 2).sum() / (places * rows - rows**2).sum()
    )


def vote_variances(
    right: NDArray[np.bool_], groups: NDArray[np.int64], rng: np.random.Generator
) -> tuple[float, float]:
    """Variance of the vote's accuracy over subsets of places, shared by all questions and by question."""
    places = [rng.choice(right.shape[1], VOTERS, replace=False) for _ in range(SUBSETS)]
    votes = np.array(
        [[vote(right[i, where], groups[i, where]) for i in range(len(right))] for where in places]
    )
    return float(votes.mean(axis=1).var()), float(votes.var(axis=0).sum() / len(right) ** 2)


def vote(right: NDArray[np.bool_], groups: NDArray[np.int64]) -> float:
    """The chance that a majority vote, ties drawn, is right."""
    counts = {group: (groups == group).sum() for group in set(groups.tolist()) - {-1}}
    most = [group for group, count in counts.items() if count == max(counts.values())]
    return float(np.mean([right[groups == group].any() for group in most])) if most else 0.0


if __name__ == "__main__":
    main()
