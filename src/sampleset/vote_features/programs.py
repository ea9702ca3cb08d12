"""The programs that samples write and nobody ran: whether they come to the answers that are stated."""

from __future__ import annotations

from sampleset.answers.code.calculated import NUMERIC_KINDS, printed_number, states
from sampleset.vote_features.base import VOTE_FEATURES, Columns, CountedSet


class Programs:
    """Whether a sample's program comes to its answer, to another, or cannot be followed; and the share of the
    set's samples whose program comes to its answer.
    """

    def columns(self, counted: CountedSet) -> Columns:
        """0 where there is no program; no columns where answers are not numbers."""
        if counted.sample_set.question.answer_kind.partition(":")[0] not in NUMERIC_KINDS:
            return {}
        printed = [printed_number(text) for text in counted.texts]
        own = [
            None if value is None or answer is None else states(answer, value)
            for value, answer in zip(printed, counted.answers, strict=True)
        ]
        return {
            "program_right": [float(verdict is True) for verdict in own],
            "program_wrong": [float(verdict is False) for verdict in own],
            "program_unclear": [
                float(value is None and "```python" in text)
                for value, text in zip(printed, counted.texts, strict=True)
            ],
            "programs_for": [
                sum(value is not None and states(answer, value) is True for value in printed) / len(printed)
                if answer is not None
                else 0.0
                for answer in counted.answers
            ],
        }


VOTE_FEATURES.register("programs")(Programs())
