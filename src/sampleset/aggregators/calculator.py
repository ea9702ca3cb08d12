"""A sample that states another number than its program would print, or than its last sum comes to, counts
for the number that is calculated. After program-aided language models (PAL, Gao et al. 2022,
arXiv 2211.10435), where an interpreter runs the programs that a model writes, and the calculator of Cobbe
et al. 2021 (arXiv 2110.14168).

Models that learned from transcripts of a tool write a program, invent its output, and state what they
invented. Departures: samples are not asked for programs, nor for marks of a calculator; they are corrected
after they were drawn, and none is executed (`sampleset.answers.code.calculated` says what is followed).

Cost: the calls of `inner`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

from sampleset.aggregators.base import AGGREGATORS, Aggregator, Writing, answers_of, writing_of
from sampleset.aggregators.majority_vote import MajorityVote
from sampleset.answers import choices_of
from sampleset.answers.code.calculated import NUMERIC_KINDS, calculated_answer
from sampleset.types import Answer, SampleSet

CALCULATED = "calculated"
"""Flag of answers to sets in which a sample counts for what it calculates instead of what it states."""


@AGGREGATORS.register("calculator")
@dataclass(frozen=True)
class Calculator:
    """Return another aggregator's answer to the samples, after each was told what its calculation comes to.

    Answers to sets in which that changed a sample are flagged `calculated`. They may be none that a sample
    states.

    Attributes:
        inner: The other aggregator.
    """

    name: ClassVar[str] = "calculator"
    inner: Aggregator = field(default_factory=MajorityVote)

    @property
    def writing(self) -> Writing | None:
        """The words of `inner`."""
        return writing_of(self.inner)

    async def aggregate(self, sample_set: SampleSet) -> Answer:
        """The other's answer."""
        told = calculated(sample_set)
        answer = replace(await self.inner.aggregate(told), aggregator=self.name)
        return answer if told is sample_set else replace(answer, flags=(*answer.flags, CALCULATED))


def calculated(sample_set: SampleSet) -> SampleSet:
    """The set in which a sample that states another number than it calculates, or none, ends with that.

    The same set where there is no such sample, and where answers are not numbers or are options.
    """
    question = sample_set.question
    if question.answer_kind.partition(":")[0] not in NUMERIC_KINDS or choices_of(question) is not None:
        return sample_set
    answers = [
        None if sample.failed else calculated_answer(sample.text, stated)
        for sample, stated in zip(sample_set.samples, answers_of(sample_set), strict=True)
    ]
    if not any(answers):
        return sample_set
    samples = tuple(
        sample if answer is None
        else replace(sample, text=f"{sample.text}\n\nThis comes to <answer>{answer}</answer>")
        for sample, answer in zip(sample_set.samples, answers, strict=True)
    )  # fmt: skip
    return replace(sample_set, samples=samples)
