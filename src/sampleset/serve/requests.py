"""The body of a chat request → a checked request: every field is checked before a token is spent."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from sampleset.chat import Prompt
from sampleset.engines.gguf import EMBEDDED_SSA
from sampleset.errors import InvalidArgumentError, SampleSetError
from sampleset.grading.judge import LLMJudge
from sampleset.models.budget import Budget
from sampleset.sampling.stopping import StoppingRule, parse_stop
from sampleset.serve.api_errors import ApiError
from sampleset.serve.config import ALWAYS_ALLOWED, AliasConfig, require_unjudged, served_kind
from sampleset.serve.dialects.base import Dialect
from sampleset.serve.parameters import OVERRIDES, PARAMETERS, Parameter, check_fields
from sampleset.specs import parse_spec
from sampleset.storage.store import digest
from sampleset.types import Question
from sampleset.wire.values import list_of, mapping_of, text_of

Ballot = Literal["text", "json", "tools"]

SELECTORS = ("first_sample", "majority_vote", "weighted_vote", "best_of_n")
"""Aggregators whose answer is always one of the samples."""

_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_MOST_MESSAGES = 4096
_LONGEST_NAME = 64
# Not sent with a draw: read here, or asking for nothing.
_KEPT_HERE = {name for name, parameter in PARAMETERS.items() if parameter.how == "refused"} | {
    "budget",
    "max_tokens",
    "messages",
    "model",
    "n",
    "sampleset",
    "seed",
    "stream",
    "stream_options",
}
# The fields that a model in this process understands.
_LOCAL_FIELDS = ("temperature", "top_p", "top_k", "max_completion_tokens", "stop")
_LARGEST_SEED = 2**31 - 1


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A request that can be carried out.

    Attributes:
        alias: The model name asked for.
        prompt: The messages as the client sent them, and the fields that every draw is asked with.
        question: The question as an aggregator reads it.
        n: Independent answers.
        k: Samples of each.
        seed: Of the first draw of the first answer.
        aggregator: Its spec.
        quorum: Fewest samples of an answer.
        deadline: Seconds for the samples.
        rule: When the draws so far settle the vote.
        settled_by_vote: Whether the vote answers where it is settled.
        min_confidence: Least confidence of an answer that is given; `None` gives all.
        budgets: Caps on the cost of the request.
        ballot: The kind of value that is voted on.
        words_ballot: The same where tools are offered, and most samples call none.
        stream: Whether events are wanted.
        include_usage: Whether the stream ends in a chunk with the usage.
        progress: Whether the stream tells how far it is.
        words: Whether it also tells what each sample says while it is written.
        samples: Whether the reply holds the samples.
        answer_only: Whether the content is the answer without a solution.
        usage: What `usage` in the reply counts.
        ignored: Parameters that were sent and are left aside, as the alias says.
        judge: Compares the answers, if their kind asks a model; of this request alone.
    """

    alias: str
    prompt: Prompt
    question: Question
    n: int
    k: int
    seed: int
    aggregator: str
    quorum: int
    deadline: float
    rule: StoppingRule | None
    settled_by_vote: bool
    min_confidence: float | None
    budgets: Sequence[Budget]
    ballot: Ballot
    words_ballot: Ballot
    stream: bool
    include_usage: bool
    progress: bool
    words: bool
    samples: bool
    answer_only: bool
    usage: Literal["sum", "last"]
    ignored: tuple[str, ...]
    judge: LLMJudge | None = None


def parse_request(
    body: object,
    aliases: Mapping[str, AliasConfig],
    usual: Mapping[str, str],
    local: Mapping[str, bool],
    dialect: type[Dialect] = Dialect,
) -> tuple[ChatRequest, Dialect]:
    """The chat request of a JSON body, and the dialect that translates the reply.

    Args:
        body: The body, decoded.
        aliases: The alias of each model name.
        usual: Their aggregators.
        local: Whether one of their upstreams is a model in this process, which takes text only.
        dialect: The API that it is a request of.

    Raises:
        ApiError: 400 or 404; names the field and its valid values.
    """
    fields, ignored = _fields(body, aliases, dialect.parameters)
    translation = dialect(fields)
    try:
        if dialect is not Dialect:
            fields, more = _fields(translation.chat_body(), aliases, PARAMETERS)
            ignored += more
        return _chat_request(fields, ignored, aliases, usual, local), translation
    except ApiError as error:
        error.param = dialect.names.get(error.param or "", error.param)
        raise


