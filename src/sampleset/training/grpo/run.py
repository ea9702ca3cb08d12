"""Group-relative policy optimisation (GRPO) of an aggregator that writes, in mode think or direct.

As in Qi et al. 2025 (arXiv 2506.09014), the policy draws a group of completions of a row's prompt, each earns
the reward of `training.grpo.rewards`, and completions above the group's mean become likelier. Departures: the
prompt of a group is computed once (see `shared_prompt`), prompts are tokenized as in evaluation, and by
default there is no KL term and tokens are averaged over the step.

With `dynamic_sampling`, a group that teaches nothing is drawn anew (after DAPO, Yu et al. 2025, arXiv
2503.14476, which takes other prompts instead: here the rows of a step stay a function of seed and step).

`GrpoLearner` is a `Learner` of the loop that all methods share. The rows of a step and the random numbers of
every rollout are functions of seed and step.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any, ClassVar

from sampleset.answers import Kinds
from sampleset.engines.checkpoint import CheckpointRecord
from sampleset.engines.huggingface.batch import end_tokens
from sampleset.engines.huggingface.model import find_model, import_extra
from sampleset.errors import InvalidArgumentError, MissingExtraError
from sampleset.prompts import ANSWER_CLOSE
from sampleset.training.data.rows import ONLY_METHOD, TrainingRow
from sampleset.training.grpo.loss import GroupLesson, Reference, group_loss, group_scores, importance_weights
from sampleset.training.grpo.rewards import (
    Group,
    Reward,
    advantages,
    group_statistics,
    require_comparable,
    reward,
)
from sampleset.training.grpo.rollouts import Drawing, Rollout, roll_out, rollout_of
from sampleset.training.loop import Learner, TrainingProgress, TrainingSummary, train
from sampleset.training.policy import Policy
from sampleset.training.processes import Processes
from sampleset.training.recipe import Recipe

COMPLETION_TOKENS = {"think": 512, "direct": 64}
_COUNTS = ("groups", "rollouts", "length_unit")

Reported = Sequence[Sequence[float | None]] | None
"""Log-probabilities of a group's rollouts by the engine that drew them; `None` if this process drew them."""


def train_grpo(
    recipe: Recipe,
    on_progress: Callable[[TrainingProgress], None] | None = None,
    kinds: Kinds | None = None,
) -> TrainingSummary:
    """Train by a recipe, or continue an earlier run of it.

    Args:
        recipe: The recipe.
        on_progress: Called with the progress after each step.
        kinds: Comparison of answers, such as whether programs of the kind `code` may be run.

    Raises:
        InputNotFoundError: The model or the rows do not exist.
        InvalidArgumentError: The recipe is not possible, or its output folder holds another run.
        DataError: No row can be used for training.
        MissingExtraError: torch, TRL for vLLM, or another package is not installed.
    """
    return train("grpo", GrpoLearner(recipe, kinds or Kinds()), recipe, on_progress)


@dataclass(frozen=True, slots=True)
class GrpoExample:
    """A row and the tokens of its prompt."""

    row: TrainingRow
    prompt: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class GradedGroup:
    """The rollouts of one row with their rewards.

    Attributes:
        rollouts: The rollouts.
        rewards: The reward of each.
        taking_part: Whether each is part of the loss.
        reported: Their log-probabilities by the engine that drew them.
    """

    rollouts: tuple[Rollout, ...]
    rewards: tuple[Reward, ...]
    taking_part: tuple[bool, ...]
    reported: Reported

    @property
    def teaches(self) -> bool:
        """Whether rewards differ, and some rollout is part of the loss."""
        return len({result.value for result in self.rewards}) > 1 and any(self.taking_part)

    @property
    def tokens(self) -> int:
        """Tokens of the rollouts that are part of the loss."""
        parts = zip(self.rollouts, self.taking_part, strict=True)
        return sum(len(rollout.tokens) for rollout, counted in parts if counted)


