"""The training run: one loop for select, SFT and GRPO, with its folder, log and checkpoints.

A method is a `Learner`: it turns rows into examples and examples into losses. The loop does the rest.

A run that was killed continues from its last checkpoint. Weights, optimiser, step and the learned multiples
are saved together, and the order of the rows and the random numbers of every rollout are functions of seed
and step. On the CPU the final weights equal those of an uninterrupted run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from sampleset.engines.checkpoint import CheckpointRecord, read_record, read_trained_on
from sampleset.engines.huggingface.model import (
    ModelFiles,
    attention_plans_avoided,
    find_model,
    import_extra,
)
from sampleset.errors import BackendError, DataError, InvalidArgumentError
from sampleset.training.data.rows import (
    SHOWN_AS,
    TrainingRow,
    prompt_version_of,
    read_training_rows,
    sharing_questions,
)
from sampleset.training.policy import Policy, load_weights, save_policy, start_policy
from sampleset.training.processes import Processes
from sampleset.training.recipe import Method, Recipe
from sampleset.training.run_folder import STATE_FILE, RunFolder, input_digests
from sampleset.training.schedule import learning_rate_share, row_order
from sampleset.wording import plural

Example = TypeVar("Example")
"""A row in the form that a method needs."""

Lesson = TypeVar("Lesson")
"""The input of a step's loss, made of an example: the example itself, or its rollouts."""


class Learner(Generic[Example, Lesson]):
    """A training method.

    Attributes:
        learns_prior: Whether the multiples of votes and confidence are trained.
        advice: Settings to lower if memory runs out, for an error message.
    """

    learns_prior: ClassVar[bool] = True
    advice: ClassVar[str] = (
        "rows_per_pass, max_tokens (longer rows stay out), lora.last_layers, or dtype (bfloat16)"
    )

    def require(
        self, rows: Sequence[TrainingRow], held_back: Sequence[TrainingRow], record: CheckpointRecord
    ) -> None:
        """Refuse rows and options that cannot be trained, before the model is loaded."""

    def begin(self, policy: Policy, processes: Processes, record: CheckpointRecord) -> None:
        """Prepare the run. Called once with the first policy, before a checkpoint is read."""

    def example(self, row: TrainingRow, policy: Policy) -> Example | None:
        """The row as tokens; `None` if it cannot be used for training."""
        raise NotImplementedError

    def length(self, example: Example) -> int:
        """Tokens of an example, all branches included."""
        raise NotImplementedError

    def no_examples(self, rows: Sequence[TrainingRow], source: str, recipe: Recipe, policy: Policy) -> str:
        """The error message if none of the rows can be used for training."""
        return (
            f"None of the {plural(len(rows), 'row')} can be learnt from: no choice, nothing right, "
            f"no completion, or longer than max_tokens={recipe.max_tokens}."
        )

    @property
    def steps_per_lesson(self) -> int:
        """Optimiser steps with the same lessons."""
        return 1

    def lessons(
        self, examples: Sequence[Example], step: int, policy: Policy, processes: Processes
    ) -> tuple[Sequence[Lesson], dict[str, float]]:
        """This process's share of the step's lessons, and figures over all processes to log."""
        raise NotImplementedError

    def tokens(self, lesson: Lesson) -> int:
        """Tokens of a lesson."""
        raise NotImplementedError

    def losses(self, lessons: Sequence[Lesson], policy: Policy) -> list[tuple[Any, dict[str, float]]]:
        """The loss of each lesson, with figures to log. All are computed in one pass."""
        raise NotImplementedError

    def measured(self, examples: Sequence[Example], policy: Policy, at_once: int) -> list[dict[str, float]]:
        """Figures of each held-back example; `at_once` examples are computed in one pass."""
        raise NotImplementedError


class RowLearner(Learner[Example, Example]):
    """A method whose lessons are its examples."""

    def lessons(
        self, examples: Sequence[Example], step: int, policy: Policy, processes: Processes
    ) -> tuple[Sequence[Example], dict[str, float]]:
        """This process's share of the examples."""
        return processes.share(examples), {}

    def tokens(self, lesson: Example) -> int:
        """Tokens of the example."""
        return self.length(lesson)

    def measured(self, examples: Sequence[Example], policy: Policy, at_once: int) -> list[dict[str, float]]:
        """The loss and the figures of each example."""
        return [
            {"loss": float(loss), **figures}
            for part in batches(examples, at_once)
            for loss, figures in self.losses(part, policy)
        ]


