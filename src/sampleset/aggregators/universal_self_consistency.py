"""Universal self-consistency (Chen et al. 2023, arXiv 2311.17311): a model picks the most consistent sample.

Departures: the samples are shown in an order permuted by the seed, each keeps its ending when the budget
is short, and samples are defused of text that imitates the prompt. A backend that scores texts is asked
for the likeliest of the n numbers instead of a free reply, which small models get wrong.

Cost with a question of Q tokens and n samples of L tokens: 1 call of a prompt of about 100 + Q + n·L tokens
(at most `max_prompt_tokens`), and a reply of up to `max_tokens`, or n numbers scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from sampleset.aggregators._fusion import require_positive
from sampleset.aggregators.base import (
    AGGREGATORS,
    prompt_budget,
    shown_order,
    tally,
    usage_of,
    vote_answer,
)
from sampleset.backends.base import Backend, ScoringBackend, can_score
from sampleset.chat import Message, SamplingParams
from sampleset.prompts import Part, Shown, chosen_response, consistency_messages, cut_down, opening_of
from sampleset.types import Answer, SampleSet, Usage


@AGGREGATORS.register("universal_self_consistency")
@dataclass(frozen=True)
class UniversalSelfConsistency:
    """Return the answer of the sample that a model names as the most consistent one.

    A reply that names no sample, or one without an answer, falls back to the majority vote, flagged
    `fallback_vote`. Sets whose samples all give one answer are not asked about, flagged `unanimous`.

    Attributes:
        backend: The model that chooses.
        max_prompt_tokens: Token budget of the prompt; by default what the model's context leaves.
        max_tokens: Most tokens of the reply.
        seed: Seed of the order in which the samples are shown, and of ties in the fallback vote.
        show: `conclusion` shows only the last lines of each sample, those that state its answer.
        drop_end_tokens: Do not show so many tokens at the end of each sample; `show` then counts in what is
            left.
    """

    name: ClassVar[str] = "universal_self_consistency"
    backend: Backend
    max_prompt_tokens: int | None = None
    max_tokens: int = 32
    seed: int = 0
    show: Part | None = None
    drop_end_tokens: int | None = None

    def __post_init__(self) -> None:
        require_positive(self, "max_tokens", "drop_end_tokens")

    async def aggregate(self, sample_set: SampleSet) -> Answer:
        """The answer of the sample the model names."""
        counted = await tally(sample_set)
        if len(counted.candidates) < 2:
            return vote_answer(sample_set, self.name, counted, (), self.seed)
        order = shown_order(sample_set, self.seed, 0)
        samples = [Shown(sample_set.samples[index].text) for index in order]
        question = sample_set.question
        responses = await cut_down(
            samples, question, self.backend, part=self.show, drop_end_tokens=self.drop_end_tokens
        )
        budget = prompt_budget(self.backend, self.max_prompt_tokens, self.max_tokens)
        messages = await consistency_messages(sample_set.question, responses, self.backend, budget)
        if can_score(self.backend):
            written, usage = await _likeliest(self.backend, messages, len(responses))
        else:
            written, usage = await self._reply(messages)
        chosen = chosen_response(written, len(responses))
        answer = counted.answers[order[chosen]] if chosen is not None else None
        if chosen is None or answer is None:
            flags = ("unreadable_reply" if chosen is None else "chose_no_answer", "fallback_vote")
            fallen = vote_answer(sample_set, self.name, counted, flags, self.seed)
            return replace(fallen, text=written, usage=usage)
        return Answer(
            id=sample_set.id,
            aggregator=self.name,
            answer=answer,
            text=written,
            candidates=counted.candidates,
            usage=usage,
            flags=counted.notes,
        )

    async def _reply(self, messages: Sequence[Message]) -> tuple[str, Usage]:
        params = SamplingParams(temperature=0.0, max_tokens=self.max_tokens)
        (reply,) = await self.backend.generate(messages, params, [self.seed])
        return opening_of(messages) + reply.text, usage_of([reply])


async def _likeliest(backend: ScoringBackend, messages: Sequence[Message], n: int) -> tuple[str, Usage]:
    """The reply that names the likeliest of n responses; the first of equals."""
    numbers = [f" {number}" for number in range(1, n + 1)]
    scores = await backend.score(messages, numbers)
    best = max(range(n), key=lambda index: (scores[index].logprob, -index))
    tokens = sum(score.tokens for score in scores)
    return opening_of(messages) + numbers[best], Usage(scores[0].prompt_tokens, tokens, calls=1)
