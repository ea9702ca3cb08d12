"""The draws of one answer → one message.

Tool calls and JSON replies are voted on by value: which calls, which value, most samples give. Text goes to
the alias's aggregator. The message is then, word for word, that of a sample which gives the answer; only an
answer that no sample gives is worded by the aggregator. Where nothing can be compared (a poem, say), the
first sample answers, flagged `no_answers`: a server has to say something.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, cast

from sampleset.aggregators.base import Aggregator, Decision, decide, tally, vote_answer
from sampleset.aggregators.confident import WITHHELD, doubt
from sampleset.answers import kind_of
from sampleset.chat import Generation
from sampleset.errors import CapReachedError, SampleSetError
from sampleset.sampling.draws import Draw
from sampleset.sampling.stopping import classes_of
from sampleset.serve.api_errors import log_fault
from sampleset.serve.draws import Drawn
from sampleset.serve.requests import ChatRequest
from sampleset.serve.voice import thinks, told_apart, writes_solutions
from sampleset.types import Answer, Candidate, Question, Sample, SampleSet, Usage, after_thinking
from sampleset.wire.beside import beside

_MOST_JSON = 1_000_000
_DEEPEST = 100
_FENCED = re.compile(r"\s*```\w*\n(.*?)\n```\s*", re.DOTALL)
_NOTHING = Usage()
_BY_VOTE = {"aggregator_failed", "cap_reached", "fallback_vote", "guarded", "settled_by_vote"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """One answer.

    Attributes:
        message: The assistant's message.
        finish_reason: Why it ends.
        logprobs: Of the chosen sample.
        answer: What was decided; `None` where nothing could be compared.
        confidence: The aggregator's own, `None` if it has none.
        candidates: The distinct answers and who gives them, by place among the draws.
        chosen: Which of them was decided on; `None` for an answer that no sample gives.
        usage: Of the aggregation.
        flags: Notes by name.
        text: What the aggregator went by, or wrote.
        sample: Whose message this is; `None` where the aggregator worded it.
    """

    message: Mapping[str, Any]
    finish_reason: str
    answer: str | None
    confidence: float | None
    candidates: Sequence[Candidate]
    chosen: int | None = None
    logprobs: Mapping[str, Any] | None = None
    usage: Usage = _NOTHING
    flags: tuple[str, ...] = ()
    text: str = ""
    sample: Generation | None = None


async def is_settled(request: ChatRequest, drawn: Drawn) -> bool:
    """Whether the vote answers, its rule being met, and no aggregator is asked."""
    if request.rule is None or not request.settled_by_vote or request.ballot != "text":
        return False
    return request.rule.met(await classes_of(await _shown(request, drawn.draws)))


async def choose(
    request: ChatRequest, drawn: Drawn, aggregator: Aggregator, seconds: float, *, settled: bool = False
) -> Outcome:
    """The answer that these draws make.

    Args:
        request: What was asked.
        drawn: The draws, a quorum at least.
        aggregator: For text.
        seconds: Time for the aggregator; then the vote answers, flagged `aggregator_failed`.
        settled: Whether the vote answers text instead, flagged `settled_by_vote`.
    """
    if request.ballot == "text":
        shown = await _shown(request, drawn.draws)
        if settled:
            answer = vote_answer(shown, aggregator.name, await tally(shown), ["settled_by_vote"], 0)
        else:
            answer = await _aggregated(shown, aggregator, seconds)
        return await _outcome(request, drawn, answer, aggregator)
    keys = await _ballots(request, drawn.draws)
    candidates = by_value(keys)
    decision = _decision(request, candidates)
    if decision is None:
        return _first(drawn, ())
    winner = decision.winner
    first = winner.indices[0]
    if keys[first] == _WORDS:
        words = Drawn([drawn.draws[place] for place in winner.indices])
        outcome = await choose(_of_words(request), words, aggregator, seconds)
        return replace(outcome, candidates=_among_all(outcome.candidates, winner.indices))
    reply = cast("Generation", drawn.draws[first].generation)
    return Outcome(
        reply.whole_message,
        reply.finish_reason or "stop",
        winner.answer,
        winner.votes / len(keys),
        candidates,
        candidates.index(winner),
        reply.token_logprobs,
        flags=("tie",) if decision.tied else (),
        text=winner.answer,
        sample=reply,
    )


def withheld(outcome: Outcome, threshold: float | None, text: str) -> Outcome:
    """The outcome, or the text in its place where the confidence is below the threshold, or the aggregator
    has withheld its answer. Confidence, candidates and flags stay.
    """
    flags = outcome.flags
    if threshold is not None and outcome.answer is not None and not WITHHELD & set(flags):
        chosen = None if outcome.chosen is None else outcome.candidates[outcome.chosen]
        flag = doubt(threshold, outcome.confidence, outcome.candidates, chosen, flags)
        flags = flags if flag is None else (*flags, flag)
    if not WITHHELD & set(flags):
        return outcome
    message = {"content": text}
    return replace(
        outcome, message=message, finish_reason="stop", answer=None, chosen=None, logprobs=None, flags=flags
    )


async def vote_so_far(
    request: ChatRequest, draws: Sequence[Draw]
) -> tuple[Sequence[Candidate], Sequence[str | None]]:
    """The distinct answers of the draws that are back, the most votes first, and the answer of each draw."""
    if request.ballot == "text":
        counted = await tally(await _shown(request, draws))
        candidates, answers = counted.candidates, counted.answers
    else:
        keys = await _ballots(request, draws)
        candidates, answers = by_value(keys), [None if key is None else shown_value(key) for key in keys]
        decision = _decision(request, candidates)
        if decision is not None and keys[decision.winner.indices[0]] == _WORDS:
            places = decision.winner.indices
            found, said = await vote_so_far(_of_words(request), [draws[place] for place in places])
            candidates = _among_all(found, places)
            for place, answer in zip(places, said, strict=True):
                answers[place] = answer
    return sorted(candidates, key=lambda one: -one.votes), answers


def _decision(request: ChatRequest, candidates: Sequence[Candidate]) -> Decision | None:
    return decide(candidates, [float(one.votes) for one in candidates], "seeded", 0, request.question.id)


def _of_words(request: ChatRequest) -> ChatRequest:
    """The request where most samples call no tool: the rest is a matter of words."""
    return replace(request, ballot=request.words_ballot)


def _among_all(candidates: Sequence[Candidate], places: Sequence[int]) -> list[Candidate]:
    """Candidates of the draws at these places only, by place among all draws."""
    return [replace(one, indices=tuple(places[at] for at in one.indices)) for one in candidates]


async def _ballots(request: ChatRequest, draws: Sequence[Draw]) -> list[Hashable]:
    """What each draw votes for, read off the event loop: JSON may be long."""
    return await asyncio.to_thread(lambda: [ballot(one.generation, request.ballot) for one in draws])


_WORDS = ("words",)
"""What a reply that calls no tool votes for, where tools are offered."""


def ballot(reply: Generation | None, kind: str) -> Hashable:
    """What a reply votes for; `None` abstains. Equal votes have equal JSON values."""
    if reply is None:
        return None
    if kind == "tools":
        calls = cast("list[Any]", reply.whole_message.get("tool_calls") or [])
        if not calls:
            return _WORDS if reply.text else None
        named = [cast("dict[str, Any]", one.get("function") or one.get("custom") or {}) for one in calls]
        votes = [(one.get("name"), _call_value(one)) for one in named]
        # Parallel calls are a set: their order says nothing.
        return ("calls", tuple(sorted(votes, key=repr)))
    found = json_value(after_thinking(Sample(0, reply.text, reply.finish_reason)))
    return None if found is None else ("json", found)


def _call_value(call: Mapping[str, Any]) -> Hashable:
    arguments = call.get("arguments", call.get("input", ""))
    value = json_value(arguments) if isinstance(arguments, str) else None
    return ("text", str(arguments)) if value is None else value


def json_value(text: str) -> Hashable:
    """A JSON text as a value that equals that of equal texts; `None` if it is none, or beyond the bounds.

    Numbers are equal by value, objects whatever the order of their keys. A fence around it is taken off.
    """
    if fenced := _FENCED.fullmatch(text[:_MOST_JSON]):
        text = fenced[1]
    if len(text) > _MOST_JSON:
        return None
    try:
        return _hashable(json.loads(text, parse_float=Decimal, parse_int=Decimal, parse_constant=_refuse), 0)
    except (ValueError, RecursionError, ArithmeticError):
        return None


def _hashable(value: Any, depth: int) -> Hashable:
    if depth > _DEEPEST:
        raise ValueError("too deep")
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return ("object", frozenset((key, _hashable(inner, depth + 1)) for key, inner in items))
    if isinstance(value, list):
        return ("array", tuple(_hashable(inner, depth + 1) for inner in cast("list[Any]", value)))
    if isinstance(value, Decimal):
        # Hashing 1E+999999999 would write it out.
        return ("number", value if -400 < value.adjusted() < 400 else str(value))
    return (type(value).__name__, value)


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def by_value(keys: Sequence[Hashable]) -> list[Candidate]:
    """Who votes for what; an answer is shown as JSON."""
    places: dict[Hashable, list[int]] = {}
    for place, key in enumerate(keys):
        if key is not None:
            places.setdefault(key, []).append(place)
    return [Candidate(shown_value(key), len(own), tuple(own)) for key, own in places.items()]


def shown_value(key: Hashable) -> str:
    """A vote as a person reads it."""
    kind, *rest = cast("tuple[Any, ...]", key)
    if kind == "words":
        return "(no tool call)"
    if kind == "calls":
        return ", ".join(f"{name}({shown_value(value)})" for name, value in rest[0])
    if kind == "json":
        return shown_value(rest[0])
    return json.dumps(_plain(key), ensure_ascii=False)


def _plain(key: Hashable) -> Any:
    kind, value = cast("tuple[str, Any]", key)
    if kind == "object":
        return {name: _plain(inner) for name, inner in sorted(value)}
    if kind == "array":
        return [_plain(inner) for inner in value]
    if kind == "number":
        return (
            int(value) if isinstance(value, Decimal) and value == value.to_integral_value() else float(value)
        )
    return value


async def _shown(request: ChatRequest, draws: Sequence[Draw]) -> SampleSet:
    """The draws as aggregators see them."""

    def made() -> SampleSet:
        shown = SampleSet(request.question, tuple(draw.sample for draw in draws)).without_thinking()
        for sample in shown.samples:
            hash(sample.text)  # which a text remembers: tallies are looked up by it, on the event loop
        return shown

    return await beside(_length(draws), made)


def _length(draws: Sequence[Draw]) -> int:
    return sum(len(draw.sample.text) for draw in draws)


async def _aggregated(shown: SampleSet, aggregator: Aggregator, seconds: float) -> Answer:
    try:
        async with asyncio.timeout(seconds):
            return await aggregator.aggregate(shown)
    except Exception as error:
        if not isinstance(error, SampleSetError | TimeoutError):
            log_fault(error)
        flag = "cap_reached" if isinstance(error, CapReachedError) else "aggregator_failed"
        return vote_answer(shown, aggregator.name, await tally(shown), [flag], 0)


async def _outcome(request: ChatRequest, drawn: Drawn, answer: Answer, aggregator: Aggregator) -> Outcome:
    """The message that says what the aggregator has decided."""
    if answer.answer is None and WITHHELD & set(answer.flags):
        usage, flags = answer.usage, answer.flags
        return Outcome({}, "stop", None, answer.confidence, answer.candidates, usage=usage, flags=flags)
    if answer.answer is None:
        return _first(drawn, answer.flags, answer.usage)
    agreeing = await _agreeing(request.question, answer)
    is_own = writes_solutions(aggregator) and not _BY_VOTE & set(answer.flags)
    giving = None
    if not request.answer_only:
        giving = await beside(
            _length(drawn.draws) + len(answer.text), lambda: _giving(drawn, answer, agreeing, is_own)
        )
    wrote = answer.text if answer.usage.calls else ""
    thought, words = told_apart(wrote, thinks(aggregator))
    if giving is not None and giving.generation is not None:
        message, logprobs = dict(giving.generation.whole_message), giving.generation.token_logprobs
        finish_reason = giving.generation.finish_reason or "stop"
    else:
        message = {"content": answer.answer if request.answer_only else words or answer.answer}
        finish_reason, logprobs = "stop", None
    if thought and (thinks(aggregator) or giving is None):
        message["reasoning_content"] = thought
    return Outcome(
        message,
        finish_reason,
        answer.answer,
        answer.confidence,
        answer.candidates,
        agreeing,
        logprobs,
        answer.usage,
        answer.flags,
        answer.text,
        None if giving is None else giving.generation,
    )


def _giving(drawn: Drawn, answer: Answer, agreeing: int | None, is_own: bool) -> Draw | None:
    """A draw whose sample says what was decided; `None` if the aggregator wrote a solution of its own."""
    for one in drawn.draws:
        if one.generation is not None and after_thinking(one.sample) == answer.text:
            return one
    if agreeing is None or is_own:
        return None
    return drawn.draws[answer.candidates[agreeing].indices[0]]


async def _agreeing(question: Question, answer: Answer) -> int | None:
    """The candidate that equals what was decided, by the kind of the answers; compared off the event loop."""
    decided = answer.answer or ""
    stated = [one.answer for one in answer.candidates]
    if decided in stated:
        return stated.index(decided)
    same = kind_of(question).same
    for place, one in enumerate(stated):
        if (await same(one, decided)).equal is True:
            return place
    return None


def _first(drawn: Drawn, flags: tuple[str, ...], usage: Usage = _NOTHING) -> Outcome:
    """The first sample, where nothing can be compared; one that is whole before one that was cut off."""
    own = next((one for one in drawn.generations if one.finish_reason != "length"), drawn.generations[0])
    noted = tuple(dict.fromkeys((*flags, "no_answers")))
    return Outcome(
        own.whole_message,
        own.finish_reason or "stop",
        None,
        None,
        (),
        logprobs=own.token_logprobs,
        usage=usage,
        flags=noted,
        sample=own,
    )
