"""The field of a request that a server's error refuses, in whatever words servers say so.

refused_field(fault, {"top_k": 20, "seed": 7}, ["seed", "top_k"])  # "top_k" for "topK is not supported"
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from sampleset.wire.faults import Fault

ONLY_STREAMS = "stream=false"
"""Stands for a field where a server refuses every request that does not ask for a stream."""

WITHOUT_STREAM = "stream=absent"
"""Stands for the field where a server refuses it even as `false`."""

STOP_AS_TEXT, STOP_AS_LIST = "stop=text", "stop=list"
"""Stand for the field where a server takes one stop as a text only, or as a list only."""

# Errors that speak of a field. Some servers and proxies tell of it by the status of a fault of their own.
_STATUSES = (200, 400, 403, 404, 405, 406, 415, 422, 500, 501)
_MEANINGS = ("refused", "forbidden", "unknown", "passing")

_ONE_VALUE = (
    r"only the default|only (?:accepts?|supports?|allows?) \d|only (?:a value of )?[\d.]+ is|"
    r"\bfixed (?:at|to)\b|requires? (?=\S{1,20}\s?(?:=|to be)\s?\d)|"
    r"expected \d+(?:\.\d+)?(?=,? (?:but )?got)|"
    r"(?:must|should|has to|have to|needs? to|(?<!\w)to) be (?:set to |exactly |equal to )?\d+(?:\.\d+)?"
    r"(?=[\s\"'`)]*(?:$|[.,;]|for\b|when\b|with\b|if\b|in\b|but\b))"
)
_REFUSAL = re.compile(
    r"unsupported|unknown|unrecogni[sz]ed|unexpected|\bextra\b|extra_forbidden|extraneous|deprecated|disabled|"
    r"n[o']t\b.{0,20}\b(?:support|compatible|applicable|configurable)|incompatible|"
    r"no longer|removed\b|obsolete|"
    r"n[o']t (?:be )?(?:permitted|allowed|enabled|available|accept(?:ed)?|valid|used|set|specified|chang|"
    r"customi[sz]|overrid|modif|configur|combined)|n[o']t (?:recogni[sz]|implement|exist|take\b)|"
    r"(?:must|should) not be(?! (?:greater|less|more|larger|smaller|above|below|over|negative|zero|\d))|"
    r"should not exist|(?:must|should) be (?:unset|omitted|absent|null|removed|left out)|or unset|"
    r"may only be|(?:is|are) only allowed|cannot both|n[o']t an? (?:valid|known|permitted)|"
    r"invalid (?:parameter|argument|field|key)|n[o']t (?:adjustable|include the)|"
    r"forbidden|prohibited|illegal|\b(?:omit|remove|drop)\b|no such|"
    r"\bno (?:[\w-]+ ){1,4}(?:supports?|accepts?|(?:can )?handle)\b|"
    # not supported, not allowed, unknown
    rf"\u4e0d\u652f\u6301|\u4e0d\u5141\u8bb8|\u672a\u77e5|{_ONE_VALUE}",
    re.IGNORECASE,
)
_MOST_BETWEEN = 60
# Between a refusal and a name there is no end of a sentence, and no other error of a list.
_GAP = re.compile(rf"(?:[^.;\n]|\.(?=\S)){{0,{_MOST_BETWEEN}}}")
# Names in a hint or in a list of what is allowed are not those refused.
_HINT = re.compile(
    r",?\s*(?:did you mean|expected one of|(?<!not )(?<![A-Za-z])(?:supported|allowed|valid|permitted|known) "
    r"(?:parameters?|fields?|values?|arguments?|keys?|properties)?\s*(?:are|is|:)|"
    r"use .max_completion_tokens).*",
    re.IGNORECASE,
)
# Names of fields as servers write them, where more than the sign between two words differs.
_SPELLINGS = {
    "logprobs": r"(?:return[ _-]?)?log[ _-]?prob(?:s|abilit(?:y|ies))?",
    "top_logprobs": r"top[ _-]?log[ _-]?probs?",
    "seed": r"(?:random[ _-]?)?seeds?",
    "stop": r"stop(?:[ _-]?(?:sequences?|words?|strings?))?",
    "stream": r"stream(?:ing)?",
}
# Fields that change the distribution of draws. They are left out only if the server clearly refuses them.
_MATTERING = ("temperature", "top_p", "stop")
_CHOSEN = (*_MATTERING, "top_k")
# Such errors are about a value, not about the field.
_OF_VALUE = re.compile(
    r"\d|(?:must|should|ha[sv]e? to|needs? to) be|between|range|\bless|\bmore\b|greater|larger|smaller|"
    r"at (?:most|least)|\btoo \w|positive|negative|maxim|minim|\btypes?\b|finite|whitespace|non-empty",
    re.IGNORECASE,
)
# Two fields are refused together: the less important one goes.
_TOGETHER = re.compile(
    r"\bboth\b|together|simultaneous|at the same time|\beither\b|exclusive|one of|combine", re.IGNORECASE
)
# Fields whose values nobody chose: whatever is wrong with one, a draw goes without it.
_UNCHOSEN = ("top_logprobs", "logprobs", "stream_options")
_UNSUPPORTED = frozenset(
    {"unsupported_parameter", "unsupported_value", "unknown_parameter", "extra_forbidden"}
)
# Some servers refuse a larger seed. Only a client's request has one.
_USUAL_SEEDS = range(2**31)
_STREAMS_ONLY = re.compile(
    r"\bonly (?:supports? )?stream|stream\W{1,3}(?:must|should) be (?:set to )?\W?true|"
    r"non-stream\w* (?:is|calls?|requests?)|enable the stream param",
    re.IGNORECASE,
)
_WANTED = r"(?:\b(?:a|an|be|valid|expect(?:s|ed)?|type|of type|is not)\W{1,4})"
_WANTS_TEXT = re.compile(
    rf"{_WANTED}(?:str|string)\b(?!s| or\b|\W{{1,3}}array|\W{{1,3}}list)|\bstr(?:ing)?[ _]type\b",
    re.IGNORECASE,
)
_WANTS_LIST = re.compile(rf"{_WANTED}(?:list|array|sequence)\b(?! or\b)|\blist[ _]type\b", re.IGNORECASE)
_UNNAMED = re.compile(
    r"(?:parameter|argument|field|property|properties|schema)|\u53c2\u6570|^bad request\W*$",  # parameter
    re.IGNORECASE,
)
_QUOTED = re.compile(r"[\"'`\[{]\w")


def refused_field(fault: Fault, fields: Mapping[str, Any], optional: Sequence[str]) -> str | None:
    """The optional field of a request that a server does not support, `None` if no such field is at fault.

    A field whose value is wrong does not count, except where the server accepts only the default value.

    Args:
        fault: The server's error.
        fields: The fields of the request.
        optional: Fields that a draw can do without, in the order in which they are left out. `max_tokens` is
            replaced by `max_completion_tokens`.
    """
    if fault.status not in _STATUSES or fault.meaning not in _MEANINGS:
        return None
    if fields.get("stream") is False and "stream" in optional and _STREAMS_ONLY.search(fault.text):
        return ONLY_STREAMS
    if form := _form_of_stop(fault, fields.get("stop")):
        return form
    text, param = _HINT.sub("", fault.text), _field_name(fault.param)
    if "max_tokens" in optional and "max_tokens" in fields:
        is_refused = is_unknown("max_tokens", text) or (param == "max_tokens" and fault.codes & _UNSUPPORTED)
        if "max_completion_tokens" in fault.text or is_refused:
            return "max_tokens"
    sent = [
        name for name in optional if name != "max_tokens" and name in fields and fields[name] is not False
    ]
    if fault.status < 500:
        for name in sent:
            if param == name and _is_of_field(name, fields[name], fault):
                return name
    distances = {name: distance for name in sent if (distance := _distance(name, text)) is not None}
    is_unstreamed = fields.get("stream") is False and "stream" in optional
    if is_unstreamed and not distances and (param == "stream" or _distance("stream", text) is not None):
        return WITHOUT_STREAM
    if distances:
        if len(distances) > 1 and _TOGETHER.search(text):
            return next(name for name in optional if name in distances)
        return min(distances, key=distances.__getitem__)
    if fault.meaning == "refused":
        for name in sent:
            if name in _UNCHOSEN and _spelling(name).search(text):
                return name
    if "stream" in sent and (param or "").startswith("stream"):
        return "stream"
    return None


def _form_of_stop(fault: Fault, stop: object) -> str | None:
    """How a server wants a stop that it refuses in the form sent; `None` if the form is not at fault."""
    is_named = _field_name(fault.param) == "stop" or _spelling("stop").search(fault.text)
    if fault.status not in (400, 422) or not is_named:
        return None
    if isinstance(stop, str):
        return STOP_AS_LIST if _WANTS_LIST.search(fault.text) else None
    is_single = isinstance(stop, list) and len(cast("list[object]", stop)) == 1
    return STOP_AS_TEXT if is_single and _WANTS_TEXT.search(fault.text) else None


def suspected_field(
    fault: Fault, fields: Mapping[str, Any], optional: Sequence[str], *, is_request: bool = False
) -> str | None:
    """The field to try without, where a server calls a request malformed and no field is clearly refused.

    A field that the server names, in whatever language; a field that somebody chose only if the words are not
    about its value. Without a name, one of those whose values nobody chose, and the seed. Asked for before
    the server has taken any request: later such an error speaks of one prompt.

    Args:
        fault: The server's error.
        fields: The fields of the request.
        optional: As for `refused_field`.
        is_request: Whether a client wrote the request. Then a field without its name is left in.
    """
    if fault.status not in (400, 422) or fault.meaning != "refused":
        return None
    text, param = _HINT.sub("", fault.text), _field_name(fault.param)
    sent = [
        name for name in optional if name != "max_tokens" and name in fields and fields[name] is not False
    ]
    if fields.get("seed", 0) not in _USUAL_SEEDS:
        sent = [name for name in sent if name != "seed"]
    named = [name for name in sent if name == param or _spelling(name).search(text)]
    is_of_value = _OF_VALUE.search(text) is not None
    if name := next((name for name in named if name not in _CHOSEN or not is_of_value), None):
        return name
    if is_request or fault.param is not None or not _UNNAMED.search(fault.text) or _QUOTED.search(fault.text):
        return None
    if any(_spelling(name).search(fault.text) for name in fields):
        return None
    return next((name for name in optional if name in (*_UNCHOSEN, "seed") and name in fields), None)


def is_unknown(name: str, text: str) -> bool:
    """Whether a server's message says that it does not support a field."""
    return _distance(name, text) is not None


