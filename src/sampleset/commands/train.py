"""A training run by a recipe."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, cast, get_args

import typer

from sampleset.answers import Kinds
from sampleset.commands.options import AnswerOptions, RunCode, argument
from sampleset.commands.progress import training_line
from sampleset.commands.run import Output, print_json
from sampleset.errors import InvalidArgumentError, UnknownNameError
from sampleset.settings import parse_overrides, read_settings
from sampleset.training.grpo.run import train_grpo
from sampleset.training.loop import TrainingProgress, TrainingSummary
from sampleset.training.loop import train as run_training
from sampleset.training.processes import is_main_process
from sampleset.training.recipe import Method, Recipe, recipe_of
from sampleset.training.scales import overlaid
from sampleset.training.select import SelectLearner
from sampleset.training.sft import SftLearner
from sampleset.wording import plural

EXAMPLE = "sampleset train select recipes/select.yaml --set steps=100"


def train(
    method: Annotated[str, argument("select (score the candidates), sft (imitate) or grpo.")],
    recipe: Annotated[Path, argument("YAML file with model, rows, output_dir, steps, ...")],
    output: Output,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE over the recipe, as lora.r=8.")
    ] = None,
    run_code: RunCode = None,
) -> None:
    """Train an aggregator by a recipe. Run it again to go on where it stopped."""
    if method not in get_args(Method):
        raise UnknownNameError("training method", method, get_args(Method))
    kinds = AnswerOptions(run_code=run_code).kinds()
    made = _read_recipe(method, recipe, overrides or [])
    summary = trained(cast("Method", method), made, kinds, output)
    if not is_main_process():
        return
    figures: dict[str, Any] = {"checkpoint": str(summary.checkpoint), "steps": summary.steps}
    held_back = {
        name: {"before": summary.before[name], "after": summary.after[name]} for name in summary.after
    }
    if output.as_json:
        print_json(figures | {"held_back": held_back})
        return
    print(f"checkpoint: {summary.checkpoint}, {plural(summary.steps, 'step')}")
    for name, values in held_back.items():
        print(
            f"{name.removeprefix('eval_')} on held-back rows: {values['before']:.3f} -> {values['after']:.3f}"
        )
    if method == "select":
        output.next("calibrate", summary.checkpoint, "ROWS.held_back.jsonl")
    else:
        output.next("export", summary.checkpoint, "--output", "FOLDER")


def trained(method: Method, recipe: Recipe, kinds: Kinds, output: Output) -> TrainingSummary:
    """Train by a recipe, or go on with an earlier run of it; shows the progress."""
    with output.status_line() as show:

        def on_progress(now: TrainingProgress) -> None:
            show(training_line(now), now.step, now.steps)

        try:
            if method == "grpo":
                return train_grpo(recipe, on_progress, kinds)
            if method == "select":
                return run_training("select", SelectLearner(recipe.objective), recipe, on_progress)
            return run_training("sft", SftLearner(), recipe, on_progress)
        except KeyboardInterrupt:
            print("interrupted; run the same command again to go on", file=sys.stderr)
            raise typer.Exit(130) from None


def _read_recipe(method: str, path: Path, overrides: list[str]) -> Recipe:
    """The recipe in a file, the `config.json` of a run for one, with overrides."""
    settings = read_settings(path)
    if settings.get("method", method) != method:
        raise InvalidArgumentError(
            f"{path} is of a run by {settings['method']!r}. Give that method, or a recipe without one."
        )
    return recipe_of(overlaid(settings, parse_overrides(overrides)), str(path))
