"""How a sample and its answer are written: marks of a habit, a style or a prompt."""

from __future__ import annotations

import math

from sampleset.answers import choices_of, kind_of
from sampleset.vote_features.base import VOTE_FEATURES, Columns, CountedSet

_WEAK = ("last_result", "last_number", "last_choice", "yes_no")


class Form:
    """Code blocks, a box, an answer read without any marker, a cut-off end; the answer's length and signs."""

    def columns(self, counted: CountedSet) -> Columns:
        """1 or 0 each, but for `answer_length`."""
        question, samples = counted.sample_set.question, counted.sample_set.samples
        kind, choices = kind_of(question), choices_of(question)
        marked: list[float] = []
        for sample, answer in zip(samples, counted.answers, strict=True):
            read = None if answer is None else kind.read(sample.text, choices, sample.truncated)
            marked.append(float(read is not None and read.rule not in _WEAK))
        answers = [answer or "" for answer in counted.answers]
        texts = counted.texts
        return {
            "code_block": [float("```" in text) for text in texts],
            "boxed": [float("\\boxed" in text) for text in texts],
            "marked": marked,
            "cut_off": [float(sample.truncated) for sample in samples],
            "answer_length": [math.log1p(len(answer)) for answer in answers],
            "answer_decimal": [float("." in answer.strip(".")) for answer in answers],
            "answer_negative": [float(answer.lstrip("$ ").startswith(("-", "−"))) for answer in answers],
        }


VOTE_FEATURES.register("form")(Form())
