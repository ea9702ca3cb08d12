"""The form of the question. It is the same for all samples of a set, so that no candidate gains by it; it
shows a fitted vote that a question is unlike those it was fitted on.
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
            "question_digits": sum(character.isdigit() for character in text),
            "question_signs": sum(not character.isalnum() and not character.isspace() for character in text),
        }
        return {name: [math.log1p(count)] * counted.sample_set.n for name, count in counts.items()}


VOTE_FEATURES.register("question")(QuestionForm())
