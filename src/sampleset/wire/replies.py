"""A completion of a server → a generation, or a fault.

A reply is a sample if it ended naturally or at a limit of tokens. A reply that broke off is tried again; a
reply cut by a filter is not. A reply of hidden thought alone is an empty sample, since another try would most
likely end in the same way.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from sampleset.chat import Generation
from sampleset.types import LogprobSummary, whole_characters
from sampleset.wire.faults import Fault, fault_in
from sampleset.wire.native import in_chat_form
from sampleset.wire.parsing import LOWEST_LOGPROB, decoder_for, has_many_values, parsed
from sampleset.wire.statuses import end_of, finish_of, finish_reason_of
from sampleset.wire.stream import StreamedCompletion
from sampleset.wire.tool_calls import whole_calls
from sampleset.wire.values import count_of, list_of, mapping_of, shortened, text_of

NO_COMPLETION = "no completion"
"""The `reply` of a fault where a success is no completion of any known form: the address may be wrong."""

_THOUGHT = (
    "reasoning_content",
    "reasoning",
    "reasoning_details",
    "reasoning_text",
    "thinking",
    "thinking_blocks",
)
_THOUGHT_NAME = re.compile("reasoning|think|thought|analysis")
_THOUGHT_PARTS = ("thinking", "redacted_thinking", "reasoning", "reasoning_text", "thought")
_NEXT_VALUE = re.compile(r"[\s,]*(?=\{)")


def read_completion(raw: bytes | bytearray, *, may_be_empty: bool = False) -> Generation | Fault:
    """The first choice in the body of a completion, or what is wrong with it.

    Args:
        raw: The body.
        may_be_empty: Whether an empty text is accepted, as when the model continues a finished message.
    """
    try:
        content = decoded(raw)
    except (ValueError, RecursionError):
        if (events := _events_in(raw)) is not None:
            return completion_of(events.body(), may_be_empty=may_be_empty)
        if (text := _other_text(raw)) is not None:
            return damaged(f"answered with {text}. {_IS_IT_RIGHT}", NO_COMPLETION)
        ending = raw[-40:].decode("utf-8", "replace")
        return damaged(f"answered with broken JSON ({len(raw)} bytes, ending in {ending!r})")
    if entries := list_of(content):
        if in_chat_form(entries[0]).get("choices"):
            return completion_of(_joined(entries).body(), may_be_empty=may_be_empty)
        return _broken(fault_in(entries), "answered without a completion")
    if isinstance(content, str):  # JSON written twice, or a mere text
        return read_completion(content.encode("utf-8", "replace"), may_be_empty=may_be_empty)
    if content is None or isinstance(content, int | float):
        return damaged(f"answered with the value {content!r:.60}. {_IS_IT_RIGHT}", NO_COMPLETION)
    return completion_of(mapping_of(content), may_be_empty=may_be_empty)


def completion_of(body: Mapping[str, Any], *, may_be_empty: bool = False) -> Generation | Fault:
    """The first choice of a decoded completion, or a fault."""
    if body.get("done") is False:
        return damaged("broke its reply off (done is false)", "broken reply")
    body = in_chat_form(body)
    choices = list_of(body.get("choices"))
    if not choices:
        return _without_choices(body)
    choice = mapping_of(choices[0])
    finish = finish_of(choice) or body.get("status")
    if error := choice.get("error"):
        return _broken(fault_in(error), "answered with an error in its choice")
    for error in (body.get("error"), mapping_of(choice.get("message")).get("error")):
        if fault := _fault_beside(error):
            return _broken(fault, "answered with an error beside its choice")
    end = end_of(finish)
    if end == "broken":
        return damaged(f"broke its reply off (finish reason {finish!r})", "broken reply")
    message = mapping_of(choice.get("message")) or mapping_of(choice.get("delta"))
    text = next((choice[name] for name in ("text", "message") if isinstance(choice.get(name), str)), None)
    if not message and text is not None:
        message = {"role": "assistant", "content": text}
    message = _repaired(message, check_calls=end != "limit")
    if message is None:
        return damaged("answered with a damaged tool call")
    if end == "filter":
        return Fault(200, "filtered", "withheld the completion by its content filter")
    usage = mapping_of(body.get("usage"))
    reasoning = _detail(usage, "completion_tokens_details", "reasoning_tokens")
    text = text_of(message.get("content")) or text_of(message.get("refusal"))
    calls = message.get("tool_calls") or message.get("function_call")
    is_something = text or calls or end == "limit" or may_be_empty
    if not (is_something or reasoning or _thinks(message)):
        reason = f"answered with an empty completion (finish reason {finish!r})"
        return damaged(reason, "empty reply")
    rows = mapping_of(choice.get("logprobs"))
    return Generation(
        text=text,
        # Some servers end a reply that calls tools as any other.
        finish_reason="tool_calls"
        if end == "natural" and message.get("tool_calls")
        else finish_reason_of(finish),
        prompt_tokens=count_of(usage.get("prompt_tokens", usage.get("input_tokens"))),
        completion_tokens=count_of(usage.get("completion_tokens", usage.get("output_tokens"))),
        logprobs=logprobs_of(rows) if rows else None,
        message=message,
        token_logprobs=rows or None,
        cached_tokens=_detail(usage, "prompt_tokens_details", "cached_tokens"),
        reasoning_tokens=reasoning,
    )


def _fault_beside(error: object) -> Fault | None:
    """The error beside a choice; `None` where the field only says that there is none."""
    fault = fault_in(error) if error else None
    is_none = (
        fault is None or fault.text.lower() in _NO_ERROR or mapping_of(error).get("code") in (0, "0", 200)
    )
    return None if is_none else fault


_NO_ERROR = frozenset(("", "ok", "success", "none", "null", "no error"))


def _events_in(raw: bytes | bytearray) -> StreamedCompletion | None:
    """The completion in JSON values one behind the other: a stream without its form. Else `None`."""
    text, position, events = raw.decode("utf-8", "replace").lstrip("\ufeff"), 0, list[object]()
    text, decoder = text.rstrip().removesuffix("[DONE]"), decoder_for(raw)
    while match := _NEXT_VALUE.match(text, position):
        try:
            value, position = decoder.raw_decode(text, match.end())
        except (ValueError, RecursionError):
            return None
        events.append(value)
    is_whole = not text[position:].strip(" \t\r\n,")
    return _joined(events) if events and is_whole and in_chat_form(events[0]).get("choices") else None


def _other_text(raw: bytes | bytearray) -> str | None:
    """Names a body that was never meant to be JSON; `None` if it may be JSON that broke off."""
    text = shortened(raw[:1000].decode("utf-8", "replace").lstrip("\ufeff"))
    if text[:1] in ("{", "["):
        return None
    if text.startswith("<"):
        return "a page of HTML"
    return f"the text {text[:60]!r}" if text else "an empty body"


def _joined(events: Sequence[object]) -> StreamedCompletion:
    stream = StreamedCompletion()
    for event in events:
        stream.add(mapping_of(event))
    return stream


def decoded(raw: bytes | bytearray) -> object:
    """A body as JSON.

    Raises:
        ValueError: The body is not JSON.
        RecursionError: It is nested too deeply.
    """
    from pydantic_core import from_json

    if not has_many_values(raw):
        with suppress(ValueError):
            return from_json(raw, allow_inf_nan=False)  # three quarters of the time on many log-probabilities
    return parsed(raw)


def damaged(reason: str, reply: str = "damaged reply") -> Fault:
    """The fault of a successful reply without a usable completion. Another try may succeed."""
    return Fault(200, "passing", reason, reply=reply)


def logprobs_of(field: object) -> LogprobSummary | None:
    """Summary of a choice's token log-probabilities; `None` where a token has none."""
    try:
        values: list[Any] = [row["logprob"] for row in list_of(mapping_of(field).get("content"))]
    except (TypeError, KeyError):
        return None
    # The lists are long: one pass for each rule would be most of a draw's cost.
    if not set(map(type, values)) <= {int, float} or math.isnan(sum(values)):
        return None
    if values and (min(values) < LOWEST_LOGPROB or max(values) > 0):
        values = [min(0.0, max(value, LOWEST_LOGPROB)) for value in values]
    return LogprobSummary.of(values)


