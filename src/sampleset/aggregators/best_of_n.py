"""Best of N: the sample that scores highest (Cobbe et al. 2021, arXiv 2110.14168). Cost: no call.

The scores are given with the samples: a reward model's, or their own token log-probabilities.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sampleset.aggregators.base import AGGREGATORS, tally, vote_answer
from sampleset.aggregators.weighted_vote import sample_score
from sampleset.types import Answer, SampleSet


@AGGREGATORS.register("best_of_n")
@dataclass(frozen=True)
class BestOfN:
    """Return the answer of the sample that scores highest; ties go to the earliest.

    Samples without an answer or without a score cannot win. Where none is left the majority vote answers,
    flagged `fallback_vote`.

    Attributes:
        by: `confidence` (mean token log-probability), `window` (its lowest window), or the name of a score
            that the samples carry, such as `rm_scores`.
        seed: Seed for ties of the fallback vote.
    """

    name: ClassVar[str] = "best_of_n"
    by: str = "confidence"
    seed: int = 0

    async def aggregate(self, sample_set: SampleSet) -> Answer:
        """The best sample's answer."""
        counted = await tally(sample_set)
        scored = [
            (score, place)
            for place, sample in enumerate(sample_set.samples)
            if counted.answers[place] is not None and (score := sample_score(sample, self.by)) is not None
        ]
        if not scored:
            return vote_answer(sample_set, self.name, counted, ("no_scores", "fallback_vote"), self.seed)
        _, best = max(scored, key=lambda pair: (pair[0], -pair[1]))
        return Answer(
            id=sample_set.id,
            aggregator=self.name,
            answer=counted.answers[best],
            text=sample_set.samples[best].text,
            candidates=counted.candidates,
            flags=counted.notes,
        )
