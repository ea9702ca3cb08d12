"""What GRPO asks of rows and recipe, found out before the model is loaded."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from sampleset.answers import JUDGE_KIND, answer_kind
from sampleset.backends._transformers_model import find_model
from sampleset.errors import DataError, InvalidArgumentError, MissingExtraError
from sampleset.training.loop import record_for, require_apart
from sampleset.training.recipe import Recipe
from sampleset.training.rows import TrainingRow, read_training_rows


def rows_to_write_for(path: str) -> list[TrainingRow]:
    """The rows of a file, for a model that writes its answer.

    Raises:
        InvalidArgumentError: They are of the mode select.
        DataError: There are none.
    """
    rows = list(read_training_rows(Path(path)))
    if not rows:
        raise DataError(f"{path}: no rows.")
    if any(row.mode == "select" for row in rows):
        raise InvalidArgumentError(
            f"{path} has rows of the mode select, which GRPO cannot train. Train them with `sampleset train "
            "select`, or make rows with `sampleset train-data --mode think`."
        )
    return rows


def require_comparable(rows: Sequence[TrainingRow]) -> None:
    """Refuse kinds of answers that no reward can compare.

    Raises:
        InvalidArgumentError: Answers are compared by a judge, or by programs that may not be run.
    """
    for spec in dict.fromkeys(row.answer_kind for row in rows):
        if spec == JUDGE_KIND:
            raise InvalidArgumentError(
                "Rows have answers of the kind 'judge', and a reward asks no model. Use rows of another "
                "kind, or `sampleset train select`."
            )
        answer_kind(spec).check()


def require_possible(recipe: Recipe, rows: Sequence[TrainingRow], held_back: Sequence[TrainingRow]) -> None:
    """Refuse what would fail later.

    Raises:
        DataError: The rows are of several kinds, or held-back ones share a question with them.
        InvalidArgumentError: Options exclude each other, or answers cannot be compared here.
        MissingExtraError: vLLM is to draw the rollouts and is not installed.
    """
    record_for([*rows, *held_back], recipe.rows)
    require_comparable([*rows, *held_back])
    require_apart(held_back, rows, recipe)
    options = recipe.grpo
    if recipe.save_every % options.num_iterations:
        raise InvalidArgumentError(
            f"save_every={recipe.save_every} must be a multiple of grpo.num_iterations="
            f"{options.num_iterations}: rollouts in use are not saved."
        )
    if options.vllm and importlib.util.find_spec("vllm") is None:
        raise MissingExtraError(
            f"grpo.vllm={options.vllm!r} needs vllm. Install it: pip install vllm, or set grpo.vllm=false."
        )
    if (options.vllm or (options.beta and recipe.lora is None)) and find_model(recipe.model).path.is_file():
        what = f"grpo.vllm={options.vllm!r}" if options.vllm else f"grpo.beta={options.beta} without lora"
        raise InvalidArgumentError(
            f"{what} loads the model a second time, which cannot be done from a .gguf file. Give a folder or "
            "a Hub id."
        )
