"""The training run: one loop for every method that learns from rows alone.

A run killed anywhere goes on from its last checkpoint: weights, optimiser, step and the learned multiples are
saved together, the order of the rows is a function of seed and step, and nothing else is random. On the CPU
it ends at the very weights of a run that was never interrupted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from sampleset.engines.checkpoint import CheckpointRecord, read_record, read_trained_on
from sampleset.engines.huggingface.model import ModelFiles, find_model, import_extra
from sampleset.errors import DataError, InvalidArgumentError
from sampleset.prompts import AGGREGATION_PROMPT
from sampleset.training.data.rows import TrainingRow, read_training_rows, sharing_questions
from sampleset.training.memory import memory_advice
from sampleset.training.policy import Policy, load_weights, save_policy, start_policy
from sampleset.training.processes import Processes
from sampleset.training.recipe import Method, Recipe
from sampleset.training.run_folder import STATE_FILE, RunFolder, input_digests
from sampleset.training.schedule import learning_rate_share, row_order

_ADVICE = "rows_per_pass, max_tokens (longer rows stay out), lora.last_layers, or dtype (bfloat16)"


class Learner(Protocol):
    """What one method makes of rows."""

    def example(self, row: TrainingRow, policy: Policy) -> Any:
        """The row as tokens; `None` if nothing can be learnt from it."""
        ...

    def length(self, example: Any) -> int:
        """Tokens of an example, all branches included."""
        ...

    def losses(self, examples: Sequence[Any], policy: Policy) -> list[tuple[Any, dict[str, float]]]:
        """What is minimised, with figures to log, of each example; all are computed in one pass."""
        ...


@dataclass(slots=True)
class TrainingProgress:
    """Where a run stands, for a progress line.

    Attributes:
        figures: Of the last step, and of the last measurement on held-back rows.
        skipped: Rows from which nothing can be learnt.
    """

    step: int = 0
    steps: int = 0
    figures: dict[str, float] = field(default_factory=dict[str, float])
    skipped: int = 0
    started_at: int = 0
    started: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class TrainingSummary:
    """What a run came to.

    Attributes:
        checkpoint: Folder of the trained model.
        steps: Optimiser steps made, earlier runs included.
        before: Figures on the held-back rows before training; empty without such rows.
        after: The same at the end.
    """

    checkpoint: Path
    steps: int
    before: Mapping[str, float]
    after: Mapping[str, float]


def train(
    method: Method,
    learner: Learner,
    recipe: Recipe,
    on_progress: Callable[[TrainingProgress], None] | None = None,
) -> TrainingSummary:
    """Train by a recipe, or go on where an earlier run of it stopped.

    Raises:
        InputNotFoundError: The model or the rows are not there.
        InvalidArgumentError: The rows are of another mode, or the output folder holds another run.
        DataError: Nothing can be learnt from any row, or held-back rows do not fit the others.
    """
    return _Run(method, learner, recipe).go(on_progress or (lambda _: None))


class _Run:
    def __init__(self, method: Method, learner: Learner, recipe: Recipe) -> None:
        self._torch: Any = import_extra("torch")
        self._learner = learner
        self._recipe = recipe
        self._settings = recipe.settings(method)
        self._rows = list(read_training_rows(Path(recipe.rows)))
        if not self._rows:
            raise DataError(f"{recipe.rows}: no rows to train on.")
        held_back = list(read_training_rows(Path(recipe.eval_rows))) if recipe.eval_rows else []
        self._record = require_fitting(self._rows, held_back, recipe)
        if method == "select" and self._record.mode != "select":
            raise InvalidArgumentError(
                f"{recipe.rows} has rows of the mode {self._record.mode}, not select. Make rows with "
                "`sampleset train-data --mode select`, or train with `sampleset train sft` or `grpo`."
            )
        start = find_model(recipe.model)
        self._trained_on = questions_trained_on(self._rows, start)
        self._folder = RunFolder(recipe.folder, self._settings, input_digests(recipe, start))
        self._folder.require_same()
        self._processes = Processes(recipe.folder, self._settings, recipe.report_to)
        self._processes.require_whole_models()
        if recipe.rows_per_step % self._processes.count:
            raise InvalidArgumentError(
                f"rows_per_step={recipe.rows_per_step} must be a multiple of the number of processes, "
                f"{self._processes.count}."
            )
        self._policy = start_policy(replace(recipe, device=recipe.device or self._processes.device))
        self._progress = TrainingProgress(steps=recipe.steps)
        self._examples = self._made(self._rows)
        self._held_back = self._made(held_back) if held_back else []
        self._optimiser = self._torch.optim.AdamW(
            [
                {"params": self._policy.trained, "lr": recipe.learning_rate},
                {"params": [self._policy.prior], "lr": recipe.prior_learning_rate, "weight_decay": 0.0},
            ],
            weight_decay=recipe.weight_decay,
        )
        self._before: dict[str, float] = {}
        self._after: dict[str, float] = {}

    def _made(self, rows: Sequence[TrainingRow]) -> list[Any]:
        examples: list[Any] = []
        for row in rows:
            example = self._learner.example(row, self._policy)
            if example is None or self._learner.length(example) > self._recipe.max_tokens:
                self._progress.skipped += 1
            else:
                examples.append(example)
        if not examples:
            raise DataError(
                f"None of the {len(rows)} rows can be learnt from: no choice, nothing right, no completion, "
                f"or longer than max_tokens={self._recipe.max_tokens}."
            )
        return examples

    def go(self, on_progress: Callable[[TrainingProgress], None]) -> TrainingSummary:
        """Train to the end."""
        with self._folder.claimed() if self._processes.is_main else nullcontext():
            self._processes.wait()
            self._resume()
            return self._train(on_progress)

    def _resume(self) -> None:
        """Go to the last checkpoint, if there is one, and drop log lines of later steps."""
        if self._folder.state_file.exists():
            load_weights(self._policy, self._folder.checkpoint)
            state: Any = self._torch.load(self._folder.state_file, weights_only=True)
            self._optimiser.load_state_dict(state["optimiser"])
            self._progress.step = self._progress.started_at = state["step"]
            self._before, self._after = state["before"], state["after"]
        if self._processes.is_main:
            self._folder.drop_log_after(self._progress.step)

    def _train(self, on_progress: Callable[[TrainingProgress], None]) -> TrainingSummary:
        recipe, progress = self._recipe, self._progress
        if progress.step == 0 and self._held_back:
            self._before = self._after = self._measure()
            self._write({"step": 0} | self._before)
        order = row_order(len(self._examples), recipe.seed, progress.step * recipe.rows_per_step)
        while progress.step < recipe.steps:
            figures = self._step([self._examples[next(order)] for _ in range(recipe.rows_per_step)])
            progress.step += 1
            last = progress.step == recipe.steps
            if self._held_back and (last or progress.step % recipe.eval_every == 0):
                self._after = self._measure()
                figures |= self._after
            progress.figures |= figures
            self._write({"step": progress.step} | figures)
            if self._processes.is_main:
                on_progress(progress)
            if last or progress.step % recipe.save_every == 0:
                self._save()
        self._processes.end()
        return TrainingSummary(self._folder.checkpoint, progress.step, self._before, self._after)

    def _step(self, examples: Sequence[Any]) -> dict[str, float]:
        self._policy.model.train()
        rate = learning_rate_share(self._progress.step, self._recipe)
        for group, highest in zip(
            self._optimiser.param_groups,
            (self._recipe.learning_rate, self._recipe.prior_learning_rate),
            strict=True,
        ):
            group["lr"] = highest * rate
        sums: dict[str, float] = {}
        for part in self._passes(self._processes.share(examples)):
            with memory_advice(sum(map(self._learner.length, part)), _ADVICE):
                found = self._learner.losses(part, self._policy)
                (self._torch.stack([loss for loss, _ in found]).sum() / len(examples)).backward()
            for loss, figures in found:
                for name, value in {"loss": float(loss.detach()), **figures}.items():
                    sums[name] = sums.get(name, 0.0) + value / len(examples)
        sums = self._processes.sums(sums)
        self._processes.sum_gradients([*self._policy.trained, self._policy.prior])
        norm = self._torch.nn.utils.clip_grad_norm_(self._policy.trained, self._recipe.max_grad_norm)
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        return sums | {"grad_norm": float(norm), "learning_rate": self._recipe.learning_rate * rate}

    def _passes(self, examples: Sequence[Any]) -> list[Sequence[Any]]:
        size = self._recipe.rows_per_pass
        return [examples[first : first + size] for first in range(0, len(examples), size)]

    def _measure(self) -> dict[str, float]:
        """Means of the learner's figures over the held-back rows."""
        self._policy.model.eval()
        sums: dict[str, float] = {}
        with self._torch.no_grad():
            for part in self._passes(self._processes.share(self._held_back)):
                for loss, figures in self._learner.losses(part, self._policy):
                    for name, value in {"loss": float(loss), **figures}.items():
                        sums[f"eval_{name}"] = sums.get(f"eval_{name}", 0.0) + value / len(self._held_back)
        return self._processes.sums(sums)

    def _save(self) -> None:
        if self._processes.is_main:
            self._write_checkpoint()
        self._processes.wait()

    def _write_checkpoint(self) -> None:
        training = {
            **self._settings,
            "steps_done": self._progress.step,
            "rows_used": len(self._examples),
            "held_back_rows": len(self._held_back),
            "before": self._before,
            "after": self._after,
        }
        state = {
            "optimiser": self._optimiser.state_dict(),
            "step": self._progress.step,
            "before": self._before,
            "after": self._after,
        }
        with self._folder.new_checkpoint() as new:
            save_policy(self._policy, new, replace(self._record, training=training), self._trained_on)
            self._torch.save(state, new / STATE_FILE)

    def _write(self, figures: Mapping[str, float]) -> None:
        self._processes.report(figures, round(figures["step"]))
        if self._processes.is_main:
            self._folder.write(figures)


