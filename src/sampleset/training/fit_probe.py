"""A linear probe on hidden states, fitted to tell right from wrong samples of one question.

Ridge regression of right (1) or wrong (0) on the states, both less their mean over the question's samples, so
that no weight is spent on how hard a question is. The penalty is the best by cross-validation with folds by
question. Needs numpy alone.
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
"""Of the mean square of the states' numbers, times the number of samples."""


@dataclass(frozen=True, slots=True)
class ProbedSamples:
    """The samples of one question.

    Attributes:
        question: What sets on the same question share.
        states: Hidden states, shape (samples, numbers).
        right: Which are right, shape (samples,).
        keys: By which they are known.
    """

    question: str
    states: Floats
    right: NDArray[np.bool_]
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProbeFit:
    """A fitted probe.

    Attributes:
        weights: One per number of the states.
        bias: So that the mean score over the samples fitted on is 0.
        scores: Of each question's samples, from weights that had not seen the question.
        auc: Probability that a right sample scores higher than a wrong one of the same question, by these.
        penalty: The best one.
        questions: Questions with right and wrong samples.
    """

    weights: Floats
    bias: float
    scores: list[Floats]
    auc: float
    penalty: float
    questions: int


def fit_probe(samples: Sequence[ProbedSamples], folds: int = 10) -> ProbeFit:
    """The probe that these samples teach.

    Raises:
        DataError: Too few questions have right and wrong samples.
    """
    teaching = [one for one in samples if one.right.any() and not one.right.all()]
    names = sorted({one.question for one in teaching}, key=_digest)
    if len(names) < LEAST_CHOICES:
        raise DataError(
            f"{len(names)} of {len({one.question for one in samples})} labelled questions have right and "
            f"wrong samples; {LEAST_CHOICES} are needed to fit a probe."
        )
    fold_of = {name: place % folds for place, name in enumerate(names)}
    offsets = np.concatenate([one.states - one.states.mean(axis=0) for one in teaching])
    targets = np.concatenate([one.right - one.right.mean() for one in teaching])
    fold = np.concatenate([[fold_of[one.question]] * len(one.right) for one in teaching])
    scale = float((offsets**2).sum(axis=1).mean())
    penalties = [share * scale * len(targets) / 100 for share in _PENALTIES]
    ways = {part: _ridge(offsets[fold != part], targets[fold != part], penalties) for part in range(folds)}
    errors = np.zeros(len(penalties))
    for part, found in ways.items():
        test = fold == part
        errors += ((offsets[test] @ found - targets[test][:, None]) ** 2).sum(axis=0)
    best = int(np.argmin(errors))
    whole = _ridge(offsets, targets, penalties)[:, best]
    # A question without a choice was fitted on by no probe.
    unseen = {name: ways[part][:, best] for name, part in fold_of.items()}
    centre = fmean(float((one.states @ whole).mean()) for one in samples)
    scores = [one.states @ unseen.get(one.question, whole) - centre for one in samples]
    return ProbeFit(
        weights=whole,
        bias=-centre,
        scores=scores,
        auc=_auc([(one.right, score) for one, score in zip(samples, scores, strict=True)]),
        penalty=penalties[best],
        questions=len(names),
    )


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "replace")).digest()


def _ridge(offsets: Floats, targets: Floats, penalties: Sequence[float]) -> Floats:
    """Weights of each penalty, shape (numbers, penalties)."""
    count, width = offsets.shape
    found: list[Floats] = []
    # Solved by samples or by numbers, whichever there are fewer of.
    if count <= width:
        gram = offsets @ offsets.T
        for penalty in penalties:
            duals = np.linalg.solve(gram + penalty * np.eye(count), targets)
            found.append((offsets.T @ duals).astype(np.float64))
    else:
        gram, moment = offsets.T @ offsets, offsets.T @ targets
        for penalty in penalties:
            found.append(np.linalg.solve(gram + penalty * np.eye(width), moment).astype(np.float64))
    return np.array(found).T


def _auc(pairs: Sequence[tuple[NDArray[np.bool_], Floats]]) -> float:
    """Mean over questions of the share of right-wrong pairs that the score has in order, ties by half."""
    shares: list[float] = []
    for right, scores in pairs:
        if right.any() and not right.all():
            leads = scores[right][:, None] - scores[~right][None, :]
            shares.append(float((leads > 0).mean() + 0.5 * (leads == 0).mean()))
    return fmean(shares)
