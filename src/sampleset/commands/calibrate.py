"""How much a trained aggregator's scores, the votes and the confidence count."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from sampleset.commands.opening import ModelRef, opened
from sampleset.commands.options import ContextSize, argument, option
from sampleset.commands.run import Output, print_json, run_async
from sampleset.errors import InputNotFoundError
from sampleset.training.calibration import Calibration
from sampleset.training.calibration import calibrate as fitted

EXAMPLE = "sampleset calibrate runs/select/checkpoint rows.held_back.jsonl"


def calibrate(
    checkpoint: Annotated[Path, argument("Folder of a select checkpoint, or of an export of one.")],
    rows: Annotated[Path, argument("Rows that it was not trained on: ROWS.held_back.jsonl.")],
    output: Output,
    folds: Annotated[int, option("--folds", help="Of the cross-validation, by question.")] = 10,
    context_size: ContextSize = None,
) -> None:
    """Fit how much a trained aggregator's scores, the votes and the confidence count, on rows held back."""
    if not checkpoint.is_dir():
        raise InputNotFoundError(f"No folder {str(checkpoint)!r}. Name a checkpoint, or an export of one.")
    if not rows.is_file():
        raise InputNotFoundError(f"No file {str(rows)!r}. Name rows that `sampleset train-data` held back.")
    figures = run_async(_calibrated(checkpoint, rows, folds, context_size, output))
    if not figures.overlap_checked:
        output.note(
            f"not checked whether {checkpoint} was trained on questions of {rows}: the rows that it was "
            "trained on are not found, and not both have digests of their questions"
        )
    if output.as_json:
        print_json(asdict(figures))
    else:
        _print_figures(figures, folds)
        output.next("export", checkpoint, "--output", "FOLDER")


async def _calibrated(
    checkpoint: Path, rows: Path, folds: int, context_size: int | None, output: Output
) -> Calibration:
    async with opened(ModelRef(str(checkpoint), None, None, context_size)) as backend:
        with output.status_line() as show:
            return await fitted(
                checkpoint, backend, rows, folds, lambda done, of: show(f"{done}/{of} rows scored", done, of)
            )


def _print_figures(figures: Calibration, folds: int) -> None:
    print(f"{figures.rows} rows of {figures.questions} questions with a choice to make")
    labels = {
        "vote": "majority vote",
        "before": "model, weights until now",
        "prior": f"votes and confidence alone, {folds}-fold",
        "after": f"model, fitted weights, {folds}-fold",
        "blind": f"model, without confidence, {folds}-fold",
    }
    for name, label in labels.items():
        fit = figures.figures[name]
        loss = "" if fit.cross_entropy is None else f"  cross-entropy {fit.cross_entropy:.3f}"
        print(f"{label:<44} right {fit.accuracy:.3f}{loss}")
    for name, label in (("before", "until now"), ("after", "fitted")):
        gain = figures.gains[name]
        print(
            f"by question, {label} less votes and confidence alone: "
            f"{gain.difference:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})"
        )
    for name, value in asdict(figures.after).items():
        print(f"weight of {name}: {getattr(figures.before, name):.3f} -> {value:.3f}")
    blind = figures.blind
    print(f"where samples carry no log-probabilities: score {blind.score:.3f}, votes {blind.votes:.3f}")
