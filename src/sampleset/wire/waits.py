"""The time a server asks to wait, from its headers, its message or the fields of its error."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

_UNIT = "milliseconds?|msec|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d"
_PART = rf"\d+(?:\.\d+)?\s*(?:{_UNIT})(?![a-z])"
_DURATION = rf"({_PART}(?:\s*(?:,|and)?\s*{_PART})*)"
_PARTS = re.compile(r"(\d+(?:\.\d+)?)\s*(milli|ms|[smhd])", re.IGNORECASE)
_UNITS = {"milli": 0.001, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_WORDS = re.compile(
    rf"(?:again|retry|retrying|request|wait|waiting|available|resets?|come back)(?: again)?"
    rf"(?: at least| for| in| after| about| another)*[:\s]+{_DURATION}",
    re.IGNORECASE,
)
_FIELD = re.compile(
    r'"(?:retry_?after|retry_?delay|retry_in|estimated_time)(_ms)?"\s*:\s*"?(\d+(?:\.\d+)?)(ms|s)?"?',
    re.IGNORECASE,
)
# A router tells of the headers that its provider sent in the body.
_RESET_FIELD = re.compile(r'"(?:x-)?rate-?limit-reset(?:-[a-z-]+)?"\s*:\s*"?([^",}\s]+)', re.IGNORECASE)
_HEADER_IN_TEXT = re.compile(r"\bretry-after\s*[:=]\s*(\d+(?:\.\d+)?)(?![\w.])", re.IGNORECASE)
_DATE = re.compile(
    r"(?:again|retry|resets?|available)\s+(?:at|after|on|until)\s+"
    r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|\+00:?00| ?UTC))",
    re.IGNORECASE,
)
# The header `RateLimit` of the IETF's drafts: `limit=10, remaining=0, reset=30`, later `"default";r=0;t=30`.
_RATE_LIMIT = re.compile(r"\b(?:reset=|t=)(\d+)\b")
_RESETS = re.compile(
    r"(?:x-)?rate-?limit-reset(?:-(?P<what>[a-z-]+))?|anthropic-ratelimit-(?P<claude>[a-z-]+)-reset"
)
_RETRY_HEADERS = (
    ("retry-after-ms", 0.001),
    ("x-ms-retry-after-ms", 0.001),
    ("retry-after", 1.0),
    ("x-retry-after", 1.0),
)
# Numbers above this are a time on the clock, not a number of seconds.
_EPOCH = 1e9


def parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds a server asks to wait, ≥ 0, from `retry-after-ms` or `retry-after` (seconds or HTTP date).

    `None` if neither header, nor Azure's `x-ms-retry-after-ms`, holds a readable time.
    """
    for name, scale in _RETRY_HEADERS:
        try:
            seconds = float(headers.get(name, "")) * scale
        except ValueError:
            continue
        if seconds >= 0:
            return _from_number(seconds)
    written = headers.get("retry-after", "")
    if re.fullmatch(_DURATION, written.strip(), re.IGNORECASE):
        return duration_of(written)
    try:
        # `timestamp` would read a date without a zone as local time; HTTP dates are in GMT.
        date = parsedate_to_datetime(written)
    except (ValueError, TypeError):
        return None
    return max(0.0, date.timestamp() - time.time()) if date.tzinfo else None


def wait_of(headers: Mapping[str, str], text: str, *, limited: bool) -> float | None:
    """Seconds that a server asks to wait, ≥ 0; `None` if it names no time.

    Args:
        headers: Headers of the reply, looked up in any case of their names.
        text: The reply's body.
        limited: Whether the reply says that requests are limited. Only then are headers with the end of a
            limit read.
    """
    seconds = _wait_of(headers, text, limited=limited)
    return None if seconds is None else min(seconds, _EPOCH)


def _wait_of(headers: Mapping[str, str], text: str, *, limited: bool) -> float | None:
    seconds = parse_retry_after(headers)
    if seconds:
        return seconds
    if (words := _WORDS.search(text)) is not None:
        return duration_of(words[1])
    if (field := _FIELD.search(text)) is not None:
        return float(field[2]) * (0.001 if field[1] or field[3] == "ms" else 1.0)
    if (written := _HEADER_IN_TEXT.search(text)) is not None:
        return float(written[1])
    if (date := _DATE.search(text)) is not None and (left := _seconds_until(_iso(date[1]))) is not None:
        return left
    until = _reset(headers) if limited else None
    if until is None and limited and (reset := _RESET_FIELD.search(text)) is not None:
        until = _seconds_until(reset[1])
    return seconds if until is None else until


def _iso(date: str) -> str:
    return re.sub(r" ?UTC$|Z$", "+00:00", date, flags=re.IGNORECASE)


def duration_of(text: str) -> float:
    """Seconds of a duration such as `20s`, `1m30.5s`, `2 minutes` or `350 ms`."""
    return sum(float(number) * _UNITS[unit.lower()] for number, unit in _PARTS.findall(text))


def _reset(headers: Mapping[str, str]) -> float | None:
    """Seconds until the limit ends: the latest end of the limits used up, else the earliest of all."""
    lower = {name.lower(): value for name, value in headers.items()}
    used, others = list[float](), list[float]()
    for name, value in lower.items():
        match = _RESETS.fullmatch(name)
        seconds = None if match is None else _seconds_until(value)
        if seconds is not None:
            remaining = lower.get(name.replace("reset", "remaining"))
            (used if remaining is not None and remaining.strip() == "0" else others).append(seconds)
    if not used and not others and (match := _RATE_LIMIT.search(lower.get("ratelimit", ""))) is not None:
        return float(match[1])
    return max(used) if used else min(others, default=None)


def _seconds_until(value: str) -> float | None:
    """Seconds until a reset, from a duration, a number of seconds, a time on the clock or a date."""
    value = value.strip()
    if re.fullmatch(_DURATION, value, re.IGNORECASE):
        return duration_of(value)
    try:
        number = float(value)
    except ValueError:
        try:
            date = datetime.fromisoformat(value)
        except ValueError:
            return None
        return max(0.0, date.timestamp() - time.time()) if date.tzinfo else None
    return _from_number(number) if number >= 0 else None


def _from_number(number: float) -> float:
    """Seconds to wait, from a number of seconds or a time on the clock."""
    if number < _EPOCH or math.isinf(number):
        return min(number, _EPOCH)
    return max(0.0, (number / 1000 if number > 1000 * _EPOCH else number) - time.time())
