"""What came of one draw: the reply that an upstream's completion holds, or why there is none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sampleset.errors import BackendError, TransientBackendError
from sampleset.serve.api_errors import ApiError
from sampleset.types import LogprobSummary
from sampleset.wire.replies import count_of, list_of, logprobs_of, mapping_of, text_of


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of one draw.

    Attributes:
        message: The assistant's message, as the upstream wrote it.
        finish_reason: As the upstream says.
        prompt_tokens: Billed, `None` if the upstream does not tell.
        completion_tokens: The same.
        cached_tokens: Of the prompt tokens, those read from a cache.
        reasoning_tokens: Of the completion tokens, those of hidden reasoning.
        logprobs: Token log-probabilities in the API's form.
        summary: The same in summary.
        text: The words of the message.
    """

    message: Mapping[str, Any]
    finish_reason: str | None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    logprobs: Mapping[str, Any] | None = None
    summary: LogprobSummary | None = None

    text: str = field(init=False)

    def __post_init__(self) -> None:
        said = text_of(self.message.get("content")) or text_of(self.message.get("refusal"))
        object.__setattr__(self, "text", said)


class TransientFault(TransientBackendError):
    """A draw failed and may be tried again.

    Attributes:
        kind: What happened in a word or two, for metrics and for clients.
    """

    def __init__(self, kind: str, *, retry_after: float | None = None) -> None:
        super().__init__(kind, retry_after=retry_after)
        self.kind = kind


class Refusal(BackendError):
    """An upstream refuses the request as such; another try would fare no better.

    Attributes:
        error: What the client is told.
        kind: The same in a word or two.
    """

    def __init__(self, kind: str, error: ApiError) -> None:
        super().__init__(kind)
        self.kind = kind
        self.error = error


def read_reply(raw: bytes) -> Reply:
    """The reply in the body of a completion.

    Raises:
        TransientFault: It is damaged, or holds no completion.
        Refusal: As `reply_of`.
    """
    try:
        # NaN and Infinity, which some servers give as log-probabilities, are no JSON: a client would stumble.
        body = mapping_of(json.loads(raw, parse_constant=lambda _: None))
    except (ValueError, RecursionError) as error:
        raise TransientFault("damaged reply") from error
    return reply_of(body)


def reply_of(body: Mapping[str, Any]) -> Reply:
    """The reply that a completion holds.

    Raises:
        TransientFault: It holds none.
        Refusal: A content filter withheld it.
    """
    choices = list_of(body.get("choices"))
    choice = mapping_of(choices[0] if choices else None)
    message, finish = _whole(mapping_of(choice.get("message"))), choice.get("finish_reason")
    usage = mapping_of(body.get("usage"))
    logprobs = mapping_of(choice.get("logprobs"))
    reply = Reply(
        message=message,
        finish_reason=finish if isinstance(finish, str) else None,
        prompt_tokens=count_of(usage.get("prompt_tokens")),
        completion_tokens=count_of(usage.get("completion_tokens")),
        cached_tokens=count_of(mapping_of(usage.get("prompt_tokens_details")).get("cached_tokens")) or 0,
        reasoning_tokens=count_of(mapping_of(usage.get("completion_tokens_details")).get("reasoning_tokens"))
        or 0,
        logprobs=logprobs or None,
        summary=logprobs_of(logprobs) if logprobs else None,
    )
    if reply.text or message.get("tool_calls") or finish == "length":
        return reply
    if finish == "content_filter":
        raise Refusal("content filter", ApiError(502, "The upstream's content filter withheld the reply."))
    if message.get("reasoning_content") or message.get("reasoning"):
        return reply
    raise TransientFault("empty reply")


def _whole(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """The message in OpenAI's form, without halves of characters, which could not be sent.

    Raises:
        TransientFault: Its tool calls are none.
    """
    whole = {name: text_of(value) if isinstance(value, str) else value for name, value in message.items()}
    if isinstance(message.get("content"), list):
        whole["content"] = text_of(message["content"])
    if calls := message.get("tool_calls"):
        whole["tool_calls"] = [_call(one) for one in list_of(calls) or [None]]
    return whole


def _call(call: object) -> Mapping[str, Any]:
    """A tool call, with arguments that are no text as JSON.

    Raises:
        TransientFault: It names no tool.
    """
    fields = mapping_of(call)
    kind = "function" if fields.get("function") else "custom"
    called = mapping_of(fields.get(kind))
    if not isinstance(called.get("name"), str):
        raise TransientFault("damaged reply")
    if isinstance(given := called.get("arguments"), dict):
        return {**fields, kind: {**called, "arguments": json.dumps(given)}}
    return fields