def batches(items: Sequence[Lesson], size: int) -> list[Sequence[Lesson]]:
    """The items in order, cut into batches of at most `size`."""
    return [items[first : first + size] for first in range(0, len(items), size)]


@dataclass(slots=True)
class TrainingProgress:
    """The progress of a run.

    Attributes:
        figures: Figures of the last step and of the last measurement on held-back rows.
        skipped: Rows that cannot be used for training.
    """

    step: int = 0
    steps: int = 0
    figures: dict[str, float] = field(default_factory=dict[str, float])
    skipped: int = 0
    started_at: int = 0
    started: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class TrainingSummary:
    """The result of a run.

    Attributes:
        checkpoint: Folder of the trained model.
        steps: Optimiser steps, including those of earlier runs.
        before: Figures on the held-back rows before training; empty without such rows.
        after: Figures on the held-back rows at the end.
    """

    checkpoint: Path
    steps: int
    before: Mapping[str, float]
    after: Mapping[str, float]


def train(
    method: Method,
    learner: Learner[Any, Any],
    recipe: Recipe,
    on_progress: Callable[[TrainingProgress], None] | None = None,
) -> TrainingSummary:
    """Train by a recipe, or continue an earlier run of it.

    Args:
        method: Name of the method.
        learner: The method.
        recipe: The recipe.
        on_progress: Called with the progress after each step.

    Raises:
        InputNotFoundError: The model or the rows do not exist.
        InvalidArgumentError: The recipe is not possible, the rows have another mode, or the output folder
            holds another run.
        DataError: No row can be used for training, or held-back rows do not fit the others.
        MissingExtraError: torch or another package is not installed.
    """
    return TrainingRun(method, learner, recipe).go(on_progress or (lambda _: None))