_IS_IT_RIGHT = (
    "Is the base URL that of a chat-completions server? It usually ends in /v1, Gemini's in /v1beta/openai."
)


def _without_choices(body: Mapping[str, Any]) -> Fault:
    fault = fault_in({"error": body.get("error") or body.get("errors") or body})
    reason = "answered without a completion"
    if not _SAYS_WHY.intersection(body):
        fields = ", ".join(repr(name[:30]) for name in list(body)[:5]) or "no fields"
        reason = f"answered without a completion, with an object of {fields}. {_IS_IT_RIGHT}"
        fault = _broken(fault, reason)
        return replace(fault, reply=NO_COMPLETION) if fault.reply is not None else fault
    return _broken(fault, reason)


_SAYS_WHY = {"choices", "error", "errors", "message", "msg", "detail", "details", "code", "status", "reason"}


def _broken(fault: Fault, reason: str) -> Fault:
    """The fault for an error in place of a completion. It is transient unless its meaning says otherwise."""
    if fault.meaning in ("overflow", "filtered", "credit", "key", "limited", "loading"):
        return fault
    if fault.meaning == "refused" and reason.startswith("answered without"):
        return fault
    return replace(damaged(f"{reason} ({fault.text or 'no reason given'})"), retry_after=fault.retry_after)


def _detail(usage: Mapping[str, Any], details: str, name: str) -> int:
    return count_of(mapping_of(usage.get(details)).get(name)) or 0


def _thinks(message: Mapping[str, Any]) -> bool:
    """Whether a message holds hidden thought, by whatever name."""
    fields = {**mapping_of(message.get("provider_specific_fields")), **message}
    return any(value and _THOUGHT_NAME.search(name) for name, value in fields.items())


def _repaired(message: Mapping[str, Any], *, check_calls: bool) -> dict[str, Any] | None:
    """The message in OpenAI's form, without halves of characters; `None` if a tool call is malformed."""
    clean = {
        name: whole_characters(value) if isinstance(value, str) else value for name, value in message.items()
    }
    content: object = message.get("content")
    if not isinstance(content, str) and content is not None:
        clean["content"] = text_of(content)
        parts = map(mapping_of, list_of(content))
        thought = [part for part in parts if part.get("type") in _THOUGHT_PARTS]
        if thought and not any(clean.get(name) for name in _THOUGHT):
            clean["thinking_blocks"] = thought
    if calls := message.get("tool_calls"):
        if (read := whole_calls(calls, check=check_calls)) is None:
            return None
        clean["tool_calls"] = read
    return clean
