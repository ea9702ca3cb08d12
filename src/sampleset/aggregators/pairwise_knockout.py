"""Pairwise knock-out (Chen et al. 2024, arXiv 2411.19477): a model judges two samples at a time, and the
winners go on until one is left.

Departures: distinct answers compete, each by its earliest sample, and equal ones never meet (`fold=false`:
all samples compete, and of two with equal answers the one shown first goes on unasked). Each pair is judged
in both orders, since models prefer a place; where the two judgements disagree, the answer with more votes
goes on. A backend that scores texts is asked how likely each of the two verdicts is, others for a reply.

Cost with C competitors of L tokens and a question of Q tokens: 2·(C − 1) calls of a prompt of about 100 + Q
+ 2·L tokens, and replies of up to `max_tokens`, or two numbers scored. Sets of one distinct answer cost
nothing.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import ClassVar

from sampleset.aggregators._fusion import require_positive
from sampleset.aggregators.base import (
    AGGREGATORS,
    Tally,
    prompt_budget,
    shown_order,
    tally,
    vote_answer,
)
from sampleset.backends.base import Backend, can_score
from sampleset.chat import SamplingParams
from sampleset.models.together import gathered
from sampleset.prompts import Part, Shown, chosen_response, cut_down, judge_messages, opening_of
from sampleset.types import Answer, Candidate, SampleSet, Usage


@dataclass(frozen=True, slots=True)
class _Judgement:
    """Of one pair in one order: above 0 for the first, below for the second, `None` if unreadable."""

    margin: float | None
    usage: Usage


@AGGREGATORS.register("pairwise_knockout")
@dataclass(frozen=True)
class PairwiseKnockout:
    """Return the answer of the sample that a model prefers to its opponents in a knock-out tournament.

    Where no judgement can be read the majority vote answers, flagged `fallback_vote`; where some cannot, the
    others decide, flagged `unreadable_reply`. Pairs that the two orders leave open are decided by the votes,
    and by the seed where these are equal, flagged `judge_undecided`.

    Attributes:
        backend: The model that judges.
        fold: Whether distinct answers compete, not all samples.
        show: `conclusion` shows only the last lines of each sample, those that state its answer.
        keep_end_tokens: Show only so many tokens of each sample, its last ones.
        drop_end_tokens: Do not show so many tokens at the end of each sample; the two options above then
            count in what is left.
        max_prompt_tokens: Token budget of a prompt; by default what the model's context leaves.
        max_tokens: Most tokens of a reply.
        seed: Seed of the pairings, of replies and of ties.
    """

    name: ClassVar[str] = "pairwise_knockout"
    backend: Backend
    fold: bool = True
    show: Part | None = None
    keep_end_tokens: int | None = None
    max_prompt_tokens: int | None = None
    max_tokens: int = 32
    seed: int = 0
    drop_end_tokens: int | None = None

    def __post_init__(self) -> None:
        require_positive(self, "max_tokens", "keep_end_tokens", "drop_end_tokens")

    async def aggregate(self, sample_set: SampleSet) -> Answer:
        """The answer of the sample that is left."""
        counted = await tally(sample_set)
        if len(counted.candidates) < 2:
            return vote_answer(sample_set, self.name, counted, (), self.seed)
        tournament = _Tournament(self, sample_set, counted)
        winner = await tournament.winner()
        if tournament.readable == 0:
            flags = ("unreadable_reply", "fallback_vote")
            fallen = vote_answer(sample_set, self.name, counted, flags, self.seed)
            return replace(fallen, usage=tournament.usage)
        notes = ["unreadable_reply"] if tournament.readable < tournament.usage.calls else []
        notes += ["judge_undecided"] if tournament.undecided else []
        return Answer(
            id=sample_set.id,
            aggregator=self.name,
            answer=counted.answers[winner],
            text=sample_set.samples[winner].text,
            candidates=counted.candidates,
            usage=tournament.usage,
            flags=(*counted.notes, *notes),
        )


class _Tournament:
    """The tournament of one set; competitors are indices of samples.

    Attributes:
        usage: Tokens spent so far.
        readable: Judgements that could be read.
        undecided: Pairs that the judgements left open.
    """

    def __init__(self, options: PairwiseKnockout, sample_set: SampleSet, counted: Tally) -> None:
        self._options = options
        self._set = sample_set
        self._class = {index: candidate for candidate in counted.candidates for index in candidate.indices}
        firsts = {candidate.indices[0] for candidate in counted.candidates}
        competing = firsts if options.fold else set(self._class)
        self._left = [index for index in shown_order(sample_set, options.seed, 0) if index in competing]
        self.usage = Usage()
        self.readable = self.undecided = 0

    async def winner(self) -> int:
        """The index of the sample that wins all its matches."""
        while len(self._left) > 1:
            pairs = list(zip(self._left[::2], self._left[1::2], strict=False))
            bye = self._left[2 * len(pairs) :]
            self._left = [*await gathered(self._match(*pair) for pair in pairs), *bye]
        return self._left[0]

    async def _match(self, first: int, second: int) -> int:
        mine, its = self._class[first], self._class[second]
        if mine is its:
            return first
        there, back = await gathered([self._judge(first, second), self._judge(second, first)])
        self.usage += there.usage + back.usage
        margins = [margin for margin in (there.margin, back.margin) if margin is not None]
        self.readable += len(margins)
        margin = (there.margin or 0.0) - (back.margin or 0.0)
        if margin == 0:
            self.undecided += 1
            return first if self._votes_prefer(mine, its) else second
        return first if margin > 0 else second

    def _votes_prefer(self, mine: Candidate, its: Candidate) -> bool:
        if mine.votes != its.votes:
            return mine.votes > its.votes
        pair = sorted((mine.indices[0], its.indices[0]))
        first = random.Random(f"{self._options.seed}:{self._set.id}:{pair}").choice(pair)
        return first == mine.indices[0]

    async def _judge(self, first_index: int, second_index: int) -> _Judgement:
        options, samples = self._options, self._set.samples
        backend, question = options.backend, self._set.question
        first, second = await cut_down(
            [Shown(samples[first_index].text), Shown(samples[second_index].text)],
            question,
            backend,
            part=options.show,
            drop_end_tokens=options.drop_end_tokens,
            keep_end_tokens=options.keep_end_tokens,
        )
        budget = prompt_budget(backend, options.max_prompt_tokens, options.max_tokens)
        messages = await judge_messages(question, first, second, backend, budget)
        if can_score(backend):
            scores = await backend.score(messages, [" 1", " 2"])
            spent = Usage(scores[0].prompt_tokens, sum(score.tokens for score in scores), calls=1)
            return _Judgement(scores[0].logprob - scores[1].logprob, spent)
        params = SamplingParams(temperature=0.0, max_tokens=options.max_tokens)
        (reply,) = await backend.generate(messages, params, [options.seed])
        chosen = chosen_response(opening_of(messages) + reply.text, 2)
        margin = None if chosen is None else (1.0, -1.0)[chosen]
        uncounted = int(reply.completion_tokens is None)
        return _Judgement(margin, Usage(reply.prompt_tokens or 0, reply.completion_tokens or 0, 1, uncounted))
