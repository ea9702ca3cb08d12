"""How far a trained model's own scores are to be trusted, fitted on rows it was not trained on.

A select model picks by `a·score + b·log(votes) + c·confidence`. A model trained on few questions is too sure
of itself, so that its score drowns the votes. The three multiples are fitted on held-back rows (`fit`), and
their worth is cross-validated by question. Needs no torch; the model may run on any backend that scores.

Sets whose samples carry no log-probabilities have weights of their own, `blind`. They come from elsewhere
than the rows, so that the model is trusted as little as the rows allow (`cautious`).
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

LEAST_ROWS = 20
"""Rows with a choice to make below which three numbers are not worth fitting."""

_AT_ONCE = 32
_RESAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class Figures:
    """How good some weights are: accuracy in [0, 1], and cross-entropy in nats (`None` for the vote)."""

    accuracy: float
    cross_entropy: float | None


@dataclass(frozen=True, slots=True)
class Gain:
    """Share of right picks less that of votes and confidence alone: the mean over questions, in [-1, 1].

    Attributes:
        low: Of the 95 % interval, by a paired bootstrap over questions.
        high: The same.
    """

    difference: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was fitted and what it is worth.

    Attributes:
        rows: Rows with a choice to make and a right candidate.
        questions: Distinct ones among them.
        folds: Of the cross-validation.
        before: The weights until now.
        after: The fitted ones, by all rows.
        prior: Of votes and confidence alone, by all rows: what is to be had without asking the model.
        blind: Of sets without token log-probabilities; see `cautious`.
        figures: `vote`; `before`; and, each cross-validated by question, `prior` (votes and confidence
            alone), `after` (all three) and `blind` (the rows without their confidence).
        gains: What the model's reading adds to votes and confidence, of `before` and of `after`.
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

    The model's scores are kept beside the rows, in `ROWS.scores.jsonl`: an interrupted call goes on.

    Args:
        folder: A checkpoint, or an export of one.
        backend: The model in it.
        rows: Of `sampleset train-data`, mode `select`.
        folds: Of the cross-validation.
        on_progress: Called with rows scored, and rows in all.

    Raises:
        InvalidArgumentError: The model does not select, was trained on one of the questions, or reads other
            rows than these.
        DataError: Too few rows leave a choice.
        BackendError: The model cannot be asked.
    """
    record = read_record(folder)
    if record is None or record_of(backend) is None:
        raise InvalidArgumentError(f"{str(folder)!r} holds no trained aggregator. Name a checkpoint.")
    if record.mode != "select" or not can_score(backend):
        raise InvalidArgumentError(
            f"{str(folder)!r} was trained in mode {record.mode!r}; weights belong to mode 'select' only."
        )
    SampleSetAggregator(backend)  # refuses another version of the prompt
    if folds < 2:
        raise InvalidArgumentError(f"folds={folds} must be at least 2.")
    chosen = [one for one in read_training_rows(rows) if _leaves_choice(one)]
    _require_fitting(rows, chosen, record, folds)
    overlap_checked = _require_untrained(rows, chosen, folder, record)
    choices = await _scored(chosen, backend, rows.with_suffix(".scores.jsonl"), on_progress)
    before = Weights(record.score_weight, record.vote_weight, record.confidence_weight)
    made = replace(calibration_of(choices, folds, before), overlap_checked=overlap_checked)
    said = {"rows": rows.name, "rows_used": made.rows, "questions": made.questions, "folds": folds}
    found = {name: asdict(made)[name] for name in ("figures", "prior", "gains")}
    others = {**record.others, "calibration": said | found}
    changed = replace(
        record,
        score_weight=made.after.score,
        vote_weight=made.after.votes,
        confidence_weight=made.after.confidence,
        blind_score_weight=made.blind.score,
        blind_vote_weight=made.blind.votes,
        others=others,
    )
    write_record(folder, changed)
    (folder / "README.md").write_text(model_card(changed.to_json()), encoding="utf-8")
    return made


def read_choices(rows: Path) -> list[Choice]:
    """The rows of a file that leave a choice, every candidate's log-probability 0: no model is asked."""
    chosen = [one for one in read_training_rows(rows) if _leaves_choice(one)]
    return [_choice(one, [0.0] * len(one.candidates)) for one in chosen]


def calibration_of(choices: Sequence[Choice], folds: int, before: Weights | None = None) -> Calibration:
    """The weights that fit, and what each choice of them is worth.

    Questions are dealt to the folds in the order of their names' digests.

    Args:
        choices: The rows.
        folds: Of the cross-validation.
        before: The weights until now; by default the votes alone.
    """
    before = before or Weights(0.0, 1.0, 0.0)
    questions = sorted(
        {one.question for one in choices}, key=lambda name: hashlib.sha256(name.encode()).digest()
    )
    fold_of = {name: place % folds for place, name in enumerate(questions)}
    weights = {"before": [before] * len(choices)}
    ways: dict[str, Callable[[Sequence[Choice]], Weights]] = {
        "prior": lambda part: fit(part, (1, 2)),
        "after": fit,
        "blind": cautious,
    }
    for name, way in ways.items():
        fitted = [way([one for one in choices if fold_of[one.question] != fold]) for fold in range(folds)]
        weights[name] = [fitted[fold_of[one.question]] for one in choices]
    right = {name: _right(choices, used) for name, used in weights.items()}
    vote = Figures(float(np.mean([one.right[one.vote] for one in choices])), None)
    figures = {name: Figures(float(right[name].mean()), _loss(choices, weights[name])) for name in weights}
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
    """1 where the pick is right, 0 where it is not, shape (rows,)."""
    picked = [
        one.right[int(np.argmax(one.features @ w.vector))] for one, w in zip(choices, weights, strict=True)
    ]
    return np.array(picked, dtype=float)


