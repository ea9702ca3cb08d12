"""A guard against a planted sample, and against a reader's whims: another aggregator's answer is taken only
if enough samples give it. Ours; no paper.

Defusing a sample's text stops it from posing as a part of the prompt, not from persuading the model that
reads it. What one sample's persuasion can do is bounded here by votes: with `votes=2` an answer that it alone
gives is never the model's choice. The price: an answer that one sample alone has found, or that the
aggregator has found by itself, is lost.

Cost: the calls and tokens of `inner`, whether its answer is taken or not.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

from sampleset.aggregators._fusion import require_positive
from sampleset.aggregators.base import AGGREGATORS, Aggregator, grouped, tally, vote_answer
from sampleset.aggregators.majority_vote import MajorityVote
from sampleset.types import Answer, SampleSet


@AGGREGATORS.register("guarded")
@dataclass(frozen=True)
class Guarded:
    """Return another aggregator's answer where enough samples give it, else the majority vote.

    The vote is flagged `guarded` where it replaces the answer, and decides also where no answer has as many
    votes, by the seed where it is tied.

    Attributes:
        inner: The other aggregator.
        votes: How many samples must give its answer.
        seed: Seed of ties in the vote.
    """

    name: ClassVar[str] = "guarded"
    inner: Aggregator = field(default_factory=MajorityVote)
    votes: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        require_positive(self, "votes")

    async def aggregate(self, sample_set: SampleSet) -> Answer:
        """The other's answer, or the vote's."""
        counted = await tally(sample_set)
        answer = replace(await self.inner.aggregate(sample_set), aggregator=self.name)
        if answer.answer is None:
            return answer
        known = [candidate.answer for candidate in counted.candidates]
        groups = (await grouped(sample_set.question, [answer.answer, *known])).groups
        equal = [index for group in groups if 0 in group.indices for index in group.indices if index > 0]
        if sum(counted.candidates[index - 1].votes for index in equal) >= self.votes:
            return answer
        vote = vote_answer(sample_set, self.name, counted, (), self.seed)
        flags = tuple(dict.fromkeys((*answer.flags, "guarded", *vote.flags)))
        return replace(vote, usage=answer.usage, flags=flags)
