"""The seam to models: one small interface that every backend keeps, and the values that cross it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypedDict, runtime_checkable

from sampleset.checkpoint import CheckpointRecord
from sampleset.errors import InvalidArgumentError
from sampleset.registry import Registry
from sampleset.types import LogprobSummary


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


@runtime_checkable
class Backend(Protocol):
    """A model that can be asked.

    Retries, limits, timeouts and the store are not a backend's business; they live in `sampling`.

    Attributes:
        model: Identity of the model; part of the key under which a draw is stored.
        group_size: How many draws of one prompt one `generate` call takes at most.
        max_calls: Calls it can work on at once; more would only wait inside it. `None` if it has no limit.
        context_size: Tokens that prompt and completion may take together, `None` if unknown.
        continues_assistant: Whether a last message of the role `assistant` is continued, not answered.
    """

    model: str
    group_size: int
    max_calls: int | None

    @property
    def context_size(self) -> int | None:
        """Tokens of prompt and completion together."""
        ...

    @property
    def continues_assistant(self) -> bool:
        """Whether a prefilled reply is continued."""
        ...

    async def check(self) -> None:
        """Return if the model can be asked; spends no tokens.

        Raises:
            BackendError: The server is unreachable, refuses the key or does not know the model.
        """
        ...

    async def generate(
        self, messages: Sequence[Message], params: SamplingParams, seeds: Sequence[int]
    ) -> list[Generation]:
        """One completion for every seed, in the order of the seeds. A cancelled call stops the model.

        Args:
            messages: The chat so far.
            params: How to draw.
            seeds: 1 to `group_size` consecutive integers.

        Raises:
            TransientBackendError: Worth another try.
            BackendError: Not worth another try.
        """
        ...

    async def tokenize(self, text: str) -> list[str]:
        """Pieces of the text, one a token, that join to it.

        Exact where the backend holds the tokenizer; otherwise an estimate that errs on the long side.
        """
        ...

    async def aclose(self) -> None:
        """Free what the backend holds."""
        ...


@runtime_checkable
class ScoringBackend(Backend, Protocol):
    """A backend that can also tell how likely given texts are."""

    async def score(self, messages: Sequence[Message], continuations: Sequence[str]) -> list[Continuation]:
        """Log-probability of each continuation of the chat, in order; the prompt is read once."""
        ...


OnText = Callable[[int, str], None]
"""Told of the place of a seed among those of a call, and of the text that its draw goes on with."""


@runtime_checkable
class StreamingBackend(Backend, Protocol):
    """A backend that can also tell what it writes while it writes it."""

    async def stream(
        self, messages: Sequence[Message], params: SamplingParams, seeds: Sequence[int], on_text: OnText
    ) -> list[Generation]:
        """As `generate`; the pieces that `on_text` was told of join to each text."""
        ...


def record_of(backend: Backend) -> CheckpointRecord | None:
    """How a backend's model is to be asked, if it is a trained aggregator: its attribute `record`."""
    return getattr(backend, "record", None)


def is_local(backend: Backend) -> bool:
    """Whether a backend computes in this process, so that no reply can get lost: its attribute `is_local`."""
    return getattr(backend, "is_local", False)


BackendFactory = Callable[..., Backend]
BACKENDS: Registry[BackendFactory] = Registry("backend", "sampleset.backends")


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