def _loss(choices: Sequence[Choice], weights: Sequence[Weights]) -> float:
    return float(np.mean([cross_entropy(one, w.vector) for one, w in zip(choices, weights, strict=True)]))


def _gain(choices: Sequence[Choice], differences: Floats) -> Gain:
    means = by_question(choices, differences).tolist()
    return Gain(fmean(means), *paired_bootstrap(means, _RESAMPLES, seed=0))


def _leaves_choice(row: TrainingRow) -> bool:
    return len(row.candidates) > 1 and any(one.right is True for one in row.candidates)


def _require_fitting(path: Path, chosen: Sequence[TrainingRow], record: CheckpointRecord, folds: int) -> None:
    """Refuse rows that are too few, or that the model reads otherwise."""
    questions = len({_question_of(one) for one in chosen})
    if len(chosen) < LEAST_ROWS or questions < folds:
        raise DataError(
            f"{path}: {len(chosen)} rows of {questions} questions leave a choice with a right candidate; "
            f"{LEAST_ROWS} rows and {folds} questions are needed. Hold more back with --held-back."
        )
    asked = (record.mode, record.prompt_version, record.keep_end_tokens, record.fold)
    for one in chosen:
        if (one.mode, one.prompt_version, one.keep_end_tokens, one.fold) != asked:
            raise InvalidArgumentError(
                f"{path}: row {one.id!r} was made as mode={one.mode}, prompt={one.prompt_version}, "
                f"keep_end_tokens={one.keep_end_tokens}, fold={one.fold}; the model reads "
                f"{asked}. Make the rows with the options of its training rows."
            )


def _require_untrained(
    path: Path, chosen: Sequence[TrainingRow], folder: Path, record: CheckpointRecord
) -> bool:
    """Refuse rows on questions that the model was trained on, and return whether that can be told.

    By digests of the questions; by their names in the rows trained on, where there are no digests.
    """
    seen, rows = read_trained_on(folder), Path(str(record.training.get("rows", "")))
    if seen is not None and all(one.question_digest for one in chosen):
        both = [one.id for one in chosen if one.question_digest in seen]
    elif rows.is_file():
        names = {_question_name(str(one["id"])) for _, one in read_rows(rows)}
        both = [one.id for one in chosen if _question_name(one.id) in names]
    else:
        return False
    if both:
        raise InvalidArgumentError(
            f"{path}: the model was trained on the question of row {both[0]!r} and {len(both) - 1} more. "
            "Calibrate on held-back rows (train-data --held-back)."
        )
    return True


def _question_of(row: TrainingRow) -> str:
    """What rows on the same question share."""
    return row.question_digest or _question_name(row.id)


def _question_name(row_id: str) -> str:
    """The question's part of a row's id FILE/QUESTION/PLACE: the same in draws of two models."""
    return row_id.rpartition("/")[0].partition("/")[2]


async def _scored(
    rows: Sequence[TrainingRow],
    backend: ScoringBackend,
    path: Path,
    on_progress: Callable[[int, int], None] | None,
) -> list[Choice]:
    """Every row as numbers; what the log at that path holds is not asked again."""
    log = JsonlLog(path)
    known = {row["key"]: row["logprobs"] for _, row in log.new_rows()}
    limiter = asyncio.Semaphore(min(_AT_ONCE, backend.max_calls or _AT_ONCE))
    done = 0

    async def scored(row: TrainingRow) -> Choice:
        nonlocal done
        texts = [one.answer + ANSWER_CLOSE for one in row.candidates]
        asked = json.dumps([backend.model, list(row.prompt), texts], sort_keys=True)
        key = hashlib.sha256(asked.encode()).hexdigest()
        if key not in known:
            async with limiter:
                known[key] = [one.logprob for one in await backend.score(row.prompt, texts)]
            log.append([{"key": key, "id": row.id, "logprobs": known[key]}])
        done += 1
        if on_progress is not None:
            on_progress(done, len(rows))
        return _choice(row, known[key])

    return await gathered(scored(row) for row in rows)


def _choice(row: TrainingRow, logprobs: Sequence[float]) -> Choice:
    confidences = [one.confidence for one in row.candidates]
    known = all(one is not None for one in confidences)
    features = [
        [logprob, math.log(one.votes), (one.confidence or 0.0) if known else 0.0]
        for logprob, one in zip(logprobs, row.candidates, strict=True)
    ]
    return Choice(
        _question_of(row),
        np.array(features, dtype=np.float64),
        np.array([one.right is True for one in row.candidates]),
        next((place for place, one in enumerate(row.candidates) if one.answer == row.vote), 0),
    )
