"""Recursive self-aggregation (Venkatraman et al. 2025, RSA, arXiv 2509.26626): a population of solutions; in
each round every member is replaced by a solution that a model writes after reading K random members.

Departures: the samples are the first population, whatever their number; the rounds may end when all members
agree; after the last round the vote decides, or any other aggregator.

Cost with a population of N, subsets of K, T rounds, a question of Q tokens and solutions of L: T·N calls,
each of a prompt of about 100 + Q + K·L tokens and up to `max_tokens` of reply, and what `final` costs on N
solutions.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from sampleset.aggregators._fusion import Fuser, concluded, require_positive
from sampleset.aggregators.base import AGGREGATORS, Aggregator, tally, vote_answer
from sampleset.aggregators.majority_vote import MajorityVote
from sampleset.models.together import gathered
from sampleset.prompts import Shown
from sampleset.types import Answer, Sample, SampleSet, Usage


@AGGREGATORS.register("recursive")
@dataclass(frozen=True)
class Recursive(Fuser):
    """Return the answer of a population of solutions that were fused in random subsets, round after round.

    Where no answer comes of it the majority vote of the samples answers, flagged `fallback_vote`.

    Attributes:
        population: N, solutions written in each round; by default as many as there are samples.
        subset: K, how many members each of them is made of; all members where there are fewer.
        rounds: T.
        final: What makes the answer of the last population; by default the majority vote.
        skip_unanimous: Stop before a round where all members that state an answer state the same one.
    """

    name: ClassVar[str] = "recursive"
    population: int | None = None
    subset: int = 4
    rounds: int = 3
    final: Aggregator | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "population", "subset", "rounds")

    async def aggregate(self, sample_set: SampleSet) -> Answer:
        """The answer of the last population."""
        counted = await tally(sample_set)
        first = [sample for sample in sample_set.samples if not sample.failed]
        if not first or (self.skip_unanimous and len(counted.candidates) == 1):
            return vote_answer(sample_set, self.name, counted, (), self.seed)
        last = SampleSet(sample_set.question, tuple(first))
        usage = Usage()
        for number in range(self.rounds):
            if number and self.skip_unanimous and len((await tally(last)).candidates) == 1:
                break
            size = self.population or len(first)
            members = await gathered(
                self._member(sample_set, last.samples, index)
                for index in range(number * size, (number + 1) * size)
            )
            last = SampleSet(sample_set.question, tuple(members))
            usage += last.usage
        final = self.final or MajorityVote(seed=self.seed)
        return await concluded(self.name, sample_set, counted, last, final, usage, self.seed)

    async def _member(self, sample_set: SampleSet, members: Sequence[Sample], index: int) -> Sample:
        draw = random.Random(f"{self.seed}:{index}:{sample_set.id}")
        chosen = draw.sample(members, min(self.subset, len(members)))
        return await self.write(sample_set.question, [Shown(sample.text) for sample in chosen], index)
