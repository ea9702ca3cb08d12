"""Multiples of score, votes and confidence that pick the right candidate, fitted by cross-entropy.

Temperature scaling (Guo et al. 2017, arXiv 1706.04599) with two more features. Needs only numpy.
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
        """The weights as an array, shape (3,)."""
        return np.array([self.score, self.votes, self.confidence])


def fit(choices: Sequence[Choice], free: Sequence[int] = (0, 1, 2), score: float = 0.0) -> Weights:
    """The weights of least cross-entropy, by Newton's method with a small ridge.

    A feature with a negative weight is left out, so that, for example, more votes never count against a
    candidate because of a small sample.

    Args:
        choices: The rows.
        free: Indices of the features whose weights are fitted.
        score: Weight of the score if it is not fitted. Other weights that are not fitted are 0.
    """
    fitted_indices = list(free)
    stack, penalty = stacked(choices), np.full(3, _RIDGE)
    fixed = np.array([score, 0.0, 0.0])
    while fitted_indices:
        start = np.where([index in fitted_indices for index in range(3)], 0.0, fixed)
        weights = fitted(stack, penalty, start, fitted_indices)
        negative = [index for index in fitted_indices if weights[index] < 0]
        if not negative:
            return Weights(*weights.tolist())
        fitted_indices.remove(min(negative, key=lambda index: weights[index]))
    return Weights(*fixed.tolist())


def cautious(choices: Sequence[Choice]) -> Weights:
    """Weights without confidence, and with the smallest weight of the score that fits the rows.

    A weight does not fit if the 95 % interval of its mean difference in loss from the best weights, over
    questions, is above 0. After the one-standard-error rule of Breiman et al. 1984 (Classification and
    Regression Trees).
    """
    best = fit(choices, (0, 1))
    if len({choice.question for choice in choices}) < 2:
        return best
    least = [cross_entropy(choice, best.vector) for choice in choices]
    for share in range(_STEPS):
        weights = fit(choices, (1,), best.score * share / _STEPS)
        losses = [cross_entropy(choice, weights.vector) for choice in choices]
        differences = by_question(choices, np.subtract(losses, least))
        if differences.mean() <= 1.96 * differences.std(ddof=1) / math.sqrt(len(differences)):
            return weights
    return best


def cross_entropy(choice: Choice, weights: Floats) -> float:
    """Minus the log of the probability that a right candidate is picked, in nats."""
    logits = choice.features @ weights
    return float(np.logaddexp.reduce(logits) - np.logaddexp.reduce(logits[choice.right]))


def by_question(choices: Sequence[Choice], values: Floats) -> Floats:
    """Mean of each question's values: shape (rows,) to (questions,)."""
    values_by_question: dict[str, list[float]] = {}
    for choice, value in zip(choices, values.tolist(), strict=True):
        values_by_question.setdefault(choice.question, []).append(value)
    return np.array([fmean(part) for part in values_by_question.values()])
