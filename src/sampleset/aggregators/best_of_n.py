"""Best of N: the sample that scores highest (Cobbe et al. 2021, arXiv 2110.14168).

The scores come with the samples (a reward model's, or their own token log-probabilities), or a reward model
is asked.

Departure: a sample without an answer cannot win, and where none has a score the vote decides.

Cost with n samples: no call; with a reward model n scores (docs/reference/reward-models.md), of
which process and outcome models read n prompts of Q + L tokens, with Q those of the question and L those of a
sample.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from sampleset.aggregators._scores import require_one_source, scores_of
from sampleset.aggregators.base import AGGREGATORS, tally, vote_answer
from sampleset.reward_models.base import Reduction, RewardModel
from sampleset.types import Answer, SampleSet


@AGGREGATORS.register("best_of_n")
@dataclass(frozen=True)
class BestOfN:
    """Return the answer of the sample that scores highest; ties go to the earliest.

    Samples without an answer or without a score cannot win. Where none is left the majority vote answers,
    flagged `fallback_vote`.

    Attributes:
        by: `confidence` (mean token log-probability), `window` (its lowest window), `bottom` (mean of the
            lowest tenth of the windows), `tail` (that of the last tokens), or the name of a score that the
            samples carry, such as `rm_scores`.
        seed: Seed for ties of the fallback vote.
        reward_model: Who scores the samples, if they do not carry their scores.
        steps: How a process model's scores of a sample's steps become one.
    """

    name: ClassVar[str] = "best_of_n"
    by: str = "confidence"
    seed: int = 0
    reward_model: RewardModel | None = None
    steps: Reduction = "last"

    def __post_init__(self) -> None:
        require_one_source(self.by, self.reward_model)

    async def aggregate(self, sample_set: SampleSet) -> Answer:
        """The best sample's answer.

        Raises:
            InvalidArgumentError: A score is not finite.
            BackendError: The reward model cannot be asked.
        """
        counted = await tally(sample_set)
        scores = await scores_of(sample_set, self.by, self.reward_model, self.steps)
        scored = [
            (score, index)
            for index, score in enumerate(scores.values)
            if counted.answers[index] is not None and score is not None
        ]
        if not scored:
            flags = (*scores.flags, "no_scores", "fallback_vote")
            fallen = vote_answer(sample_set, self.name, counted, flags, self.seed)
            return replace(fallen, usage=scores.usage)
        _, best = max(scored, key=lambda pair: (pair[0], -pair[1]))
        return Answer(
            id=sample_set.id,
            aggregator=self.name,
            answer=counted.answers[best],
            text=sample_set.samples[best].text,
            candidates=counted.candidates,
            usage=scores.usage,
            flags=(*counted.notes, *scores.flags),
        )
