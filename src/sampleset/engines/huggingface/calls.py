"""Calls to a model's thread, and their draws."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sampleset.chat import Continuation, Generation, SamplingParams

T = TypeVar("T")

RANDOM_BLOCK = 64
"""Uniform numbers that a draw generates at a time."""


@dataclass(eq=False, slots=True)
class DrawCall:
    """One `generate` call: a draw for every seed.

    Attributes:
        prompt: Tokens of the prompt.
        params: Sampling parameters.
        seeds: One seed for each draw.
        result: The completions in the order of the seeds.
        done: Finished draws by the index of their seed.
        tokens: Tokens of finished draws by the index of their seed.
    """

    prompt: list[int]
    params: SamplingParams
    seeds: Sequence[int]
    result: Future[list[Generation]] = field(default_factory=Future[list[Generation]])
    done: dict[int, Generation] = field(default_factory=dict[int, Generation])
    tokens: dict[int, tuple[int, ...]] = field(default_factory=dict[int, tuple[int, ...]])


@dataclass(eq=False, slots=True)
class ScoreCall:
    """One `score` call: texts to read after a prompt, as tokens."""

    prompt: list[int]
    texts: list[list[int]]
    result: Future[list[Continuation]] = field(default_factory=Future[list[Continuation]])

    @property
    def cells(self) -> int:
        """Tokens of the prompt and the longest text."""
        return len(self.prompt) + max(map(len, self.texts), default=0)


@dataclass(eq=False, slots=True)
class Row:
    """One unfinished draw of a call; `index` is the index of its seed."""

    call: DrawCall
    index: int
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
        """Begin the draw again."""
        self.tokens, self.logprobs, self.uniforms = [], [], []
        # The generator uses 32 bits of a seed.
        self.generator = torch.Generator().manual_seed(self.call.seeds[self.index] % 2**32)

    def uniform(self, torch: Any) -> float:
        """The draw's next number in [0, 1)."""
        if not self.uniforms:
            block = torch.rand(RANDOM_BLOCK, generator=self.generator, dtype=torch.float64)
            self.uniforms = block.tolist()[::-1]
        return self.uniforms.pop()


def resolve(result: Future[T], outcome: T) -> None:
    """Set the outcome, unless the future is done or cancelled."""
    if not result.done() and result.set_running_or_notify_cancel():
        result.set_result(outcome)


def fail(result: Future[Any], error: Exception) -> None:
    """Set the error, unless the future is done or cancelled."""
    if not result.done() and result.set_running_or_notify_cancel():
        result.set_exception(error)
