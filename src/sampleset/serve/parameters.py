"""Every parameter of the chat API and what becomes of it. Nothing is dropped in silence.

`honoured`: read here, and kept for the answer as a whole. `passed`: sent to the upstreams with every draw; a
model in this process, which would not know it, makes it a 400. `refused`: 400, unless the value is one that
asks for nothing. The table in the docs, under Parameters, is this one; a test compares them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

Check = Callable[[Any], str | None]
"""What is wrong with a value, `None` if nothing."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One field of a request.

    Attributes:
        how: What becomes of it.
        says: How it is meant under aggregation, or why it is refused.
        check: What is wrong with a value.
        harmless: Values that ask for nothing, and are no reason to refuse.
    """

    how: Literal["honoured", "passed", "refused"]
    says: str
    check: Check | None = None
    harmless: tuple[Any, ...] = (None,)


def _number(low: float, high: float) -> Check:
    def check(value: Any) -> str | None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return "a number"
        return None if low <= value <= high else f"a number from {low:g} to {high:g}"

    return check


def _whole(low: int, high: int) -> Check:
    def check(value: Any) -> str | None:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            return f"a whole number from {low} to {high}"
        return None

    return check


def _one_of(*known: str) -> Check:
    return lambda value: None if value in known else f"one of {', '.join(known)}"


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) and len(value) <= 2048 else "a text of at most 2,048 characters"


def _flag(value: Any) -> str | None:
    return None if isinstance(value, bool) else "true or false"


def _progress(value: Any) -> str | None:
    return None if isinstance(value, bool) or value == "words" else "true, false or words"


def _object(value: Any) -> str | None:
    return None if isinstance(value, dict) else "an object"


def _stop(value: Any) -> str | None:
    listed: object = [value] if isinstance(value, str) else value
    texts = cast("list[Any]", listed) if isinstance(listed, list) else [None]
    if len(texts) <= 16 and all(isinstance(one, str) and one for one in texts):
        return None
    return "a text, or a list of at most 16"


def _logit_bias(value: Any) -> str | None:
    biases = cast("dict[str, Any]", value) if isinstance(value, dict) else None
    if biases is not None and len(biases) <= 1024 and not any(map(_number(-100, 100), biases.values())):
        return None
    return "an object of at most 1,024 numbers from -100 to 100"


def _tools(value: Any) -> str | None:
    if not isinstance(value, list) or len(cast("list[Any]", value)) > 128:
        return "a list of at most 128 tools"
    for one in cast("list[Any]", value):
        tool = cast("dict[str, Any]", one) if isinstance(one, dict) else {}
        if tool.get("type") not in ("function", "custom") or not isinstance(tool.get(tool["type"]), dict):
            return "a list of {type: function, function: {name, parameters}}"
    return None


def _tool_choice(value: Any) -> str | None:
    if value in ("none", "auto", "required") or isinstance(value, dict):
        return None
    return "none, auto, required, or an object that names a tool"


def _response_format(value: Any) -> str | None:
    named = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    if named.get("type") in ("text", "json_object"):
        return None
    if named.get("type") == "json_schema" and isinstance(named.get("json_schema"), dict):
        return None
    return "{type: text}, {type: json_object} or {type: json_schema, json_schema: {...}}"


def _stream_options(value: Any) -> str | None:
    if not isinstance(value, dict):
        return "an object"
    unknown = set(cast("dict[str, Any]", value)) - {"include_usage", "include_obfuscation"}
    return f"an object without {sorted(unknown)[0]!r}" if unknown else None


_LARGEST = 2**31 - 1
_ASKS_AN_UPSTREAM = "every draw carries it"

PARAMETERS: dict[str, Parameter] = {
    "messages": Parameter(
        "honoured", "pass to the samples untouched: many turns, system, images, tool results"
    ),
    "model": Parameter("honoured", "a name of `/v1/models`", _text),
    "n": Parameter("honoured", "n independent answers, each of its own k samples", _whole(1, 128)),
    "seed": Parameter(
        "honoured",
        "draw i of answer j uses seed + j·k + i; without one, a random base",
        _whole(-_LARGEST, 2**62),
    ),
    "stream": Parameter("honoured", "see Streaming", _flag),
    "stream_options": Parameter(
        "honoured",
        "`include_usage`: one more chunk with the usage; `include_obfuscation` pads nothing here",
        _stream_options,
    ),
    "temperature": Parameter("honoured", "of each sample; 0 makes the samples alike", _number(0, 2)),
    "top_p": Parameter("honoured", "of each sample", _number(0, 1)),
    "max_completion_tokens": Parameter(
        "honoured", "of each sample, not of their sum; wins over `max_tokens`", _whole(1, _LARGEST)
    ),
    "max_tokens": Parameter("honoured", "the same", _whole(1, _LARGEST)),
    "stop": Parameter("honoured", "ends each sample", _stop),
    "tools": Parameter(
        "passed", "calls are voted on: name and arguments, as JSON values", _tools, harmless=(None, [])
    ),
    "tool_choice": Parameter("passed", _ASKS_AN_UPSTREAM, _tool_choice, harmless=(None, "none")),
    "parallel_tool_calls": Parameter("passed", _ASKS_AN_UPSTREAM, _flag),
    "response_format": Parameter(
        "passed",
        "replies are voted on by JSON value; one that is no JSON does not vote",
        _response_format,
        harmless=(None, {"type": "text"}),
    ),
    "logprobs": Parameter(
        "passed",
        "those of the chosen sample; 400 with an aggregator that may write an answer of its own",
        _flag,
        harmless=(None, False),
    ),
    "top_logprobs": Parameter("passed", "the same", _whole(0, 20)),
    "frequency_penalty": Parameter("passed", _ASKS_AN_UPSTREAM, _number(-2, 2), harmless=(None, 0)),
    "presence_penalty": Parameter("passed", _ASKS_AN_UPSTREAM, _number(-2, 2), harmless=(None, 0)),
    "logit_bias": Parameter("passed", _ASKS_AN_UPSTREAM, _logit_bias, harmless=(None, {})),
    "modalities": Parameter(
        "refused", 'only `["text"]`: audio cannot be voted on', harmless=(None, ["text"])
    ),
    "reasoning_effort": Parameter("passed", _ASKS_AN_UPSTREAM, _text),
    "verbosity": Parameter("passed", _ASKS_AN_UPSTREAM, _text),
    "prediction": Parameter("passed", _ASKS_AN_UPSTREAM, _object),
    "web_search_options": Parameter("passed", "the upstream searches, once a draw", _object),
    "service_tier": Parameter("passed", _ASKS_AN_UPSTREAM, _text),
    "user": Parameter("passed", _ASKS_AN_UPSTREAM, _text),
    "safety_identifier": Parameter("passed", _ASKS_AN_UPSTREAM, _text),
    "prompt_cache_key": Parameter("passed", _ASKS_AN_UPSTREAM, _text),
    "prompt_cache_retention": Parameter("passed", _ASKS_AN_UPSTREAM, _text),
    "prompt_cache_options": Parameter("passed", _ASKS_AN_UPSTREAM, _object),
    "moderation": Parameter("passed", _ASKS_AN_UPSTREAM, _object),
    "top_k": Parameter(
        "passed", "not OpenAI's; vLLM, llama.cpp and models in this process take it", _whole(-1, 10**6)
    ),
    "min_p": Parameter("passed", "not OpenAI's; vLLM and llama.cpp take it", _number(0, 1)),
    "repetition_penalty": Parameter("passed", "not OpenAI's; vLLM takes it", _number(0, 10)),
    "chat_template_kwargs": Parameter("passed", "not OpenAI's; vLLM, SGLang and llama.cpp take it", _object),
    "sampleset": Parameter("honoured", "overrides, see Overrides", _object),
    "budget": Parameter("honoured", "its_hub's word for k", _whole(1, 10**6)),
    "audio": Parameter("refused", "spoken answers cannot be voted on"),
    "functions": Parameter("refused", "superseded by `tools`"),
    "function_call": Parameter("refused", "superseded by `tool_choice`"),
    "store": Parameter(
        "refused", "k stored completions for one answer would mislead", harmless=(None, False)
    ),
    "metadata": Parameter("refused", "it labels stored completions, and none is stored", harmless=(None, {})),
}

OVERRIDES: dict[str, Parameter] = {
    "k": Parameter("honoured", "samples of each answer, up to the alias's `max_k`", _whole(1, 10**6)),
    "aggregator": Parameter("honoured", "one that the alias allows: see `/v1/models`", _text),
    "answer_kind": Parameter(
        "honoured",
        "how answers are read and compared: `maths`, `text`, `choice`, `json`, `number:0.5`, ...",
        _text,
    ),
    "quorum": Parameter("honoured", "fewest samples an answer is made of", _whole(1, 10**6)),
    "deadline": Parameter(
        "honoured", "seconds for the samples, up to the alias's own", _number(0.001, 10**6)
    ),
    "stop": Parameter("honoured", "a stopping rule (`beta:0.95`), or `none`", _text),
    "settled_by_vote": Parameter(
        "honoured", "where the rule is met the vote answers, and the aggregator is not asked", _flag
    ),
    "content": Parameter(
        "honoured",
        "`solution` (default): the text of a sample that gives the answer; `answer`: nothing but it",
        _one_of("solution", "answer"),
    ),
    "progress": Parameter(
        "honoured",
        "`true`: send progress events on the stream; `words`: also what each sample says while it is written",
        _progress,
    ),
    "samples": Parameter("honoured", "put the samples into the reply", _flag),
}
