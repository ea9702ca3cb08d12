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

import difflib
import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, cast, get_args

from sampleset.errors import InvalidArgumentError

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

    r: int = 16
    alpha: float = 32.0
    last_layers: int | None = None

    def __post_init__(self) -> None:
        _finite(self, prefix="lora.")
        _at_least(self, 1, "r", "last_layers", prefix="lora.")
        _above_0(self, "alpha", prefix="lora.")


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

    num_generations: int = 8
    max_completion_tokens: int | None = None
    temperature: float = 1.0
    beta: float = 0.0
    scale_rewards: bool = True
    loss_type: LossType = "dapo"
    epsilon: float = 0.2
    num_iterations: int = 1
    truncated: Truncated = "penalise"
    shared_prompt: bool = True
    gradient_checkpointing: bool = False
    vllm: Literal["colocate", "server", False] = False

    def __post_init__(self) -> None:
        _finite(self, prefix="grpo.")
        _at_least(self, 2, "num_generations", prefix="grpo.")
        _at_least(self, 1, "max_completion_tokens", "num_iterations", prefix="grpo.")
        _at_least(self, 0, "beta", prefix="grpo.")
        _above_0(self, "temperature", "epsilon", prefix="grpo.")
        _one_of(self.loss_type, LossType, "grpo.loss_type")
        _one_of(self.truncated, Truncated, "grpo.truncated")
        if self.vllm not in ("colocate", "server", False):
            raise InvalidArgumentError(f"grpo.vllm={self.vllm!r} must be colocate, server or false.")


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
        report_to: A tracker that is told of every figure: `tensorboard`, `wandb`, `trackio`, ...
    """

    model: str
    rows: str
    output_dir: str
    eval_rows: str | None = None
    steps: int = 500
    rows_per_step: int = 1
    rows_per_pass: int = 1
    learning_rate: float = 5e-4
    warmup: float = 0.1
    prior_learning_rate: float = 1e-2
    vote_prior: float = 0.0
    confidence_prior: float = 0.0
    max_grad_norm: float = 1.0
    weight_decay: float = 0.0
    objective: Objective = "cross_entropy"
    lora: LoraOptions | None = field(default_factory=LoraOptions)
    grpo: GrpoOptions = field(default_factory=GrpoOptions)
    max_tokens: int = 4096
    save_every: int = 100
    eval_every: int = 100
    seed: int = 0
    device: str | None = None
    dtype: str | None = None
    matmul_dtype: Literal["bfloat16"] | None = None
    threads: int | None = None
    report_to: str | None = None

    def __post_init__(self) -> None:
        _finite(self)
        _at_least(self, 1, "steps", "rows_per_step", "rows_per_pass", "max_tokens")
        _at_least(self, 1, "save_every", "eval_every", "threads")
        _at_least(self, 0, "learning_rate", "prior_learning_rate", "weight_decay", "warmup")
        _above_0(self, "max_grad_norm")
        if self.warmup > 1:
            raise InvalidArgumentError(f"warmup={self.warmup!r} must be a share of the steps, 0 to 1.")
        _one_of(self.objective, Objective, "objective")
        if self.matmul_dtype not in (None, "bfloat16"):
            raise InvalidArgumentError(f"matmul_dtype={self.matmul_dtype!r} must be bfloat16 or null.")

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


def recipe_of(settings: Mapping[str, Any]) -> Recipe:
    """The recipe that a file's settings describe.

    Raises:
        InvalidArgumentError: An unknown key, a missing one, or a value of the wrong type or range.
    """
    values = _checked(Recipe, settings, "")
    if isinstance(lora := values.get("lora"), Mapping):
        values["lora"] = LoraOptions(**_checked(LoraOptions, cast("Mapping[str, Any]", lora), "lora."))
    if isinstance(grpo := values.get("grpo"), Mapping):
        values["grpo"] = GrpoOptions(**_checked(GrpoOptions, cast("Mapping[str, Any]", grpo), "grpo."))
    missing = [one.name for one in fields(Recipe) if _required(one) and one.name not in values]
    if missing:
        raise InvalidArgumentError(
            f"The recipe lacks {', '.join(missing)}. Add them, as in {missing[0]}: ..."
        )
    return Recipe(**values)


def _required(one: Any) -> bool:
    return one.default is MISSING and one.default_factory is MISSING


_KINDS: Mapping[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "LoraOptions": (Mapping,),
    "GrpoOptions": (Mapping,),
}
_SHOWN = {
    "LoraOptions": "mapping, as {r: 16, alpha: 32}; null trains every weight",
    "GrpoOptions": "mapping, as {num_generations: 8}",
}


def _checked(kind: type[Any], settings: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    known = {one.name: str(one.type) for one in fields(kind)}
    values: dict[str, Any] = {}
    for key, value in settings.items():
        name = str(key).replace("-", "_")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {prefix}{near[0]}?" if near else ""
            raise InvalidArgumentError(f"The recipe's key {prefix}{key} is no option.{hint}")
        base, _, rest = known[name].partition(" | ")
        fits = _KINDS.get(base)
        optional = rest == "None" and value is None
        # To Python, `True` is an int.
        wrong = fits is not None and (
            not isinstance(value, fits) or isinstance(value, bool) != (base == "bool")
        )
        if wrong and not optional:
            is_text = isinstance(value, str) and base == "float"
            hint = " YAML reads 1e-4 as a text; write 1.0e-4." if is_text else ""
            shown = _SHOWN.get(base, base)
            raise InvalidArgumentError(f"{prefix}{name}={value!r} must be of the kind {shown}.{hint}")
        values[name] = value
    return values


def _at_least(options: Any, least: float, *names: str, prefix: str = "") -> None:
    for name in names:
        value = getattr(options, name)
        if value is not None and value < least:
            raise InvalidArgumentError(f"{prefix}{name}={value!r} must be at least {least}.")


def _above_0(options: Any, *names: str, prefix: str = "") -> None:
    for name in names:
        if (value := getattr(options, name)) <= 0:
            raise InvalidArgumentError(f"{prefix}{name}={value!r} must be above 0.")


def _finite(options: Any, prefix: str = "") -> None:
    for one in fields(options):
        value = getattr(options, one.name)
        if isinstance(value, float) and not math.isfinite(value):
            raise InvalidArgumentError(f"{prefix}{one.name}={value!r} must be a finite number.")


def _one_of(value: Any, kind: Any, name: str) -> None:
    if value not in get_args(kind):
        raise InvalidArgumentError(f"{name}={value!r} must be one of: {', '.join(get_args(kind))}.")