class GrpoLearner(Learner[GrpoExample, GroupLesson]):
    """Trains by group-relative policy optimisation; see the module.

    Args:
        recipe: The recipe of the run.
        kinds: Comparison of answers.
    """

    learns_prior: ClassVar[bool] = False
    advice: ClassVar[str] = (
        "grpo.num_generations, grpo.max_completion_tokens, max_tokens (longer rows are left out), "
        "lora.last_layers, or the precision (dtype=bfloat16), or set grpo.gradient_checkpointing=true"
    )

    def __init__(self, recipe: Recipe, kinds: Kinds) -> None:
        self._torch: Any = import_extra("torch")
        self._recipe, self._options = recipe, recipe.grpo
        self._kinds = kinds
        self._most = 0
        self._reference: Reference | None = None
        self._vllm: Any = None

    @property
    def steps_per_lesson(self) -> int:
        """Optimiser steps with the same rollouts."""
        return self._options.num_iterations

    def require(
        self, rows: Sequence[TrainingRow], held_back: Sequence[TrainingRow], record: CheckpointRecord
    ) -> None:
        """Refuse rows of the mode `select`, answers that cannot be compared, and impossible options.

        Raises:
            InvalidArgumentError: Rows or options are refused.
            MissingExtraError: vLLM should draw the rollouts and is not installed.
        """
        recipe, options = self._recipe, self._options
        if (method := ONLY_METHOD.get(record.mode)) is not None:
            raise InvalidArgumentError(
                f"{recipe.rows} has rows of the mode {record.mode}, which GRPO cannot train. Train them with "
                f"`sampleset train {method}`, or make rows with `sampleset train-data --mode think`."
            )
        require_comparable([replace(row, kinds=self._kinds) for row in (*rows, *held_back)])
        if recipe.save_every % options.num_iterations:
            raise InvalidArgumentError(
                f"save_every={recipe.save_every} must be a multiple of grpo.num_iterations="
                f"{options.num_iterations}: rollouts in use are not saved."
            )
        if not options.vllm:
            return
        for package in ("vllm", "trl"):
            if importlib.util.find_spec(package) is None:
                raise MissingExtraError(
                    f"grpo.vllm={options.vllm!r} needs {package}. Install it: pip install {package}, or set "
                    "grpo.vllm=false."
                )
        if find_model(recipe.model).path.is_file():
            raise InvalidArgumentError(
                f"grpo.vllm={options.vllm!r} loads the model a second time, which cannot be done from a "
                ".gguf file. Give a folder or a Hub id."
            )

    def begin(self, policy: Policy, processes: Processes, record: CheckpointRecord) -> None:
        """Store the reference weights for the KL term, and let vLLM load the model if it draws."""
        options, model = self._options, policy.model
        self._most = options.max_completion_tokens or COMPLETION_TOKENS[record.mode]
        for module in model.modules():
            # With dropout, a rollout's probability would differ from that under which it was drawn.
            if isinstance(module, self._torch.nn.Dropout):
                module.p = 0.0
        if options.gradient_checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        if options.beta:
            self._reference = Reference(policy)
        if options.vllm:
            self._vllm = vllm_generation(self._recipe, policy, processes, self._most)

    def example(self, row: TrainingRow, policy: Policy) -> GrpoExample | None:
        """The row with the tokens of its prompt; `None` if the prompt leaves no room for a completion."""
        row = replace(row, kinds=self._kinds)
        example = GrpoExample(row, tuple(policy.texts.prompt(row.prompt)))
        return example if self.length(example) <= self._room(policy) else None

    def length(self, example: GrpoExample) -> int:
        """Tokens of the prompt and of a completion at full length."""
        return len(example.prompt) + self._most

    def _room(self, policy: Policy) -> int:
        context: int | None = getattr(policy.model.config.get_text_config(), "max_position_embeddings", None)
        return min(self._recipe.max_tokens, context or self._recipe.max_tokens)

    def no_examples(self, rows: Sequence[TrainingRow], source: str, recipe: Recipe, policy: Policy) -> str:
        """The error message if no row leaves room for a completion."""
        shortest = min(len(policy.texts.prompt(row.prompt)) for row in rows)
        return (
            f"None of the {len(rows)} rows of {source} leaves room for {self._most} tokens of completion "
            f"within {self._room(policy)}: the shortest prompt has {shortest}. Raise max_tokens up to the "
            "model's context, or lower grpo.max_completion_tokens."
        )

    def lessons(
        self, examples: Sequence[GrpoExample], step: int, policy: Policy, processes: Processes
    ) -> tuple[list[GroupLesson], dict[str, float]]:
        """The rollouts of this process's share of the rows, and figures of the step over all processes."""
        chosen = list(zip(examples, self._drawings(examples, step), strict=True))
        share = processes.share(chosen)
        if self._vllm is not None:
            self._vllm.sync_weights()
        first = self._graded(share, policy)
        groups = self._drawn_anew(share, first, policy, processes)
        tokens = processes.sums({"tokens": sum(group.tokens for group in groups)})["tokens"]
        lessons = [
            self._lesson(example, group, (tokens, len(examples)), policy)
            for (example, _), group in zip(share, groups, strict=True)
        ]
        return lessons, self._figures(share, first, groups, processes)

    def _drawn_anew(
        self,
        share: Sequence[tuple[GrpoExample, Drawing]],
        first: Sequence[GradedGroup],
        policy: Policy,
        processes: Processes,
    ) -> list[GradedGroup]:
        """The groups; those that teach nothing were drawn anew, as often as the options allow."""
        groups = list(first)
        for attempt in range(1, self._options.dynamic_sampling + 1):
            numbers = [number for number, group in enumerate(groups) if not group.teaches]
            # Drawing by vLLM is a collective call: all processes make it, with equally many groups.
            most = max(processes.gathered([len(numbers)]))
            if not most:
                break
            pending = [(share[number][0], share[number][1].again(attempt)) for number in numbers]
            if self._vllm is not None:
                pending += share[: most - len(pending)]
            for number, group in zip(numbers, self._graded(pending, policy), strict=False):
                groups[number] = group
        return groups

    def _graded(self, share: Sequence[tuple[GrpoExample, Drawing]], policy: Policy) -> list[GradedGroup]:
        """The rollouts of the drawings with their rewards."""
        rollouts, reported = self._roll_out([drawing for _, drawing in share], policy)
        groups: list[GradedGroup] = []
        for (example, _), group, logprobs in zip(share, rollouts, reported, strict=True):
            rewards = tuple(
                reward(rollout.text, example.row, truncated=rollout.truncated, tokens=len(rollout.tokens))
                for rollout in group
            )
            counts = tuple(self._options.truncated != "mask" or not rollout.truncated for rollout in group)
            groups.append(GradedGroup(tuple(group), rewards, counts, logprobs))
        return groups

    def _figures(
        self,
        share: Sequence[tuple[GrpoExample, Drawing]],
        first: Sequence[GradedGroup],
        groups: Sequence[GradedGroup],
        processes: Processes,
    ) -> dict[str, float]:
        """Figures of the first draws, which no choice has changed, and counts of those drawn anew."""
        rows = [Group(example.row, group.rewards) for (example, _), group in zip(share, first, strict=True)]
        cut = [rollout.truncated for group in first for rollout in group.rollouts]
        every = processes.gathered([(rows, cut)])
        statistics = asdict(group_statistics([row for rows, _ in every for row in rows]))
        figures = {
            name: value for name, value in statistics.items() if value is not None and name not in _COUNTS
        }
        figures["truncated"] = fmean(flag for _, cut in every for flag in cut)
        if not self._options.dynamic_sampling:
            return figures
        return figures | processes.sums(
            {
                "drawn_anew": sum(not group.teaches for group in first),
                "stayed_alike": sum(not group.teaches for group in groups),
            }
        )

    def _drawings(self, examples: Sequence[GrpoExample], step: int) -> list[Drawing]:
        """The prompt and seeds of each row. A row that is twice in a step gets other seeds."""
        seed_counts: dict[str, int] = {}
        drawings: list[Drawing] = []
        for example in examples:
            first = seed_counts.get(example.row.id, 0)
            seed_counts[example.row.id] = first + self._options.num_generations
            name = f"{self._recipe.seed}:{step}:{example.row.id}"
            seeds = tuple(f"{name}:{number}" for number in range(first, seed_counts[example.row.id]))
            drawings.append(Drawing(example.prompt, seeds))
        return drawings

    def _roll_out(
        self, drawings: Sequence[Drawing], policy: Policy
    ) -> tuple[list[list[Rollout]], list[Reported]]:
        if self._vllm is None:
            rollouts = roll_out(policy, drawings, self._options.temperature, self._most)
            return rollouts, [None] * len(rollouts)
        size = self._options.num_generations
        _, written, reported, _ = self._vllm.generate(
            prompts=[list(drawing.prompt) for drawing in drawings for _ in range(size)],
            images=None,
            num_generations=size,
        )
        ends = end_tokens(policy.model, policy.tokenizer)
        rollouts = [rollout_of(tokens, policy.texts, ends, self._most) for tokens in written]
        logprobs = [[token[0] for token in tokens] for tokens in reported]
        firsts = range(0, len(rollouts), size)
        return [rollouts[first : first + size] for first in firsts], [
            logprobs[first : first + size] for first in firsts
        ]

    def _lesson(
        self, example: GrpoExample, group: GradedGroup, step: tuple[float, int], policy: Policy
    ) -> GroupLesson:
        completions, reported = tuple(rollout.tokens for rollout in group.rollouts), group.reported
        policy.model.train()
        with self._torch.no_grad():

            def scored() -> list[Any]:
                scores = group_scores(policy, example.prompt, completions, self._options)
                return [logprobs for logprobs, _ in scores]

            old = scored() if self._options.num_iterations > 1 or reported is not None else None
            reference = None
            if self._reference is not None:
                with self._reference.in_place():
                    reference = scored()
        weights = None
        if reported is not None and old is not None:
            weights = importance_weights(old, reported, group.taking_part)
        tokens, rows = step
        return GroupLesson(
            prompt=example.prompt,
            completions=completions,
            advantages=tuple(
                advantages([result.value for result in group.rewards], self._options.scale_rewards)
            ),
            taking_part=group.taking_part,
            tokens=tokens,
            rows=rows,
            old=old,
            reference=reference,
            weights=weights,
        )

    def tokens(self, lesson: GroupLesson) -> int:
        """Tokens of the prompt and of all rollouts."""
        return len(lesson.prompt) + sum(map(len, lesson.completions))

    def losses(self, lessons: Sequence[GroupLesson], policy: Policy) -> list[tuple[Any, dict[str, float]]]:
        """The loss of each group, with its entropy and its KL divergence."""
        losses: list[tuple[Any, dict[str, float]]] = []
        for lesson in lessons:
            scores = group_scores(policy, lesson.prompt, lesson.completions, self._options)
            losses.append(group_loss(scores, lesson, self._options, self._most))
        return losses

    def measured(
        self, examples: Sequence[GrpoExample], policy: Policy, at_once: int
    ) -> list[dict[str, float]]:
        """Figures of the likeliest completion of each row."""
        groups = roll_out(policy, [Drawing(example.prompt, ("",)) for example in examples], 0.0, self._most)
        figures: list[dict[str, float]] = []
        for example, (rollout,) in zip(examples, groups, strict=True):
            earned = reward(rollout.text, example.row, truncated=rollout.truncated)
            figures.append(
                {
                    "reward": earned.value,
                    "accuracy": earned.right,
                    "formatted": earned.formatted,
                    "truncated": rollout.truncated,
                    "vote": example.row.vote_right,
                }
            )
        return figures


def vllm_generation(recipe: Recipe, policy: Policy, processes: Processes, most: int) -> Any:
    """TRL's interface to vLLM: in this process, or to the server that `trl vllm-serve` started.

    Its parameters and those of its methods are those of TRL 1.16.0; a test compares them.
    """
    options = recipe.grpo
    module: Any = import_extra("trl.generation.vllm_generation")
    return module.VLLMGeneration(
        model=policy.model,
        accelerator=processes.accelerator,
        processing_class=policy.tokenizer,
        mode=options.vllm,
        gpu_memory_utilization=0.3,
        max_model_length=recipe.max_tokens,
        max_num_seqs=options.num_generations * recipe.rows_per_step // processes.count,
        temperature=options.temperature,
        max_completion_length=most,
        generation_kwargs={"stop": [ANSWER_CLOSE], "include_stop_str_in_output": True},
    )
