"""Weights of a trained model's scores, votes and confidence, fitted on rows it was not trained on.

A select model picks by `a·score + b·log(votes) + c·confidence`. A model trained on few questions is
overconfident, so its score would outweigh the votes. The three multiples are fitted on held-back rows
(`fit`), and their accuracy is cross-validated by question. Needs no torch; the model may run on any backend
that scores.

Sets whose samples have no log-probabilities have separate weights, `blind`. Such sets come from other sources
than the rows, so the model's score gets the least weight that the rows allow (`cautious`).

A score is a sum over an answer's tokens. If an answer is longer than nine of ten in the rows, its score is
scaled to that length (`max_score_tokens`): the model has not learned to compare an expression with a number,
and by the plain sum the shorter one wins.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean

import numpy as np

from sampleset.aggregators.ssa import SampleSetAggregator
from sampleset.backends.base import Backend, ScoringBackend, can_score, record_of
from sampleset.chat import Continuation
from sampleset.engines.checkpoint import CheckpointRecord, read_record, read_trained_on, write_record
from sampleset.errors import DataError, InvalidArgumentError
from sampleset.metrics import paired_bootstrap
from sampleset.models.together import gathered
from sampleset.prompts import ANSWER_CLOSE
from sampleset.storage.files import JsonlLog
from sampleset.storage.rows import read_rows
from sampleset.training.candidate_weights import (
    Choice,
    Floats,
    Weights,
    by_question,
    cautious,
    cross_entropy,
    fit,
)
from sampleset.training.data.rows import TrainingRow, read_training_rows
from sampleset.training.export.model_card import model_card
from sampleset.wording import plural

LEAST_ROWS = 20
"""Fewest rows with a choice on which the three weights are fitted."""

_USUAL = 0.9
_AT_ONCE = 32
_RESAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class Figures:
    """Accuracy of some weights, in [0, 1], and their cross-entropy in nats (`None` for the vote)."""

    accuracy: float
    cross_entropy: float | None


@dataclass(frozen=True, slots=True)
class Gain:
    """Share of right picks minus that of votes and confidence alone: the mean over questions, in [-1, 1].

    Attributes:
        low: Lower end of the 95 % interval, by a paired bootstrap over questions.
        high: Upper end.
    """

    difference: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """Fitted weights and their accuracy.

    Attributes:
        rows: Rows with several candidates, one of them right.
        questions: Distinct questions of these rows.
        folds: Folds of the cross-validation.
        before: The previous weights.
        after: The weights fitted on all rows.
        prior: Weights of votes and confidence alone, fitted on all rows: the result without the model.
        blind: Weights for sets without token log-probabilities; see `cautious`.
        figures: Figures of `vote` and `before` and, cross-validated by question, of `prior` (votes and
            confidence alone), `after` (all three) and `blind` (the rows without their confidence).
        gains: Gain of `before` and of `after` over `prior`.
        overlap_checked: Whether the rows' questions could be compared with those trained on.
    """

    rows: int
    questions: int
    folds: int
    before: Weights
    after: Weights
    prior: Weights
    blind: Weights
    figures: dict[str, Figures]
    gains: dict[str, Gain]
    overlap_checked: bool = False


async def calibrate(
    folder: Path,
    backend: Backend,
    rows: Path,
    folds: int = 10,
    on_progress: Callable[[int, int], None] | None = None,
) -> Calibration:
    """Fit the weights of the aggregator in a folder on rows it was not trained on, and write them there.

    The model's scores are saved beside the rows, in `ROWS.scores.jsonl`, so an interrupted call continues.

    Args:
        folder: A checkpoint, or an export of one.
        backend: The model in the folder.
        rows: A file of `sampleset train-data`, mode `select`.
        folds: Folds of the cross-validation, ≥ 2.
        on_progress: Called with (rows scored, all rows).

    Raises:
        InvalidArgumentError: The model's mode is not `select`, it was trained on one of the questions, or the
            rows were made with other options than its training rows.
        DataError: Too few rows have a right and another candidate.
        BackendError: The model cannot be asked.
    """
    record = read_record(folder)
    if record is None or record_of(backend) is None:
        raise InvalidArgumentError(f"{str(folder)!r} holds no trained aggregator. Name a checkpoint.")
    SampleSetAggregator(backend)  # refuses a verifier, and another version of the prompt
    if record.mode != "select" or not can_score(backend):
        raise InvalidArgumentError(
            f"{str(folder)!r} was trained in mode {record.mode!r}; weights belong to mode 'select' only."
        )
    if folds < 2:
        raise InvalidArgumentError(f"folds={folds} must be at least 2.")
    chosen = [row for row in read_training_rows(rows) if _leaves_choice(row)]
    _require_fitting(rows, chosen, record, folds)
    overlap_checked = _require_untrained(rows, chosen, folder, record)
    scores = await _scored(chosen, backend, rows.with_suffix(".scores.jsonl"), on_progress)
    longest = _usual_length(scores)
    choices, former_choices = (
        [
            _choice(row, [score.logprob_of(max_tokens) for score in row_scores])
            for row, row_scores in zip(chosen, scores, strict=True)
        ]
        for max_tokens in (longest, record.max_score_tokens)
    )
    before = Weights(record.score_weight, record.vote_weight, record.confidence_weight)
    fitted = calibration_of(choices, folds, before, former_choices)
    calibration = replace(fitted, overlap_checked=overlap_checked)
    counts = {
        "rows": rows.name,
        "rows_used": calibration.rows,
        "questions": calibration.questions,
        "folds": folds,
    }
    results = {name: asdict(calibration)[name] for name in ("figures", "prior", "gains")}
    others = {**record.others, "calibration": counts | results}
    changed = replace(
        record,
        score_weight=calibration.after.score,
        vote_weight=calibration.after.votes,
        confidence_weight=calibration.after.confidence,
        max_score_tokens=longest,
        blind_score_weight=calibration.blind.score,
        blind_vote_weight=calibration.blind.votes,
        others=others,
    )
    write_record(folder, changed)
    (folder / "README.md").write_text(model_card(changed.to_json()), encoding="utf-8")
    return calibration


def read_choices(rows: Path) -> list[Choice]:
    """The rows of a file with a choice. Every candidate's log-probability is 0; no model is called."""
    chosen = [row for row in read_training_rows(rows) if _leaves_choice(row)]
    return [_choice(row, [0.0] * len(row.candidates)) for row in chosen]


