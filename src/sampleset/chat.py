"""The values that cross the seam to a model: messages, sampling parameters, generations."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from sampleset.errors import InvalidArgumentError
from sampleset.types import LogprobSummary

TEMPLATE_TOKENS = 128
"""Tokens that a chat template adds to a prompt at most."""
TURN_TOKENS = 16
"""Tokens that it adds to each turn at most."""


class Message(TypedDict):
    """One turn of a chat: `role` is `system`, `user` or `assistant`."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How to draw.

    Attributes:
        temperature: 0 is greedy.
        top_p: Nucleus mass in (0, 1].
        top_k: Most likely tokens kept; 0 keeps all; `None` leaves it to the server.
        max_tokens: Most tokens of one completion.
        stop: Texts that end a completion.
    """

    temperature: float = 0.8
    top_p: float = 1.0
    top_k: int | None = None
    max_tokens: int = 512
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise InvalidArgumentError(f"temperature={self.temperature!r} must be finite and at least 0.")
        if not 0 < self.top_p <= 1:
            raise InvalidArgumentError(f"top_p={self.top_p!r} must be above 0 and at most 1.")
        if self.max_tokens < 1:
            raise InvalidArgumentError(f"max_tokens={self.max_tokens!r} must be at least 1.")


@dataclass(frozen=True, slots=True)
class Generation:
    """One completion.

    Attributes:
        text: What the model wrote, without the prompt.
        finish_reason: `stop`, `length`, or what the server said.
        prompt_tokens: Prompt length in tokens, `None` if the backend does not say.
        completion_tokens: Completion length in tokens, `None` if the backend does not say.
    """

    text: str
    finish_reason: str | None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    logprobs: LogprobSummary | None = None


@dataclass(frozen=True, slots=True)
class Continuation:
    """How likely a given text is after a prompt.

    Attributes:
        logprob: Sum of its tokens' log-probabilities, in nats.
        tokens: Its length in tokens.
        prompt_tokens: Length of the prompt before it, in tokens.
    """

    logprob: float
    tokens: int
    prompt_tokens: int


OnText = Callable[[int, str], None]
"""Told of the place of a seed among those of a call, and of the text that its draw goes on with."""


def estimate_pieces(text: str, width: int = 3) -> list[str]:
    """The text in pieces of `width` characters: more of them than any usual tokenizer makes."""
    return [text[start : start + width] for start in range(0, len(text), width)]


SEEDS_PER_QUESTION = 2**16


def first_seed(messages: Sequence[Message], seed: int) -> int:
    """Where the seeds of a question's draws begin: `seed` above a multiple of 65,536 that its messages pick.

    Draws under one seed share their random numbers, so that equal seeds for all questions would make place i
    of every set alike. There are 32,768 multiples: with a `seed` below 65,536 it fits the 31 bits that some
    servers take.
    """
    text = "\0".join(part for message in messages for part in (message["role"], message["content"]))
    place = int(hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:8], 16) % 2**15
    return SEEDS_PER_QUESTION * place + seed


def plain_params(params: SamplingParams) -> dict[str, Any]:
    """The parameters as JSON values, without those left to the server."""
    named: dict[str, Any] = {
        "temperature": params.temperature,
        "top_p": params.top_p,
        "max_tokens": params.max_tokens,
    }
    if params.top_k is not None:
        named["top_k"] = params.top_k
    if params.stop:
        named["stop"] = list(params.stop)
    return named


def longest_prompt(messages: Sequence[Message]) -> int:
    """The most tokens that a chat can be: one for each of its bytes, and a margin for the template."""
    turns = (len(message["content"].encode("utf-8", "replace")) + TURN_TOKENS for message in messages)
    return sum(turns) + TEMPLATE_TOKENS