def _fields(
    body: object, aliases: Mapping[str, AliasConfig], parameters: Mapping[str, Parameter]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The fields of a body, checked, and the names of those that its alias leaves aside."""
    if not isinstance(body, dict):
        raise ApiError(400, "The body must be a JSON object with 'model' and 'messages'.")
    fields = {name: value for name, value in cast("dict[str, Any]", body).items() if value is not None}
    name = fields.get("model")
    alias = aliases.get(name) if isinstance(name, str) else None
    ignored = () if alias is None else tuple(name for name in alias.ignore if name in fields)
    fields = {name: value for name, value in fields.items() if name not in ignored}
    check_fields(fields, parameters)
    return fields, ignored


def _chat_request(
    body: Mapping[str, Any],
    ignored: tuple[str, ...],
    aliases: Mapping[str, AliasConfig],
    usual: Mapping[str, str],
    local: Mapping[str, bool],
) -> ChatRequest:
    """The request that the fields of a chat request make."""
    overrides = cast("dict[str, Any]", body.get("sampleset", {}))
    overrides = {name: value for name, value in overrides.items() if value is not None}
    check_fields(overrides, OVERRIDES, "sampleset.")
    name, alias = _alias(body, aliases)
    messages = _messages(body.get("messages"))
    n, k = body.get("n", 1), overrides.get("k", body.get("budget", alias.k))
    _at_most(n, alias.max_n, "n")
    _at_most(k, alias.max_k, "sampleset.k" if "k" in overrides else "budget")
    draws = n * alias.most_draws(k)
    fields = _sampling_fields(body, alias, draws)
    if local[name]:
        _require_text_only(name, messages, fields)
    if alias.has_caps:
        _require_countable(messages)
    aggregator = _allowed(overrides.get("aggregator", usual[name]), alias, usual[name])
    if body.get("logprobs") and not _gives_a_sample(aggregator):
        raise ApiError(
            400,
            f"logprobs are those of one sample, and {aggregator!r} may write an answer that no sample has. "
            "Leave them away, or ask with sampleset.aggregator='majority_vote'.",
            param="logprobs",
        )
    if alias.is_bound:
        _require_certified(body, overrides, alias, k)
    of_words = "json" if body.get("response_format", {}).get("type", "text") != "text" else "text"
    kind, rule = _kind_and_rule(overrides, alias)
    prompt = Prompt(messages, fields)
    _ = prompt.size  # written now, in the thread of a long request
    return ChatRequest(
        alias=name,
        prompt=prompt,
        question=replace(question_of(messages), answer_kind=kind),
        n=n,
        k=k,
        seed=body.get("seed", secrets.randbelow(_LARGEST_SEED - draws * 2)),
        aggregator=aggregator,
        quorum=min(overrides.get("quorum", min(alias.quorum, k)), k),
        deadline=min(overrides.get("deadline", alias.deadline), alias.deadline),
        rule=rule,
        settled_by_vote=_settled_by_vote(overrides, alias, rule),
        min_confidence=max(
            (value for value in (overrides.get("min_confidence"), alias.min_confidence) if value is not None),
            default=None,
        ),
        budgets=alias.budgets(),
        ballot="tools" if body.get("tools") and body.get("tool_choice") != "none" else of_words,
        words_ballot=of_words,
        stream=body.get("stream", False),
        include_usage=body.get("stream_options", {}).get("include_usage") is True,
        progress=bool(overrides.get("progress")),
        words=overrides.get("progress") == "words" and body.get("stream") is True,
        samples=overrides.get("samples", False),
        answer_only=overrides.get("content") == "answer",
        usage=overrides.get("usage", alias.usage),
        ignored=ignored,
    )


def question_of(messages: Sequence[Mapping[str, Any]]) -> Question:
    """The question as an aggregator reads it: the last user turn, after the earlier turns as context."""
    last = max((index for index, message in enumerate(messages) if message["role"] == "user"), default=0)
    text = plain_text(messages[last])
    turns = [
        (message["role"], plain_text(message)) for index, message in enumerate(messages) if index != last
    ]
    history = [f"{role.capitalize()}: {text}" for role, text in turns if text]
    if history:
        text = "The conversation so far:\n\n" + "\n\n".join(history) + f"\n\nThe message to answer:\n\n{text}"
    return Question(id=digest(text)[:12], text=text)


def plain_text(message: Mapping[str, Any]) -> str:
    """The words of a message, without halves of characters; a part without text is named in brackets."""
    content = message.get("content")
    if isinstance(content, str):
        return text_of(content)
    parts = cast("list[dict[str, Any]]", content or [])
    words = [
        str(part.get("text", "")) if part.get("type") == "text" else f"[{part.get('type')}]" for part in parts
    ]
    calls = cast("list[dict[str, Any]]", message.get("tool_calls") or [])
    words += [f"[called {mapping_of(call.get('function')).get('name', 'a tool')}]" for call in calls]
    return text_of("\n".join(words))


def _alias(body: Mapping[str, Any], aliases: Mapping[str, AliasConfig]) -> tuple[str, AliasConfig]:
    name = body.get("model")
    if name is None:
        raise ApiError(400, "'model' is missing; name one of /v1/models.", param="model")
    if name not in aliases:
        raise ApiError(
            404,
            f"The model {name[:80]!r} does not exist. This server has: {', '.join(aliases)}.",
            param="model",
            code="model_not_found",
        )
    return name, aliases[name]


def _messages(value: object) -> list[Mapping[str, Any]]:
    """The messages, looked at and left as they are."""
    listed = cast("list[Any]", value) if isinstance(value, list) else []
    if not 1 <= len(listed) <= _MOST_MESSAGES:
        raise ApiError(400, f"'messages' must be a list of 1 to {_MOST_MESSAGES}.", param="messages")
    for index, entry in enumerate(listed):
        where = f"messages[{index}]"
        message = cast("dict[str, Any]", entry) if isinstance(entry, dict) else {}
        if message.get("role") not in _ROLES:
            raise ApiError(400, f"'{where}.role' must be one of {', '.join(_ROLES)}.", param=f"{where}.role")
        content = message.get("content")
        may_lack = message["role"] == "assistant"
        if not (isinstance(content, str) or _are_parts(content) or (content is None and may_lack)):
            raise ApiError(
                400,
                f"'{where}.content' must be a text, or a list of parts with a 'type'.",
                param=f"{where}.content",
            )
        if not _are_objects(message.get("tool_calls") or []):
            raise ApiError(
                400, f"'{where}.tool_calls' must be a list of objects.", param=f"{where}.tool_calls"
            )
    return listed


def _are_parts(content: object) -> bool:
    return (
        bool(content)
        and _are_objects(content)
        and all(isinstance(part.get("type"), str) for part in list_of(content))
    )


def _are_objects(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(entry, dict) for entry in cast("list[Any]", value))


def _sampling_fields(body: Mapping[str, Any], alias: AliasConfig, draws: int) -> dict[str, Any]:
    """The fields of every draw's request. The token limit stays within that of the alias."""
    fields = {name: value for name, value in body.items() if name not in _KEPT_HERE}
    if alias.temperature is not None:
        fields.setdefault("temperature", alias.temperature)
    limit_asked = body.get("max_completion_tokens", body.get("max_tokens"))
    room = [alias.max_sample_tokens] if alias.max_sample_tokens else []
    if alias.max_request_tokens is not None:
        # A draw that is slow may be made twice.
        calls = draws if alias.hedge_after is None else 2 * draws
        if alias.max_request_tokens < calls:
            raise ApiError(
                400,
                f"{draws} samples do not fit the {alias.max_request_tokens} tokens that this model allows. "
                "Lower sampleset.k or n.",
                param="sampleset.k",
            )
        room.append(alias.max_request_tokens // calls)
    if limit_asked is not None and room and limit_asked > min(room):
        raise ApiError(
            400,
            f"max_tokens={limit_asked} for each of {draws} samples is above the {min(room)} that this model "
            "allows. Lower it, or sampleset.k.",
            param="max_tokens",
        )
    limit = limit_asked or min([*room, *([alias.max_tokens] if alias.max_tokens else [])], default=None)
    if limit is not None:
        fields["max_completion_tokens"] = limit
    return fields


def _require_text_only(name: str, messages: Sequence[Mapping[str, Any]], fields: Mapping[str, Any]) -> None:
    """Refuse parts that a model in this process does not see."""
    for field in fields:
        if field not in _LOCAL_FIELDS and fields[field] not in PARAMETERS[field].harmless:
            raise ApiError(
                400,
                f"{name!r} runs in the server's process, where {field!r} has no effect. Leave it away.",
                param=field,
                code="unsupported_parameter",
            )
    for index, message in enumerate(messages):
        parts = cast(
            "list[dict[str, Any]]", message["content"] if isinstance(message.get("content"), list) else []
        )
        if message["role"] in ("tool", "function") or any(part["type"] != "text" for part in parts):
            raise ApiError(
                400,
                f"{name!r} runs in the server's process and reads text only; messages[{index}] holds more.",
                param=f"messages[{index}]",
                code="unsupported_content",
            )


def _require_countable(messages: Sequence[Mapping[str, Any]]) -> None:
    """Refuse images and sound under a cap: what they cost is not known beforehand."""
    for index, message in enumerate(messages):
        parts = cast(
            "list[dict[str, Any]]", message["content"] if isinstance(message.get("content"), list) else []
        )
        if any(part["type"] not in ("text", "refusal") for part in parts):
            raise ApiError(
                400,
                f"This model's cost is capped, so that it takes text only; messages[{index}] holds more.",
                param=f"messages[{index}]",
                code="unsupported_content",
            )


def _gives_a_sample(aggregator: str) -> bool:
    """Whether the answer of an aggregator is surely one of the samples."""
    name, options = parse_spec(aggregator)
    return name in SELECTORS or options.get("mode") == "select" or options.get("model") == EMBEDDED_SSA


def _allowed(aggregator: str, alias: AliasConfig, usual: str) -> str:
    """The aggregator as the alias names it; `ssa` may stand for `ssa:model=embedded-ssa`."""
    others = (*alias.aggregators, *ALWAYS_ALLOWED) if not alias.is_bound else ()
    allowed = dict.fromkeys((usual, *others))
    for spec in allowed:
        if aggregator == spec or f"{aggregator}:model={EMBEDDED_SSA}" == spec:
            return spec
    raise ApiError(
        400,
        f"This model does not allow the aggregator {aggregator[:80]!r}. It allows: {', '.join(allowed)}.",
        param="sampleset.aggregator",
    )


def _require_certified(
    body: Mapping[str, Any], overrides: Mapping[str, Any], alias: AliasConfig, k: int
) -> None:
    """Refuse what the alias's certificate does not hold for, before a token is spent."""
    differing = {
        "tools": bool(body.get("tools")) and body.get("tool_choice") != "none",
        "response_format": body.get("response_format", {}).get("type", "text") != "text",
        "sampleset.k": k != alias.k,
        "sampleset.answer_kind": overrides.get("answer_kind", alias.answer_kind) != alias.answer_kind,
        "sampleset.stop": overrides.get("stop", "none") != "none",
    }
    for param, differs in differing.items():
        if differs:
            raise ApiError(
                400,
                f"This model answers under a certificate, or in steps, with k={alias.k} and answers of the "
                f"kind {alias.answer_kind}, which does not go with this {param!r}. Leave it away.",
                param=param,
                code="certificate_void",
            )


def _kind_and_rule(overrides: Mapping[str, Any], alias: AliasConfig) -> tuple[str, StoppingRule | None]:
    try:
        kind = served_kind(overrides.get("answer_kind", alias.answer_kind), has_judge=alias.judge is not None)
        if (rule := _rule(overrides, alias)) is not None:
            require_unjudged(kind, "sampleset.stop")
        return kind, rule
    except InvalidArgumentError as error:
        raise ApiError(400, str(error), param="sampleset.answer_kind") from error


def _rule(overrides: Mapping[str, Any], alias: AliasConfig) -> StoppingRule | None:
    if "stop" not in overrides:
        return alias.stopping_rule()
    try:
        return None if overrides["stop"] == "none" else parse_stop(overrides["stop"])
    except SampleSetError as error:
        raise ApiError(400, str(error), param="sampleset.stop") from error


def _settled_by_vote(overrides: Mapping[str, Any], alias: AliasConfig, rule: StoppingRule | None) -> bool:
    if overrides.get("settled_by_vote") and rule is None:
        raise ApiError(
            400,
            "sampleset.settled_by_vote needs the rule that settles it: give sampleset.stop, beta:0.95 say.",
            param="sampleset.settled_by_vote",
        )
    return overrides.get("settled_by_vote", alias.settled_by_vote)


def _at_most(value: int, limit: int, field: str) -> None:
    if value > limit:
        raise ApiError(400, f"{field}={value} is above the {limit} that this model allows.", param=field)
