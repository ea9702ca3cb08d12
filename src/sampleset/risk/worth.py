"""Whether one method is right more often than another, told while gold answers come in.

A sequential sign test on the questions on which just one of the two is right: under "not better", each of
them goes to the first with a probability of at most one half. A bettor who mixes over all larger
probabilities multiplies its money by 40 with a probability of at most 2.5 %, whenever one looks. (Test
martingales: Shafer, Shen, Vereshchagin and Vovk, arXiv 0912.4269.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sampleset.errors import DataError

Verdict = Literal["yes", "no", "not known"]


@dataclass(slots=True)
class WorthIt:
    """A paired test that may be looked at after every question.

    Attributes:
        better: Questions on which only the first method is right.
        worse: Questions on which only the second is.
        alike: Questions on which both are right, or both are wrong.
        level: Probability of a wrong verdict, of either kind, however long it runs.
    """

    better: int = 0
    worse: int = 0
    alike: int = 0
    level: float = 0.05

    def add(self, first_right: bool, second_right: bool) -> None:
        """Count one more question."""
        if first_right == second_right:
            self.alike += 1
        elif first_right:
            self.better += 1
        else:
            self.worse += 1

    @property
    def verdict(self) -> Verdict:
        """Whether the first method is the better one, by what is known so far.

        Whoever acts on the first verdict other than `not known` errs with a probability of at most `level`.
        """
        limit = math.log(2 / self.level)
        if log_evidence(self.better, self.worse) >= limit:
            return "yes"
        return "no" if log_evidence(self.worse, self.better) >= limit else "not known"


def log_evidence(wins: int, losses: int) -> float:
    """Logarithm of the money of one who bets, evenly over all shares above one half, that wins prevail."""
    # The integral of (2 s)^wins (2 (1 - s))^losses 2 ds over s in (1/2, 1), an incomplete beta function.
    trials = wins + losses
    whole = math.lgamma(wins + 1) + math.lgamma(losses + 1) - math.lgamma(trials + 2)
    return (trials + 1) * math.log(2) + whole + _log_half_tail(wins, trials + 1)


def _log_half_tail(most: int, trials: int) -> float:
    """Logarithm of P(Bin(trials, 1/2) <= most)."""
    logs = [
        math.lgamma(trials + 1) - math.lgamma(count + 1) - math.lgamma(trials - count + 1)
        for count in range(most + 1)
    ]
    top = max(logs)
    return top + math.log(math.fsum(math.exp(value - top) for value in logs)) - trials * math.log(2)


def count_row(tests: dict[str, WorthIt], row: Mapping[str, Any], path: str) -> None:
    """Count a row of a file of feedback in the test of its alias; one without the vote's grade is left out.

    Raises:
        DataError: It is no such row.
    """
    model, right, vote_right = row.get("model"), row.get("right"), row.get("vote_right")
    if not isinstance(model, str) or not isinstance(right, bool) or not isinstance(vote_right, bool | None):
        raise DataError(f"{path}: a row is no feedback ({str(row)[:80]}). Name another feedback_file.")
    if vote_right is not None:
        tests.setdefault(model, WorthIt()).add(right, vote_right)


def worth_fields(test: WorthIt) -> dict[str, Any]:
    """A test as JSON values."""
    return {
        "verdict": test.verdict,
        "better": test.better,
        "worse": test.worse,
        "alike": test.alike,
        "level": test.level,
    }
