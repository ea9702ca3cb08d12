"""Weighted vote: by token confidence or by given scores. Cost: no call.

By confidence, a sample weighs exp(mean token log-probability), the inverse of its perplexity; `window`
uses the lowest mean over 32 consecutive tokens instead (after Fu et al. 2025, DeepConf, arXiv
2508.15260, which takes groups of 2,048 tokens of much longer traces). Weighted sums of reward-model
scores per answer follow Li et al. 2022 (arXiv 2206.02336).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from sampleset.aggregators.base import AGGREGATORS, Ties, decide, tally
from sampleset.errors import InvalidArgumentError
from sampleset.types import Answer, Sample, SampleSet


@AGGREGATORS.register("weighted_vote")
@dataclass(frozen=True)
class WeightedVote:
    """Return the answer whose samples weigh most together.

    Where no sample has a weight all weigh 1, flagged `no_weights`; where some lack one, they weigh as much
    as the mean of the others, flagged `weights_missing`. The confidence is the winner's share of all weight.

    Attributes:
        by: `confidence` (mean token log-probability), `window` (its lowest window), or the name of a score
            that the samples carry, such as `rm_scores`.
        softmax: Weigh by exp(score), over the set's highest, instead of the score: for scores below 0.
        ties: As in `majority_vote`.
        seed: Seed of the draw among tied answers.
    """

    name: ClassVar[str] = "weighted_vote"
    by: str = "confidence"
    softmax: bool = False
    ties: Ties = "seeded"
    seed: int = 0

    async def aggregate(self, sample_set: SampleSet) -> Answer:
        """The answer of the greatest weight; abstains where no sample states one.

        Raises:
            InvalidArgumentError: A score is negative or not finite.
        """
        counted = await tally(sample_set)
        weights, notes = self._weights(sample_set)
        sums = [sum(weights[place] for place in one.indices) for one in counted.candidates]
        decision = decide(counted.candidates, sums, self.ties, self.seed, sample_set.id)
        if decision is None:
            return Answer(sample_set.id, self.name, None, flags=(*counted.notes, "no_answers"))
        won = sum(weights[place] for place in decision.winner.indices)
        heaviest = max(decision.winner.indices, key=lambda place: weights[place])
        return Answer(
            id=sample_set.id,
            aggregator=self.name,
            answer=decision.winner.answer,
            text=sample_set.samples[heaviest].text,
            confidence=won / total if (total := sum(weights)) > 0 else None,
            candidates=counted.candidates,
            flags=(*counted.notes, *notes, *(["tie"] if decision.tied else [])),
        )

    def _weights(self, sample_set: SampleSet) -> tuple[list[float], tuple[str, ...]]:
        known = [sample_score(sample, self.by) for sample in sample_set.samples]
        weights = self._weigh([score for score in known if score is not None], sample_set.id)
        if not weights:
            return [1.0] * sample_set.n, ("no_weights",)
        mean = sum(weights) / len(weights)
        rest = iter(weights)
        filled = [mean if score is None else next(rest) for score in known]
        return filled, ("weights_missing",) if None in known else ()

    def _weigh(self, scores: Sequence[float], question_id: str) -> list[float]:
        if self.by in ("confidence", "window"):
            return [math.exp(score) for score in scores]
        for score in scores:
            if not math.isfinite(score) or (score < 0 and not self.softmax):
                raise InvalidArgumentError(
                    f"Score {self.by!r} of a sample of question {question_id!r} is {score!r}; a weight must "
                    "be finite and at least 0. Use softmax=true, or best_of_n, which needs an order only."
                )
        return [math.exp(score - max(scores)) for score in scores] if self.softmax else list(scores)


def sample_score(sample: Sample, by: str) -> float | None:
    """A sample's score of that name: log-probabilities by `confidence` and `window`, else as given."""
    if by == "confidence":
        return sample.logprobs.mean if sample.logprobs else None
    if by == "window":
        return sample.logprobs.min_window if sample.logprobs else None
    return sample.scores.get(by)
