"""Generative self-aggregation (Li et al. 2025, arXiv 2503.04104): a model reads the samples and writes a new
solution, from which the answer is read. It names no sample and counts nothing, so it works open-ended.

Departures: the samples are shown in an order permuted by the seed and defused of text that imitates the
prompt; P solutions may be written, each from another order, and voted on; prompts are our own words.

Cost with a question of Q tokens, n samples of L tokens and P permutations: P calls, each of a prompt of about
100 + Q + n·L tokens (less where samples are cut) and up to `max_tokens` of reply.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sampleset.aggregators._fusion import Fuser, concluded, require_positive
from sampleset.aggregators.base import AGGREGATORS, Writing, shown_order, tally, vote_answer
from sampleset.aggregators.majority_vote import MajorityVote
from sampleset.models.together import gathered
from sampleset.prompts import Shown
from sampleset.types import Answer, Sample, SampleSet


@AGGREGATORS.register("generative_self_aggregation")
@dataclass(frozen=True)
class GenerativeSelfAggregation(Fuser):
    """Return the answer of a new solution that a model writes after it has read all samples.

    Of P solutions the vote decides, and the confidence is the share that gives the answer. Where none states
    an answer the majority vote of the samples answers, flagged `fallback_vote`.

    Attributes:
        temperature: 0 by default: the orders make the solutions differ.
        permutations: P, how many orders of the samples are read; one solution is written from each.
    """

    name: ClassVar[str] = "generative_self_aggregation"
    temperature: float = 0.0
    permutations: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "permutations")

    @property
    def writing(self) -> Writing | None:
        """The only solution."""
        return Writing("solution", 0 if self.permutations == 1 else None)

    async def aggregate(self, sample_set: SampleSet) -> Answer:
        """The answer of the new solution."""
        counted = await tally(sample_set)
        if not shown_order(sample_set, self.seed, 0) or (
            self.skip_unanimous and len(counted.candidates) == 1
        ):
            return vote_answer(sample_set, self.name, counted, (), self.seed)

        async def written(number: int) -> Sample:
            order = shown_order(sample_set, self.seed, number)
            solutions = [Shown(sample_set.samples[index].text) for index in order]
            return await self.write(sample_set.question, solutions, number)

        samples = await gathered(written(number) for number in range(self.permutations))
        last = SampleSet(sample_set.question, tuple(samples))
        vote = MajorityVote(seed=self.seed)
        return await concluded(self.name, sample_set, counted, last, vote, last.usage, self.seed)
