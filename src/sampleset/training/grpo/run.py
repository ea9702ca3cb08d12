"""Group-relative policy optimisation (GRPO) of an aggregator that writes, in mode think or direct.

As Qi et al. 2025 (arXiv 2506.09014): the policy draws a group of completions of a row's prompt, each earns
the reward of `training.rewards`, and what lies above the group's mean is made likelier. Loss and advantages
are those of TRL's trainer. Departures: the prompt of a group is computed once (see `shared_prompt`), prompts
are tokenized as in evaluation, and by default there is no KL term and tokens are averaged over the step.

A run killed anywhere goes on from its last checkpoint. The rows of a step and the random numbers of every
rollout are functions of seed and step, so on the CPU it ends at the weights of an unbroken run.
"""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from statistics import fmean
from typing import Any

from sampleset.engines.huggingface.batch import end_tokens
from sampleset.engines.huggingface.model import find_model, import_extra
from sampleset.errors import DataError, InvalidArgumentError
from sampleset.prompts import ANSWER_CLOSE
from sampleset.training.data.rows import TrainingRow
from sampleset.training.grpo.checks import require_possible, rows_to_write_for
from sampleset.training.grpo.rewards import Group, Reward, group_statistics, reward
from sampleset.training.grpo.rollouts import Drawing, Rollout, roll_out, rollout_of
from sampleset.training.grpo.trainer import ADVICE, checkpoint_state, group_trainer
from sampleset.training.loop import TrainingProgress, TrainingSummary, questions_trained_on, record_for
from sampleset.training.memory import memory_advice
from sampleset.training.policy import load_weights, save_policy, start_policy
from sampleset.training.processes import Processes
from sampleset.training.recipe import Recipe
from sampleset.training.run_folder import STATE_FILE, RunFolder, input_digests
from sampleset.training.schedule import learning_rate_share, row_order

COMPLETION_TOKENS = {"think": 512, "direct": 64}
_COUNTS = ("groups", "rollouts", "length_unit")


def train_grpo(
    recipe: Recipe, on_progress: Callable[[TrainingProgress], None] | None = None
) -> TrainingSummary:
    """Train by a recipe, or go on where an earlier run of it stopped.

    Raises:
        InputNotFoundError: The model or the rows are not there.
        InvalidArgumentError: The recipe asks for what cannot be, or its output folder holds another run.
        DataError: No row can be learnt from.
        MissingExtraError: torch, TRL or another package is not installed.
    """
    import_extra("trl")
    rows = rows_to_write_for(recipe.rows)
    held_back = rows_to_write_for(recipe.eval_rows) if recipe.eval_rows else []
    require_possible(recipe, rows, held_back)
    with _quiet():
        return _Run(recipe, rows, held_back, on_progress or (lambda _: None)).go()


@contextmanager
def _quiet() -> Generator[None]:
    """Without the words of TRL and transformers, whose figures stand in our log."""
    logging = import_extra("transformers").utils.logging
    shown, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            for kind in (FutureWarning, DeprecationWarning):
                warnings.simplefilter("ignore", kind)
            yield
    finally:
        logging.set_verbosity(shown)
        if bars:
            logging.enable_progress_bar()