def calibration_of(
    choices: Sequence[Choice],
    folds: int,
    before: Weights | None = None,
    former_choices: Sequence[Choice] | None = None,
) -> Calibration:
    """The fitted weights and their cross-validated figures.

    Questions are assigned to folds in turn, in the order of their names' digests.

    Args:
        choices: The rows.
        folds: Folds of the cross-validation.
        before: The previous weights; by default the votes alone.
        former_choices: The rows as the previous weights read them; by default `choices`.
    """
    before = before or Weights(0.0, 1.0, 0.0)
    questions = sorted(
        {choice.question for choice in choices}, key=lambda name: hashlib.sha256(name.encode()).digest()
    )
    fold_of = {name: number % folds for number, name in enumerate(questions)}
    weights = {"before": [before] * len(choices)}
    ways: dict[str, Callable[[Sequence[Choice]], Weights]] = {
        "prior": lambda part: fit(part, (1, 2)),
        "after": fit,
        "blind": cautious,
    }
    for name, way in ways.items():
        fitted = [
            way([choice for choice in choices if fold_of[choice.question] != fold]) for fold in range(folds)
        ]
        weights[name] = [fitted[fold_of[choice.question]] for choice in choices]
    read_by = {name: choices for name in weights} | {"before": former_choices or choices}
    right = {name: _right(read_by[name], chosen_weights) for name, chosen_weights in weights.items()}
    vote = Figures(float(np.mean([choice.right[choice.vote] for choice in choices])), None)
    figures = {
        name: Figures(float(right[name].mean()), _loss(read_by[name], weights[name])) for name in weights
    }
    return Calibration(
        rows=len(choices),
        questions=len(questions),
        folds=folds,
        before=before,
        after=fit(choices),
        prior=fit(choices, (1, 2)),
        blind=cautious(choices),
        figures={"vote": vote, **figures},
        gains={name: _gain(choices, right[name] - right["prior"]) for name in ("before", "after")},
    )


def _right(choices: Sequence[Choice], weights: Sequence[Weights]) -> Floats:
    """1 if the pick is right, else 0, shape (rows,)."""
    picked = [
        choice.right[int(np.argmax(choice.features @ row_weights.vector))]
        for choice, row_weights in zip(choices, weights, strict=True)
    ]
    return np.array(picked, dtype=float)


def _loss(choices: Sequence[Choice], weights: Sequence[Weights]) -> float:
    return float(
        np.mean(
            [
                cross_entropy(choice, row_weights.vector)
                for choice, row_weights in zip(choices, weights, strict=True)
            ]
        )
    )


def _gain(choices: Sequence[Choice], differences: Floats) -> Gain:
    means = by_question(choices, differences).tolist()
    return Gain(fmean(means), *paired_bootstrap(means, _RESAMPLES, seed=0))


def _leaves_choice(row: TrainingRow) -> bool:
    return len(row.candidates) > 1 and any(candidate.right is True for candidate in row.candidates)