def require_apart(held_back: Sequence[TrainingRow], rows: Sequence[TrainingRow], recipe: Recipe) -> None:
    """Refuse held-back rows on questions that are trained on.

    Raises:
        DataError: There is such a row.
    """
    if shared := sharing_questions(held_back, rows):
        raise DataError(
            f"{recipe.eval_rows} has rows on questions of {recipe.rows}, {shared[0].id!r} for one. Make "
            "it with --exclude, so that nothing is measured on what was trained on."
        )


def require_fitting(
    rows: Sequence[TrainingRow], held_back: Sequence[TrainingRow], recipe: Recipe
) -> CheckpointRecord:
    """What `record_for` makes of the rows; the held-back ones are of the same kind, on other questions.

    Raises:
        DataError: They are not, or the rows themselves are of several kinds.
    """
    record = record_for(rows, recipe.rows)
    record_for([*rows, *held_back], f"{recipe.rows} with {recipe.eval_rows}")
    require_apart(held_back, rows, recipe)
    return record


def questions_trained_on(rows: Sequence[TrainingRow], start: ModelFiles) -> frozenset[str] | None:
    """Digests of the rows' questions, and of those that the model to start from was trained on before.

    `None` where one of them is not known.
    """
    earlier = read_trained_on(start.path)
    if earlier is None and read_record(start.path) is not None:
        return None
    digests = [row.question_digest for row in rows]
    return frozenset(filter(None, digests)).union(earlier or ()) if all(digests) else None


def record_for(rows: Sequence[TrainingRow], source: str) -> CheckpointRecord:
    """How a model trained on these rows is to be asked; the model itself is not named yet.

    Raises:
        DataError: The rows are of several kinds, or of another version of the prompt.
    """
    kinds: dict[str, Any] = {}
    for name in ("mode", "prompt_version", "keep_end_tokens", "fold", "max_prompt_tokens"):
        values = {getattr(row, name) for row in rows}
        if len(values) > 1:
            listed = ", ".join(sorted(map(str, values)))
            raise DataError(f"{source} mixes rows of {name} {listed}. Keep one kind in a file.")
        kinds[name] = values.pop()
    if kinds["prompt_version"] != AGGREGATION_PROMPT:
        raise DataError(
            f"{source} holds prompts of version {kinds['prompt_version']!r}; this package asks under "
            f"{AGGREGATION_PROMPT!r}. Make the rows again with sampleset train-data."
        )
    return CheckpointRecord("", **kinds)
