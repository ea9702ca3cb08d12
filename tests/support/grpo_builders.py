"""Rows, recipes and runs for the tests of GRPO."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from sampleset.answers import Kinds
from sampleset.storage.files import write_rows
from sampleset.training.data.rows import TrainingRow, row_to_json
from sampleset.training.grpo.run import GrpoLearner, train_grpo
from sampleset.training.loop import TrainingRun
from sampleset.training.policy import load_weights, start_policy
from sampleset.training.recipe import GrpoOptions, LoraOptions, Recipe
from support.training_builders import short_row


def two_is_right(count: int, first: int, shuffled: bool = False) -> list[TrainingRow]:
    """Sets of the digit 2 and three others; 2 is right, or, shuffled, any of them."""
    generator = random.Random(first)
    rows: list[TrainingRow] = []
    for number in range(first, first + count):
        answers = [*generator.sample("1345678", 3), "2"]
        generator.shuffle(answers)
        right = generator.randrange(4) if shuffled else answers.index("2")
        rows.append(short_row(number, answers, [place == right for place in range(4)], mode="direct"))
    return rows


def recipe(
    tmp_path: Path, model: Path, rows: list[TrainingRow], grpo: dict[str, Any] | None = None, **options: Any
) -> Recipe:
    path = tmp_path / "rows.jsonl"
    write_rows(path, map(row_to_json, rows))
    settings = {
        "output_dir": str(tmp_path / "run"),
        "steps": 1,
        "learning_rate": 1e-2,
        "threads": 1,
        "device": "cpu",
        "lora": LoraOptions(r=8, alpha=16),
        "grpo": GrpoOptions(**{"num_generations": 4, "max_completion_tokens": 12} | (grpo or {})),
    }
    return Recipe(model=str(model), rows=str(path), **settings | options)


def log_of(made: Recipe) -> list[dict[str, float]]:
    return [json.loads(line) for line in (made.folder / "log.jsonl").read_text().splitlines()]


def weights_of(made: Recipe) -> dict[str, Any]:
    policy = start_policy(made)
    load_weights(policy, made.folder / "checkpoint")
    return policy.model.state_dict()


def log_of_a_killed_run(tmp_path: Path, model: Path, options: dict[str, Any]) -> list[dict[str, float]]:
    """The log of a run that was killed, after a test that it ended where an unbroken one does."""

    class Killed(Exception):
        pass

    def dies(progress: Any) -> None:
        if progress.step == 3:
            raise Killed

    results: list[tuple[dict[str, Any], list[dict[str, float]]]] = []
    for name in ("whole", "killed"):
        made = recipe(
            tmp_path, model, two_is_right(5, 0), options, steps=6, rows_per_step=2, save_every=2,
            output_dir=str(tmp_path / name),
        )  # fmt: skip
        if name == "killed":
            with pytest.raises(Killed):
                train_grpo(made, dies)
        assert train_grpo(made).steps == 6
        results.append((weights_of(made), log_of(made)))
    (whole, log), (killed, log_again) = results
    assert all(whole[name].equal(killed[name]) for name in whole)
    assert log == log_again
    return log


def opened(made: Recipe) -> tuple[TrainingRun, GrpoLearner]:
    """A run, not started, and its method."""
    learner = GrpoLearner(made, Kinds())
    return TrainingRun("grpo", learner, made), learner
