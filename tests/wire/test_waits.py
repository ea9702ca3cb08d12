"""Waits, wherever servers write them."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from sampleset.wire.waits import duration_of, wait_of


@pytest.mark.parametrize(
    ("headers", "text", "seconds"),
    [
        pytest.param({"Retry-After": "3"}, "", None, id="headers are looked up as the client gives them"),
        pytest.param(
            {"retry-after": "0"}, "", 0.0, id="zero stays zero; the backoff is not switched off by it"
        ),
        pytest.param({"retry-after": "20s"}, "", 20.0, id="a duration in the header"),
        pytest.param({}, "Rate limit reached. Please try again in 20s.", 20.0, id="OpenAI"),
        pytest.param({}, "Please try again in 1m2.5s. Visit", 62.5, id="Groq"),
        pytest.param({}, "Please retry after 20 seconds.", 20.0, id="Azure"),
        pytest.param({}, "try again in 350ms", 0.35, id="milliseconds"),
        pytest.param({}, '{"details": [{"retryDelay": "35s"}]}', 35.0, id="Gemini"),
        pytest.param({}, '{"error": "Model x is currently loading", "estimated_time": 20.5}', 20.5, id="HF"),
        pytest.param({}, '{"retry_after": 7}', 7.0, id="a field"),
        pytest.param({"x-ratelimit-reset-requests": "8.64s"}, "", 8.64, id="a reset"),
        pytest.param(
            {
                "x-ratelimit-remaining-requests": "59",
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "6m0s",
            },
            "",
            360.0,
            id="the limit that is used up",
        ),
        pytest.param(
            {"retry-after": "0", "x-ratelimit-reset-requests": "5s"}, "", 5.0, id="zero and a reset"
        ),
        pytest.param({"x-ms-retry-after-ms": "500"}, "", 0.5, id="Azure's own header"),
        pytest.param({}, "429 Too Many Requests. Retry-After: 30", 30.0, id="a header in a text"),
        pytest.param({"ratelimit": "limit=10, remaining=0, reset=30"}, "", 30.0, id="the IETF's header"),
        pytest.param({"ratelimit": '"default";r=0;t=45'}, "", 45.0, id="the IETF's header, newer"),
        pytest.param({}, '{"headers": {"X-RateLimit-Reset": "12"}}', 12.0, id="a header in a body"),
        pytest.param({}, "Try again later.", None, id="no time"),
        pytest.param({"retry-after": "inf"}, "", 1e9, id="for ever"),
        pytest.param({"retry-after": "9" * 400}, "", 1e9, id="a number without end"),
        pytest.param({}, f'{{"retry_after": {"9" * 400}}}', 1e9, id="the same in a body"),
        pytest.param({}, f"Try again in {'9' * 400}s.", 1e9, id="the same in words"),
        pytest.param({"retry-after": "nan"}, "", None, id="not a number"),
        pytest.param({}, "You sent 20 seconds of audio.", None, id="another time"),
    ],
)
def test_a_wait_is_read(headers: dict[str, str], text: str, seconds: float | None):
    assert wait_of(headers, text, limited=True) == pytest.approx(seconds)


@pytest.mark.parametrize("scale", [1, 1000], ids=["seconds", "milliseconds"])
def test_a_time_on_the_clock_counts_from_now(scale: int):
    reset = str(round((time.time() + 30) * scale))
    found = wait_of({"x-ratelimit-reset": reset}, "", limited=True)
    assert found is not None
    assert 28 < found < 31
    found = wait_of({"retry-after": reset}, "", limited=True)
    assert found is not None
    assert 28 < found < 31
    found = wait_of({}, f'{{"metadata": {{"headers": {{"X-RateLimit-Reset": "{reset}"}}}}}}', limited=True)
    assert found is not None
    assert 28 < found < 31
    utc = datetime.now(UTC) + timedelta(seconds=30)
    found = wait_of({}, f"Your limit resets at {utc:%Y-%m-%dT%H:%M:%SZ}.", limited=True)
    assert found is not None
    assert 28 < found < 31
    date = (datetime.now(UTC) + timedelta(seconds=30)).isoformat()
    found = wait_of({"anthropic-ratelimit-requests-reset": date}, "", limited=True)
    assert found is not None
    assert 28 < found < 31


def test_resets_are_read_of_a_limit_only():
    assert wait_of({"x-ratelimit-reset-requests": "8s"}, "", limited=False) is None


def test_durations_as_people_and_go_write_them():
    texts = ("1h2m3s", "2 minutes", "350 ms", "1 min 5 s")
    assert [duration_of(text) for text in texts] == pytest.approx([3723, 120, 0.35, 65])