def _distance(name: str, text: str) -> int | None:
    """Characters between a field's name and a refusal in the same sentence; `None` if they do not meet."""
    nearest: int | None = None
    for spelled in _spelling(name).finditer(text):
        start = max(0, spelled.start() - 2 * _MOST_BETWEEN)
        for refusal in _REFUSAL.finditer(text, start, spelled.end() + 2 * _MOST_BETWEEN):
            first, second = sorted((spelled.span(), refusal.span()))
            between = text[first[1] : second[0]]
            if _GAP.fullmatch(between) is not None:
                nearest = len(between) if nearest is None else min(nearest, len(between))
    return nearest


def _spelling(name: str) -> re.Pattern[str]:
    """The field's name as servers spell it: `top_k`, `topK`, `Top K`."""
    words = _SPELLINGS.get(name) or "[ _-]?".join(map(re.escape, name.split("_")))
    # Not `\b`: a character of a language without spaces may stand beside it.
    return re.compile(rf"(?<![A-Za-z0-9_]){words}(?![A-Za-z0-9_])", re.IGNORECASE)


def _field_name(param: str | None) -> str | None:
    """The name of the field at the end of a path such as `body.top_k`, `/top_k` or `config.topK`."""
    if param is None:
        return None
    last = re.split(r"[./]", param.strip("\"'`$[] "))[-1]
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", last).lower()


def _is_of_field(name: str, value: object, fault: Fault) -> bool:
    """Whether a fault that names a field refuses the field, not its value."""
    if name == "seed":
        return value in _USUAL_SEEDS
    if name not in _MATTERING:
        return True
    return bool(fault.codes & _UNSUPPORTED) or _REFUSAL.search(fault.text) is not None
