"""A language model reads the whole set and gives the answer, untrained, under the prompt that the trained
Sample Set Aggregator (Qi et al. 2025, arXiv 2506.09014) reads: the fair control for it.

Modes: `think`, reason, then answer; `direct`, answer at once; `select`, the probability of each distinct
answer under the direct prompt, normalised over them.

Cost with P permutations of a question of Q tokens, n samples of L tokens and C distinct answers of A
tokens: P calls of a prompt of about 100 + Q + n·(L + 7) tokens (C for n with `fold=true`; at most
`max_prompt_tokens`), and

- `think`: P replies of up to 512 tokens;
- `direct`: P replies of up to 64 tokens, of which about A are written;
- `select`: P·C·A tokens scored, nothing written; no call at all where C is 1.

Departures from the paper: samples are shown in permuted order, over P orders if asked; each keeps its
ending when the token budget is short; equal answers may be shown once with their count; `select` is ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from statistics import fmean
from typing import ClassVar

from sampleset.aggregators.base import (
    AGGREGATORS,
    Tally,
    Writing,
    decide,
    grouped,
    prompt_budget,
    read_reply,
    shown_order,
    tally,
    usage_of,
    vote_answer,
)
from sampleset.backends.base import Backend, can_score
from sampleset.chat import Generation, Message, SamplingParams, first_seed
from sampleset.errors import InvalidArgumentError, UnsupportedByBackendError
from sampleset.prompts import (
    ANSWER_CLOSE,
    Part,
    Shown,
    aggregation_messages,
    cut_down,
    opening_of,
)
from sampleset.types import Answer, Candidate, Mode, SampleSet, Usage

_MULTIPLES = (
    *("score_weight", "vote_weight", "confidence_weight"),
    *("blind_score_weight", "blind_vote_weight", "max_score_tokens"),
)


@AGGREGATORS.register("llm_aggregator")
@dataclass(frozen=True)
class LLMAggregator:
    """Return the answer that a model gives after it has read all samples.

    A reply without a readable answer abstains from the vote over the P orders; where no order yields one,
    the majority vote of the samples answers, flagged `fallback_vote`. An answer that none of the samples
    gives is flagged `new_answer`. A set whose draws all failed is not asked about, and abstains. The
    confidence is the probability of the answer in mode `select`, and the share of the P orders that give it
    in the others (`None` where P is 1).

    Attributes:
        backend: The model that reads.
        mode: `think`, `direct` or `select`.
        permutations: P, how many orders of the samples are read.
        max_prompt_tokens: Token budget of the prompt; by default what the model's context leaves.
        keep_end_tokens: Show only so many tokens of each sample, its last ones.
        show: `conclusion` shows only the last lines of each sample, those that state its answer (after
            PaCoRe, arXiv 2601.05593, which shows what follows the thinking).
        drop_end_tokens: Do not show so many tokens at the end of each sample; `show` and `keep_end_tokens`
            then count in what is left. Votes are still those of the whole samples.
        max_tokens: Most tokens of a reply; by default 512 in mode `think`, 64 in mode `direct`.
        temperature: Temperature of a reply.
        fold: Show samples of equal answers once, with their count; samples without an answer are left out.
        score_weight: Mode `select` only: multiplies a candidate's log-probability; under 1 where the model is
            too sure of itself; at 0 it is not asked, and votes and confidence decide.
        vote_weight: Mode `select` only: added to that, times the log of the candidate's votes.
        confidence_weight: The same times the mean token log-probability of the candidate's samples, where
            all samples carry it.
        max_score_tokens: Mode `select` only: the log-probability of a longer answer is scaled to so many
            tokens, so that an expression does not lose to a number by its length.
        blind_score_weight: As `score_weight`, for sets whose samples do not all carry log-probabilities; by
            default the same.
        blind_vote_weight: As `vote_weight`, for these.
        skip_unanimous: Take the answer of sets whose samples all give one without asking; `select` always
            does, having no choice.
        seed: Seed of the orders, of the replies and of ties.
    """

    name: ClassVar[str] = "llm_aggregator"
    backend: Backend
    mode: Mode = "think"
    permutations: int = 1
    max_prompt_tokens: int | None = None
    keep_end_tokens: int | None = None
    max_tokens: int | None = None
    temperature: float = 0.0
    fold: bool = False
    score_weight: float = 1.0
    vote_weight: float = 0.0
    confidence_weight: float = 0.0
    max_score_tokens: int | None = None
    blind_score_weight: float | None = None
    blind_vote_weight: float | None = None
    skip_unanimous: bool = False
    seed: int = 0
    show: Part | None = None
    drop_end_tokens: int | None = None

    def __post_init__(self) -> None:
        for field in ("permutations", "max_tokens", "keep_end_tokens", "drop_end_tokens", "max_score_tokens"):
            value: int | None = getattr(self, field)
            if value is not None and value < 1:
                raise InvalidArgumentError(f"{field}={value!r} must be at least 1.")
        if self.mode == "select" and not can_score(self.backend):
            raise UnsupportedByBackendError(
                f"Mode 'select' needs log-probabilities of given texts, which the backend of "
                f"{self.backend.model!r} does not give. Use mode=direct, a local model, or one behind vLLM."
            )

    @property
    def multiples(self) -> str:
        """What a candidate's score is made with in mode `select`, as far as it is no default."""
        if self.mode != "select":
            return ""
        values = {option.name: (getattr(self, option.name), option.default) for option in fields(self)}
        return ",".join(
            f"{name}={values[name][0]:g}" for name in _MULTIPLES if values[name][0] != values[name][1]
        )

    @property
    def writing(self) -> Writing | None:
        """The thought; of several orders' thoughts none is surely shown."""
        return Writing("thought", 0 if self.permutations == 1 else None) if self.mode == "think" else None

    async def aggregate(self, sample_set: SampleSet) -> Answer:
        """The model's answer to the question of this set."""
        counted = await tally(sample_set)
        single = len(counted.candidates) < 2
        if single and (self.mode == "select" or (self.skip_unanimous and counted.candidates)):
            vote = vote_answer(sample_set, self.name, counted, (), self.seed)
            return replace(vote, confidence=1.0 if self.mode == "select" and counted.candidates else None)
        if not shown_order(sample_set, self.seed, 0):
            return vote_answer(sample_set, self.name, counted, (), self.seed)
        prompts = [
            await self._messages(sample_set, counted, permutation) for permutation in range(self.permutations)
        ]
        if self.mode == "select":
            return await self._select(sample_set, counted, prompts)
        return await self._write(sample_set, counted, prompts)

    async def _select(
        self, sample_set: SampleSet, counted: Tally, prompts: Sequence[Sequence[Message]]
    ) -> Answer:
        assert can_score(self.backend)
        texts = [candidate.answer + ANSWER_CLOSE for candidate in counted.candidates]
        score_weight, prior = self._weighed(sample_set, counted.candidates)
        mean = [0.0] * len(texts)
        usage = Usage()
        if score_weight == 0:
            prompts, mean = (), softmax(prior)
        for messages in prompts:
            scores = await self.backend.score(messages, texts)
            logits = [
                score_weight * score.logprob_of(self.max_score_tokens) + bonus
                for score, bonus in zip(scores, prior, strict=True)
            ]
            mean = [before + now / len(prompts) for before, now in zip(mean, softmax(logits), strict=True)]
            usage += Usage(scores[0].prompt_tokens, sum(score.tokens for score in scores), calls=1)
        decision = decide(counted.candidates, mean, "seeded", self.seed, sample_set.id, counted.answers)
        assert decision is not None  # two candidates at least
        return Answer(
            id=sample_set.id,
            aggregator=self.name,
            answer=decision.winner.answer,
            text=sample_set.samples[decision.winner.indices[0]].text,
            confidence=mean[counted.candidates.index(decision.winner)],
            candidates=tuple(
                replace(candidate, probability=probability)
                for candidate, probability in zip(counted.candidates, mean, strict=True)
            ),
            usage=usage,
            flags=counted.notes,
        )

    async def _write(
        self, sample_set: SampleSet, counted: Tally, prompts: Sequence[Sequence[Message]]
    ) -> Answer:
        prefilled = opening_of(prompts[0])
        params = SamplingParams(
            temperature=self.temperature, max_tokens=self._reply_tokens, stop=(ANSWER_CLOSE,)
        )
        replies: list[Generation] = []
        for number, messages in enumerate(prompts):
            seed = first_seed(messages, self.seed + number)
            replies += await self.backend.generate(messages, params, [seed])
        read = [read_reply(sample_set.question, prefilled + reply.text) for reply in replies]
        answers = [reply_answer.text if reply_answer else None for reply_answer in read]
        grouping = await grouped(sample_set.question, answers)
        flags = [*counted.notes]
        if any(reply_answer is None for reply_answer in read):
            flags.append("unreadable_reply")
        if any(reply_answer is not None and reply_answer.rule != "answer_tag" for reply_answer in read):
            flags.append("untagged_answer")
        if not grouping.groups:
            reply_flags = [flag for flag in flags if flag not in counted.notes]
            fallen = vote_answer(sample_set, self.name, counted, (*reply_flags, "fallback_vote"), self.seed)
            return replace(fallen, text=replies[0].text, usage=usage_of(replies))
        orders = [Candidate(group.answer, len(group.indices), group.indices) for group in grouping.groups]
        votes = [float(candidate.votes) for candidate in orders]
        decision = decide(orders, votes, "seeded", self.seed, sample_set.id, answers)
        assert decision is not None  # at least one group
        winner = decision.winner
        known = [candidate.answer for candidate in counted.candidates]
        if len((await grouped(sample_set.question, [*known, winner.answer])).groups) > len(known):
            flags.append("new_answer")
        return Answer(
            id=sample_set.id,
            aggregator=self.name,
            answer=winner.answer,
            text=prefilled + replies[winner.indices[0]].text,
            confidence=winner.votes / self.permutations if self.permutations > 1 else None,
            candidates=counted.candidates,
            usage=usage_of(replies),
            flags=tuple(flags),
        )

    async def _messages(self, sample_set: SampleSet, counted: Tally, permutation: int) -> list[Message]:
        """The prompt for one order of the samples."""
        order = shown_order(sample_set, self.seed, permutation)
        if self.fold and counted.candidates:
            firsts = {candidate.indices[0]: candidate for candidate in counted.candidates}
            responses = [
                Shown(sample_set.samples[index].text, firsts[index].votes)
                for index in order
                if index in firsts
            ]
        else:
            responses = [Shown(sample_set.samples[index].text) for index in order]
        question = sample_set.question
        responses = await cut_down(
            responses,
            question,
            self.backend,
            part=self.show,
            drop_end_tokens=self.drop_end_tokens,
            keep_end_tokens=self.keep_end_tokens,
        )
        budget = prompt_budget(self.backend, self.max_prompt_tokens, self._reply_tokens)
        return await aggregation_messages(sample_set.question, responses, self.mode, self.backend, budget)

    def _weighed(self, sample_set: SampleSet, candidates: Sequence[Candidate]) -> tuple[float, list[float]]:
        """The multiple of a candidate's log-probability, and each candidate's addend to it."""
        confidences = candidate_confidences(sample_set, candidates)
        score_weight, vote_weight = self.score_weight, self.vote_weight
        if confidences is None:
            score_weight = score_weight if self.blind_score_weight is None else self.blind_score_weight
            vote_weight = vote_weight if self.blind_vote_weight is None else self.blind_vote_weight
        known = confidences or [0.0] * len(candidates)
        return score_weight, [
            vote_weight * math.log(candidate.votes) + self.confidence_weight * confidence
            for candidate, confidence in zip(candidates, known, strict=True)
        ]

    @property
    def _reply_tokens(self) -> int:
        if self.max_tokens is not None:
            return self.max_tokens
        return 512 if self.mode == "think" else 64


def candidate_confidences(sample_set: SampleSet, candidates: Sequence[Candidate]) -> list[float] | None:
    """Mean over each candidate's samples of their mean token log-probability; `None` where any lacks it."""
    by_candidate = [
        [sample_set.samples[index].logprobs for index in candidate.indices] for candidate in candidates
    ]
    if any(logprobs is None for group in by_candidate for logprobs in group):
        return None
    return [fmean(logprobs.mean for logprobs in group if logprobs is not None) for group in by_candidate]


def softmax(logits: Sequence[float]) -> list[float]:
    """Probabilities in proportion to exp(logit)."""
    highest = max(logits)
    weights = [math.exp(logit - highest) for logit in logits]
    return [weight / sum(weights) for weight in weights]
