"""The seam to models: one small interface that every backend keeps, and the values that cross it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeGuard, runtime_checkable

from sampleset.chat import Continuation, Generation, Message, OnText, SamplingParams
from sampleset.engines.checkpoint import CheckpointRecord
from sampleset.registry import Registry


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
            messages: The chat so far. Of a `Prompt`, a backend honours `extra` or refuses it by name
                (`chat.require_text`).
            params: How to draw.
            seeds: 1 to `group_size` consecutive integers.

        Raises:
            TransientBackendError: Worth another try.
            UnsupportedByBackendError: The prompt holds more than this backend can read.
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


@runtime_checkable
class StreamingBackend(Backend, Protocol):
    """A backend that can also tell what it writes while it writes it."""

    async def stream(
        self, messages: Sequence[Message], params: SamplingParams, seeds: Sequence[int], on_text: OnText
    ) -> list[Generation]:
        """As `generate`; the pieces that `on_text` is called with join to each text."""
        ...


def can_score(backend: object) -> TypeGuard[ScoringBackend]:
    """Whether a backend tells how likely given texts are: its attribute `scores`, or that it has `score`."""
    return getattr(backend, "scores", hasattr(backend, "score"))


def can_stream(backend: object) -> TypeGuard[StreamingBackend]:
    """Whether a backend reports what it writes: its attribute `streams`, or that it has `stream`."""
    return getattr(backend, "streams", hasattr(backend, "stream"))


def record_of(backend: Backend) -> CheckpointRecord | None:
    """How a backend's model is to be asked, if it is a trained aggregator: its attribute `record`."""
    return getattr(backend, "record", None)


def is_local(backend: Backend) -> bool:
    """Whether a backend computes in this process, so that no reply can get lost: its attribute `is_local`."""
    return getattr(backend, "is_local", False)


def takes_requests(backend: Backend) -> bool:
    """Whether a backend takes content of any kind and the fields of a client's request, and gives the whole
    message back: its attribute `takes_requests`. Any other reads and writes text only.
    """
    return getattr(backend, "takes_requests", False)


BackendFactory = Callable[..., Backend]
BACKENDS: Registry[BackendFactory] = Registry("backend", "sampleset.backends")
