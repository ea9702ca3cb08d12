"""What GRPO asks of rows and recipe, found out before the model is loaded."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from sampleset.engines.huggingface.model import find_model
from sampleset.errors import DataError, InvalidArgumentError, MissingExtraError
from sampleset.training.data.rows import TrainingRow, read_training_rows
from sampleset.training.grpo.rewards import require_comparable
from sampleset.training.loop import require_fitting
from sampleset.training.recipe import Recipe


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


def require_possible(recipe: Recipe, rows: Sequence[TrainingRow], held_back: Sequence[TrainingRow]) -> None:
    """Refuse what would fail later.

    Raises:
        DataError: The rows are of several kinds, or held-back ones share a question with them.
        InvalidArgumentError: Options exclude each other, or answers cannot be compared here.
        MissingExtraError: vLLM is to draw the rollouts and is not installed.
    """
    require_fitting(rows, held_back, recipe)
    require_comparable([*rows, *held_back])
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
    if options.beta and recipe.lora is None and find_model(recipe.model).base is not None:
        raise InvalidArgumentError(
            f"grpo.beta={options.beta} with lora=null would hold the model near the base of the adapter "
            f"{recipe.model!r}. Run `sampleset export {recipe.model} --format merged --output FOLDER` first, "
            "and set model to FOLDER."
        )
    if (options.vllm or (options.beta and recipe.lora is None)) and find_model(recipe.model).path.is_file():
        what = f"grpo.vllm={options.vllm!r}" if options.vllm else f"grpo.beta={options.beta} without lora"
        raise InvalidArgumentError(
            f"{what} loads the model a second time, which cannot be done from a .gguf file. Give a folder or "
            "a Hub id."
        )
