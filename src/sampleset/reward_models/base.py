"""Question and samples → scores, without gold: the interface, the steps of a sample, and the reduction of
their scores.

One file per kind; its name is the module's name. A reward model is a dataclass whose fields are its options.
A kind with a field `backend` asks a backend; the others are given a REF as `model`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from sampleset.errors import BackendError
from sampleset.registry import Registry
from sampleset.types import Question, Usage

Reduction = Literal["last", "min", "product", "mean"]
"""How the scores of a solution's steps become one."""

MAX_STEPS = 1000
"""Steps of a sample that is still scored; one with more is `too_long`."""


@dataclass(frozen=True, slots=True)
class RewardScore:
    """The score of one sample.

    Attributes:
        value: The score, finite; of a process model that of the last step. `None` where there is none.
        steps: One score per step, of process models only.
        usage: Tokens it took.
        flag: Why there is no score: `too_long` for the model's context, `unreadable` reply, `empty` sample,
            `refused` by the server's content filter.
    """

    value: float | None
    steps: tuple[float, ...] = ()
    usage: Usage = field(default_factory=Usage)
    flag: str | None = None


@runtime_checkable
class RewardModel(Protocol):
    """A model that says how good samples are, and does not see the gold answer."""

    @property
    def model(self) -> str:
        """Identity of the model that is asked, by which tokens are priced."""
        ...

    @property
    def identity(self) -> str:
        """Kind, options and model: all that a score depends on besides question and sample."""
        ...

    @property
    def batched(self) -> bool:
        """Whether the samples of a call are worked off together, so that it should hold many."""
        ...

    async def score(self, question: Question, samples: Sequence[str]) -> list[RewardScore]:
        """One score per sample's text, in order.

        Raises:
            BackendError: The model cannot be asked, or gives a score that is not finite.
        """
        ...

    async def aclose(self) -> None:
        """Free the model's memory and connections."""
        ...


REWARD_MODELS: Registry[Any] = Registry("reward model", "sampleset.reward_models")


def cut_steps(text: str) -> list[str]:
    """The steps of a solution: its parts between blank lines; its lines, where it has no blank line."""
    parts = re.split(r"\n[^\S\n]*\n", text.strip())
    if len(parts) == 1:
        parts = parts[0].split("\n")
    return [part.strip() for part in parts if part.strip()]


def reduced(score: RewardScore, how: Reduction) -> float | None:
    """One number of a score: of its steps, or its value where it has none."""
    if score.value is None or not score.steps:
        return score.value
    if how == "min":
        return min(score.steps)
    if how == "product":
        return math.prod(score.steps)
    if how == "mean":
        return math.fsum(score.steps) / len(score.steps)
    return score.steps[-1]


def require_finite(values: Iterable[float], model: str) -> None:
    """Refuse a score that is no number.

    Raises:
        BackendError: One of them is infinite or not a number.
    """
    for value in values:
        if not math.isfinite(value):
            raise BackendError(
                f"The reward model {model!r} gives the score {value!r}. Its weights are broken, or they "
                "overflow in their precision: try dtype=float32."
            )
