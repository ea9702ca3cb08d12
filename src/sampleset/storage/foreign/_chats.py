"""What stands in a prompt or in a chat: the question, and the replies at its end."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard, cast

from sampleset.storage.records import Row

_ROLES = {
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
}
_PROMPT_END = re.compile(r"(?:<\|im_end\|>\s*<\|im_start\|>)?assistant\s*(?:<think>)?\s*\Z")
_TEMPLATES = (
    # The markers before a user's message, after it, and at the end of a prompt that waits for a reply.
    ("<|im_start|>user\n", "<|im_end|>", "<|im_start|>assistant"),
    (
        "<|start_header_id|>user<|end_header_id|>",
        "<|eot_id|>",
        "<|start_header_id|>assistant<|end_header_id|>",
    ),
    ("<start_of_turn>user\n", "<end_of_turn>", "<start_of_turn>model"),
    ("<|user|>", "<|end|>", "<|assistant|>"),
    ("<|user|>", "</s>", "<|assistant|>"),
    ("<|user|>", "<|assistant|>", "<|assistant|>"),
    ("<｜User｜>", "<｜Assistant｜>", "<｜Assistant｜>"),
    ("<|start|>user<|message|>", "<|end|>", "<|start|>assistant"),
    ("[INST]", "[/INST]", "[/INST]"),
)


def question_of_prompt(prompt: object) -> str | None:
    """The question in a prompt: the last message of the user, or the text itself.

    A text may be a chat in the template of its model: then it is the last message of the user. The markers
    may have been lost in decoding, which leaves the names of the roles: then it is what stands between the
    last `user` and the closing `assistant`.
    """
    if (messages := messages_of(prompt)) is not None:
        texts = [text_of_content(message["content"]) for message in messages if message["role"] == "user"]
        return next((text for text in reversed(texts) if text.strip()), None)
    if not isinstance(prompt, str):
        return None
    for before, after, waiting in _TEMPLATES:
        if before in prompt and waiting in prompt:
            message = prompt.rpartition(before)[2].partition(after)[0].strip()
            return message or None
    end = _PROMPT_END.search(prompt)
    _, user, question = prompt[: end.start()].rpartition("user\n") if end else ("", "", "")
    if user:
        return question.strip() or None
    return prompt if prompt.strip() else None


def text_of_content(content: object) -> str:
    """The text of a message's content, which may come in parts; what a model thought is not its text."""
    if isinstance(content, str):
        return content
    if is_mapping(content):
        content = [content]
    texts = [_text_of_part(part) for part in content] if is_list(content) else []
    return "".join(texts)


def messages_of(value: object) -> list[dict[str, Any]] | None:
    """The messages of a chat, each with `role` and `content`; `None` where the value is no chat.

    It may be written as OpenAI does, as ShareGPT does (`from`, `value`), as Gemini does (`parts`), as
    OpenCompass does (`HUMAN`, `prompt`), or be the JSON of one of these.
    """
    if isinstance(value, str) and value.lstrip().startswith("[{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    if not is_list(value) or not value:
        return None
    messages = [_message(item) for item in value]
    return cast("list[dict[str, Any]]", messages) if all(messages) else None


def parted(messages: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """The chat before the replies at its end, and these: the last turns of the assistant, one or several."""
    start = len(messages)
    while start and messages[start - 1]["role"] == "assistant":
        start -= 1
    return list(messages[:start]), list(messages[start:])


def key_of_chat(messages: Sequence[Row]) -> str:
    """What chats that ask the same share; instructions of the system may differ."""
    turns = [(message["role"], text_of_content(message["content"])) for message in messages]
    return json.dumps([turn for turn in turns if turn[0] not in ("system", "developer")])


def is_list(value: object) -> TypeGuard[list[object]]:
    """Whether a value is a list."""
    return isinstance(value, list)


def is_mapping(value: object) -> TypeGuard[Row]:
    """Whether a value is an object of JSON."""
    return isinstance(value, Mapping)


def _message(item: object) -> dict[str, Any] | None:
    row: Row = item if is_mapping(item) else {}
    role = row.get("role") or row.get("from")
    if not isinstance(role, str):
        return None
    content = next(
        (row[name] for name in ("content", "value", "parts", "prompt") if row.get(name) is not None), None
    )
    return {**row, "role": _ROLES.get(role.lower(), role.lower()), "content": content}


def _text_of_part(part: object) -> str:
    if isinstance(part, str):
        return part
    row: Row = part if is_mapping(part) else {}
    is_thought = row.get("thought") is True or row.get("type") in ("reasoning", "thinking", "reasoning_text")
    text = row.get("text")
    return text if isinstance(text, str) and not is_thought else ""
