"""How long samples are: those that run on are often lost."""

from __future__ import annotations

import math

from sampleset.vote_features.base import VOTE_FEATURES, Columns, CountedSet


class Length:
    """Logarithm of a sample's characters, and of its lines that are not blank."""

    def columns(self, counted: CountedSet) -> Columns:
        """Of the whole text, whatever its length."""
        samples = counted.sample_set.samples
        lines = [sum(not line.isspace() for line in text.split("\n") if line) for text in counted.texts]
        return {
            "characters": [math.log1p(len(sample.text)) for sample in samples],
            "lines": [math.log1p(count) for count in lines],
        }


VOTE_FEATURES.register("length")(Length())
