"""Completions, chunks and usage as OpenAI's clients expect them; our fields stand under `sampleset`."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sampleset.chat import Generation
from sampleset.evaluation import Prices
from sampleset.grading.judge import LLMJudge
from sampleset.sampling.draws import Draw
from sampleset.serve.aliases import Answered
from sampleset.serve.requests import ChatRequest
from sampleset.types import Usage


@dataclass(frozen=True, slots=True)
class Head:
    """The fields that all parts of one reply share."""

    model: str
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(14)}")
    created: int = field(default_factory=lambda: int(time.time()))

    def body(self, kind: str) -> dict[str, Any]:
        """The fields that open every part."""
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def chunk(
        self, index: int, delta: Mapping[str, Any], finish_reason: str | None = None, **more: Any
    ) -> dict[str, Any]:
        """One event of a stream."""
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {**self.body("chat.completion.chunk"), "choices": [choice], **more}


def completion(
    head: Head, request: ChatRequest, answers: Sequence[Answered], totals: Mapping[str, Any]
) -> dict[str, Any]:
    """The body of a whole reply."""
    choices = [
        {
            "index": index,
            "message": {"refusal": None, **answer.outcome.message, "role": "assistant"},
            "logprobs": answer.outcome.logprobs,
            "finish_reason": answer.outcome.finish_reason,
            "sampleset": choice_fields(answer, request.samples),
        }
        for index, answer in enumerate(answers)
    ]
    return {**head.body("chat.completion"), "choices": choices, **totals}


def flags_of(body: Mapping[str, Any]) -> set[str]:
    """The flags of all answers of a whole reply."""
    return {flag for choice in body["choices"] for flag in choice["sampleset"]["flags"]}


def choice_fields(answer: Answered, samples: bool) -> dict[str, Any]:
    """The `sampleset` field of one choice."""
    outcome, draws = answer.outcome, answer.drawn
    errors = Counter(draw.sample.error for draw in draws.draws if draw.sample.failed)
    candidates = [
        {
            "answer": each.answer,
            "votes": each.votes,
            "indices": [draws.draws[at].index for at in each.indices],
            **({} if each.probability is None else {"probability": each.probability}),
        }
        for each in outcome.candidates
    ]
    chosen = None if outcome.chosen is None else outcome.candidates[outcome.chosen]
    fields: dict[str, Any] = {
        "answer": outcome.answer,
        "confidence": outcome.confidence,
        "agreement": None if outcome.answer is None else (chosen.votes if chosen else 0) / len(draws.draws),
        "candidates": candidates,
        "chosen": outcome.chosen,
        "flags": list(outcome.flags),
        "draws": {
            "returned": len(draws.generations),
            "failed": dict(errors),
            "retries": dict(draws.retries),
            "hedges": draws.hedges,
            "cancelled": draws.cancelled,
            "stopped": draws.stopped,
        },
    }
    if answer.promise is not None:
        fields["promise"] = answer.promise.fields()
    if outcome.explanation:
        fields["explanation"] = dict(outcome.explanation)
    return fields | ({"samples": [sample(draw) for draw in draws.draws]} if samples else {})


def sample(draw: Draw) -> dict[str, Any]:
    """One draw, as an event or in a list."""
    reply = draw.generation
    fields: dict[str, Any] = {"index": draw.index, "model": draw.model, "seed": draw.sample.seed}
    fields["seconds"] = round(draw.seconds or 0.0, 3)
    if reply is None:
        return fields | {"error": draw.sample.error}
    fields |= {"text": reply.text, "finish_reason": reply.finish_reason}
    fields |= {"prompt_tokens": reply.prompt_tokens, "completion_tokens": reply.completion_tokens}
    for name in ("tool_calls", "reasoning_content"):
        if reply.whole_message.get(name):
            fields[name] = reply.whole_message[name]
    return fields


def totals(request: ChatRequest, answers: Sequence[Answered], prices: Prices | None) -> dict[str, Any]:
    """`usage`, and beside it what each stage took and cost."""
    attempts = [attempt for answer in answers for attempt in answer.attempts]
    replies = [reply for attempt in attempts for reply in attempt.drawn.generations]
    lost = sum(attempt.drawn.cancelled + sum(attempt.drawn.retries.values()) for attempt in attempts)
    sampling = Usage(
        sum(reply.prompt_tokens or 0 for reply in replies),
        sum(reply.completion_tokens or 0 for reply in replies),
        len(replies),
        sum(reply.completion_tokens is None for reply in replies) + lost,
    )
    aggregation = sum((attempt.outcome.usage for attempt in attempts), Usage())
    judging = Usage() if request.judge is None else request.judge.usage
    if request.usage == "last":
        usage = _last_reading(answers)
    else:
        usage = _usage(sampling + aggregation + judging, replies)
    extras: dict[str, Any] = {
        "aggregator": request.aggregator if request.ballot == "text" else f"vote by value ({request.ballot})",
        "k": request.k,
        "seed": request.seed,
        "usage": {"sampling": stage(sampling), "aggregation": stage(aggregation)},
    }
    if request.judge is not None:
        extras["usage"]["judging"] = stage(request.judge.usage)
    if request.ignored:
        extras["ignored"] = list(request.ignored)
    if prices is not None:
        extras["cost"] = _cost(attempts, prices, request.judge)
    return {"usage": usage, "sampleset": extras}


def _last_reading(answers: Sequence[Answered]) -> dict[str, Any]:
    """The tokens of the conversation as one sample read it, and of its answer: a length, not a price.

    An answer that the aggregator wrote counts the aggregator's tokens.
    """
    replies = [answer.outcome.sample or answer.drawn.generations[0] for answer in answers]
    written = [
        answer.outcome.usage.completion_tokens
        if answer.outcome.sample is None
        else reply.completion_tokens or 0
        for answer, reply in zip(answers, replies, strict=True)
    ]
    # n answers are to one prompt.
    return _usage(Usage(replies[0].prompt_tokens or 0, sum(written)), replies, replies[:1])


def _usage(
    total: Usage, replies: Sequence[Generation], read: Sequence[Generation] | None = None
) -> dict[str, Any]:
    """`usage` as OpenAI's clients know it.

    Args:
        total: The tokens.
        replies: Whose thoughts are among them.
        read: Whose prompts are among them; by default those of `replies`.
    """
    return {
        "prompt_tokens": total.prompt_tokens,
        "completion_tokens": total.completion_tokens,
        "total_tokens": total.total_tokens,
        "prompt_tokens_details": {
            "cached_tokens": sum(reply.cached_tokens for reply in (replies if read is None else read))
        },
        "completion_tokens_details": {"reasoning_tokens": sum(reply.reasoning_tokens for reply in replies)},
    }


def stage(usage: Usage) -> dict[str, int]:
    """One stage's tokens; `uncounted` calls were billed or not, nobody says."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "calls": usage.calls,
        "uncounted": usage.uncounted,
    }