class TrainingRun:
    """One run of a recipe by one method.

    Args:
        method: Name of the method.
        learner: The method.
        recipe: The recipe.

    Attributes:
        policy: The model that is trained.
        processes: The processes of the run.
        examples: The training examples.
    """

    def __init__(self, method: Method, learner: Learner[Any, Any], recipe: Recipe) -> None:
        self._torch: Any = import_extra("torch")
        self._learner = learner
        self._recipe = recipe
        self._settings = recipe.settings(method)
        rows = list(read_training_rows(Path(recipe.rows)))
        if not rows:
            raise DataError(f"{recipe.rows}: no rows to train on.")
        held_back = list(read_training_rows(Path(recipe.eval_rows))) if recipe.eval_rows else []
        if recipe.eval_rows and not held_back:
            raise DataError(f"{recipe.eval_rows}: no rows to measure on.")
        self._record = require_fitting(rows, held_back, recipe)
        learner.require(rows, held_back, self._record)
        start = find_model(recipe.model)
        self._trained_on = questions_trained_on(rows, start)
        self._folder = RunFolder(recipe.folder, self._settings, input_digests(recipe, start))
        self._folder.require_same()
        self.processes = Processes(recipe.folder, self._settings, recipe.report_to)
        self.processes.require_whole_models()
        if recipe.rows_per_step % self.processes.count:
            raise InvalidArgumentError(
                f"rows_per_step={recipe.rows_per_step} must be a multiple of the number of processes, "
                f"{self.processes.count}."
            )
        self.policy = start_policy(replace(recipe, device=recipe.device or self.processes.device))
        learner.begin(self.policy, self.processes, self._record)
        self._progress = TrainingProgress(steps=recipe.steps)
        self.examples = self._examples_of(rows, recipe.rows)
        self._held_back = self._examples_of(held_back, str(recipe.eval_rows)) if held_back else []
        # One group of rollouts fills a pass.
        self._at_once = 1 if method == "grpo" else recipe.rows_per_pass
        self._rates = [recipe.learning_rate, recipe.prior_learning_rate][: 1 + learner.learns_prior]
        self.optimiser: Any = self._torch.optim.AdamW(
            [
                {"params": self.policy.trained, "lr": recipe.learning_rate},
                {"params": [self.policy.prior], "lr": recipe.prior_learning_rate, "weight_decay": 0.0},
            ][: len(self._rates)],
            weight_decay=recipe.weight_decay,
        )
        self._before: dict[str, float] = {}
        self._after: dict[str, float] = {}

    def _examples_of(self, rows: Sequence[TrainingRow], source: str) -> list[Any]:
        examples: list[Any] = []
        for row in rows:
            example = self._learner.example(row, self.policy)
            if example is None or self._learner.length(example) > self._recipe.max_tokens:
                self._progress.skipped += 1
            else:
                examples.append(example)
        if not examples:
            raise DataError(self._learner.no_examples(rows, source, self._recipe, self.policy))
        return examples

    def go(self, on_progress: Callable[[TrainingProgress], None]) -> TrainingSummary:
        """Train to the end."""
        with self._folder.claimed() if self.processes.is_main else nullcontext():
            self.processes.wait()
            self._resume()
            return self._train(on_progress)

    def _resume(self) -> None:
        """Load the last checkpoint, if there is one, and remove log lines of later steps."""
        if self._folder.state_file.exists():
            load_weights(self.policy, self._folder.checkpoint)
            state: Any = self._torch.load(self._folder.state_file, map_location="cpu", weights_only=True)
            self.optimiser.load_state_dict(state["optimiser"])
            self._progress.step = self._progress.started_at = state["step"]
            self._before, self._after = state["before"], state["after"]
        if self.processes.is_main:
            self._folder.drop_log_after(self._progress.step)

    def _train(self, on_progress: Callable[[TrainingProgress], None]) -> TrainingSummary:
        recipe, progress, uses = self._recipe, self._progress, self._learner.steps_per_lesson
        if progress.step == 0 and self._held_back:
            self._before = self._after = self._measure()
            self._write({"step": 0} | self._before)
        order = row_order(len(self.examples), recipe.seed, progress.step // uses * recipe.rows_per_step)
        lessons, lesson_figures = list[Any](), dict[str, float]()
        while progress.step < recipe.steps:
            if progress.step % uses == 0:
                chosen = [self.examples[next(order)] for _ in range(recipe.rows_per_step)]
                lessons, lesson_figures = self._lessons(chosen)
            figures = lesson_figures | self.step(lessons)
            progress.step += 1
            last = progress.step == recipe.steps
            if self._held_back and (last or progress.step % recipe.eval_every == 0):
                self._after = self._measure()
                figures |= self._after
            progress.figures |= figures
            self._write({"step": progress.step} | figures)
            if self.processes.is_main:
                on_progress(progress)
            if last or progress.step % recipe.save_every == 0:
                self._save()
        self.processes.end()
        return TrainingSummary(self._folder.checkpoint, progress.step, self._before, self._after)

    def _lessons(self, examples: Sequence[Any]) -> tuple[list[Any], dict[str, float]]:
        longest = max(map(self._learner.length, examples))
        with self._computing(longest):
            lessons, figures = self._learner.lessons(
                examples, self._progress.step, self.policy, self.processes
            )
        return list(lessons), figures

    def step(self, lessons: Sequence[Any]) -> dict[str, float]:
        """One optimiser step on this process's share of the lessons; returns figures to log."""
        self.policy.model.train()
        share = learning_rate_share(self._progress.step, self._recipe)
        for group, highest in zip(self.optimiser.param_groups, self._rates, strict=True):
            group["lr"] = highest * share
        rows = self._recipe.rows_per_step
        sums: dict[str, float] = {}
        for part in batches(lessons, self._at_once):
            with self._computing(sum(map(self._learner.tokens, part))):
                losses = self._learner.losses(part, self.policy)
                (self._torch.stack([loss for loss, _ in losses]).sum() / rows).backward()
            for loss, figures in losses:
                _add(sums, {"loss": float(loss.detach()), **figures}, 1 / rows)
        sums = self.processes.sums(sums)
        self.processes.sum_gradients(
            [weight for group in self.optimiser.param_groups for weight in group["params"]]
        )
        norm = self._torch.nn.utils.clip_grad_norm_(self.policy.trained, self._recipe.max_grad_norm)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return sums | {"grad_norm": float(norm), "learning_rate": self._recipe.learning_rate * share}

    @contextmanager
    def _computing(self, tokens: int) -> Generator[None]:
        """Context of the model's passes; `tokens` is their length, for an error message."""
        device = self.policy.model.device
        mixed = self._recipe.matmul_dtype is not None
        with (
            memory_advice(tokens, self._learner.advice),
            attention_plans_avoided(device),
            self._torch.autocast(device.type, dtype=self._torch.bfloat16, enabled=mixed),
        ):
            yield

    def _measure(self) -> dict[str, float]:
        """Means of the learner's figures over the held-back rows."""
        self.policy.model.eval()
        examples = self.processes.share(self._held_back)
        sums: dict[str, float] = {}
        longest = max(map(self._learner.length, self._held_back))
        with self._torch.no_grad(), self._computing(longest):
            for figures in self._learner.measured(examples, self.policy, self._at_once):
                eval_figures = {f"eval_{name}": value for name, value in figures.items()}
                _add(sums, eval_figures, 1 / len(self._held_back))
        return self.processes.sums(sums)

    def _save(self) -> None:
        if self.processes.is_main:
            self._write_checkpoint()
        self.processes.wait()

    def _write_checkpoint(self) -> None:
        training = {
            **self._settings,
            "steps_done": self._progress.step,
            "rows_used": len(self.examples),
            "held_back_rows": len(self._held_back),
            "before": self._before,
            "after": self._after,
        }
        state = {
            "optimiser": self.optimiser.state_dict(),
            "step": self._progress.step,
            "before": self._before,
            "after": self._after,
        }
        with self._folder.new_checkpoint() as new:
            save_policy(self.policy, new, replace(self._record, training=training), self._trained_on)
            self._torch.save(state, new / STATE_FILE)

    def _write(self, figures: Mapping[str, float]) -> None:
        self.processes.report(figures, round(figures["step"]))
        if self.processes.is_main:
            self._folder.write(figures)


def _add(sums: dict[str, float], figures: Mapping[str, float], weight: float) -> None:
    for name, value in figures.items():
        sums[name] = sums.get(name, 0.0) + value * weight


@contextmanager
def memory_advice(tokens: int, advice: str) -> Generator[None]:
    """Convert torch's errors for lack of memory into one with advice.

    Args:
        tokens: Tokens of the pass.
        advice: Settings to lower.

    Raises:
        BackendError: Memory ran out.
    """
    torch: Any = import_extra("torch")
    try:
        yield
    except RuntimeError as error:
        # On a CPU it is a plain RuntimeError of the allocator.
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        raise BackendError(
            f"Memory ran out on a row of {tokens} tokens. Lower {advice}; what is trained up to the last "
            "checkpoint is kept, and a run with other settings needs another output_dir."
        ) from error


def require_apart(held_back: Sequence[TrainingRow], rows: Sequence[TrainingRow], recipe: Recipe) -> None:
    """Refuse held-back rows whose questions are trained on.

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
    """The record of `record_for`. Held-back rows must be of the same kind and on other questions.

    Raises:
        DataError: They are not, or the rows themselves are of several kinds.
    """
    record = record_for(rows, recipe.rows)
    record_for([*rows, *held_back], f"{recipe.rows} with {recipe.eval_rows}")
    require_apart(held_back, rows, recipe)
    return record


def questions_trained_on(rows: Sequence[TrainingRow], start: ModelFiles) -> frozenset[str] | None:
    """Digests of the rows' questions and of all questions that the first model was trained on before.

    `None` if some of them are unknown.
    """
    earlier = read_trained_on(start.path)
    if earlier is None and read_record(start.path) is not None:
        return None
    digests = [row.question_digest for row in rows]
    return frozenset(filter(None, digests)).union(earlier or ()) if all(digests) else None


def record_for(rows: Sequence[TrainingRow], source: str) -> CheckpointRecord:
    """The record of a model trained on these rows, still without the model's name.

    Raises:
        DataError: The rows are of several kinds, or have another version of the prompt.
    """
    kinds: dict[str, Any] = {}
    for name in ("mode", "prompt_version", *SHOWN_AS):
        values = {getattr(row, name) for row in rows}
        if len(values) > 1:
            listed = ", ".join(sorted(map(str, values)))
            raise DataError(f"{source} mixes rows of {name} {listed}. Keep one kind in a file.")
        kinds[name] = values.pop()
    if kinds["prompt_version"] != (expected := prompt_version_of(kinds["mode"])):
        raise DataError(
            f"{source} holds prompts of version {kinds['prompt_version']!r}; this package asks under "
            f"{expected!r}. Make the rows again with sampleset train-data."
        )
    return CheckpointRecord("", **kinds)
