"""The meaning of HTTP statuses and of finish reasons: one table of each for the whole package."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal, cast

Meaning = Literal[
    "passing",
    "limited",
    "loading",
    "key",
    "forbidden",
    "credit",
    "unknown",
    "overflow",
    "filtered",
    "refused",
    "moved",
    "proxy",
]
"""The meaning of an error:

- `passing`: another try may succeed.
- `limited`: the server limits requests.
- `loading`: the server loads its model.
- `key`: the server refuses the key.
- `forbidden`: the key has no right to this.
- `credit`: the account has no credit.
- `unknown`: the server does not know the model or the address.
- `overflow`: the prompt is too long.
- `filtered`: a content filter withholds the reply.
- `refused`: the request is refused for another reason.
- `moved`: the address has moved.
- `proxy`: a proxy on the way wants a password.
"""

STATUSES: dict[int, Meaning] = {
    401: "key",
    402: "credit",
    403: "forbidden",
    404: "unknown",
    405: "unknown",
    407: "proxy",
    408: "passing",
    409: "passing",
    413: "overflow",
    420: "limited",
    421: "passing",
    423: "passing",
    424: "passing",
    425: "passing",
    429: "limited",
    430: "limited",
    440: "passing",
    444: "passing",
    449: "passing",
    451: "filtered",
    460: "passing",
    494: "overflow",
    498: "passing",
    499: "passing",
    501: "refused",
    505: "refused",
    529: "limited",
}
"""Statuses that differ from their class. By class, 3xx is `moved`, 4xx `refused` and 5xx `passing`."""

End = Literal["natural", "limit", "filter", "broken"]
"""How a reply ended: naturally, at a limit of tokens, by a content filter, or broken off."""

FINISH_REASONS: dict[str, End] = {
    **dict.fromkeys(
        (
            "stop",
            "stopped",
            "stop_sequence",
            "stop_str",
            "eos",
            "eos_token",
            "end_of_text",
            "end_turn",
            "done",
            "complete",
            "completed",
            "finished",
            "success",
            "tool_calls",
            "tool_call",
            "tool_use",
            "function_call",
            "finish_reason_unspecified",
            "unspecified",
        ),
        "natural",
    ),
    **dict.fromkeys(
        (
            "length",
            "max_length",
            "max_tokens",
            "max_new_tokens",
            "max_output_tokens",
            "max_completion_tokens",
            "model_length",
            "model_context_window_exceeded",
            "token_limit",
            "limit",
            "repetition",
        ),
        "limit",
    ),
    **dict.fromkeys(
        (
            "content_filter",
            "content_filtered",
            "safety",
            "image_safety",
            "recitation",
            "sensitive",
            "blocklist",
            "prohibited_content",
            "spii",
            "refusal",
            "guardrail_intervened",
            "language",
            "moderation",
            "flagged",
        ),
        "filter",
    ),
    **dict.fromkeys(
        (
            "error",
            "abort",
            "aborted",
            "cancel",
            "cancelled",
            "canceled",
            "insufficient_system_resource",
            "network_error",
            "timeout",
            "failed",
            "incomplete",
            "interrupted",
            "malformed_function_call",
            "malformed_response",
            "unexpected_tool_call",
            "too_many_tool_calls",
            "missing_thought_signature",
            "pause_turn",
            "preempted",
            "other",
        ),
        "broken",
    ),
}
# For reasons that are not in the table. The first pattern that matches decides.
_BY_WORDS: tuple[tuple[re.Pattern[str], End], ...] = (
    (
        re.compile(
            "filter|safety|moderat|sensitiv|prohibit|polic|guardrail|blocked|flagged|recit|unsafe|harm|toxic"
            "|jailbreak|violat|censor|copyright|armor|risk"
        ),
        "filter",
    ),
    (
        re.compile(
            "error|fail|abort|cancel|timeout|timed_out|network|resource|unavail|overload|malform|interrupt"
            "|disconnect|broken|crash|incomplete|reset|shut_?down|cut_?off|rate_?limit|throttl|quota|kill|evict"
            "|terminat|deadline|exception|out_of_memory|oom|panic|stall|dropped|expired|lost|partial|unfinished|gone"
            r"|\bshed|_shed|drain|restart|unhealthy|stopped_early"
        ),
        "broken",
    ),
    (re.compile("length|max_|_max|limit|budget|window|truncat|context|repeti"), "limit"),
)


def meaning_of(status: int) -> Meaning:
    """The meaning of a status that is not a success."""
    if status in STATUSES:
        return STATUSES[status]
    if status >= 500:
        return "passing"
    return "moved" if 300 <= status < 400 else "refused"


def finish_of(choice: Mapping[str, Any]) -> object:
    """The finish reason of a choice, by whatever name; nothing where there is none.

    A router's natural end counts less than another end of the server behind it.
    """
    details = choice.get("finish_details")  # of Azure's older deployments
    native = choice.get("native_finish_reason")
    reason = (
        choice.get("finish_reason")
        or choice.get("finishReason")
        or (cast("Mapping[str, Any]", details).get("type") if isinstance(details, dict) else None)
        or native
        or choice.get("stop_reason")
    )
    return native if native and end_of(reason) == "natural" and end_of(native) != "natural" else reason


def end_of(finish_reason: object) -> End:
    """How a reply ended, by its finish reason. A missing or unknown reason is a natural end."""
    return _end_of(finish_reason[:100]) if isinstance(finish_reason, str) else "natural"


@lru_cache(256)
def _end_of(finish_reason: str) -> End:
    name = re.sub(r"[^a-z]+", "_", _SPLIT.sub("_", finish_reason).lower()).strip("_")
    if name in FINISH_REASONS:
        return FINISH_REASONS[name]
    for words, end in _BY_WORDS:
        if words.search(name):
            return end
    return "natural"


# "maxTokens" becomes "max_tokens"; "MAX_TOKENS" keeps its two parts.
_SPLIT = re.compile(r"(?<=[a-z])(?=[A-Z])")


def finish_reason_of(reason: object) -> str | None:
    """The finish reason in OpenAI's terms, in lower case; `None` if there is none. Truncation is `length`."""
    if not isinstance(reason, str) or not reason:
        return None
    end = end_of(reason)
    if end == "limit":
        return "length"
    if end == "filter":
        return "content_filter"
    name = reason.strip().lower()
    if name in ("tool_use", "tool_call", "tool_calls"):
        return "tool_calls"
    return "stop" if end == "natural" and name in FINISH_REASONS and name != "function_call" else name
