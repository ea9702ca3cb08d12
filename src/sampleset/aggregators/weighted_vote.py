"""Weighted vote: by token confidence, by given scores, or by a reward model's.

The measures of DeepConf (Fu et al. 2025, arXiv 2508.15260) from the stored log-probabilities: `confidence` is
the mean over a sample's tokens, `window` the lowest mean over 32 consecutive tokens (lowest group), `bottom`
the mean of the lowest tenth of these (bottom-10 % groups), `tail` the mean of the last 32; `keep=0.1` lets
only the best tenth of the samples vote (top-10 % filter). A softmax of scores at a temperature is CISC
(Taubenfeld et al. 2025, arXiv 2502.06233), with `reward_model=p_true` its P(true). Weighted sums of a reward
model's scores per answer follow Li et al. 2022 (arXiv 2206.02336).

Departures: DeepConf takes groups of 2,048 tokens of much longer traces, and a token's confidence from its 20
likeliest alternatives; stored here is the drawn token's own log-probability, and a sample weighs its exp, the
inverse of a perplexity. CISC tunes the temperature on held-out questions; here it is an option.

Cost with n samples: no call; with a reward model n scores, n calls or none of them
(docs/reference/reward-models.md): with `p_true` n prompts of Q + L tokens, with Q those of the question and L
those of a sample.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from sampleset.aggregators._scores import kept_places, require_one_source, scores_of
from sampleset.aggregators.base import AGGREGATORS, Ties, decide, tally
from sampleset.errors import InvalidArgumentError
from sampleset.reward_models.base import Reduction, RewardModel
from sampleset.types import LOGPROBS, Answer, SampleSet


@AGGREGATORS.register("weighted_vote")
@dataclass(frozen=True)
class WeightedVote:
    """Return the answer whose samples weigh most together.

    Where no sample has a weight, or none that states an answer has one above 0, all weigh 1, flagged
    `no_weights`; where some lack one, they weigh as much as the mean of the others, flagged
    `weights_missing`; with `keep` they do not vote. The confidence is the winner's share of all weight.

    Attributes:
        by: `confidence` (mean token log-probability), `window` (its lowest window), `bottom` (mean of the
            lowest tenth of the windows), `tail` (that of the last tokens), or the name of a score that the
            samples carry, such as `rm_scores`.
        softmax: Weigh by exp(score), over the set's highest, instead of the score: for scores below 0.
        ties: As in `majority_vote`.
        seed: Seed of the draw among tied answers.
        keep: Share, in (0, 1], of the samples with an answer that vote, rounded up: the best ones.
        temperature: Divides the scores before a softmax.
        reward_model: Who scores the samples, if they do not carry their scores.
        steps: How a process model's scores of a sample's steps become one.
    """

    name: ClassVar[str] = "weighted_vote"
    by: str = "confidence"
    softmax: bool = False
    ties: Ties = "seeded"
    seed: int = 0
    keep: float | None = None
    temperature: float = 1.0
    reward_model: RewardModel | None = None
    steps: Reduction = "last"

    def __post_init__(self) -> None:
        require_one_source(self.by, self.reward_model)
        if self.keep is not None and not 0 < self.keep <= 1:
            raise InvalidArgumentError(f"keep={self.keep!r} must be above 0 and at most 1, as in keep=0.1.")
        if not (self.temperature > 0 and math.isfinite(self.temperature)):
            raise InvalidArgumentError(f"temperature={self.temperature!r} must be above 0.")
        if self.temperature != 1 and not self.softmax:
            raise InvalidArgumentError(
                f"temperature={self.temperature!r} is of the softmax: give softmax=true, too."
            )

    async def aggregate(self, sample_set: SampleSet) -> Answer:
        """The answer of the greatest weight; abstains where no sample states one.

        Raises:
            InvalidArgumentError: A score is negative or not finite.
            BackendError: The reward model cannot be asked.
        """
        counted = await tally(sample_set)
        scores = await scores_of(sample_set, self.by, self.reward_model, self.steps)
        answering = [index for index, answer in enumerate(counted.answers) if answer is not None]
        weights, notes = self._weights(scores.values, answering, sample_set.id)
        notes = (*counted.notes, *scores.flags, *notes)
        sums = [sum(weights[index] for index in candidate.indices) for candidate in counted.candidates]
        decision = decide(counted.candidates, sums, self.ties, self.seed, sample_set.id, counted.answers)
        if decision is None:
            flags = (*notes, "no_answers")
            return Answer(sample_set.id, self.name, None, usage=scores.usage, flags=flags)
        won = sum(weights[index] for index in decision.winner.indices)
        heaviest = max(decision.winner.indices, key=lambda index: weights[index])
        return Answer(
            id=sample_set.id,
            aggregator=self.name,
            answer=decision.winner.answer,
            text=sample_set.samples[heaviest].text,
            confidence=won / total if (total := sum(weights)) > 0 else None,
            candidates=counted.candidates,
            usage=scores.usage,
            flags=(*notes, *(["tie"] if decision.tied else [])),
        )

    def _weights(
        self, scores: Sequence[float | None], answering: Sequence[int], question_id: str
    ) -> tuple[list[float], tuple[str, ...]]:
        weights = self._weigh([score for score in scores if score is not None], question_id)
        if not weights:
            return [1.0] * len(scores), ("no_weights",)
        mean = sum(weights) / len(weights)
        rest = iter(weights)
        filled = [mean if score is None else next(rest) for score in scores]
        if self.keep is not None:
            best = kept_places(scores, answering, self.keep)
            filled = [weight if index in best else 0.0 for index, weight in enumerate(filled)]
        if answering and not any(filled[index] > 0 for index in answering):
            return [1.0] * len(scores), ("no_weights",)
        return filled, ("weights_missing",) if None in scores else ()

    def _weigh(self, scores: Sequence[float], question_id: str) -> list[float]:
        if self.reward_model is None and self.by in LOGPROBS and not self.softmax:
            return [math.exp(score) for score in scores]
        for score in scores:
            if score < 0 and not self.softmax:
                source = repr(self.by) if self.reward_model is None else f"of {self.reward_model.model!r}"
                raise InvalidArgumentError(
                    f"Score {source} of a sample of question {question_id!r} is {score!r}; a weight must "
                    "be at least 0. Use softmax=true, or best_of_n, which needs an order only."
                )
        if not self.softmax:
            return list(scores)
        return [math.exp((score - max(scores)) / self.temperature) for score in scores]
