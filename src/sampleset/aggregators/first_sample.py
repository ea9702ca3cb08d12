"""The first sample, without any aggregation: pass@1 in the papers (Chen et al. 2021, arXiv 2107.03374).

Departure: pass@1 is a mean over all samples, which the report states apart; this is one draw.

Cost with n samples: 0 calls, 0 tokens; n - 1 samples are drawn for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sampleset.aggregators.base import AGGREGATORS, tally, vote_answer
from sampleset.types import Answer, SampleSet


@AGGREGATORS.register("first_sample")
@dataclass(frozen=True)
class FirstSample:
    """Return the answer of the first sample; abstain if it states none, or if there is no sample."""

    name: ClassVar[str] = "first_sample"

    async def aggregate(self, sample_set: SampleSet) -> Answer:
        """The first sample's answer."""
        counted = await tally(sample_set)
        if not sample_set.samples:
            return vote_answer(sample_set, self.name, counted, (), 0)
        return Answer(
            id=sample_set.id,
            aggregator=self.name,
            answer=counted.answers[0],
            text=sample_set.samples[0].text,
            candidates=counted.candidates,
            flags=counted.notes,
        )
