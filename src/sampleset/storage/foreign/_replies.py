"""Replies as the APIs of models give them → rows of samples: OpenAI's, Anthropic's, Gemini's, vLLM's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sampleset.storage.foreign._chats import is_list, is_mapping, messages_of, text_of_content
from sampleset.storage.records import Row

_REASONS = {
    "max_tokens": "length",
    "model_length": "length",
    "model_context_window_exceeded": "length",
    "MAX_TOKENS": "length",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "STOP": "stop",
}
_TEXTS = (
    "text",
    "content",
    "generated_text",
    "generation",
    "completion",
    "response",
    "output",
    "output_text",
    "model_output",
    "value",
)
"""Where an object that stands for a sample may hold its text."""


def sample_row(text: str, **fields: Any) -> dict[str, Any]:
    """A sample's row without the fields that are not known."""
    return {"text": text} | {name: value for name, value in fields.items() if value is not None}


def failed_row(error: object, model: str | None = None) -> dict[str, Any]:
    """A sample's row where no reply came."""
    return sample_row("", finish_reason="error", error=_message(error), model=model)


def finish_of(reason: object) -> str | None:
    """A reason in the words of OpenAI."""
    return _REASONS.get(reason, reason) if isinstance(reason, str) else None


def rows_of_body(body: Row) -> list[dict[str, Any]] | None:
    """The samples in the body of a reply, one for each choice; `None` where there is no choice in it.

    Chat completions and completions of OpenAI, its responses, messages of Anthropic, candidates of Gemini.
    """
    choices = _choices(body)
    if not choices:
        return None
    model = next((body[name] for name in ("model", "modelVersion") if isinstance(body.get(name), str)), None)
    nothing: Row = {}
    usage = next((body[name] for name in ("usage", "usageMetadata") if is_mapping(body.get(name))), nothing)
    prompt = _first_count(usage, "prompt_tokens", "input_tokens", "promptTokenCount")
    tokens = _first_count(usage, "completion_tokens", "output_tokens", "candidatesTokenCount")
    return [
        sample_row(
            _text(choice),
            finish_reason=finish_of(choice.get("finish_reason")),
            prompt_tokens=prompt,
            completion_tokens=tokens if len(choices) == 1 else None,
            model=model,
        )
        for choice in choices
    ]


def rows_of_value(value: object) -> list[dict[str, Any]] | None:
    """The samples in a cell: a text, an object with a text or with the body of a reply, or a list of such.

    `None` where it holds something else.
    """
    if isinstance(value, str):
        return [sample_row(value)]
    if is_mapping(value):
        return _rows_of_object(value)
    if not is_list(value) or not value:
        return None
    messages = messages_of(value)
    if messages is not None and any(message["role"] != "assistant" for message in messages):
        return None  # a chat, whose end is its reply
    # A null beside texts is a draw from which nothing came.
    rows = [[failed_row("no text")] if item is None and any(value) else rows_of_value(item) for item in value]
    return None if any(item is None for item in rows) else [row for item in rows for row in item or ()]


def _rows_of_object(value: Row) -> list[dict[str, Any]] | None:
    if (rows := rows_of_body(value)) is not None:
        return rows
    message = value.get("message")
    if is_mapping(message):
        value = {**value, **message}
    text = next((value[name] for name in _TEXTS if isinstance(value.get(name), str)), None)
    if text is None and is_list(value.get("content")):
        text = text_of_content(value["content"])
    if text is None:
        error = value.get("error")
        return [failed_row(error)] if error else None
    tokens = value.get("token_ids")
    written = _first_count(value, "completion_tokens", "output_tokens")
    return [
        sample_row(
            text,
            finish_reason=finish_of(value.get("finish_reason") or value.get("stop_reason")),
            prompt_tokens=_first_count(value, "prompt_tokens", "input_tokens"),
            completion_tokens=len(tokens) if written is None and is_list(tokens) else written,
            seed=_first_count(value, "seed"),
            model=value.get("model") if isinstance(value.get("model"), str) else None,
            error=value.get("error") if isinstance(value.get("error"), str) else None,
            scores=_scores(value.get("scores")),
        )
    ]


def _scores(value: object) -> Mapping[str, Any] | None:
    """Scores by their names, as our own rows hold them."""
    return value if is_mapping(value) else None


def _choices(body: Row) -> list[Row]:
    """The replies, each in the shape of a choice of OpenAI's."""
    if is_list(body.get("choices")):
        return [choice for choice in body["choices"] if is_mapping(choice)]
    if is_list(body.get("candidates")):
        candidates = [candidate for candidate in body["candidates"] if is_mapping(candidate)]
        return [
            {"message": _gemini_content(candidate), "finish_reason": candidate.get("finishReason")}
            for candidate in candidates
            if "content" in candidate or "finishReason" in candidate
        ]
    if body.get("type") == "message" and is_list(body.get("content")):
        return [{"message": body, "finish_reason": body.get("stop_reason")}]
    output = body.get("output")
    messages = [item for item in output if is_mapping(item)] if is_list(output) else []
    messages = [item for item in messages if item.get("type") == "message"]
    if not messages:
        return []
    text = "".join(text_of_content(item.get("content")) for item in messages)
    return [{"text": text, "finish_reason": "length" if body.get("status") == "incomplete" else "stop"}]


def _gemini_content(candidate: Row) -> Row:
    content = candidate.get("content")
    return {"content": content.get("parts")} if is_mapping(content) else {}


def _text(choice: Row) -> str:
    message = choice.get("message")
    return text_of_content(message.get("content")) if is_mapping(message) else str(choice.get("text") or "")


def _first_count(row: Row, *names: str) -> int | None:
    counts = (row.get(name) for name in names)
    return next((count for count in counts if isinstance(count, int) and not isinstance(count, bool)), None)


def _message(error: object) -> str:
    """The words of an error, however it is wrapped."""
    while is_mapping(error) and is_mapping(error.get("error")):
        error = error["error"]
    return str(error.get("message", error)) if is_mapping(error) else str(error)
