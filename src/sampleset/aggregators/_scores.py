"""The numbers by which samples are ranked or weighed: recorded ones, or a reward model's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sampleset.errors import InvalidArgumentError
from sampleset.reward_models.base import Reduction, RewardModel, reduced
from sampleset.types import LOGPROBS, Sample, SampleSet, Usage


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of the samples of a set.

    Attributes:
        values: One per sample; `None` where there is none.
        usage: Tokens of the reward model.
        flags: Why some sample has no score. Of a reward model: `reward_too_long`, `reward_unreadable`,
            `reward_empty`, `reward_refused`. Of recorded ones: `tail_not_recorded` or `bottom_not_recorded`,
            where the log-probabilities were summed up before that was kept.
    """

    values: list[float | None]
    usage: Usage = field(default_factory=Usage)
    flags: tuple[str, ...] = ()


async def scores_of(
    sample_set: SampleSet, by: str, reward_model: RewardModel | None, steps: Reduction
) -> Scores:
    """The scores of all samples, recorded under a name or given by a reward model. Failed ones have none.

    Raises:
        InvalidArgumentError: A score is not finite.
        BackendError: The reward model cannot be asked.
    """
    samples = sample_set.samples
    if reward_model is None:
        values = [sample_score(sample, by, steps) for sample in samples]
        _require_finite(values, repr(by), sample_set.id)
        older = by in LOGPROBS and any(
            value is None and sample.logprobs for value, sample in zip(values, samples, strict=True)
        )
        return Scores(values, flags=(f"{by}_not_recorded",) if older else ())
    texts = list(dict.fromkeys(sample.text for sample in samples if not sample.failed))
    scores = await reward_model.score(sample_set.question, texts) if texts else []
    by_text = {text: reduced(score, steps) for text, score in zip(texts, scores, strict=True)}
    _require_finite(by_text.values(), f"of {reward_model.model!r}", sample_set.id)
    flags = dict.fromkeys(f"reward_{score.flag}" for score in scores if score.flag)
    return Scores(
        [None if sample.failed else by_text[sample.text] for sample in samples],
        sum((score.usage for score in scores), Usage()),
        tuple(flags),
    )


def _require_finite(values: Iterable[float | None], source: str, question_id: str) -> None:
    for value in values:
        if value is not None and not math.isfinite(value):
            raise InvalidArgumentError(
                f"Score {source} of a sample of question {question_id!r} is {value!r}; it must be finite. "
                "Leave it out: a sample may lack its score."
            )


def sample_score(sample: Sample, by: str, steps: Reduction = "last") -> float | None:
    """A sample's recorded score of that name: one of `LOGPROBS`, or a score that it carries.

    Args:
        sample: The sample.
        by: The name.
        steps: How the scores of its steps become one, where they were recorded.
    """
    if by in LOGPROBS:
        return None if sample.logprobs is None else getattr(sample.logprobs, LOGPROBS[by])
    score = sample.scores.get(by)
    return score if steps == "last" else sample.scores.get(f"{by}.{steps}", score)


def kept_places(values: Sequence[float | None], indices: Sequence[int], share: float) -> set[int]:
    """The indices of the best share, rounded up, of those that have a score; the earlier of equals.

    All indices where none has a score.
    """
    scored = [(value, index) for index in indices if (value := values[index]) is not None]
    if not scored:
        return set(indices)
    # The rounding of a product must not keep one more: 0.1 of 30 is 3.
    count = max(1, math.ceil(share * len(indices) - 1e-9))
    best = sorted(scored, key=lambda pair: (-pair[0], pair[1]))
    return {index for _, index in best[:count]}


def require_one_source(by: str, reward_model: RewardModel | None) -> None:
    """Refuse recorded scores beside a reward model.

    Raises:
        InvalidArgumentError: Both are named.
    """
    if reward_model is not None and by != "confidence":
        raise InvalidArgumentError(
            f"by={by!r} names recorded scores, and a reward model is given, too. Give one of them."
        )