def _cost(attempts: Sequence[Answered], prices: Prices, judge: LLMJudge | None) -> dict[str, Any]:
    """Money by stage; `None` where a model has no price."""
    sampling: float | None = 0.0
    reading: float | None = 0.0
    for attempt in attempts:
        for draw in attempt.drawn.draws:
            price = prices.models.get(draw.model)
            if price is None or sampling is None:
                sampling = None
            elif draw.generation is not None:
                sampling += price.of(
                    draw.generation.prompt_tokens or 0, draw.generation.completion_tokens or 0
                )
        usage = attempt.outcome.usage
        if usage.total_tokens and reading is not None:
            # Tokens of several readers are summed: only one price for all gives a cost.
            known = {prices.models.get(model) for model in attempt.readers}
            price = known.pop() if len(known) == 1 else None
            reading = (
                None if price is None else reading + price.of(usage.prompt_tokens, usage.completion_tokens)
            )
    stages = {"sampling": sampling, "aggregation": reading}
    if judge is not None:
        price = prices.models.get(judge.model or "")
        tokens = judge.usage.prompt_tokens, judge.usage.completion_tokens
        stages["judging"] = 0.0 if not any(tokens) else None if price is None else price.of(*tokens)
    costs = [cost for cost in stages.values() if cost is not None]
    total = sum(costs) if len(costs) == len(stages) else None
    return {"currency": prices.currency, **stages, "total": total}
