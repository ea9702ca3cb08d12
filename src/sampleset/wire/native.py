"""Replies in a server's native form, read as chat completions.

Gateways pass on what the server behind them wrote, whatever they were sent: Ollama's `/api/chat` and
`/api/generate`, Anthropic's messages, Gemini's candidates, OpenAI's responses, Cohere's chat and TGI's
generated text. A whole reply and a piece of a stream are read alike.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sampleset.wire.values import list_of, mapping_of, opened, text_of

_TOKENS = (
    ("prompt_tokens", ("input_tokens", "promptTokenCount", "prompt_eval_count")),
    ("completion_tokens", ("output_tokens", "candidatesTokenCount", "eval_count")),
)


def in_chat_form(body: object) -> Mapping[str, Any]:
    """The completion in a body, in OpenAI's form if the form is known; else the body as it is."""
    fields = opened(body)
    if "choices" in fields or fields.get("error"):
        return fields
    read = _ollama(fields) or _gemini(fields) or _anthropic(fields) or _responses(fields) or _text(fields)
    if read is None:
        return fields
    delta, finish_reason, usage = read
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {"choices": [choice], "usage": _usage(usage)}


_Read = tuple[dict[str, Any], Any, Mapping[str, Any]]
"""The message or a piece of it, the finish reason, and an object that may count tokens."""


def _ollama(body: Mapping[str, Any]) -> _Read | None:
    if not isinstance(body.get("done"), bool):
        return None
    message = mapping_of(body.get("message")) or {"content": body.get("response")}
    return dict(message), (body.get("done_reason") or "stop") if body["done"] else None, body


def _gemini(body: Mapping[str, Any]) -> _Read | None:
    candidates = list_of(body.get("candidates"))
    if not candidates or not mapping_of(candidates[0]):
        return None
    candidate = mapping_of(candidates[0])
    parts = list(map(mapping_of, list_of(mapping_of(candidate.get("content")).get("parts"))))
    message: dict[str, Any] = {
        "content": "".join(text_of(part.get("text")) for part in parts if not part.get("thought"))
    }
    if thought := "".join(text_of(part.get("text")) for part in parts if part.get("thought")):
        message["reasoning_content"] = thought
    if calls := [mapping_of(part["functionCall"]) for part in parts if "functionCall" in part]:
        message["tool_calls"] = [_call(call.get("id"), call.get("name"), call.get("args")) for call in calls]
    return message, candidate.get("finishReason"), mapping_of(body.get("usageMetadata"))


def _anthropic(body: Mapping[str, Any]) -> _Read | None:
    """A message of Anthropic's or Cohere's, or an event of Anthropic's streams."""
    event = body.get("type")
    usage = mapping_of(body.get("usage"))
    if event == "message_start":
        return {}, None, mapping_of(mapping_of(body.get("message")).get("usage"))
    if event == "content_block_start":
        return _of_parts([mapping_of(body.get("content_block"))], body.get("index")), None, usage
    delta = mapping_of(body.get("delta"))
    if event == "content_block_delta":
        if "partial_json" in delta:
            return (
                {
                    "tool_calls": [
                        {"index": body.get("index"), "function": {"arguments": delta["partial_json"]}}
                    ]
                },
                None,
                usage,
            )
        name = "reasoning_content" if "thinking" in delta else "content"
        return {name: text_of(delta.get("thinking") or delta.get("text"))}, None, usage
    if event == "message_delta":
        return {}, delta.get("stop_reason"), usage
    message = body if event == "message" else mapping_of(body.get("message"))
    finish_reason = body.get("stop_reason") or body.get("finish_reason")
    if not isinstance(message.get("content"), list) or not isinstance(finish_reason, str):
        return None
    return _of_parts(list_of(message["content"])), finish_reason, mapping_of(usage.get("tokens")) or usage


def _responses(body: Mapping[str, Any]) -> _Read | None:
    if body.get("object") != "response" or not isinstance(body.get("output"), list):
        return None
    items = list(map(mapping_of, list_of(body["output"])))
    message = _of_parts([part for item in items for part in list_of(item.get("content"))])
    if calls := [item for item in items if item.get("type") == "function_call"]:
        message["tool_calls"] = [
            _call(call.get("call_id"), call.get("name"), call.get("arguments")) for call in calls
        ]
    reason = mapping_of(body.get("incomplete_details")).get("reason")
    return message, reason or body.get("status"), mapping_of(body.get("usage"))


def _text(body: Mapping[str, Any]) -> _Read | None:
    details = mapping_of(body.get("details"))
    text = body.get("generated_text")
    return ({"content": text}, details.get("finish_reason") or "stop", {}) if isinstance(text, str) else None


def _of_parts(parts: list[Any], index: object = None) -> dict[str, Any]:
    """The message of typed parts: texts, thought and calls of tools."""
    message: dict[str, Any] = {"content": text_of(parts)}
    fields = list(map(mapping_of, parts))
    if thought := "".join(text_of(part.get("thinking")) for part in fields):
        message["reasoning_content"] = thought
    if calls := [part for part in fields if part.get("type") == "tool_use"]:
        message["tool_calls"] = [
            _call(call.get("id"), call.get("name"), call.get("input"), index) for call in calls
        ]
    return message


def _call(identity: object, name: object, arguments: object, index: object = None) -> dict[str, Any]:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments) if arguments else ""
    place = {} if index is None else {"index": index}
    return {**place, "id": identity, "type": "function", "function": {"name": name, "arguments": text}}


def _usage(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        ours: count
        for ours, theirs in _TOKENS
        if (count := next((fields[name] for name in theirs if name in fields), None)) is not None
    }
