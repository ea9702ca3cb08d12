"""OpenAI's batch API: the output file, and the input file where it lies in the same folder.

An output row holds replies and a `custom_id`, but no question. Requests whose messages are the same are
draws of one question. Without the input, the `custom_id` alone tells which replies belong together
(`q7-0`, `q7-1`), and questions come from `sampleset import --problems`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, ClassVar

from sampleset.storage.foreign.base import (
    FORMATS,
    ForeignSet,
    Source,
    grouped,
    is_list,
    is_mapping,
    question_of_prompt,
    sample_row,
    text_of_content,
)
from sampleset.storage.records import Row

_DRAW = re.compile(r"(?P<question>.+?)[-_.:#/](?:s|rs|sample|draw|seed|n|k)?[-_]?\d+")


@FORMATS.register("openai_batch")
class OpenAIBatch:
    """Rows with `custom_id` and `response.body`, or with `custom_id` and `body`."""

    title: ClassVar[str] = "OpenAI batch output"
    general: ClassVar[bool] = False

    def recognises(self, source: Source) -> bool:
        """Whether a row has the fields of a batch's output, or of its input."""
        return "custom_id" in source.first and ("response" in source.first or "body" in source.first)

    def sets(self, source: Source) -> Iterator[ForeignSet]:
        """One set a question: by the messages where the input is here, else by the ids."""
        requests: dict[str, Row] = {}
        for _, _, row in source.rows():
            body = row.get("body")
            if "response" not in row and is_mapping(body):
                requests[str(row["custom_id"])] = body
        replies = [located_row for located_row in source.rows() if "response" in located_row[2]]
        identities = [str(row["custom_id"]) for _, _, row in replies]
        stems = _stems(identities)

        def key(row: Row) -> str:
            identity = str(row["custom_id"])
            body = requests.get(identity)
            return stems[identity] if body is None else json.dumps(_prompt(body))

        def convert(row: Row) -> dict[str, Any]:
            identity = str(row["custom_id"])
            body = requests.get(identity, {})
            question = question_of_prompt(_prompt(body))
            return {"id": stems[identity]} | ({} if question is None else {"question": question})

        yield from grouped(iter(replies), key, convert, _samples)


def _stems(identities: list[str]) -> dict[str, str]:
    """The question's part of each id: what ids of several draws share before their number.

    Where no two ids share it, numbers count questions, and an id is a question's.
    """
    stems = {identity: match["question"] for identity in identities if (match := _DRAW.fullmatch(identity))}
    if len(stems) < len(set(identities)) or len(set(stems.values())) in (1, len(stems)):
        return {identity: identity for identity in identities}
    return stems


def _samples(row: Row) -> list[dict[str, Any]]:
    """The replies of a row; a failed request is a failed draw."""
    response: Any = row["response"] if is_mapping(row["response"]) else {}
    body: Any = response.get("body") if is_mapping(response.get("body")) else {}
    model = body.get("model") if isinstance(body.get("model"), str) else None
    usage: Any = body.get("usage") if is_mapping(body.get("usage")) else {}
    choices = _choices(body)
    if not choices:
        error = row.get("error") or body.get("error") or f"status {response.get('status_code')}"
        return [sample_row("", finish_reason="error", error=_message(error), model=model)]
    alone = len(choices) == 1
    return [
        sample_row(
            _text(choice),
            finish_reason=choice.get("finish_reason"),
            prompt_tokens=usage.get("prompt_tokens", usage.get("input_tokens")),
            completion_tokens=usage.get("completion_tokens", usage.get("output_tokens")) if alone else None,
            model=model,
        )
        for choice in choices
    ]


def _prompt(body: Row) -> object:
    """What a request asked, of whichever endpoint."""
    return next((body[name] for name in ("messages", "input", "prompt") if name in body), None)


def _choices(body: Row) -> list[Row]:
    """The replies; one of `/v1/responses` is its messages together, in the shape of a choice."""
    listed = body.get("choices")
    if is_list(listed):
        return [choice for choice in listed if is_mapping(choice)]
    output = body.get("output")
    messages = [item for item in output if is_mapping(item)] if is_list(output) else []
    messages = [item for item in messages if item.get("type") == "message"]
    if not messages:
        return []
    text = "".join(text_of_content(item.get("content")) for item in messages)
    return [{"text": text, "finish_reason": "length" if body.get("status") == "incomplete" else "stop"}]


def _text(choice: Row) -> str:
    message = choice.get("message")
    return text_of_content(message.get("content")) if is_mapping(message) else str(choice.get("text") or "")


def _message(error: object) -> str:
    return str(error.get("message", error)) if is_mapping(error) else str(error)
