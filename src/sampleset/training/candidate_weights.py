"""The multiples of score, votes and confidence by which right candidates are picked, fitted by cross-entropy.

Temperature scaling (Guo et al. 2017, arXiv 1706.04599) with two more features. Needs numpy alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from sampleset.training.listwise import Choice, Floats, fitted, stacked

_RIDGE = 1e-3
_STEPS = 20


@dataclass(frozen=True, slots=True)
class Weights:
    """Multiples of a candidate's log-probability, of the log of its votes, and of its confidence."""

    score: float
    votes: float
    confidence: float

    @property
    def vector(self) -> Floats:
        """The same, shape (3,)."""
        return np.array([self.score, self.votes, self.confidence])


def fit(choices: Sequence[Choice], free: Sequence[int] = (0, 1, 2), score: float = 0.0) -> Weights:
    """The weights of least cross-entropy, by Newton's method with a small ridge.

    A feature whose weight comes out negative is left out: more votes, say, are never held against a
    candidate because of a small sample.

    Args:
        choices: The rows.
        free: Places of the features whose weights are fitted.
        score: Weight of the score where that is not fitted; the others that are not are 0.
    """
    places = list(free)
    stack, penalty = stacked(choices), np.full(3, _RIDGE)
    fixed = np.array([score, 0.0, 0.0])
    while places:
        start = np.where([place in places for place in range(3)], 0.0, fixed)
        weights = fitted(stack, penalty, start, places)
        negative = [place for place in places if weights[place] < 0]
        if not negative:
            return Weights(*weights.tolist())
        places.remove(min(negative, key=lambda place: weights[place]))
    return Weights(*fixed.tolist())


def cautious(choices: Sequence[Choice]) -> Weights:
    """Weights without confidence, and the least of the score that is not shown to be too little.

    Shown: the 95 % interval of the mean difference in loss from the best weights, over questions, is above 0.
    After the one-standard-error rule of Breiman et al. 1984 (Classification and Regression Trees).
    """
    best = fit(choices, (0, 1))
    if len({one.question for one in choices}) < 2:
        return best
    least = [cross_entropy(one, best.vector) for one in choices]
    for share in range(_STEPS):
        tried = fit(choices, (1,), best.score * share / _STEPS)
        losses = [cross_entropy(one, tried.vector) for one in choices]
        differences = by_question(choices, np.subtract(losses, least))
        if differences.mean() <= 1.96 * differences.std(ddof=1) / math.sqrt(len(differences)):
            return tried
    return best


def cross_entropy(choice: Choice, weights: Floats) -> float:
    """Minus the log of the probability that a right candidate is picked, in nats."""
    logits = choice.features @ weights
    return float(np.logaddexp.reduce(logits) - np.logaddexp.reduce(logits[choice.right]))


def by_question(choices: Sequence[Choice], values: Floats) -> Floats:
    """Mean of each question's values: shape (rows,) to (questions,)."""
    found: dict[str, list[float]] = {}
    for one, value in zip(choices, values.tolist(), strict=True):
        found.setdefault(one.question, []).append(value)
    return np.array([fmean(part) for part in found.values()])
