"""What is asked of a model's thread, and the draws that come of it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sampleset.chat import Continuation, Generation, SamplingParams

T = TypeVar("T")

RANDOM_BLOCK = 64
"""Uniform numbers that a draw fetches at a time."""


@dataclass(eq=False, slots=True)
class DrawCall:
    """One `generate` call: a draw for every seed.

    `done` and `tokens` fill with the draws that are back and what they wrote, by their place.
    """

    prompt: list[int]
    params: SamplingParams
    seeds: Sequence[int]
    result: Future[list[Generation]] = field(default_factory=Future[list[Generation]])
    done: dict[int, Generation] = field(default_factory=dict[int, Generation])
    tokens: dict[int, tuple[int, ...]] = field(default_factory=dict[int, tuple[int, ...]])


@dataclass(eq=False, slots=True)
class ScoreCall:
    """One `score` call: texts, as tokens, to read after a prompt."""

    prompt: list[int]
    texts: list[list[int]]
    result: Future[list[Continuation]] = field(default_factory=Future[list[Continuation]])

    @property
    def cells(self) -> int:
        """Tokens of the prompt and the longest text."""
        return len(self.prompt) + max(map(len, self.texts), default=0)


@dataclass(eq=False, slots=True)
class Row:
    """One draw on its way."""

    call: DrawCall
    place: int
    tokens: list[int] = field(default_factory=list[int])
    logprobs: list[float] = field(default_factory=list[float])
    generator: Any = None
    uniforms: list[float] = field(default_factory=list[float])

    @property
    def cells(self) -> int:
        """Tokens of the prompt and of the longest completion."""
        return len(self.call.prompt) + self.call.params.max_tokens

    @property
    def rule(self) -> tuple[float, float, int]:
        """Temperature, top_p and top_k (0: none)."""
        params = self.call.params
        return params.temperature, params.top_p, params.top_k or 0

    def begin(self, torch: Any) -> None:
        """Forget what was drawn."""
        self.tokens, self.logprobs, self.uniforms = [], [], []
        # The generator knows 32 bits of a seed.
        self.generator = torch.Generator().manual_seed(self.call.seeds[self.place] % 2**32)

    def uniform(self, torch: Any) -> float:
        """The draw's next number in [0, 1)."""
        if not self.uniforms:
            block = torch.rand(RANDOM_BLOCK, generator=self.generator, dtype=torch.float64)
            self.uniforms = block.tolist()[::-1]
        return self.uniforms.pop()


def resolve(result: Future[T], outcome: T) -> None:
    """Set the outcome, unless there is one or nobody waits for it any more."""
    if not result.done() and result.set_running_or_notify_cancel():
        result.set_result(outcome)


def fail(result: Future[Any], error: Exception) -> None:
    """Set the error, unless there is an outcome or nobody waits for it any more."""
    if not result.done() and result.set_running_or_notify_cancel():
        result.set_exception(error)
