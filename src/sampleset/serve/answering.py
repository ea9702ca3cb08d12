"""The draws of one answer → one message.

Tool calls and JSON replies are voted on by value: which calls, which value, most samples give. Text goes to
the alias's aggregator. The message is then, word for word, that of a sample which gives the answer; only an
answer that no sample gives is worded by the aggregator. Where nothing can be compared (a poem, say), the
first sample answers, flagged `no_answers`: a server has to say something.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, cast

from sampleset.aggregators.base import Aggregator, Decision, decide, tally, vote_answer
from sampleset.aggregators.confident import NO_CONFIDENCE, WITHHELD, doubt
from sampleset.answers import kind_of
from sampleset.chat import Generation
from sampleset.errors import CapReachedError, SampleSetError
from sampleset.risk.certificate import VOID
from sampleset.sampling.draws import Draw
from sampleset.sampling.stopping import classes_of
from sampleset.serve.api_errors import log_fault, place_of_error
from sampleset.serve.draws import Drawn
from sampleset.serve.members import reason_of
from sampleset.serve.requests import ChatRequest
from sampleset.serve.voice import thinks, told_apart, writes_solutions
from sampleset.types import Answer, Candidate, Question, Sample, SampleSet, Usage, after_thinking
from sampleset.wire.beside import beside

_log = logging.getLogger("sampleset.serve")

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
        answer: The decided answer; `None` where nothing could be compared.
        confidence: The confidence of the aggregator, `None` if it has none.
        candidates: The distinct answers, each with the indices of its draws.
        chosen: The index of the decided candidate; `None` for an answer that no sample gives.
        usage: Of the aggregation.
        flags: Notes by name.
        text: The text that the aggregator chose or wrote.
        sample: The sample that gives the message; `None` if the aggregator wrote it.
        explanation: How the answer came about, by an aggregator that says so.
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
    explanation: Mapping[str, Any] = field(default_factory=dict[str, Any])


async def is_settled(request: ChatRequest, draws: Drawn) -> bool:
    """Whether the rule is met, so that the vote answers and no aggregator is asked."""
    if request.rule is None or not request.settled_by_vote or request.ballot != "text":
        return False
    return request.rule.met(await classes_of(await _sample_set(request, draws.draws)))


async def choose(
    request: ChatRequest,
    draws: Drawn,
    aggregator: Aggregator,
    seconds: float,
    *,
    settled: bool = False,
    may_guess: bool = True,
) -> Outcome:
    """The answer that these draws make.

    Args:
        request: The request.
        draws: The draws, a quorum at least.
        aggregator: For text.
        seconds: Time for the aggregator; then the vote answers, flagged `aggregator_failed`.
        settled: Whether the vote answers text instead, flagged `settled_by_vote`.
        may_guess: Whether the vote, or the first sample, may answer in a failed aggregator's place.
    """
    if request.ballot == "text":
        sample_set = await _sample_set(request, draws.draws)
        if settled:
            answer = vote_answer(sample_set, aggregator.name, await tally(sample_set), ["settled_by_vote"], 0)
        else:
            answer = await _aggregated(sample_set, aggregator, seconds, may_guess=may_guess)
        return await _outcome(request, draws, answer, aggregator, may_guess=may_guess)
    keys = await _ballots(request, draws.draws)
    candidates = by_value(keys)
    decision = _decision(request, candidates)
    if decision is None:
        return _first(draws, ())
    winner = decision.winner
    first = winner.indices[0]
    if keys[first] == _WORDS:
        words = Drawn([draws.draws[index] for index in winner.indices])
        outcome = await choose(_of_words(request), words, aggregator, seconds)
        return replace(outcome, candidates=_among_all(outcome.candidates, winner.indices))
    reply = cast("Generation", draws.draws[first].generation)
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
        counted = await tally(await _sample_set(request, draws))
        candidates, answers = counted.candidates, counted.answers
    else:
        keys = await _ballots(request, draws)
        candidates, answers = by_value(keys), [None if key is None else shown_value(key) for key in keys]
        decision = _decision(request, candidates)
        if decision is not None and keys[decision.winner.indices[0]] == _WORDS:
            indices = decision.winner.indices
            counted_words, word_answers = await vote_so_far(
                _of_words(request), [draws[index] for index in indices]
            )
            candidates = _among_all(counted_words, indices)
            for index, answer in zip(indices, word_answers, strict=True):
                answers[index] = answer
    return sorted(candidates, key=lambda candidate: -candidate.votes), answers


def _decision(request: ChatRequest, candidates: Sequence[Candidate]) -> Decision | None:
    return decide(
        candidates, [float(candidate.votes) for candidate in candidates], "seeded", 0, request.question.id
    )


def _of_words(request: ChatRequest) -> ChatRequest:
    """The request where most samples call no tool: the rest is a matter of words."""
    return replace(request, ballot=request.words_ballot)


def _among_all(candidates: Sequence[Candidate], positions: Sequence[int]) -> list[Candidate]:
    """The candidates of some draws, with indices among all draws."""
    return [
        replace(candidate, indices=tuple(positions[at] for at in candidate.indices))
        for candidate in candidates
    ]


async def _ballots(request: ChatRequest, draws: Sequence[Draw]) -> list[Hashable]:
    """The vote of each draw, read outside the event loop, because JSON may be long."""
    return await asyncio.to_thread(lambda: [ballot(draw.generation, request.ballot) for draw in draws])


_WORDS = ("words",)
"""The vote of a reply that calls no tool, where tools are offered."""


def ballot(reply: Generation | None, kind: str) -> Hashable:
    """The vote of a reply; `None` abstains. Equal votes have equal JSON values."""
    if reply is None:
        return None
    if kind == "tools":
        calls = cast("list[Any]", reply.whole_message.get("tool_calls") or [])
        if not calls:
            return _WORDS if reply.text else None
        functions = [
            cast("dict[str, Any]", call.get("function") or call.get("custom") or {}) for call in calls
        ]
        votes = [(call.get("name"), _call_value(call)) for call in functions]
        # Parallel calls are a set: their order says nothing.
        return ("calls", tuple(sorted(votes, key=repr)))
    value = json_value(after_thinking(Sample(0, reply.text, reply.finish_reason)))
    return None if value is None else ("json", value)


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
    """The candidates of the votes, with each answer as JSON."""
    indices_by_key: dict[Hashable, list[int]] = {}
    for index, key in enumerate(keys):
        if key is not None:
            indices_by_key.setdefault(key, []).append(index)
    return [
        Candidate(shown_value(key), len(indices), tuple(indices)) for key, indices in indices_by_key.items()
    ]


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


async def _sample_set(request: ChatRequest, draws: Sequence[Draw]) -> SampleSet:
    """The draws as aggregators see them."""

    def made() -> SampleSet:
        sample_set = SampleSet(request.question, tuple(draw.sample for draw in draws)).without_thinking()
        for sample in sample_set.samples:
            hash(sample.text)  # which a text remembers: tallies are looked up by it, on the event loop
        return sample_set

    return await beside(_length(draws), made)


def _length(draws: Sequence[Draw]) -> int:
    return sum(len(draw.sample.text) for draw in draws)


async def _aggregated(
    sample_set: SampleSet, aggregator: Aggregator, seconds: float, *, may_guess: bool
) -> Answer:
    try:
        async with asyncio.timeout(seconds):
            return await aggregator.aggregate(sample_set)
    except Exception as error:
        if isinstance(error, TimeoutError):
            reason = f"no answer within {seconds:g} s"
        elif isinstance(error, SampleSetError):
            reason = f"{reason_of(error)}, {place_of_error(error)}"
        else:
            reason = type(error).__name__
            log_fault(error)
        _log.warning(
            "The aggregator %s failed (%s); %s.",
            aggregator.name,
            reason,
            "the vote answers" if may_guess else "no answer is given",
        )
        flag = "cap_reached" if isinstance(error, CapReachedError) else "aggregator_failed"
        if kind_of(sample_set.question).asks_model:
            # The judge may be what failed: the vote compares texts.
            sample_set = replace(sample_set, question=replace(sample_set.question, answer_kind="text"))
        if not may_guess:
            candidates = (await tally(sample_set)).candidates
            return Answer(sample_set.id, aggregator.name, None, candidates=candidates, flags=(flag, VOID))
        return vote_answer(sample_set, aggregator.name, await tally(sample_set), [flag], 0)


async def _outcome(
    request: ChatRequest, draws: Drawn, answer: Answer, aggregator: Aggregator, *, may_guess: bool
) -> Outcome:
    """The message that gives the aggregator's answer."""
    if answer.answer is None and WITHHELD & set(answer.flags):
        usage, flags = answer.usage, answer.flags
        return Outcome({}, "stop", None, answer.confidence, answer.candidates, usage=usage, flags=flags)
    if answer.answer is None and not may_guess:
        return Outcome({}, "stop", None, None, (), usage=answer.usage, flags=(*answer.flags, NO_CONFIDENCE))
    if answer.answer is None:
        return _first(draws, answer.flags, answer.usage)
    agreeing = await _agreeing(request.question, answer)
    is_own = writes_solutions(aggregator) and not _BY_VOTE & set(answer.flags)
    giving = None
    if not request.answer_only:
        giving = await beside(
            _length(draws.draws) + len(answer.text), lambda: _giving(draws, answer, agreeing, is_own)
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
        _among_draws(answer.explanation, draws),
    )


