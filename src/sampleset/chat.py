"""The values that cross the seam to a model: messages, prompts, sampling parameters, generations."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypedDict

from sampleset.errors import InvalidArgumentError, UnsupportedByBackendError
from sampleset.types import LogprobSummary

TEMPLATE_TOKENS = 128
"""Tokens that a chat template adds to a prompt at most."""
TURN_TOKENS = 16
"""Tokens that it adds to each turn at most."""


class Message(TypedDict):
    """One turn of a chat.

    The package itself writes texts of the roles `system`, `user` and `assistant`. In the `Prompt` of a client
    the content may also be a list of parts, or `None`, and a turn may have more fields (`tool_calls`, say).
    """

    role: str
    content: Any


class Prompt(tuple[Message, ...]):
    """The messages of a chat, and the other fields of a client's request, if there was one.

    It is a sequence of messages: whatever takes messages takes a prompt.

        Prompt(messages, {"tools": [...], "temperature": 0.2})

    Attributes:
        extra: The fields. A server is sent them as they are, in place of what the sampling parameters say; a
            backend that reads text only refuses those that the parameters have no name for. `None` without a
            request: then the parameters alone say how to draw.
    """

    extra: Mapping[str, Any] | None

    def __new__(cls, messages: Iterable[Mapping[str, Any]], extra: Mapping[str, Any] | None = None) -> Prompt:
        """A prompt of these messages."""
        made = super().__new__(cls, messages)  # type: ignore[arg-type]
        made.extra = extra
        return made

    @cached_property
    def json(self) -> bytes:
        """The messages as JSON, written once for all draws."""
        return json.dumps(self).encode()

    @cached_property
    def fields_json(self) -> Mapping[str, bytes]:
        """Each of the other fields as JSON, written once for all draws."""
        return {name: json.dumps(value).encode() for name, value in (self.extra or {}).items()}

    @property
    def size(self) -> int:
        """Bytes that it takes on the wire."""
        return len(self.json) + sum(map(len, self.fields_json.values()))


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
        if self.top_k is not None and self.top_k < 0:
            raise InvalidArgumentError(f"top_k={self.top_k!r} must be at least 0; 0 keeps all tokens.")
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
        logprobs: Summary of the tokens' log-probabilities.
        message: The assistant's message as the server wrote it, tool calls and reasoning included; `None` of
            a backend that gives text only.
        token_logprobs: The tokens' log-probabilities in the API's form.
        cached_tokens: Of the prompt tokens, those read from a cache.
        reasoning_tokens: Of the completion tokens, those of hidden reasoning.
        size: Bytes of the reply that it was read from, 0 of a backend that gives text only.
    """

    text: str
    finish_reason: str | None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    logprobs: LogprobSummary | None = None
    message: Mapping[str, Any] | None = None
    token_logprobs: Mapping[str, Any] | None = None
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    size: int = 0

    @property
    def whole_message(self) -> Mapping[str, Any]:
        """The assistant's message, made of the text where there is no other."""
        return {"role": "assistant", "content": self.text} if self.message is None else self.message


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

    def logprob_of(self, max_tokens: int | None) -> float:
        """`logprob`, of a text of more tokens than `max_tokens` scaled to so many.

        The sum falls with every token, so among texts of very different lengths it measures length.

        Args:
            max_tokens: At least 1; `None` for no limit.
        """
        if max_tokens is None or self.tokens <= max_tokens:
            return self.logprob
        return self.logprob * max_tokens / self.tokens


OnText = Callable[[int, str], None]
"""Called with a seed's place among those of a call, and the next piece of its draw's text."""


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
    text = "\0".join(part for message in messages for part in (message["role"], _as_text(message)))
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
    """The most tokens that a chat can be: one for each of its bytes, and a margin for the template.

    The fields of a client's request count as well, since tools and schemas are read; images are not counted.
    """
    turns = (len(_as_text(message).encode("utf-8", "replace")) + TURN_TOKENS for message in messages)
    extra = messages.extra if isinstance(messages, Prompt) else None
    return sum(turns) + len(json.dumps(extra) if extra else "") + TEMPLATE_TOKENS


def require_text(messages: Sequence[Message], model: str) -> None:
    """Return if a model that reads text only can read these messages whole.

    Args:
        messages: What it is to be asked.
        model: Its name, for the message.

    Raises:
        UnsupportedByBackendError: A message holds more than a text, or a field of the request has no meaning
            for it; names which.
    """
    extra = messages.extra if isinstance(messages, Prompt) else None
    for name in extra or ():
        if name not in _SPOKEN_FOR:
            raise UnsupportedByBackendError(
                f"{model!r} reads and writes text only; it cannot honour {name!r}. Leave it away, or ask a "
                "model behind a server."
            )
    for place, message in enumerate(messages):
        if not isinstance(message["content"], str) or message["role"] not in _TEXT_ROLES:
            raise UnsupportedByBackendError(
                f"{model!r} reads text only; messages[{place}], of the role {message['role']!r}, holds more. "
                "Give it as a text, or ask a model behind a server."
            )


_TEXT_ROLES = ("system", "developer", "user", "assistant")
# Fields of a request that sampling parameters, beside it, say as well.
_SPOKEN_FOR = ("temperature", "top_p", "top_k", "max_tokens", "max_completion_tokens", "stop", "seed")


def _as_text(message: Message) -> str:
    """The content, and of a message that holds more than a text all of it."""
    content: object = message.get("content")
    return content if isinstance(content, str) and len(message) == 2 else json.dumps(message)


def prompt_version(prompt: str) -> str:
    """Name and version of a configuration's prompt, with the digest of its system message."""
    version, mark, system = prompt.partition(", system: ")
    digest = hashlib.sha256(system.encode("utf-8", "replace")).hexdigest()
    return f"{version}, system {digest[:8]}" if mark else version
