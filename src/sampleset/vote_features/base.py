"""A sample set → numbers per sample: the interface of the features that a learned vote weighs.

One file per group of features; its name is the module's name. A group sees the same as an aggregator: the
question, the samples, their answers. A number that a record does not hold is `None`; a group that does not
apply to a set (numbers of the question, where answers are letters) returns no columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sampleset.registry import Registry
from sampleset.types import Candidate, SampleSet

MOST_READ = 20_000
"""Characters of a sample that features read, its last ones."""

MEMBER = "member:"
"""Prefix of the names of features that stand for a model of a pool."""

RECORDED = ("logprobs", "scores")
"""Groups whose numbers come with the samples, if they were recorded when the samples were drawn or scored."""

QUESTION = "question_"
"""Prefix of the names of features that are the same for all samples of a set."""

Columns = Mapping[str, Sequence[float | None]]
"""One number per sample, by the name of the feature."""


@dataclass(frozen=True, slots=True)
class CountedSet:
    """A sample set whose answers are read and grouped.

    Attributes:
        sample_set: The set, without gold.
        answers: One per sample; `None` where a sample failed or states none.
        candidates: Classes of equal answers.
    """

    sample_set: SampleSet
    answers: Sequence[str | None]
    candidates: Sequence[Candidate]

    @property
    def texts(self) -> list[str]:
        """The end of each sample's text."""
        return [sample.text[-MOST_READ:] for sample in self.sample_set.samples]


class VoteFeatures(Protocol):
    """A group of features that are read together."""

    def columns(self, counted: CountedSet) -> Columns:
        """The features of every sample of a set, `None` where the record does not hold one."""
        ...


VOTE_FEATURES: Registry[VoteFeatures] = Registry("vote feature", "sampleset.vote_features")
