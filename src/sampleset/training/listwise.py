"""The listwise logistic model (McFadden 1974, conditional logit): which candidate of a set is right.

The loss of a set is minus the log of the probability that a right candidate is picked. Needs only numpy. All
sets are computed together, as flat arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_ROUNDS = 100
_LONGEST_STEP = 2.0
_HALVINGS = 30


@dataclass(frozen=True, slots=True)
class Choice:
    """One set as numbers. To be fitted on, it needs a right candidate.

    Attributes:
        question: Key of the question. Sets of one question are in the same fold.
        features: Features of each candidate, shape (C, features).
        right: Whether each candidate is right, shape (C,).
        vote: Index of the majority vote's candidate.
    """

    question: str
    features: Floats
    right: NDArray[np.bool_]
    vote: int = 0


@dataclass(frozen=True, slots=True)
class Stack:
    """The candidates of many sets, concatenated.

    Attributes:
        features: Shape (N, features).
        starts: First candidate of each set, shape (sets,).
        owner: The set of each candidate, shape (N,).
        right: 1 for a right candidate, else 0, shape (N,).
    """

    features: Floats
    starts: NDArray[np.int64]
    owner: NDArray[np.int64]
    right: Floats


def stacked(choices: Sequence[Choice]) -> Stack:
    """The sets as one stack; at least one set."""
    sizes = [len(choice.right) for choice in choices]
    return Stack(
        np.concatenate([choice.features for choice in choices]),
        np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64),
        np.repeat(np.arange(len(choices)), sizes),
        np.concatenate([choice.right for choice in choices]).astype(np.float64),
    )


def part_of(stack: Stack, chosen: NDArray[np.bool_]) -> Stack:
    """A stack of some of the sets, chosen by one flag per set."""
    of_chosen = chosen[stack.owner]
    sizes = np.bincount(stack.owner)[chosen]
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    return Stack(
        stack.features[of_chosen], starts, np.repeat(np.arange(len(sizes)), sizes), stack.right[of_chosen]
    )


def shares(stack: Stack, weights: Floats) -> Floats:
    """Probability of each candidate among those of its set, shape (N,)."""
    logits = stack.features @ weights
    powers = np.exp(logits - np.maximum.reduceat(logits, stack.starts)[stack.owner])
    return powers / np.add.reduceat(powers, stack.starts)[stack.owner]


@dataclass(frozen=True, slots=True)
class _Reading:
    """What some weights make of a stack.

    Attributes:
        losses: Of each set in nats, shape (sets,).
        chance: Probability of each candidate among those of its set, shape (N,).
        wanted: The same among the right ones of its set, shape (N,).
    """

    losses: Floats
    chance: Floats
    wanted: Floats


def _read(stack: Stack, weights: Floats) -> _Reading:
    logits = stack.features @ weights
    highest = np.maximum.reduceat(logits, stack.starts)
    powers = np.exp(logits - highest[stack.owner])
    everything = np.add.reduceat(powers, stack.starts)
    # The right ones by their own highest, so that an unlikely one does not vanish.
    of_right = np.where(stack.right > 0, logits, -np.inf)
    top = np.maximum.reduceat(of_right, stack.starts)
    right_powers = np.exp(of_right - top[stack.owner])
    wanted = np.add.reduceat(right_powers, stack.starts)
    return _Reading(
        np.log(everything) + highest - np.log(wanted) - top,
        powers / everything[stack.owner],
        right_powers / wanted[stack.owner],
    )


def losses(stack: Stack, weights: Floats) -> Floats:
    """The loss of each set in nats, shape (sets,)."""
    return _read(stack, weights).losses


def fitted(stack: Stack, penalty: Floats, start: Floats, free: Sequence[int] | None = None) -> Floats:
    """The weights of least mean loss plus `penalty · weights² / 2`, by Newton's method.

    Args:
        stack: The sets.
        penalty: One number above 0 per weight, on the scale of a mean over the sets.
        start: First weights; those that are not fitted keep these values.
        free: Indices of the weights that are fitted; all by default.
    """
    fitted_indices = list(range(len(start)) if free is None else free)
    weights = np.array(start, dtype=np.float64)
    if not fitted_indices:
        return weights
    table = _table_of(stack)

    def value(read: _Reading, at: Floats) -> float:
        return float(read.losses.mean() + 0.5 * np.sum(penalty * at**2))

    reading = _read(stack, weights)
    now = value(reading, weights)
    for _ in range(_ROUNDS):
        gradient, curvature = _slope(stack, table, reading, weights, penalty)
        step = np.linalg.solve(curvature[np.ix_(fitted_indices, fitted_indices)], gradient[fitted_indices])
        length = float(np.linalg.norm(step))
        if length < 1e-8:
            break
        share = min(1.0, _LONGEST_STEP * np.sqrt(len(fitted_indices)) / length)
        for _ in range(_HALVINGS):
            tried = weights.copy()
            tried[fitted_indices] -= share * step
            attempt = _read(stack, tried)
            then = value(attempt, tried)
            if then <= now:
                break
            share /= 2
        else:
            break
        weights, reading, before, now = tried, attempt, now, then
        if before - now < 1e-10:
            break
    return weights


@dataclass(frozen=True, slots=True)
class _Table:
    """A stack with a row a set, as wide as the largest: sums over the sets are products then.

    Attributes:
        places: The candidates of each set; behind them a place that holds zeros, shape (sets, widest).
        features: Theirs, shape (sets, widest, features).
    """

    places: NDArray[np.int64]
    features: Floats


def _table_of(stack: Stack) -> _Table:
    sizes = np.bincount(stack.owner)
    columns = np.arange(int(sizes.max()))
    places = np.where(columns < sizes[:, None], stack.starts[:, None] + columns, len(stack.right))
    padded = np.concatenate([stack.features, np.zeros((1, stack.features.shape[1]))])
    return _Table(places, padded[places])


def _slope(
    stack: Stack, table: _Table, reading: _Reading, weights: Floats, penalty: Floats
) -> tuple[Floats, Floats]:
    """Gradient (features,) and a positive definite bound of the curvature (features, features)."""
    count = len(stack.starts)
    chance = reading.chance
    weighed = stack.features * chance[:, None]
    means = (np.append(chance, 0.0)[table.places][:, None, :] @ table.features)[:, 0]
    gradient = stack.features.T @ (chance - reading.wanted) / count + penalty * weights
    curvature = (weighed.T @ stack.features - means.T @ means) / count + np.diag(penalty)
    return gradient, curvature
