"""What servers answer, read with care: error texts, token counts, log-probabilities, waits."""

from __future__ import annotations

import math
import re
import sys
import time
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from sampleset.types import LogprobSummary

if TYPE_CHECKING:
    from openai import APIConnectionError, APIError, APIStatusError

_SHOWN_CHARACTERS = 300
# Servers write -inf or the lowest float for a token of probability 0; OpenAI and vLLM write this.
_LOWEST_LOGPROB = -9999.0
_OVERFLOW_CODES = ("context_length_exceeded", "exceed_context_size_error")
_OVERFLOW_TEXT = re.compile(
    r"maximum context length|model's context length|available context size", re.IGNORECASE
)


def parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds a server asks to wait, ≥ 0, from `retry-after-ms` or `retry-after` (seconds or HTTP date).

    `None` where neither is there or makes sense.
    """
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * scale
        except ValueError:
            continue
        if math.isfinite(seconds) and seconds >= 0:
            return seconds
    try:
        # `timestamp` would read a date without a zone as local time; HTTP dates are in GMT.
        date = parsedate_to_datetime(headers.get("retry-after", ""))
    except (ValueError, TypeError):
        return None
    return max(0.0, date.timestamp() - time.time()) if date.tzinfo else None


def is_http(url: str) -> bool:
    """Whether this is an HTTP address with a host."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def is_overflow(error: APIStatusError, text: str) -> bool:
    """Whether the server says that the prompt exceeds the context."""
    known = error.code in _OVERFLOW_CODES or error.type in _OVERFLOW_CODES
    return known or (error.status_code in (400, 413, 422) and _OVERFLOW_TEXT.search(text) is not None)


def reason_of(error: APIError | APIConnectionError) -> str:
    """Why a connection failed, in a few words."""
    cause = error.__cause__ or error
    return shortened(str(cause)) or type(cause).__name__


def broken_off() -> tuple[type[Exception], ...]:
    """What older SDKs raise where a connection breaks while a stream is read: their HTTP client's error."""
    httpx: Any = sys.modules.get("httpx")
    return () if httpx is None else (httpx.HTTPError,)


def server_text(body: object) -> str:
    """What the server says is wrong, from the shapes in use: OpenAI's, FastAPI's, plain text."""
    if isinstance(body, str):
        return body
    fields = mapping_of(body)
    detail = fields.get("detail")
    if faults := [mapping_of(fault) for fault in list_of(detail)]:
        # A validation error also quotes the request, which names every field; place and message count.
        return "; ".join(f"{fault.get('loc')}: {fault.get('msg')}" for fault in faults)
    return str(fields.get("message") or detail or "")


def shortened(text: str) -> str:
    """The text on one line of at most 300 characters."""
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN_CHARACTERS else line[: _SHOWN_CHARACTERS - 1] + "…"


def closed(sentence: str) -> str:
    """The sentence with a full stop."""
    return sentence if sentence.endswith((".", "!", "?", "…")) else f"{sentence}."


def lists(names: Sequence[str], model: str) -> bool:
    """Whether the model is listed; Ollama lists `name` as `name:latest`, Google as `models/name`."""
    return any(name in (model, f"{model}:latest", f"models/{model}") for name in names)


def text_of(content: object) -> str:
    """The text of a message whose content is a string or a list of parts (Mistral's)."""
    if parts := [mapping_of(part) for part in list_of(content)]:
        content = "".join(str(part.get("text", "")) for part in parts if part.get("type") == "text")
    if not isinstance(content, str):
        return ""
    if content.isascii():
        return content
    # Half a surrogate pair, left by a cut inside a character, could not be written to a file.
    return content.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def logprobs_of(field: object) -> LogprobSummary | None:
    """Summary of a choice's token log-probabilities; `None` where a token has none."""
    try:
        values: list[Any] = [row["logprob"] for row in list_of(mapping_of(field).get("content"))]
    except (TypeError, KeyError):
        return None
    # Long lists, and many: a pass of its own over them for each rule would be most of a draw's cost.
    if not set(map(type, values)) <= {int, float} or math.isnan(sum(values)):
        return None
    if values and (min(values) < _LOWEST_LOGPROB or max(values) > 0):
        values = [min(0.0, max(value, _LOWEST_LOGPROB)) for value in values]
    return LogprobSummary.of(values)


def count_of(value: object) -> int | None:
    """A token count, `None` where this is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def list_of(value: object) -> list[Any]:
    """The list, or an empty one where this is none."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def mapping_of(value: object) -> Mapping[str, Any]:
    """The object, or an empty one where this is none."""
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}
