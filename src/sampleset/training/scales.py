"""How large a fit is, from a try to a cluster, and by which methods an aggregator is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sampleset.training.recipe import Method
from sampleset.types import Mode


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is drawn, and how long is trained.

    Attributes:
        samples: Samples drawn for each train question. Of these, rows of k and more are made.
        k: Samples that the aggregator reads in the test.
        subsets: Most rows per train question.
        keep_end_tokens: Tokens that the aggregator sees of each sample, its last ones.
        held_back: Share of the train questions that the multiples are fitted on.
        steps: Optimiser steps; `None` for one pass over the rows.
        recipe: Keys of the recipe that differ from the method's.
    """

    samples: int
    k: int
    subsets: int
    keep_end_tokens: int
    held_back: float
    steps: int | None
    recipe: Mapping[str, Any]


SCALES: Mapping[str, Scale] = {
    "tiny": Scale(
        samples=6, k=5, subsets=3, keep_end_tokens=60, held_back=0.3, steps=40,
        recipe={"rows_per_step": 2, "lora": {"r": 8, "alpha": 16, "last_layers": 6}},
    ),
    "laptop": Scale(
        samples=8, k=5, subsets=3, keep_end_tokens=90, held_back=0.2, steps=500,
        recipe={"lora": {"r": 16, "alpha": 32, "last_layers": 15}},
    ),
    "gpu": Scale(
        samples=12, k=5, subsets=4, keep_end_tokens=120, held_back=0.1, steps=None,
        recipe={"rows_per_step": 8, "rows_per_pass": 4, "lora": {"r": 16, "alpha": 32}},
    ),
    "cluster": Scale(
        samples=16, k=5, subsets=4, keep_end_tokens=120, held_back=0.05, steps=None,
        recipe={"rows_per_step": 64, "rows_per_pass": 4, "lora": {"r": 32, "alpha": 64}},
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Way:
    """One way to train an aggregator.

    Attributes:
        runs: The training runs, one after the other; each starts from the checkpoint of the one before.
        selects: Whether it learns to score candidates; then no text is written, and `mode` is `select`.
    """

    runs: tuple[Method, ...]

    @property
    def selects(self) -> bool:
        """Whether it learns to score candidates."""
        return self.runs == ("select",)

    def mode(self, thinks: bool) -> Mode:
        """What the aggregator learns to write."""
        return "select" if self.selects else "think" if thinks else "direct"


WAYS: Mapping[str, Way] = {
    "select": Way(("select",)),
    "sft": Way(("sft",)),
    "grpo": Way(("grpo",)),
    "sft-grpo": Way(("sft", "grpo")),
}
"""Qi et al. 2025 (arXiv 2506.09014) compare the last three; `select` is ours."""

_RECIPES: Mapping[Method, Mapping[str, Any]] = {
    "select": {"learning_rate": 5e-4, "vote_prior": 1.0, "prior_learning_rate": 0.03},
    "sft": {"learning_rate": 2e-4},
    "grpo": {"learning_rate": 2e-5, "grpo": {"num_generations": 8, "beta": 0.01}},
}


def recipe_settings(
    method: Method,
    scale: Scale,
    rows: int,
    files: Mapping[str, str],
    seed: int,
    overrides: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The settings of a recipe.

    Args:
        method: The method.
        scale: The scale.
        rows: Rows to train on.
        files: The keys `model`, `rows` and `output_dir`.
        seed: Seed of the adapter and of the order of the rows.
        overrides: Settings that win over all others.
    """
    settings: dict[str, Any] = {**files, "seed": seed}
    for layer in (_RECIPES[method], scale.recipe, *overrides):
        settings = overlaid(settings, layer)
    per_step = int(settings.get("rows_per_step", 1))
    steps = settings.setdefault("steps", scale.steps or max(1, math.ceil(rows / per_step)))
    settings.setdefault("save_every", max(1, steps // 10))
    return settings


def overlaid(settings: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with those of `others`, which win; mappings are merged."""
    merged = dict(settings)
    for key, value in others.items():
        previous: object = merged.get(key)
        if isinstance(previous, Mapping) and isinstance(value, Mapping):
            value = {**cast("Mapping[str, Any]", previous), **cast("Mapping[str, Any]", value)}
        merged[key] = value
    return merged
