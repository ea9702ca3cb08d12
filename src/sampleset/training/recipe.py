"""A recipe: everything a training run depends on, from one YAML file with dotted overrides.

model: HuggingFaceTB/SmolLM2-135M-Instruct
rows: rows.jsonl            # made by `sampleset train-data`
eval_rows: held_back.jsonl
output_dir: runs/select
steps: 900
learning_rate: 5.0e-4
lora: {r: 16, alpha: 32}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le

from sampleset.settings import FINITE, require_valid, typed_record

Method = Literal["select", "sft", "grpo"]
Objective = Literal["expected_reward", "cross_entropy"]
LossType = Literal["dapo", "dr_grpo", "bnpo", "grpo"]
Truncated = Literal["penalise", "mask"]


@dataclass(frozen=True, slots=True)
class LoraOptions:
    """A low-rank adapter (Hu et al. 2021, arXiv 2106.09685) on the linear layers.

    Attributes:
        r: Rank.
        alpha: Scale; the update is multiplied by alpha / r.
        last_layers: Only so many layers, the last ones; by default all, or those of an adapter that is
            trained further.
    """

    r: Annotated[int, Ge(1)] = 16
    alpha: Annotated[float, Gt(0), FINITE] = 32.0
    last_layers: Annotated[int, Ge(1)] | None = None

    def __post_init__(self) -> None:
        require_valid(self)


@dataclass(frozen=True, slots=True)
class GrpoOptions:
    """Group-relative policy optimisation (Shao et al. 2024, arXiv 2402.03300).

    Attributes:
        num_generations: Rollouts of a prompt, its group.
        max_completion_tokens: Most tokens of a rollout; by default 512 in mode think, 64 in direct.
        temperature: Of the rollouts, and of the probabilities that are trained.
        beta: Weight of the KL divergence from the model it started from; Qi et al. take 0.01, AggLM 0.001.
        scale_rewards: Divide a group's advantages by the standard deviation of its rewards.
        loss_type: How tokens are averaged: `dapo` over the step's tokens, `bnpo` over a group's, `dr_grpo`
            by the constant `max_completion_tokens`, `grpo` over each rollout's own, so that a token of a
            long one counts less.
        epsilon: The ratio of new to old probabilities counts from 1 - epsilon to 1 + epsilon.
        num_iterations: Optimiser steps made with the same rollouts.
        truncated: What becomes of rollouts that the token limit cuts: `penalise`, they are graded as they
            are, so without a closed answer they earn 0; `mask`, they take no part in the loss.
        shared_prompt: Compute the prompt of a group once instead of once per rollout.
        gradient_checkpointing: Compute activations twice to hold fewer of them.
        vllm: Have vLLM draw the rollouts: `colocate`, in the same process, or `server`, by `trl vllm-serve`.
    """

    num_generations: Annotated[int, Ge(2)] = 8
    max_completion_tokens: Annotated[int, Ge(1)] | None = None
    temperature: Annotated[float, Gt(0), FINITE] = 1.0
    beta: Annotated[float, Ge(0), FINITE] = 0.0
    scale_rewards: bool = True
    loss_type: LossType = "dapo"
    epsilon: Annotated[float, Gt(0), FINITE] = 0.2
    num_iterations: Annotated[int, Ge(1)] = 1
    truncated: Truncated = "penalise"
    shared_prompt: bool = True
    gradient_checkpointing: bool = False
    vllm: Literal["colocate", "server", False] = False

    def __post_init__(self) -> None:
        require_valid(self)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is trained, on what, and how.

    Attributes:
        model: The model to start from: a folder, a `.gguf` file or a Hub id.
        rows: Training rows.
        output_dir: Where checkpoints and the log go.
        eval_rows: Rows that are never trained on, to measure progress on.
        steps: Optimiser steps.
        rows_per_step: Rows whose gradients are averaged; of `grpo`, prompts, each with all its rollouts.
        rows_per_pass: Of `select` and `sft`: rows computed at once, padded to one length. More fill a GPU,
            where a step of one row mostly waits, and cost memory; a CPU wins nothing.
        learning_rate: Its highest value, reached after `warmup` and falling to 0 as a cosine.
        warmup: Share of the steps.
        prior_learning_rate: Of the learned multiples of votes and confidence; 0 keeps them at their start.
        vote_prior: Start of the multiple of the log of a candidate's votes.
        confidence_prior: Start of the multiple of a candidate's mean token log-probability.
        max_grad_norm: Longer gradients are shortened to it; 1.0e9 shortens none.
        weight_decay: Of AdamW.
        objective: Of `select`: `expected_reward`, or `cross_entropy`.
        lora: The adapter; `None` trains every weight.
        grpo: Options of `grpo`.
        max_tokens: Rows longer than so many tokens, completions included, are left out and counted.
        save_every: Steps between checkpoints.
        eval_every: Steps between measurements on `eval_rows`.
        seed: Of the adapter's start and the order of the rows.
        device: `cpu`, `cuda`, ...; by default CUDA where there is one.
        dtype: Of the weights; by default bfloat16 on CUDA and float32 on the CPU.
        matmul_dtype: Of matrix products: `bfloat16` beside weights in float32 (mixed precision), for CPUs
            that multiply it fast. By default that of the weights.
        threads: Of the CPU; by default torch's own choice.
        report_to: A tracker that gets every figure: `tensorboard`, `wandb`, `trackio`, ...
    """

    model: str
    rows: str
    output_dir: str
    eval_rows: str | None = None
    steps: Annotated[int, Ge(1)] = 500
    rows_per_step: Annotated[int, Ge(1)] = 1
    rows_per_pass: Annotated[int, Ge(1)] = 1
    learning_rate: Annotated[float, Ge(0), FINITE] = 5e-4
    warmup: Annotated[float, Ge(0), Le(1), FINITE] = 0.1
    prior_learning_rate: Annotated[float, Ge(0), FINITE] = 1e-2
    vote_prior: Annotated[float, FINITE] = 0.0
    confidence_prior: Annotated[float, FINITE] = 0.0
    max_grad_norm: Annotated[float, Gt(0), FINITE] = 1.0
    weight_decay: Annotated[float, Ge(0), FINITE] = 0.0
    objective: Objective = "cross_entropy"
    lora: LoraOptions | None = field(default_factory=LoraOptions)
    grpo: GrpoOptions = field(default_factory=GrpoOptions)
    max_tokens: Annotated[int, Ge(1)] = 4096
    save_every: Annotated[int, Ge(1)] = 100
    eval_every: Annotated[int, Ge(1)] = 100
    seed: int = 0
    device: str | None = None
    dtype: str | None = None
    matmul_dtype: Literal["bfloat16"] | None = None
    threads: Annotated[int, Ge(1)] | None = None
    report_to: str | None = None

    def __post_init__(self) -> None:
        require_valid(self)

    @property
    def folder(self) -> Path:
        """`output_dir` as a path."""
        return Path(self.output_dir)

    def to_dict(self) -> dict[str, Any]:
        """The recipe as JSON values."""
        return asdict(self)

    def settings(self, method: Method) -> dict[str, Any]:
        """What a run by this method depends on, as JSON values."""
        values = {"method": method, **self.to_dict()}
        if method != "grpo":
            del values["grpo"]
        return values


def recipe_of(settings: Mapping[str, Any], where: str = "the recipe") -> Recipe:
    """The recipe that a file's settings describe; those that a run saved have its method beside them.

    Args:
        settings: The settings.
        where: What messages begin with.

    Raises:
        DataError: An unknown key, a missing one, or a value of the wrong type.
        InvalidArgumentError: A value out of range.
    """
    return typed_record(Recipe, {key: settings[key] for key in settings if key != "method"}, where)
