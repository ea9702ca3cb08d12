"""Every parameter of the chat API and what becomes of it. Nothing is dropped in silence.

The tables of the other APIs stand in `dialects`; they share the checks.

`honoured`: read here, and kept for the answer as a whole. `passed`: sent to the upstreams with every draw; a
model in this process, which would not know it, makes it a 400. `refused`: 400, unless the value is one that
asks for nothing. The table in the docs, under Parameters, is this one; a test compares them.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from sampleset.serve.api_errors import ApiError

Check = Callable[[Any], str | None]
"""Returns what a value has to be, `None` if the value is right."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One field of a request.

    Attributes:
        how: How the server treats it.
        says: How it is meant under aggregation, or why it is refused.
        check: Checks a value.
        harmless: Values that ask for nothing, and are no reason to refuse.
    """

    how: Literal["honoured", "passed", "refused"]
    says: str
    check: Check | None = None
    harmless: tuple[Any, ...] = (None,)


def number(low: float, high: float) -> Check:
    """Checks that a value is a number within these bounds."""

    def check(value: Any) -> str | None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return "a number"
        return None if low <= value <= high else f"a number from {low:g} to {high:g}"

    return check


def whole_number(low: int, high: int) -> Check:
    """Checks that a value is a whole number within these bounds."""

    def check(value: Any) -> str | None:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            return f"a whole number from {low} to {high}"
        return None

    return check


def one_of(*known: str) -> Check:
    """Checks that a value is one of these words."""
    return lambda value: None if value in known else f"one of {', '.join(known)}"


def short_text(value: Any) -> str | None:
    """Checks that a value is a text as short as a name."""
    return None if isinstance(value, str) and len(value) <= 2048 else "a text of at most 2,048 characters"


def flag(value: Any) -> str | None:
    """Checks that a value is true or false."""
    return None if isinstance(value, bool) else "true or false"


def _progress(value: Any) -> str | None:
    return None if isinstance(value, bool) or value == "words" else "true, false or words"


def a_list(value: Any) -> str | None:
    """Checks that a value is a list."""
    return None if isinstance(value, list) else "a list"


def an_object(value: Any) -> str | None:
    """Checks that a value is an object."""
    return None if isinstance(value, dict) else "an object"


def _stop(value: Any) -> str | None:
    listed: object = [value] if isinstance(value, str) else value
    texts = cast("list[Any]", listed) if isinstance(listed, list) else [None]
    if len(texts) <= 16 and all(isinstance(stop, str) and stop for stop in texts):
        return None
    return "a text, or a list of at most 16"


def _logit_bias(value: Any) -> str | None:
    biases = cast("dict[str, Any]", value) if isinstance(value, dict) else None
    if biases is not None and len(biases) <= 1024 and not any(map(number(-100, 100), biases.values())):
        return None
    return "an object of at most 1,024 numbers from -100 to 100"


def _tools(value: Any) -> str | None:
    if not isinstance(value, list) or len(cast("list[Any]", value)) > 128:
        return "a list of at most 128 tools"
    for entry in cast("list[Any]", value):
        tool = cast("dict[str, Any]", entry) if isinstance(entry, dict) else {}
        if tool.get("type") not in ("function", "custom") or not isinstance(tool.get(tool["type"]), dict):
            return "a list of {type: function, function: {name, parameters}}"
    return None


def _tool_choice(value: Any) -> str | None:
    if value in ("none", "auto", "required") or isinstance(value, dict):
        return None
    return "none, auto, required, or an object that names a tool"


def _response_format(value: Any) -> str | None:
    response_format = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    if response_format.get("type") in ("text", "json_object"):
        return None
    if response_format.get("type") == "json_schema" and isinstance(response_format.get("json_schema"), dict):
        return None
    return "{type: text}, {type: json_object} or {type: json_schema, json_schema: {...}}"


def _stream_options(value: Any) -> str | None:
    if not isinstance(value, dict):
        return "an object"
    unknown = set(cast("dict[str, Any]", value)) - {"include_usage", "include_obfuscation"}
    return f"an object without {sorted(unknown)[0]!r}" if unknown else None


LARGEST = 2**31 - 1
_ASKS_AN_UPSTREAM = "every draw carries it"

PARAMETERS: dict[str, Parameter] = {
    "messages": Parameter(
        "honoured", "pass to the samples untouched: many turns, system, images, tool results"
    ),
    "model": Parameter("honoured", "a name of `/v1/models`", short_text),
    "n": Parameter("honoured", "n independent answers, each of k other samples", whole_number(1, 128)),
    "seed": Parameter(
        "honoured",
        "draw i of answer j uses seed + j·k + i; without one, a random base",
        whole_number(-LARGEST, 2**62),
    ),
    "stream": Parameter("honoured", "see Streaming", flag),
    "stream_options": Parameter(
        "honoured",
        "`include_usage`: one more chunk with the usage; `include_obfuscation` pads nothing here",
        _stream_options,
    ),
    "temperature": Parameter("honoured", "of each sample; 0 makes the samples alike", number(0, 2)),
    "top_p": Parameter("honoured", "of each sample", number(0, 1)),
    "max_completion_tokens": Parameter(
        "honoured", "of each sample, not of their sum; wins over `max_tokens`", whole_number(1, LARGEST)
    ),
    "max_tokens": Parameter("honoured", "the same", whole_number(1, LARGEST)),
    "stop": Parameter("honoured", "ends each sample", _stop),
    "tools": Parameter(
        "passed", "calls are voted on: name and arguments, as JSON values", _tools, harmless=(None, [])
    ),
    "tool_choice": Parameter("passed", _ASKS_AN_UPSTREAM, _tool_choice, harmless=(None, "none")),
    "parallel_tool_calls": Parameter("passed", _ASKS_AN_UPSTREAM, flag),
    "response_format": Parameter(
        "passed",
        "replies are voted on by JSON value; one that is no JSON does not vote",
        _response_format,
        harmless=(None, {"type": "text"}),
    ),
    "logprobs": Parameter(
        "passed",
        "those of the chosen sample; 400 with an aggregator that may write an answer that no sample has",
        flag,
        harmless=(None, False),
    ),
    "top_logprobs": Parameter("passed", "the same", whole_number(0, 20)),
    "frequency_penalty": Parameter("passed", _ASKS_AN_UPSTREAM, number(-2, 2), harmless=(None, 0)),
    "presence_penalty": Parameter("passed", _ASKS_AN_UPSTREAM, number(-2, 2), harmless=(None, 0)),
    "logit_bias": Parameter("passed", _ASKS_AN_UPSTREAM, _logit_bias, harmless=(None, {})),
    "modalities": Parameter(
        "refused", 'only `["text"]`: audio cannot be voted on', harmless=(None, ["text"])
    ),
    "reasoning_effort": Parameter("passed", _ASKS_AN_UPSTREAM, short_text),
    "verbosity": Parameter("passed", _ASKS_AN_UPSTREAM, short_text),
    "prediction": Parameter("passed", _ASKS_AN_UPSTREAM, an_object),
    "web_search_options": Parameter("passed", "the upstream searches, once a draw", an_object),
    "service_tier": Parameter("passed", _ASKS_AN_UPSTREAM, short_text),
    "user": Parameter("passed", _ASKS_AN_UPSTREAM, short_text),
    "safety_identifier": Parameter("passed", _ASKS_AN_UPSTREAM, short_text),
    "prompt_cache_key": Parameter("passed", _ASKS_AN_UPSTREAM, short_text),
    "prompt_cache_retention": Parameter("passed", _ASKS_AN_UPSTREAM, short_text),
    "prompt_cache_options": Parameter("passed", _ASKS_AN_UPSTREAM, an_object),
    "moderation": Parameter("passed", _ASKS_AN_UPSTREAM, an_object),
    "top_k": Parameter(
        "passed", "not OpenAI's; vLLM, llama.cpp and models in this process take it", whole_number(-1, 10**6)
    ),
    "min_p": Parameter("passed", "not OpenAI's; vLLM and llama.cpp take it", number(0, 1)),
    "repetition_penalty": Parameter("passed", "not OpenAI's; vLLM takes it", number(0, 10)),
    "chat_template_kwargs": Parameter(
        "passed", "not OpenAI's; vLLM, SGLang and llama.cpp take it", an_object
    ),
    "sampleset": Parameter("honoured", "overrides, see Overrides", an_object),
    "budget": Parameter("honoured", "its_hub's word for k", whole_number(1, 10**6)),
    "audio": Parameter("refused", "spoken answers cannot be voted on"),
    "functions": Parameter("refused", "superseded by `tools`"),
    "function_call": Parameter("refused", "superseded by `tool_choice`"),
    "store": Parameter(
        "refused", "k stored completions for one answer would mislead", harmless=(None, False)
    ),
    "metadata": Parameter("refused", "it labels stored completions, and none is stored", harmless=(None, {})),
}

OVERRIDES: dict[str, Parameter] = {
    "k": Parameter("honoured", "samples of each answer, up to the alias's `max_k`", whole_number(1, 10**6)),
    "aggregator": Parameter("honoured", "one that the alias allows: see `/v1/models`", short_text),
    "answer_kind": Parameter(
        "honoured",
        "how answers are read and compared: `maths`, `text`, `choice`, `json`, `number:0.5`, ...",
        short_text,
    ),
    "quorum": Parameter("honoured", "fewest samples an answer is made of", whole_number(1, 10**6)),
    "deadline": Parameter("honoured", "seconds for the samples, up to the alias's own", number(0.001, 10**6)),
    "stop": Parameter("honoured", "a stopping rule (`beta:0.95`), or `none`", short_text),
    "settled_by_vote": Parameter(
        "honoured", "where the rule is met the vote answers, and the aggregator is not asked", flag
    ),
    "min_confidence": Parameter(
        "honoured",
        "least confidence of an answer that is given, 0 to 1; not less than the alias's own counts",
        number(0, 1),
    ),
    "content": Parameter(
        "honoured",
        "`solution` (default): the text of a sample that gives the answer; `answer`: nothing but it",
        one_of("solution", "answer"),
    ),
    "progress": Parameter(
        "honoured",
        "`true`: send progress events on the stream; `words`: also what each sample says while it is written",
        _progress,
    ),
    "samples": Parameter("honoured", "put the samples into the reply", flag),
    "usage": Parameter(
        "honoured",
        "`sum`: tokens of all samples and of the aggregator; `last`: those of the conversation, as one "
        "sample read and answered it",
        one_of("sum", "last"),
    ),
}


def check_fields(fields: Mapping[str, Any], known: Mapping[str, Parameter], prefix: str = "") -> None:
    """Return if every field is known, is not refused, and has a value that it takes.

    Args:
        fields: The fields of a request, without those that are `null`.
        known: The table of the API.
        prefix: The prefix of their names, where they are the fields of an object.

    Raises:
        ApiError: 400; names the field.
    """
    for name, value in fields.items():
        if name not in known:
            near = difflib.get_close_matches(name[:80], list(known), n=1)
            hint = f" Did you mean '{prefix}{near[0]}'?" if near else ""
            path = f"{prefix}{name}"[:80]
            raise ApiError(
                400, f"Unrecognized request argument: {path!r}.{hint}", param=path, code="unknown_parameter"
            )
        parameter = known[name]
        if parameter.how == "refused" and value not in parameter.harmless:
            raise refusal(prefix + name, parameter.says)
        if parameter.check is not None and (wanted := parameter.check(value)) is not None:
            raise ApiError(
                400, f"'{prefix}{name}' must be {wanted}.", param=prefix + name, code="invalid_value"
            )


def refusal(name: str, says: str) -> ApiError:
    """The error for a field, or a part of one, that this server does not serve."""
    return ApiError(400, f"{name!r} is not supported: {says}.", param=name, code="unsupported_parameter")
