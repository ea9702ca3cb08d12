"""The multiples of score, votes and confidence by which right candidates are picked, fitted by cross-entropy.

Temperature scaling (Guo et al. 2017, arXiv 1706.04599) with two more features. Needs numpy alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_RIDGE = 1e-3
_ROUNDS = 100
_LONGEST_STEP = 2.0
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


@dataclass(frozen=True, slots=True)
class Choice:
    """One row as numbers.

    Attributes:
        question: Rows of one question are never on both sides of a fold.
        features: Log-probability, log votes, confidence of each candidate, shape (C, 3).
        right: Which candidates are right, shape (C,).
        vote: Place of the majority vote's candidate.
    """

    question: str
    features: Floats
    right: NDArray[np.bool_]
    vote: int


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
    fixed = np.array([score, 0.0, 0.0])
    while places:
        weights = np.where([place in places for place in range(3)], 0.0, fixed)
        for _ in range(_ROUNDS):
            gradient, curvature = _slope(choices, weights)
            step = np.linalg.solve(curvature[np.ix_(places, places)], gradient[places])
            length = float(np.linalg.norm(step))
            weights[places] -= step * min(1.0, _LONGEST_STEP / length) if length else 0.0
            if length < 1e-8:
                break
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


def _slope(choices: Sequence[Choice], weights: Floats) -> tuple[Floats, Floats]:
    """Gradient (3,) and a positive definite bound of the curvature (3, 3) of the mean loss with its ridge."""
    gradient = _RIDGE * weights
    curvature = _RIDGE * np.eye(3)
    for one in choices:
        logits = one.features @ weights
        shares = np.exp(logits - np.logaddexp.reduce(logits))
        wanted = np.where(one.right, shares, 0.0)
        wanted /= wanted.sum()
        gradient = gradient + one.features.T @ (shares - wanted) / len(choices)
        mean = one.features.T @ shares
        spread = (one.features.T * shares) @ one.features - np.outer(mean, mean)
        curvature = curvature + spread / len(choices)
    return gradient, curvature
