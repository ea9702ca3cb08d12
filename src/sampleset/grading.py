"""Answer × gold answer → Grade."""

from __future__ import annotations

from sampleset.answers import matches_gold
from sampleset.errors import MissingGoldError
from sampleset.types import Grade, Problem


def grade(answer: str | None, problem: Problem) -> Grade:
    """Whether an answer is right; an abstention is not right, an undecided comparison is `None`.

    Raises:
        MissingGoldError: The problem has no gold answer.
    """
    if problem.answer is None:
        raise MissingGoldError(f"Problem {problem.id!r} has no gold answer, so nothing can be graded.")
    if answer is None:
        return Grade(False, "abstained")
    verdict = matches_gold(answer, problem.answer)
    return Grade(verdict.equal, verdict.rule)
