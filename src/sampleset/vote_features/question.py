"""What the question looks like. It is the same for all samples of a set, so that no candidate gains by it; a
fitted vote knows by it when it is asked something else than it was fitted on.
"""

from __future__ import annotations

import math

from sampleset.vote_features.base import VOTE_FEATURES, Columns, CountedSet


class QuestionForm:
    """Logarithms of the question's characters, lines, digits and signs."""

    def columns(self, counted: CountedSet) -> Columns:
        """The same number for every sample."""
        text = counted.sample_set.question.text
        counts = {
            "question_characters": len(text),
            "question_lines": text.count("\n") + 1,
            "question_digits": sum(one.isdigit() for one in text),
            "question_signs": sum(not one.isalnum() and not one.isspace() for one in text),
        }
        return {name: [math.log1p(count)] * counted.sample_set.n for name, count in counts.items()}


VOTE_FEATURES.register("question")(QuestionForm())