def _require_fitting(path: Path, chosen: Sequence[TrainingRow], record: CheckpointRecord, folds: int) -> None:
    """Refuse too few rows, and rows made with other options than the training rows."""
    questions = len({_question_of(row) for row in chosen})
    if len(chosen) < LEAST_ROWS or questions < folds:
        raise DataError(
            f"{path}: {plural(len(chosen), 'row')} of {plural(questions, 'question')} with a choice "
            f"that has a right candidate; "
            f"{LEAST_ROWS} rows and {folds} questions are needed. Hold more back with --held-back."
        )
    for row in chosen:
        for name in ("mode", "prompt_version", "keep_end_tokens", "fold", "calculator"):
            if (made := getattr(row, name)) != (read := getattr(record, name)):
                raise InvalidArgumentError(
                    f"{path}: row {row.id!r} was made with {name} {made}; the model reads with {name} "
                    f"{read}. Make the rows with the options of its training rows."
                )


def _require_untrained(
    path: Path, chosen: Sequence[TrainingRow], folder: Path, record: CheckpointRecord
) -> bool:
    """Refuse rows on questions that the model was trained on; returns whether that could be checked.

    Compares digests of the questions or, without digests, their names in the training rows.
    """
    trained_digests, rows = read_trained_on(folder), Path(str(record.training.get("rows", "")))
    if trained_digests is not None and all(row.question_digest for row in chosen):
        shared = [row.id for row in chosen if row.question_digest in trained_digests]
    elif rows.is_file():
        names = {_question_name(str(row["id"])) for _, row in read_rows(rows)}
        shared = [row.id for row in chosen if _question_name(row.id) in names]
    else:
        return False
    if shared:
        raise InvalidArgumentError(
            f"{path}: the model was trained on the question of row {shared[0]!r} and {len(shared) - 1} more. "
            "Calibrate on held-back rows (train-data --held-back)."
        )
    return True


def _question_of(row: TrainingRow) -> str:
    """A key that is equal for rows on the same question."""
    return row.question_digest or _question_name(row.id)


def _question_name(row_id: str) -> str:
    """The question's part of a row's id FILE/QUESTION/NUMBER; equal for draws of two models."""
    return row_id.rpartition("/")[0].partition("/")[2]


def _usual_length(scores: Sequence[Sequence[Continuation]]) -> int:
    """The length in tokens that nine of ten candidates do not exceed."""
    lengths = sorted(score.tokens for row_scores in scores for score in row_scores)
    return lengths[math.ceil(_USUAL * len(lengths)) - 1]


async def _scored(
    rows: Sequence[TrainingRow],
    backend: ScoringBackend,
    path: Path,
    on_progress: Callable[[int, int], None] | None,
) -> list[list[Continuation]]:
    """The model's scores of every row's candidates. Those in the log at `path` are not computed again."""
    log = JsonlLog(path)
    scores_by_key = {
        row["key"]: [Continuation(*pair, 0) for pair in zip(row["logprobs"], row["tokens"], strict=True)]
        for _, row in log.new_rows()
        if "tokens" in row
    }
    limiter = asyncio.Semaphore(min(_AT_ONCE, backend.max_calls or _AT_ONCE))
    done = 0

    async def scored(row: TrainingRow) -> list[Continuation]:
        nonlocal done
        texts = [candidate.answer + ANSWER_CLOSE for candidate in row.candidates]
        request = json.dumps([backend.model, list(row.prompt), texts], sort_keys=True)
        key = hashlib.sha256(request.encode()).hexdigest()
        if key not in scores_by_key:
            async with limiter:
                scores = scores_by_key[key] = await backend.score(row.prompt, texts)
            logprobs, tokens = [score.logprob for score in scores], [score.tokens for score in scores]
            log.append([{"key": key, "id": row.id, "logprobs": logprobs, "tokens": tokens}])
        done += 1
        if on_progress is not None:
            on_progress(done, len(rows))
        return scores_by_key[key]

    return await gathered(scored(row) for row in rows)


def _choice(row: TrainingRow, logprobs: Sequence[float]) -> Choice:
    confidences = [candidate.confidence for candidate in row.candidates]
    known = all(confidence is not None for confidence in confidences)
    features = [
        [logprob, math.log(candidate.votes), (candidate.confidence or 0.0) if known else 0.0]
        for logprob, candidate in zip(logprobs, row.candidates, strict=True)
    ]
    return Choice(
        _question_of(row),
        np.array(features, dtype=np.float64),
        np.array([candidate.right is True for candidate in row.candidates]),
        next((index for index, candidate in enumerate(row.candidates) if candidate.answer == row.vote), 0),
    )
