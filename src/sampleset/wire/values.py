"""Reads values of a reply. A value of an unexpected type is replaced by an empty one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlsplit

from sampleset.types import whole_characters
from sampleset.wire.parsing import parsed

_SHOWN_CHARACTERS = 300
_WRAPPERS = ("result", "data", "response", "output", "body", "completion", "payload", "value")
_DEEPEST_WRAPPING = 3
_TEXT_PARTS = ("text", "output_text", None)


def list_of(value: object) -> list[Any]:
    """The value if it is a list, else an empty list."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def mapping_of(value: object) -> Mapping[str, Any]:
    """The value if it is a JSON object, else an empty one."""
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def count_of(value: object) -> int | None:
    """The value if it is a whole number ≥ 0, else `None`."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def text_of(content: object) -> str:
    """The text of a message whose content is a string, a number, a part, or a list of parts or of strings."""
    if isinstance(content, (list, dict)):
        listed = mapping_of(cast("object", content)).get("parts", cast("object", content))
        parts: list[object] = list_of(listed) or [content]
        content = "".join(map(_text_of_part, parts))
    if type(content) in (int, float):  # a relay read the text as JSON
        content = str(content)
    return whole_characters(content) if isinstance(content, str) else ""


def opened(body: object) -> Mapping[str, Any]:
    """The completion, or the error, in a body: gateways wrap it in a field, or as JSON in a text."""
    outer = mapping_of(body)
    fields = outer
    for _ in range(_DEEPEST_WRAPPING):
        if fields.get("choices") or fields.get("error"):
            break
        inner = next(filter(None, (_inner(fields.get(name)) for name in _WRAPPERS)), None)
        if inner is None:
            return outer
        fields = {"usage": fields.get("usage"), **inner}
    return fields if fields.get("choices") or fields.get("error") else outer


def _inner(value: object) -> Mapping[str, Any] | None:
    if isinstance(value, str) and value.lstrip().startswith("{") and '"choices"' in value:
        try:
            value = parsed(value)
        except (ValueError, RecursionError):
            return None
    return mapping_of(value) or None


def shortened(text: str) -> str:
    """The text on one line of at most 300 characters."""
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN_CHARACTERS else line[: _SHOWN_CHARACTERS - 1] + "…"


def closed(sentence: str) -> str:
    """The sentence with a full stop."""
    return sentence if sentence.endswith((".", "!", "?", "…")) else f"{sentence}."


def is_http(url: str) -> bool:
    """Whether this is an HTTP address with a host."""
    try:
        parts = urlsplit(url)
        is_host = bool(parts.hostname and parts.hostname.encode("idna"))
        return parts.scheme in ("http", "https") and is_host and parts.port != 0
    except ValueError:
        return False


def _text_of_part(part: object) -> str:
    if isinstance(part, str):
        return part
    fields = mapping_of(part)
    text = fields.get("text", fields.get("content")) if fields.get("type") in _TEXT_PARTS else None
    if "value" in mapping_of(text):
        text = mapping_of(text)["value"]
    return text if isinstance(text, str) else ""
