"""Answer × gold answer → Grade."""

from __future__ import annotations

from sampleset.answers import kind_of
from sampleset.datasets.base import scorer_for
from sampleset.errors import MissingGoldError
from sampleset.types import Grade, Problem


async def grade(answer: str | None, problem: Problem) -> Grade:
    """Whether an answer is right; an abstention is not right, an undecided comparison is `None`.

    The scorer of the problem's own dataset decides, where it has one: right is its full score of 1.

    Raises:
        MissingGoldError: The problem has no gold answer.
        InvalidArgumentError: The answers are of a kind that cannot be compared here: there is no judge, or
            programs may not be run.
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
