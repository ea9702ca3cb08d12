"""What the calculator does to every file of recorded sets, as a table in Markdown.

    python runs/calculator.py FILE...

For each file whose answers are numbers: how many of the programs in Python are followed, how many samples
count for another number than they state, and how many of these are right before and after; the vote over
whole sets, its gain with the calculator, and the oracle. Ties of the vote are counted by their mean.
Nothing is drawn by chance but the bootstrap over questions.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from statistics import fmean

import numpy as np

from sampleset.aggregators.base import tally
from sampleset.aggregators.calculator import calculated
from sampleset.answers import default_verdict_path, use_verdict_store
from sampleset.answers.code.calculated import printed_number
from sampleset.datasets.base import has_readable_gold, question_key
from sampleset.grading.grade import grade
from sampleset.report.markdown import markdown_table
from sampleset.report.wording import percent
from sampleset.storage.sample_sets import SampleFile
from sampleset.training.fit_vote import gain_of
from sampleset.training.labelled_sets import chance_of_vote
from sampleset.types import Problem, SampleSet


async def rights(sample_set: SampleSet, problem: Problem) -> tuple[list[bool], float]:
    """Whether each sample's answer is right, and the probability that the vote is."""
    counted = await tally(sample_set)
    grades = [(await grade(candidate.answer, problem)).correct is True for candidate in counted.candidates]
    right = [False] * sample_set.n
    for candidate, is_right in zip(counted.candidates, grades, strict=True):
        for index in candidate.indices:
            right[index] = is_right
    return right, chance_of_vote([candidate.votes for candidate in counted.candidates], grades)


async def row_of(path: Path) -> tuple[str, ...] | None:
    """The row of one file; `None` where the calculator changes no sample."""
    questions: list[str] = []
    before: list[tuple[list[bool], float]] = []
    after: list[tuple[list[bool], float]] = []
    changed = mended = spoilt = programs = followed = 0
    sets = SampleFile(path)
    for stored in sets:
        if stored.problem.answer is None or not has_readable_gold(stored.problem):
            continue
        stated = stored.sample_set.without_thinking()
        told = calculated(stated)
        questions.append(question_key(stored.problem.question.text))
        texts = [sample.text for sample in stated.samples if "```python" in sample.text]
        programs += len(texts)
        followed += sum(printed_number(text) is not None for text in texts)
        before.append(await rights(stated, stored.problem))
        after.append(before[-1] if told is stated else await rights(told, stored.problem))
        for one, other, was, now in zip(
            stated.samples, told.samples, before[-1][0], after[-1][0], strict=True
        ):
            changed += one is not other
            mended += now and not was
            spoilt += was and not now
    if not changed:
        return None
    votes = np.array([[chance for _, chance in one] for one in (before, after)])
    gain = gain_of(questions, votes[1] - votes[0])
    oracles = [percent(fmean(any(right) for right, _ in one)) for one in (before, after)]
    samples = sum(len(right) for right, _ in before)
    return (
        sets.name,
        f"{len(questions):,}",
        f"{followed:,} of {programs:,}",
        f"{100 * changed / samples:.1f}",
        f"{mended:,}",
        f"{spoilt:,}",
        percent(fmean(votes[0].tolist())),
        percent(fmean(votes[1].tolist())),
        f"{100 * gain.difference:+.1f} ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})",
        f"{oracles[0]} and {oracles[1]}",
    )


HEADS = (
    "file", "questions", "programs followed", "samples changed, %", "wrong to right", "right to wrong",
    "vote", "with it", "gain", "oracle before and after",
)  # fmt: skip


def main() -> None:
    """Print the table."""
    use_verdict_store(default_verdict_path())
    rows: list[tuple[str, ...]] = []
    unchanged: list[str] = []
    for name in sys.argv[1:]:
        row = asyncio.run(row_of(Path(name)))
        print(name, row, file=sys.stderr, flush=True)
        if row is None:
            unchanged.append(f"`{Path(name).name.removesuffix('.jsonl.gz')}`")
        else:
            rows.append(row)
    print(markdown_table(HEADS, rows))
    if unchanged:
        print(f"\nNo sample is changed in {', '.join(unchanged)}.")


if __name__ == "__main__":
    main()
