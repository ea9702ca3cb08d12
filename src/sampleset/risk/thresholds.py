"""The lowest threshold on a confidence at which answers are wrong at most as often as asked.

Learn then Test (Angelopoulos et al., arXiv 2110.01052) with exact binomial tests on ordered thresholds, as
in selective classification (Geifman and El-Yaniv, arXiv 1705.08500). Where m labelled questions have a
confidence above a threshold, and e of their answers are wrong, the hypothesis "more than `risk` are wrong
above it" is rejected if so few errors would be unlikely: P(Bin(m, risk) <= e) <= delta. The thresholds are
values of the labelled confidences themselves: given such a value, those above it are a sample of all that lie
above it, so the test is exact.

Thresholds are tested from stricter ones to more lenient ones, as long as the hypothesis is rejected, from
three starting points that share delta. By the union bound, the chance that an accepted threshold breaks the
promise is at most delta.

Assumed: labelled questions and those to come are independent draws from one distribution, and the risk does
not fall where the threshold is lowered. Where it does fall, the promise holds for the starting points, not
for what follows them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sampleset.errors import DataError, InvalidArgumentError
from sampleset.risk.certificate import SAME

STARTS = (1 / 8, 1 / 4, 1 / 2)
"""Starting points of the tests: the thresholds that answer these shares of the labelled questions."""

MOST_THRESHOLDS = 128
"""Thresholds that are tested: more would cost time and gain next to nothing."""


@dataclass(frozen=True, slots=True)
class RiskPoint:
    """What the labelled questions say of one threshold.

    Attributes:
        threshold: Questions with a confidence above it are answered; -1 answers all that state an answer.
        answered: How many of the labelled ones.
        wrong: How many of these are wrong.
    """

    threshold: float
    answered: int
    wrong: int

    def upper(self, confidence: float = 0.95) -> float:
        """The Clopper-Pearson upper bound of the risk of this threshold alone."""
        return upper_bound(self.wrong, self.answered, confidence)


@dataclass(frozen=True, slots=True)
class CertifiedThreshold:
    """A threshold and the promise it was tested for.

    Attributes:
        point: The threshold, and its questions.
        risk: Largest share of wrong answers among those given.
        confidence: Probability, over the labelled questions, that the promise holds.
        n: Labelled questions, those without an answer included.
        curve: The thresholds that were looked at, from the strictest to the most lenient.
    """

    point: RiskPoint
    risk: float
    confidence: float
    n: int
    curve: tuple[RiskPoint, ...]

    @property
    def coverage(self) -> float:
        """Share of the labelled questions that are answered."""
        return self.point.answered / self.n


def fewest_labels(risk: float, confidence: float) -> int:
    """Answered questions that it takes at the least, all of them right.

    Args:
        risk: Largest share of wrong answers, in (0, 1).
        confidence: Probability that the promise holds, in (0, 1).
    """
    return math.ceil(math.log((1 - confidence) / len(STARTS)) / math.log1p(-risk))


def certified_threshold(
    confidences: Sequence[float | None], right: Sequence[bool], risk: float, confidence: float = 0.95
) -> CertifiedThreshold:
    """The most lenient threshold that is accepted.

    Args:
        confidences: In [0, 1], one a question; `None` where no answer was given.
        right: Whether the answer is right.
        risk: Largest share of wrong answers among those given, in (0, 1).
        confidence: Probability that the promise holds, in (0, 1).

    Raises:
        InvalidArgumentError: `risk` or `confidence` is out of range.
        DataError: There are too few labelled questions, or none of the thresholds is accepted.
    """
    for name, value in (("risk", risk), ("confidence", confidence)):
        if not 0 < value < 1:
            raise InvalidArgumentError(f"{name}={value!r} must be above 0 and below 1.")
    if len(confidences) != len(right):
        raise InvalidArgumentError(f"{len(confidences)} confidences and {len(right)} labels do not match.")
    delta = 1 - confidence
    needed = fewest_labels(risk, confidence)
    curve = risk_curve(confidences, right)
    testable = [point for point in curve if point.answered >= needed]
    if not testable:
        raise DataError(
            f"{len(right)} labelled questions are too few for a risk of {risk:g} at a confidence of "
            f"{confidence:g}: it takes {needed} answered ones if none of them is wrong, and more otherwise. "
            "Label more, or ask for a larger --risk."
        )
    answered = np.array([point.answered for point in testable])
    starts = sorted({int(np.abs(answered - share * len(right)).argmin()) for share in STARTS})
    level, accepted = delta / len(starts), -1
    for start in starts:
        place = start
        while place < len(testable):
            point = testable[place]
            if binomial_tail(point.wrong, point.answered, risk) > level:
                break
            accepted = max(accepted, place)
            place += 1
    if accepted < 0:
        best = min(testable, key=lambda point: point.upper(1 - level))
        raise DataError(
            f"No threshold keeps the risk at {risk:g}: of the {best.answered} most confident answers "
            f"{best.wrong} are wrong, so up to {best.upper(1 - level):.1%} may be. Ask for a larger --risk, "
            "label more, or take an aggregator whose confidence tells right from wrong better."
        )
    return CertifiedThreshold(testable[accepted], risk, confidence, len(right), tuple(curve))


def risk_curve(confidences: Sequence[float | None], right: Sequence[bool]) -> list[RiskPoint]:
    """Answered and wrong above each threshold, from the strictest to the most lenient.

    At most 128 thresholds, evenly spread over the questions; which ones depends on the confidences only.
    """
    labelled = zip(confidences, right, strict=True)
    answers = sorted(((value, is_right) for value, is_right in labelled if value is not None), reverse=True)
    wrong = np.cumsum([not is_right for _, is_right in answers])
    below = [value for value, _ in answers[1:]] + [-1.0]
    points = [
        RiskPoint(threshold, place + 1, int(wrong[place]))
        for place, ((value, _), threshold) in enumerate(zip(answers, below, strict=True))
        if value - threshold > SAME
    ]
    if len(points) <= MOST_THRESHOLDS:
        return points
    places = np.linspace(0, len(points) - 1, MOST_THRESHOLDS).round().astype(int)
    return [points[place] for place in dict.fromkeys(places.tolist())]


def binomial_tail(successes: int, trials: int, share: float) -> float:
    """P(Bin(trials, share) <= successes), exact."""
    if successes >= trials:
        return 1.0
    counts = np.arange(successes + 1)
    logs = (
        _log_choose(trials)[: successes + 1]
        + counts * math.log(share)
        + (trials - counts) * math.log1p(-share)
    )
    most = float(logs.max())
    return min(1.0, math.exp(most) * float(np.exp(logs - most).sum()))


def upper_bound(successes: int, trials: int, confidence: float) -> float:
    """The one-sided Clopper-Pearson upper bound of a share."""
    if successes >= trials:
        return 1.0
    low, high = successes / trials, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if binomial_tail(successes, trials, middle) > 1 - confidence else (low, middle)
        )
    return high


_choices: dict[int, np.ndarray] = {}


def _log_choose(trials: int) -> np.ndarray:
    """Logarithms of the binomial coefficients of `trials`."""
    if trials not in _choices:
        if len(_choices) > 4 * MOST_THRESHOLDS:
            _choices.clear()
        logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, trials + 1)))])
        _choices[trials] = logs[trials] - logs - logs[::-1]
    return _choices[trials]
