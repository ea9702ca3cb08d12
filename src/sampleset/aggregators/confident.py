"""A threshold on confidence: an answer that is not sure enough is withheld. Ours; no paper.

Labelled sets show the worth of a confidence: `sampleset evaluate` draws accuracy against the share that is
answered. Where the vote answers in the aggregator's place, its share of the answers is the confidence. Any
other answer without a confidence passes no threshold.

Cost: the calls of `inner`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from sampleset.aggregators.base import AGGREGATORS, Aggregator, Writing, writing_of
from sampleset.aggregators.majority_vote import MajorityVote
from sampleset.errors import InvalidArgumentError
from sampleset.risk.certificate import VOID
from sampleset.risk.escalation import STEP_FAILED
from sampleset.types import Answer, Candidate, SampleSet

MIN_CONFIDENCE = "min_confidence"
"""The option, which a spec may give to any aggregator."""
LOW_CONFIDENCE, NO_CONFIDENCE = "low_confidence", "no_confidence"
"""Flags of a withheld answer: its confidence is below the threshold, or it has none."""
WITHHELD = frozenset({LOW_CONFIDENCE, NO_CONFIDENCE, VOID, STEP_FAILED})
_BY_VOTE = frozenset(
    {"unanimous", "fallback_vote", "settled_by_vote", "cap_reached", "aggregator_failed", "guarded"}
)


@AGGREGATORS.register("confident")
@dataclass(frozen=True)
class Confident:
    """Return another aggregator's answer where its confidence is high enough, else abstain.

    A withheld answer is `None`, flagged `low_confidence` or, where the other states no confidence,
    `no_confidence`. Its confidence, candidates and text stay, so that the caller can decide what follows.

    Attributes:
        min_confidence: Least confidence of an answer that is given, in [0, 1].
        inner: The other aggregator.
    """

    name: ClassVar[str] = "confident"
    min_confidence: float = 0.5
    inner: Aggregator = field(default_factory=MajorityVote)

    def __post_init__(self) -> None:
        require_confidence(self.min_confidence)

    @property
    def writing(self) -> Writing | None:
        """The words of `inner`; none of them is surely shown."""
        writing = writing_of(self.inner)
        return None if writing is None else replace(writing, call=None)

    async def aggregate(self, sample_set: SampleSet) -> Answer:
        """The other's answer, or none."""
        return withheld_below(self.min_confidence, await self.inner.aggregate(sample_set))


def require_confidence(threshold: float) -> None:
    """Refuse a threshold that is no probability.

    Raises:
        InvalidArgumentError: It is none.
    """
    if not 0 <= threshold <= 1:
        raise InvalidArgumentError(f"min_confidence={threshold!r} must lie between 0 and 1, as in 0.8.")


def withheld_below(threshold: float, answer: Answer) -> Answer:
    """The answer, withheld if its confidence is below the threshold."""
    if answer.answer is None:
        return answer
    chosen = next((candidate for candidate in answer.candidates if candidate.answer == answer.answer), None)
    flag = doubt(threshold, answer.confidence, answer.candidates, chosen, answer.flags)
    return answer if flag is None else replace(answer, answer=None, flags=(*answer.flags, flag))


def stated_confidence(answer: Answer) -> float | None:
    """The confidence of an answer: its own or, where the vote answers, its share of the votes."""
    chosen = next((candidate for candidate in answer.candidates if candidate.answer == answer.answer), None)
    return _confidence(answer.confidence, answer.candidates, chosen, answer.flags)


def doubt(
    threshold: float,
    confidence: float | None,
    candidates: Sequence[Candidate],
    chosen: Candidate | None,
    flags: Sequence[str],
) -> str | None:
    """The flag under which an answer is withheld; `None` if it is sure enough.

    Args:
        threshold: Least confidence.
        confidence: That of the answer, if it has one.
        candidates: The distinct answers of the set.
        chosen: The one that was decided on, if it is one of them.
        flags: Those of the answer; they say whether it is the vote's.
    """
    confidence = _confidence(confidence, candidates, chosen, flags)
    if confidence is None:
        return NO_CONFIDENCE
    return LOW_CONFIDENCE if confidence < threshold else None


def _confidence(
    confidence: float | None, candidates: Sequence[Candidate], chosen: Candidate | None, flags: Sequence[str]
) -> float | None:
    if confidence is None and chosen is not None and _BY_VOTE & set(flags):
        return chosen.votes / sum(candidate.votes for candidate in candidates)
    return confidence
