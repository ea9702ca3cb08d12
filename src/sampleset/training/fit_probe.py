"""A linear probe on hidden states, fitted to tell right from wrong samples of one question.

Ridge regression of right (1) or wrong (0) on the states. The mean over the question's samples is subtracted
from both, so that the weights ignore how hard a question is. The penalty is the best by cross-validation with
folds by question. Needs only numpy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from sampleset.errors import DataError
from sampleset.training.labelled_sets import LEAST_CHOICES
from sampleset.training.listwise import Floats

_PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0)
"""Penalties, in units of the mean square of the states' numbers times the number of samples."""


@dataclass(frozen=True, slots=True)
class ProbedSamples:
    """The samples of one question.

    Attributes:
        question: Key of the question; equal for all sets on it.
        states: Hidden states, shape (samples, numbers).
        right: Whether each sample is right, shape (samples,).
        keys: Keys of the samples.
    """

    question: str
    states: Floats
    right: NDArray[np.bool_]
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProbeFit:
    """A fitted probe.

    Attributes:
        weights: One weight for each number of a state.
        bias: Makes the mean score over all samples 0.
        scores: Scores of each question's samples, from weights fitted without the question.
        auc: Probability that a right sample has a higher score than a wrong one of the same question.
        penalty: The penalty by cross-validation.
        questions: Questions with right and wrong samples.
    """

    weights: Floats
    bias: float
    scores: list[Floats]
    auc: float
    penalty: float
    questions: int


def fit_probe(samples: Sequence[ProbedSamples], folds: int = 10) -> ProbeFit:
    """The probe fitted on these samples.

    Raises:
        DataError: Too few questions have right and wrong samples.
    """
    teaching = [probed for probed in samples if probed.right.any() and not probed.right.all()]
    names = sorted({probed.question for probed in teaching}, key=_digest)
    if len(names) < LEAST_CHOICES:
        raise DataError(
            f"{len(names)} of {len({probed.question for probed in samples})} labelled questions have right "
            f"and wrong samples; {LEAST_CHOICES} are needed to fit a probe."
        )
    fold_of = {name: number % folds for number, name in enumerate(names)}
    offsets = np.concatenate([probed.states - probed.states.mean(axis=0) for probed in teaching])
    targets = np.concatenate([probed.right - probed.right.mean() for probed in teaching])
    fold = np.concatenate([[fold_of[probed.question]] * len(probed.right) for probed in teaching])
    scale = float((offsets**2).sum(axis=1).mean())
    penalties = [share * scale * len(targets) / 100 for share in _PENALTIES]
    ways = {part: _ridge(offsets[fold != part], targets[fold != part], penalties) for part in range(folds)}
    errors = np.zeros(len(penalties))
    for part, weights in ways.items():
        test = fold == part
        errors += ((offsets[test] @ weights - targets[test][:, None]) ** 2).sum(axis=0)
    best = int(np.argmin(errors))
    final_weights = _ridge(offsets, targets, penalties)[:, best]
    # Questions without right and wrong samples are in no fold.
    unseen = {name: ways[part][:, best] for name, part in fold_of.items()}
    centre = fmean(float((probed.states @ final_weights).mean()) for probed in samples)
    scores = [probed.states @ unseen.get(probed.question, final_weights) - centre for probed in samples]
    return ProbeFit(
        weights=final_weights,
        bias=-centre,
        scores=scores,
        auc=_auc([(probed.right, score) for probed, score in zip(samples, scores, strict=True)]),
        penalty=penalties[best],
        questions=len(names),
    )


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "replace")).digest()


def _ridge(offsets: Floats, targets: Floats, penalties: Sequence[float]) -> Floats:
    """Weights of each penalty, shape (numbers, penalties)."""
    count, width = offsets.shape
    weights: list[Floats] = []
    # Solves the smaller system: one equation per sample, or one per number.
    if count <= width:
        gram = offsets @ offsets.T
        for penalty in penalties:
            duals = np.linalg.solve(gram + penalty * np.eye(count), targets)
            weights.append((offsets.T @ duals).astype(np.float64))
    else:
        gram, moment = offsets.T @ offsets, offsets.T @ targets
        for penalty in penalties:
            weights.append(np.linalg.solve(gram + penalty * np.eye(width), moment).astype(np.float64))
    return np.array(weights).T


def _auc(pairs: Sequence[tuple[NDArray[np.bool_], Floats]]) -> float:
    """Mean over questions of the share of right-wrong pairs with the right one higher; a tie is half."""
    shares: list[float] = []
    for right, scores in pairs:
        if right.any() and not right.all():
            leads = scores[right][:, None] - scores[~right][None, :]
            shares.append(float((leads > 0).mean() + 0.5 * (leads == 0).mean()))
    return fmean(shares)
