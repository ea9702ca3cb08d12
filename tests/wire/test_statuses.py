import pytest

from sampleset.wire.statuses import end_of, finish_of, finish_reason_of, meaning_of


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        *((301, "moved"), (400, "refused"), (401, "key"), (418, "refused"), (425, "passing")),
        *((429, "limited"), (500, "passing"), (501, "refused"), (520, "passing"), (529, "limited")),
    ],
)
def test_a_status_means_one_thing(status: int, meaning: str):
    assert meaning_of(status) == meaning


@pytest.mark.parametrize(
    ("reason", "end", "told"),
    [
        ("stop", "natural", "stop"),
        ("STOP", "natural", "stop"),
        ("end_turn", "natural", "stop"),
        ("tool_use", "natural", "tool_calls"),
        ("function_call", "natural", "function_call"),
        ("something_new", "natural", "something_new"),
        (None, "natural", None),
        (5, "natural", None),
        ("MAX_TOKENS", "limit", "length"),
        ("maxTokens", "limit", "length"),
        ("length_limit_reached", "limit", "length"),
        ("repetition", "limit", "length"),
        ("repetition_detected", "limit", "length"),
        (" stop ", "natural", "stop"),
        ("pause_turn", "broken", "pause_turn"),
        ("IMAGE_RECITATION", "filter", "content_filter"),
        ("PROHIBITED_CONTENT", "filter", "content_filter"),
        ("blocked-by-policy", "filter", "content_filter"),
        ("MALFORMED_FUNCTION_CALL", "broken", "malformed_function_call"),
        ("connection_error", "broken", "connection_error"),
        ("engine_shutdown", "broken", "engine_shutdown"),
        ("rate_limited", "broken", "rate_limited"),
        ("cut-off", "broken", "cut-off"),
        ("OutOfMemory", "broken", "outofmemory"),
        ("load_shed", "broken", "load_shed"),
        ("jailbreak", "filter", "content_filter"),
        ("UNSAFE_CONTENT", "filter", "content_filter"),
        ("stop_token", "natural", "stop_token"),
        ("eos_token_id", "natural", "eos_token_id"),
    ],
)
def test_a_finish_reason_says_how_a_reply_ended(reason: object, end: str, told: str | None):
    assert (end_of(reason), finish_reason_of(reason)) == (end, told)


@pytest.mark.parametrize(
    "choice",
    [
        {"finish_reason": "length"},
        {"finishReason": "length"},
        {"finish_reason": None, "finish_details": {"type": "length"}},
        {"finish_reason": "stop", "native_finish_reason": "length"},
        {"finish_reason": None, "stop_reason": "length"},
        {"native_finish_reason": "length"},
    ],
)
def test_a_finish_reason_is_read_by_any_of_its_names(choice: dict[str, object]):
    assert finish_of(choice) == "length"
    assert finish_of({"finish_details": "length"}) is None