class _Run:
    """One run; the hooks of the trainer are its public methods."""

    def __init__(
        self,
        recipe: Recipe,
        rows: Sequence[TrainingRow],
        held_back: Sequence[TrainingRow],
        on_progress: Callable[[TrainingProgress], None],
    ) -> None:
        self._torch: Any = import_extra("torch")
        self._recipe, self._options = recipe, recipe.grpo
        self.shared_prompt = recipe.grpo.shared_prompt
        self._on_progress = on_progress
        self._settings = recipe.settings("grpo")
        self._record = record_for(rows, recipe.rows)
        self._start = find_model(recipe.model)
        self._trained_on = questions_trained_on(rows, self._start)
        self._folder = RunFolder(recipe.folder, self._settings, input_digests(recipe, self._start))
        self._folder.require_same()
        self._processes = Processes(recipe.folder, self._settings, recipe.report_to)
        self._processes.require_whole_models()
        if recipe.rows_per_step % self._processes.count:
            raise InvalidArgumentError(
                f"rows_per_step={recipe.rows_per_step} must be a multiple of the number of processes, "
                f"{self._processes.count}."
            )
        self._policy = start_policy(replace(recipe, device=recipe.device or self._processes.device))
        self._most = self._options.max_completion_tokens or COMPLETION_TOKENS[self._record.mode]
        self._progress = TrainingProgress(steps=recipe.steps)
        self._rows, self._prompts = self._fitting(rows, recipe.rows)
        self._held_back, self._held_back_prompts = (
            self._fitting(held_back, str(recipe.eval_rows)) if held_back else ([], [])
        )
        self._before: dict[str, float] = {}
        self._after: dict[str, float] = {}
        self._drawn: dict[str, float] = {}

    def _fitting(
        self, rows: Sequence[TrainingRow], source: str
    ) -> tuple[list[TrainingRow], list[tuple[int, ...]]]:
        """The rows that leave room for a completion, and their prompts as tokens."""
        context: int | None = getattr(
            self._policy.model.config.get_text_config(), "max_position_embeddings", None
        )
        most = min(self._recipe.max_tokens, context or self._recipe.max_tokens)
        prompts = [tuple(self._policy.texts.prompt(row.prompt)) for row in rows]
        kept = [place for place, prompt in enumerate(prompts) if len(prompt) + self._most <= most]
        self._progress.skipped += len(rows) - len(kept)
        if not kept:
            raise DataError(
                f"None of the {len(rows)} rows of {source} leaves room for {self._most} tokens of completion "
                f"within {most}: the shortest prompt has {min(map(len, prompts))}. Raise max_tokens up to "
                "the model's context, or lower grpo.max_completion_tokens."
            )
        return [rows[place] for place in kept], [prompts[place] for place in kept]

    def go(self) -> TrainingSummary:
        """Train to the end."""
        with self._folder.claimed() if self._processes.is_main else nullcontext():
            self._processes.wait()
            return self._train()

    def _train(self) -> TrainingSummary:
        going_on = self._folder.state_file.exists()
        if going_on:
            state = self._state()
            self._before, self._after = state["before"], state["after"]
            self._progress.step = self._progress.started_at = state["step"]
        if self._processes.is_main:
            self._folder.drop_log_after(self._progress.step)
        if self._progress.step < self._recipe.steps:
            trainer = self._trainer()
            if not going_on and self._held_back:
                self._before = self._after = self._measure()
                self._write({"step": 0} | self._before)
            trainer.train(resume_from_checkpoint=str(self._folder.checkpoint) if going_on else None)
        self._processes.end()
        return TrainingSummary(self._folder.checkpoint, self._progress.step, self._before, self._after)

    def _trainer(self) -> Any:
        trl: Any = import_extra("trl")
        recipe, options, policy = self._recipe, self._options, self._policy
        optimiser = self._torch.optim.AdamW(
            policy.trained, lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        share = functools.partial(learning_rate_share, recipe=recipe)
        schedule = self._torch.optim.lr_scheduler.LambdaLR(optimiser, share)
        fresh = recipe.lora is not None and self._start.base is None
        settings = trl.GRPOConfig(
            output_dir=recipe.output_dir,
            max_steps=recipe.steps,
            per_device_train_batch_size=options.num_generations,
            gradient_accumulation_steps=recipe.rows_per_step // self._processes.count,
            max_grad_norm=recipe.max_grad_norm,
            num_generations=options.num_generations,
            max_completion_length=self._most,
            temperature=options.temperature,
            # What a fresh adapter started from is the model without it; TRL would copy the adapter.
            beta=0.0 if fresh else options.beta,
            scale_rewards="group" if options.scale_rewards else "none",
            loss_type=options.loss_type,
            epsilon=options.epsilon,
            num_iterations=options.num_iterations,
            gradient_checkpointing=options.gradient_checkpointing,
            disable_dropout=True,
            bf16=False,  # the weights keep the dtype of the recipe
            use_cpu=policy.model.device.type == "cpu",
            seed=recipe.seed,
            logging_steps=1,
            logging_nan_inf_filter=False,
            save_strategy="steps",
            save_steps=recipe.save_every,
            report_to="none",
            disable_tqdm=True,
            remove_unused_columns=False,
            dataloader_pin_memory=False,
            **self._vllm_settings(),
        )
        trainer = group_trainer()(
            self,
            model=policy.model,
            reward_funcs=self.reward,
            args=settings,
            train_dataset=import_extra("datasets").Dataset.from_dict(
                {"prompt": [str(place) for place in range(len(self._rows))]}
            ),
            processing_class=policy.tokenizer,
            optimizers=(optimiser, schedule),
            rollout_func=self.roll_out,
        )
        trainer.beta = options.beta
        return trainer

    def _vllm_settings(self) -> dict[str, Any]:
        if not self._options.vllm:
            return {}
        return {
            "use_vllm": True,
            "vllm_mode": self._options.vllm,
            "vllm_max_model_length": self._recipe.max_tokens,
            "generation_kwargs": {"stop": [ANSWER_CLOSE], "include_stop_str_in_output": True},
        }

    def order(self) -> Iterator[int]:
        """Places of rows, from the run's first step on."""
        return row_order(len(self._rows), self._recipe.seed, 0)

    def tokens(self, prompts: Sequence[str]) -> int:
        """Tokens of the longest of these prompts with all its rollouts at full length."""
        longest = max(len(self._prompts[int(one)]) for one in prompts)
        return longest + self._options.num_generations * self._most

    def roll_out(self, prompts: Sequence[str], trainer: Any) -> dict[str, list[Any] | None]:
        """The rollouts of a generation batch, as TRL wants them.

        Args:
            prompts: Places of rows, each as often as it has rollouts.
            trainer: The trainer.
        """
        places = [int(one) for one in prompts]
        logprobs: list[Any] | None = None
        if self._options.vllm:
            ends = end_tokens(self._policy.model, self._policy.tokenizer)
            written, logprobs = trainer._generate_single_turn(
                [list(self._prompts[place]) for place in places], None, {}, self._options.num_generations
            )
            rollouts = [rollout_of(one, self._policy.texts, ends, self._most) for one in written]
        else:
            rollouts = self._own_rollouts(places, trainer.state.global_step)
        made: dict[str, list[Any] | None] = {
            "prompt_ids": [list(self._prompts[place]) for place in places],
            "completion_ids": [list(one.tokens) for one in rollouts],
            "logprobs": logprobs,
            "text": [one.text for one in rollouts],
            "truncated": [one.truncated for one in rollouts],
        }
        if self._options.truncated == "mask":
            # TRL's own option takes a rollout that ends with the stop text for a truncated one.
            made["env_mask"] = [[int(not one.truncated)] * len(one.tokens) for one in rollouts]
        return made

    def _own_rollouts(self, places: Sequence[int], step: int) -> list[Rollout]:
        seen: dict[int, int] = {}
        drawings: list[Drawing] = []
        for place in places[:: self._options.num_generations]:
            first = seen.get(place, 0)
            seen[place] = first + self._options.num_generations
            name = f"{self._recipe.seed}:{step}:{self._rows[place].id}"
            seeds = tuple(f"{name}:{number}" for number in range(first, seen[place]))
            drawings.append(Drawing(self._prompts[place], seeds))
        groups = roll_out(self._policy, drawings, self._options.temperature, self._most)
        return [one for group in groups for one in group]

    def reward(
        self,
        prompts: Sequence[str],
        completion_ids: Sequence[Sequence[int]],
        text: Sequence[str],
        truncated: Sequence[bool],
        **_: Any,
    ) -> list[float]:
        """What every rollout of a generation batch earns; the figures are kept for the log."""
        earned = [
            reward(written, self._rows[int(prompt)], truncated=cut, tokens=len(tokens))
            for prompt, written, cut, tokens in zip(prompts, text, truncated, completion_ids, strict=True)
        ]
        every = self._processes.gathered(
            [(int(prompt), one, cut) for prompt, one, cut in zip(prompts, earned, truncated, strict=True)]
        )
        size = self._options.num_generations
        groups = [
            Group(self._rows[every[first][0]], tuple(one for _, one, _ in every[first : first + size]))
            for first in range(0, len(every), size)
        ]
        self._drawn = _figures(groups) | {"truncated": fmean(cut for _, _, cut in every)}
        return [one.value for one in earned]

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Write the figures of a step, those on held-back rows included where they are due."""
        self._progress.step = step
        written = self._drawn | dict(figures)
        if self._held_back and (step == self._recipe.steps or step % self._recipe.eval_every == 0):
            self._after = self._measure()
            written |= self._after
        self._progress.figures |= written
        self._write({"step": step} | written)
        if self._processes.is_main:
            self._on_progress(self._progress)

    def _measure(self) -> dict[str, float]:
        """Figures of the likeliest completion of every held-back row."""
        places = self._processes.share(range(len(self._held_back)))
        drawings = [Drawing(self._held_back_prompts[place], ("",)) for place in places]
        with memory_advice(max(map(len, self._held_back_prompts)) + self._most, ADVICE):
            groups = roll_out(self._policy, drawings, 0.0, self._most) if drawings else []
        sums: dict[str, float] = {}
        for place, (one,) in zip(places, groups, strict=True):
            row = self._held_back[place]
            earned: Reward = reward(one.text, row, truncated=one.truncated)
            for name, value in {
                "reward": earned.value,
                "accuracy": earned.right,
                "formatted": earned.formatted,
                "truncated": one.truncated,
                "vote": row.vote_right,
            }.items():
                sums[f"eval_{name}"] = sums.get(f"eval_{name}", 0.0) + value / len(self._held_back)
        return self._processes.sums(sums)

    def save(self, trainer: Any) -> None:
        """Write a checkpoint."""
        if self._processes.is_main:
            training = {
                **self._settings,
                "steps_done": self._progress.step,
                "rows_used": len(self._rows),
                "held_back_rows": len(self._held_back),
                "before": self._before,
                "after": self._after,
            }
            with self._folder.new_checkpoint() as new:
                save_policy(self._policy, new, replace(self._record, training=training), self._trained_on)
                state = checkpoint_state(trainer, new)
                state |= {"step": self._progress.step, "before": self._before, "after": self._after}
                self._torch.save(state, new / STATE_FILE)
        self._processes.wait()

    def load_weights(self) -> None:
        """Put the checkpoint's weights into the model."""
        load_weights(self._policy, self._folder.checkpoint)

    def load_optimiser(self, trainer: Any) -> None:
        """Put the checkpoint's state into optimiser and schedule."""
        state = self._state()
        trainer.optimizer.load_state_dict(state["optimiser"])
        trainer.lr_scheduler.load_state_dict(state["schedule"])

    def _state(self) -> dict[str, Any]:
        return self._torch.load(self._folder.state_file, map_location="cpu", weights_only=True)

    def _write(self, figures: Mapping[str, float]) -> None:
        self._processes.report(figures, round(figures["step"]))
        if self._processes.is_main:
            self._folder.write(figures)


def _figures(groups: Sequence[Group]) -> dict[str, float]:
    """What the rollouts of these rows amount to, without what there is nothing to count for."""
    found = asdict(group_statistics(groups))
    return {name: value for name, value in found.items() if value is not None and name not in _COUNTS}
