"""The interface of all backends, and functions that read a backend's optional attributes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeGuard, runtime_checkable

from sampleset.chat import Continuation, Generation, Message, OnText, SamplingParams
from sampleset.engines.checkpoint import CheckpointRecord
from sampleset.registry import Registry


@runtime_checkable
class Backend(Protocol):
    """A model that can be asked.

    A backend does not retry, limit, time out or store calls; `models` and `sampling` do.

    Attributes:
        model: Identity of the model; part of the key under which a draw is stored.
        group_size: Most draws of one prompt in one `generate` call.
        max_calls: Calls that it works on at once; further calls wait. `None` for no limit.
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
        """Return if the model can be asked. Spends no tokens.

        Raises:
            BackendError: The server is unreachable, refuses the key or does not know the model.
        """
        ...

    async def generate(
        self, messages: Sequence[Message], params: SamplingParams, seeds: Sequence[int]
    ) -> list[Generation]:
        """One completion for every seed, in the order of the seeds. A cancelled call stops the model.

        Args:
            messages: The chat so far. If it is a `Prompt`, a backend either uses `extra` or refuses it by
                name (`chat.require_text`).
            params: Sampling parameters.
            seeds: 1 to `group_size` consecutive integers.

        Raises:
            TransientBackendError: Another try may succeed.
            UnsupportedByBackendError: The prompt holds content that this backend cannot read.
            BackendError: Another try would fail, too.
        """
        ...

    async def tokenize(self, text: str) -> list[str]:
        """Pieces of the text, one for each token, which join to the text.

        Exact if the backend has the tokenizer, otherwise estimated with too many rather than too few.
        """
        ...

    async def aclose(self) -> None:
        """Free the backend's resources."""
        ...


@runtime_checkable
class ScoringBackend(Backend, Protocol):
    """A backend that also computes the log-probability of texts."""

    async def score(self, messages: Sequence[Message], continuations: Sequence[str]) -> list[Continuation]:
        """Log-probability of each continuation of the chat, in nats, in order. The prompt is read once."""
        ...


@runtime_checkable
class StreamingBackend(Backend, Protocol):
    """A backend that also reports a completion's text while it is written."""

    async def stream(
        self, messages: Sequence[Message], params: SamplingParams, seeds: Sequence[int], on_text: OnText
    ) -> list[Generation]:
        """As `generate`. `on_text` is called with (index of the seed, piece); the pieces join to the text."""
        ...


def can_score(backend: object) -> TypeGuard[ScoringBackend]:
    """Whether a backend scores texts: its attribute `scores`, or else whether it has a method `score`."""
    return getattr(backend, "scores", hasattr(backend, "score"))


def can_stream(backend: object) -> TypeGuard[StreamingBackend]:
    """Whether a backend streams: its attribute `streams`, or else whether it has a method `stream`."""
    return getattr(backend, "streams", hasattr(backend, "stream"))


def record_of(backend: Backend) -> CheckpointRecord | None:
    """The record of a trained aggregator, from the attribute `record`; `None` for other models."""
    return getattr(backend, "record", None)


def is_local(backend: Backend) -> bool:
    """Whether a backend computes in this process, from the attribute `is_local`."""
    return getattr(backend, "is_local", False)


def takes_requests(backend: Backend) -> bool:
    """Whether a backend accepts whole requests, from the attribute `takes_requests`.

    Such a backend reads content of any kind and the fields of a client's request, and returns whole messages.
    Other backends read and write text only.
    """
    return getattr(backend, "takes_requests", False)


BackendFactory = Callable[..., Backend]
BACKENDS: Registry[BackendFactory] = Registry("backend", "sampleset.backends")
