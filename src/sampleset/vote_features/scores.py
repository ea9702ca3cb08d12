"""Scores that came with the samples, such as a reward model's; one feature per name."""

from __future__ import annotations

from sampleset.vote_features.base import VOTE_FEATURES, Columns, CountedSet


class Scores:
    """Each recorded score."""

    def columns(self, counted: CountedSet) -> Columns:
        """`None` where a sample lacks a score that another has."""
        samples = counted.sample_set.samples
        names = dict.fromkeys(name for sample in samples for name in sample.scores)
        return {f"score:{name}": [sample.scores.get(name) for sample in samples] for name in names}


VOTE_FEATURES.register("scores")(Scores())
