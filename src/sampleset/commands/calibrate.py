"""How much a trained aggregator's scores, the votes and the confidence count."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

from sampleset.backends.base import Backend
from sampleset.commands.opening import ModelRef, opened
from sampleset.commands.options import AnswerOptions, ContextSize, SetOptions, argument, option
from sampleset.commands.run import Output, print_json, run_async
from sampleset.datasets.base import GOLD_REMEDY
from sampleset.engines.checkpoint import read_record
from sampleset.errors import DataError, InputNotFoundError, InvalidArgumentError
from sampleset.evaluation import parse_sizes
from sampleset.models.opening import path_of
from sampleset.storage.sample_sets import SampleFile
from sampleset.training.calibration import Calibration
from sampleset.training.calibration import calibrate as fitted
from sampleset.training.data.build import DataOptions, write_training_rows
from sampleset.training.data.rows import SHOWN_AS, holds_training_rows
from sampleset.wording import plural

EXAMPLE = "sampleset calibrate runs/select/checkpoint rows.held_back.jsonl"


def calibrate(
    checkpoint: Annotated[
        str,
        argument(
            "Folder of a select checkpoint, or of an export of one; openvino:FOLDER reads by that engine."
        ),
    ],
    rows: Annotated[
        Path,
        argument(
            "Rows that it was not trained on (ROWS.held_back.jsonl), or labelled sample sets of your own."
        ),
    ],
    sets: SetOptions,
    answers: AnswerOptions,
    output: Output,
    k: Annotated[str, option("-k", "--k", help="Of sample sets: sizes to read, as 4-8 or 5.")] = "4-8",
    subsets: Annotated[int, option("--subsets", help="Of sample sets: most subsets per question.")] = 1,
    folds: Annotated[int, option("--folds", help="Of the cross-validation, by question.")] = 10,
    context_size: ContextSize = None,
) -> None:
    """Fit how much a trained aggregator's scores, the votes and the confidence count, on rows held back."""
    folder = path_of(checkpoint)
    if not folder.is_dir():
        raise InputNotFoundError(f"No folder {str(folder)!r}. Name a checkpoint, or an export of one.")
    if not rows.exists():
        raise InputNotFoundError(
            f"No file {str(rows)!r}. Name rows that `sampleset train-data` held back, or sample sets."
        )
    options = DataOptions(
        ks=parse_sizes(k), subsets=subsets, easy=1.0, unanimous=0.0, all_wrong=0.0, mode="select",
        keep_thinking=sets.keep_thinking,
    )  # fmt: skip
    labelled = None if holds_training_rows(rows) else sets.sample_file(rows, answers, output.note)
    figures = run_async(calibrated(checkpoint, rows, folds, output, context_size, labelled, options))
    if not figures.overlap_checked:
        output.note(
            f"not checked whether {folder} was trained on questions of {rows}: the rows that it was "
            "trained on are not found, and not both have digests of their questions"
        )
    if output.as_json:
        print_json(asdict(figures))
    else:
        _print_figures(figures, folds)
        output.next("export", folder, "--output", "FOLDER")


async def calibrated(
    model: str,
    rows: Path,
    folds: int,
    output: Output,
    context_size: int | None = None,
    labelled: SampleFile | None = None,
    options: DataOptions | None = None,
) -> Calibration:
    """Fit the weights of the aggregator in a folder on rows, or on the rows of labelled sets.

    `model` is the folder, or names its backend before it, as `openvino:FOLDER`.
    """
    checkpoint = path_of(model)
    async with opened(ModelRef(model, None, None, context_size)) as backend:
        with output.status_line() as show:
            if labelled is not None:
                rows = await _rows_of_sets(labelled, checkpoint, backend, options or DataOptions())
                output.note(f"rows of {labelled.path}: {rows}")
            return await fitted(
                checkpoint, backend, rows, folds, lambda done, of: show(f"{done}/{of} rows scored", done, of)
            )


async def _rows_of_sets(
    labelled: SampleFile, checkpoint: Path, backend: Backend, options: DataOptions
) -> Path:
    """Rows of labelled sets as the checkpoint reads them, in its folder; the same sets give the same rows."""
    record = read_record(checkpoint)
    if record is None:
        raise InvalidArgumentError(f"{str(checkpoint)!r} holds no trained aggregator. Name a checkpoint.")
    path = checkpoint / f"{labelled.name}.rows.jsonl"
    as_trained = replace(options, **{name: getattr(record, name) for name in SHOWN_AS})
    count = await write_training_rows(path, [labelled], backend, as_trained)
    if not count.rows:
        raise DataError(
            f"None of the sample sets of {str(labelled.path)!r} has a right and a wrong answer to choose "
            f"between, or none has a gold answer. {GOLD_REMEDY}"
        )
    return path


def _print_figures(figures: Calibration, folds: int) -> None:
    print(f"{plural(figures.rows, 'row')} of {plural(figures.questions, 'question')} with a choice to make")
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
