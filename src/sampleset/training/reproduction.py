"""The experiments of Qi et al. 2025 (arXiv 2506.09014) as data, at two sizes.

All variants of a study are trained and tested on the same draws. What they compare: how the aggregator learns
(SFT, RL, both, or selection, which is ours), with reasoning or without, sizes of its base, K from 5 to 20
where it has learned from 5, samples of other models and datasets, and samples whose end is cut off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

H100_FLOPS = 4e14
"""Operations a second of one H100 in bfloat16, **assumed**: 40 % of its data sheet."""

_SAMPLE_TOKENS = 300
_COMPLETION_TOKENS = 256
_ROLLOUTS = 8


@dataclass(frozen=True, slots=True)
class Variant:
    """One aggregator of a study.

    Attributes:
        name: Its name, and that of its folder.
        method: How it is trained, as `sampleset fit --method`.
        think: Whether it reasons before the answer.
        base: The model to train.
        parameters: Parameters of the base.
        recipe: Keys of the recipe that differ from the scale's.
        max_reply_tokens: Most tokens that it writes in a test; `None` for the usual number.
    """

    name: str
    method: str
    base: str
    parameters: float
    think: bool = False
    recipe: tuple[str, ...] = ()
    max_reply_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Study:
    """Variants on the same draws.

    Attributes:
        scale: The scale of `sampleset fit`.
        train: Sources of train questions: datasets, or files of sample sets in the folder of draws.
        test: Source of the test questions of the main table.
        also: Sources of further test questions, for the table by k and source.
        variants: The aggregators.
        k: Samples that they learn from and read in the main table.
        samples: Samples drawn per train question.
        test_k: Further k of the table by k and source.
        drop_end_tokens: Tokens that are hidden at the end of each sample, in the table of cut samples.
        limit: Most train questions; `None` for all.
        test_limit: Most questions of each test source.
        draws: Options of the draws; `None` where they are recorded.
        drawing_parameters: Parameters of the model that draws.
    """

    scale: str
    train: tuple[str, ...]
    test: str
    also: tuple[str, ...]
    variants: tuple[Variant, ...]
    k: int
    samples: int
    test_k: str
    drop_end_tokens: tuple[int, ...]
    limit: int | None = None
    test_limit: int | None = None
    draws: Mapping[str, Any] | None = None
    drawing_parameters: float = 0.0


_TINY = ("steps=12", "rows_per_step=2", "grpo.max_completion_tokens=16", "grpo.num_generations=4")
_BASES = {"0.5b": 0.5e9, "1.5b": 1.5e9, "3b": 3.1e9}


def _at_paper_scale() -> tuple[Variant, ...]:
    bases = [(size, f"Qwen/Qwen2.5-{size.upper()}", parameters) for size, parameters in _BASES.items()]
    ways = [("sft", True), ("grpo", True), ("sft-grpo", True), ("sft-grpo", False), ("select", False)]
    return tuple(
        Variant(f"{method}{'-think' if think else ''}-{size}", method, base, parameters, think)
        for size, base, parameters in bases
        for method, think in ways
    )


SSA: Mapping[str, Study] = {
    "tiny": Study(
        scale="tiny",
        train=("gsm8k_train_qwen05b_reseeded.jsonl.gz",),
        test="gsm8k_test_qwen05b_reseeded.jsonl.gz",
        also=(
            "gsm8k_test_qwen05b_20.jsonl.gz",
            "gsm8k_test_qwen15b_reseeded.jsonl.gz",
            "math_train_qwen05b.jsonl.gz",
        ),
        variants=(
            *(
                Variant(method, method, "embedded", 135e6, recipe=_TINY)
                for method in ("select", "sft", "grpo", "sft-grpo")
            ),
            Variant("sft-think", "sft", "embedded", 135e6, think=True, recipe=_TINY, max_reply_tokens=160),
        ),
        k=5,
        samples=6,
        test_k="10,20",
        drop_end_tokens=(20, 40),
        limit=120,
        test_limit=40,
    ),
    "paper": Study(
        scale="gpu",
        train=("gsm8k:train", "math:train"),
        test="gsm8k:test",
        also=("math500", "aime24", "amc23", "olympiadbench", "arc_challenge", "mmlu_pro", "truthfulqa_mc"),
        variants=_at_paper_scale(),
        k=5,
        samples=5,
        test_k="10,15,20",
        drop_end_tokens=(20, 40, 80),
        draws={"temperature": 0.5, "top_k": 40, "max_tokens": 1024},
        drawing_parameters=7.6e9,
    ),
}
"""Qi et al. train on sets of five of Qwen2.5-7B-Instruct, drawn at T = 0.5 from GSM8K and MATH."""


@dataclass(frozen=True, slots=True)
class Costs:
    """Tokens and hours of one H100, both estimated, by stage."""

    tokens: Mapping[str, float]
    hours: Mapping[str, float]


def costs_of(study: Study, variant: Variant, draws: int, rows: int, readings: int) -> Costs:
    """What a variant takes: 2 operations per weight and token, 6 where it learns.

    A sample is taken for 300 tokens, a prompt for k samples, a completion for 256; a row of GRPO has 8
    completions, each written once and learned once.

    Args:
        study: The study.
        variant: The variant.
        draws: Samples to draw for it.
        rows: Rows to train on, each once.
        readings: Sets to read in the tests.
    """
    prompt = study.k * _SAMPLE_TOKENS
    runs = variant.method.split("-")
    rolled = rows * _ROLLOUTS * _COMPLETION_TOKENS
    tokens = {
        "drawing": float(draws * _SAMPLE_TOKENS),
        "training": float(len(runs) * rows * prompt + (rolled if "grpo" in runs else 0)),
        "tests": float(readings * prompt),
    }
    operations = {
        "drawing": 2 * study.drawing_parameters * tokens["drawing"],
        "training": 6 * variant.parameters * tokens["training"]
        + (2 * variant.parameters * rolled if "grpo" in runs else 0),
        "tests": 2 * variant.parameters * tokens["tests"],
    }
    return Costs(tokens, {name: count / H100_FLOPS / 3600 for name, count in operations.items()})
