"""Answer × gold answer → Grade."""

from __future__ import annotations

from sampleset.answers import kind_of
from sampleset.datasets.base import scorer_for
from sampleset.errors import MissingGoldError
from sampleset.types import Grade, Problem


async def grade(answer: str | None, problem: Problem) -> Grade:
    """Whether an answer is right. An abstention is wrong; an undecided comparison is `None`.

    If the problem's dataset has a scorer, the scorer decides: a score of 1 is right, anything less is wrong.

    Raises:
        MissingGoldError: The problem has no gold answer.
        InvalidArgumentError: Answers of this kind cannot be compared here: there is no judge, or programs may
            not be run.
    """
    if problem.answer is None:
        raise MissingGoldError(f"Problem {problem.id!r} has no gold answer, so nothing can be graded.")
    if answer is None:
        return Grade(False, "abstained")
    scorer = scorer_for(problem)
    if scorer is not None:
        return Grade(scorer(answer) >= 1.0, "dataset_scorer")
    verdict = await kind_of(problem.question).matches_gold(answer, problem.answer)
    return Grade(verdict.equal, verdict.rule)
