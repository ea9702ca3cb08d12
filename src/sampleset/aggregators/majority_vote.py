"""Majority vote, or self-consistency (Wang et al. 2022, arXiv 2203.11171).

Departure: votes are counted over classes of mathematically equal answers, not over strings, so that 1/2
and 0.5 do not split their votes. The answer is the one most samples give, a majority or not.

Cost with n samples: 0 calls, 0 tokens; with answers of the kind `judge`, at most n·C calls for C classes
(docs/reference/answers.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sampleset.aggregators.base import AGGREGATORS, Decision, Tally, Ties, decide, place_of, tally
from sampleset.types import Answer, SampleSet


@AGGREGATORS.register("majority_vote")
@dataclass(frozen=True)
class MajorityVote:
    """Return the answer most samples give; samples without an answer never vote.

    The confidence is the winner's share of all samples drawn, those without an answer included.

    Attributes:
        ties: `seeded` draws one of the tied answers by the seed and the question's id, whatever the order
            of the samples; `first` takes the answer that appears first.
        seed: Seed of that draw.
    """

    name: ClassVar[str] = "majority_vote"
    ties: Ties = "seeded"
    seed: int = 0

    async def aggregate(self, sample_set: SampleSet) -> Answer:
        """The answer with the most votes; abstains where no sample states one."""
        counted = await tally(sample_set)
        decision = self.decide(counted, sample_set.id)
        if decision is None:
            return Answer(sample_set.id, self.name, None, flags=(*counted.notes, "no_answers"))
        return Answer(
            id=sample_set.id,
            aggregator=self.name,
            answer=decision.winner.answer,
            text=sample_set.samples[place_of(decision.winner, counted)].text,
            confidence=decision.winner.votes / sample_set.n,
            candidates=counted.candidates,
            flags=(*counted.notes, *(["tie"] if decision.tied else [])),
        )

    def decide(self, counted: Tally, question_id: str) -> Decision | None:
        """The candidate with the most votes, `None` if there is no candidate."""
        votes = [float(candidate.votes) for candidate in counted.candidates]
        return decide(counted.candidates, votes, self.ties, self.seed, question_id, counted.answers)