def _among_draws(explanation: Mapping[str, Any], draws: Drawn) -> dict[str, Any]:
    """The explanation with the indices of draws for those of the set's samples."""
    sides: dict[str, list[dict[str, Any]]] = {}
    for side in {"agreed", "disagreed"} & explanation.keys():
        rows = cast("list[dict[str, Any]]", explanation[side])
        sides[side] = [
            {**row, "indices": [draws.draws[at].index for at in cast("list[int]", row["indices"])]}
            for row in rows
        ]
    return {**explanation, **sides}


def _giving(draws: Drawn, answer: Answer, agreeing: int | None, is_own: bool) -> Draw | None:
    """A draw whose sample gives the decided answer; `None` if the aggregator wrote a solution itself."""
    for draw in draws.draws:
        if draw.generation is not None and after_thinking(draw.sample) == answer.text:
            return draw
    if agreeing is None or is_own:
        return None
    return draws.draws[answer.candidates[agreeing].indices[0]]


async def _agreeing(question: Question, answer: Answer) -> int | None:
    """The candidate that equals the decided answer, by the answer kind; compared off the event loop."""
    decided = answer.answer or ""
    stated = [candidate.answer for candidate in answer.candidates]
    if decided in stated:
        return stated.index(decided)
    same = kind_of(question).same
    for index, text in enumerate(stated):
        if (await same(text, decided)).equal is True:
            return index
    return None


def _first(draws: Drawn, flags: tuple[str, ...], usage: Usage = _NOTHING) -> Outcome:
    """The first sample, where nothing can be compared; one that is whole before one that was cut off."""
    first = next(
        (reply for reply in draws.generations if reply.finish_reason != "length"), draws.generations[0]
    )
    noted = tuple(dict.fromkeys((*flags, "no_answers")))
    return Outcome(
        first.whole_message,
        first.finish_reason or "stop",
        None,
        None,
        (),
        logprobs=first.token_logprobs,
        usage=usage,
        flags=noted,
        sample=first,
    )
