"""A recipe: all settings of a training run, from one YAML file with dotted overrides.

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
        last_layers: Adapt only this many layers, the last ones. By default all, or those of an adapter that
            is trained further.
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
        num_generations: Rollouts of a prompt, which form its group.
        max_completion_tokens: Most tokens of a rollout; by default 512 in mode think, 64 in direct.
        temperature: Temperature of the rollouts and of the trained probabilities.
        beta: Weight of the KL divergence from the first model. Qi et al. use 0.01, AggLM 0.001.
        scale_rewards: Whether to divide a group's advantages by the standard deviation of its rewards.
        loss_type: How tokens are averaged: `dapo` over the step's tokens, `bnpo` over a group's, `dr_grpo`
            by the constant `max_completion_tokens`, `grpo` over each rollout's own, so that a token of a
            long rollout counts less.
        epsilon: The ratio of new to old probabilities is clipped to 1 - epsilon to 1 + epsilon.
        num_iterations: Optimiser steps with the same rollouts.
        truncated: Treatment of rollouts that the token limit cuts. `penalise` grades them unchanged, so they
            earn 0 without a closed answer. `mask` leaves them out of the loss.
        dynamic_sampling: Most further draws of a group whose rewards are all alike, or whose rollouts are
            all left out of the loss: nothing is learnt from it (after DAPO, Yu et al. 2025, arXiv
            2503.14476). 0 draws each group once.
        shared_prompt: Whether to compute the prompt of a group once, not once per rollout.
        gradient_checkpointing: Whether to compute activations twice to save memory.
        vllm: Let vLLM draw the rollouts: `colocate` in the same process, `server` by `trl vllm-serve`.
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
    dynamic_sampling: Annotated[int, Ge(0)] = 0
    shared_prompt: bool = True
    gradient_checkpointing: bool = False
    vllm: Literal["colocate", "server", False] = False

    def __post_init__(self) -> None:
        require_valid(self)


@dataclass(frozen=True, slots=True)
class Recipe:
    """All settings of a training run.

    Attributes:
        model: The model to start from: a folder, a `.gguf` file or a Hub id.
        rows: File of training rows.
        output_dir: Folder for checkpoints and the log.
        eval_rows: File of rows for measuring progress, which are never trained on.
        steps: Optimiser steps.
        rows_per_step: Rows whose gradients are averaged; with `grpo`, prompts, each with all its rollouts.
        rows_per_pass: For `select` and `sft`: rows computed at once, padded to one length. More rows use a
            GPU better and need more memory. A CPU gains nothing.
        learning_rate: Highest learning rate, reached after `warmup` and falling to 0 as a cosine.
        warmup: Share of the steps in which the learning rate rises.
        prior_learning_rate: Learning rate of the multiples of votes and confidence; 0 keeps them constant.
        vote_prior: First multiple of the log of a candidate's votes.
        confidence_prior: First multiple of a candidate's mean token log-probability.
        max_grad_norm: Longer gradients are scaled down to this norm; 1.0e9 scales none.
        weight_decay: Weight decay of AdamW.
        objective: Objective of `select`: `expected_reward` or `cross_entropy`.
        lora: The adapter; `None` trains every weight.
        grpo: Options of `grpo`.
        max_tokens: Rows with more tokens, completions included, are left out and counted.
        save_every: Steps between checkpoints.
        eval_every: Steps between measurements on `eval_rows`.
        seed: Seed of the adapter's first weights and of the order of the rows.
        device: `cpu`, `cuda`, ...; by default CUDA if there is one.
        dtype: Type of the weights; by default bfloat16 on CUDA and float32 on the CPU.
        matmul_dtype: Type of matrix products: `bfloat16` with weights in float32 (mixed precision), for CPUs
            that multiply it fast. By default the type of the weights.
        threads: CPU threads; by default torch's own choice.
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
        """The settings of a run by this method, as JSON values."""
        values = {"method": method, **self.to_dict()}
        if method != "grpo":
            del values["grpo"]
        return values


def recipe_of(settings: Mapping[str, Any], where: str = "the recipe") -> Recipe:
    """The recipe of a file's settings. An entry `method`, which a run saves, is ignored.

    Args:
        settings: The settings.
        where: First words of error messages.

    Raises:
        DataError: An unknown key, a missing one, or a value of the wrong type.
        InvalidArgumentError: A value out of range.
    """
    return typed_record(Recipe, {key: settings[key] for key in settings if key != "method"}, where)
