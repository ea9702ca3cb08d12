"""Two stages, for more samples than a model reads at once: the set is dealt into groups, each group is
aggregated, and so are the groups' answers. No paper's method: the windows of GenSelect (NeMo-Skills) with
any aggregator in either place.

Cost with n samples in groups of g: ⌈n/g⌉ times the calls and tokens of `inner` on g samples, and once those
of `outer` on ⌈n/g⌉ answers. With `llm_aggregator` in both places that is ⌈n/g⌉ + 1 calls for about n·L
tokens read.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

from sampleset.aggregators._fusion import concluded, require_positive
from sampleset.aggregators.base import AGGREGATORS, Aggregator, shown_order, tally, vote_answer
from sampleset.aggregators.majority_vote import MajorityVote
from sampleset.answers import choices_of, kind_of
from sampleset.models.together import gathered
from sampleset.prompts import ANSWER_CLOSE, ANSWER_OPEN
from sampleset.types import DEFAULT_KIND, Answer, Question, Sample, SampleSet, Usage


@AGGREGATORS.register("two_stage")
@dataclass(frozen=True)
class TwoStage:
    """Return the answer that one aggregator makes of the answers another one gives to groups of the samples.

    The samples are dealt by the seed into groups whose sizes differ by one at most. A group whose aggregator
    abstains has no say; where none answers, or the second one abstains, the majority vote of the samples
    answers, flagged `fallback_vote`. Sets of one group are aggregated by `inner` alone.

    Attributes:
        inner: The aggregator of each group.
        outer: The aggregator of the groups' answers; by default `inner` again.
        group: Most samples in a group.
        seed: Seed of the dealing and of ties in the fallback vote.
    """

    name: ClassVar[str] = "two_stage"
    inner: Aggregator = field(default_factory=MajorityVote)
    outer: Aggregator | None = None
    group: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        require_positive(self, "group")

    async def aggregate(self, sample_set: SampleSet) -> Answer:
        """The answer of the second stage."""
        counted = await tally(sample_set)
        order = shown_order(sample_set, self.seed, 0)
        if not order:
            return vote_answer(sample_set, self.name, counted, (), self.seed)
        groups = -(-len(order) // self.group)
        if groups == 1:
            return replace(await self.inner.aggregate(sample_set), aggregator=self.name)
        group_answers = await gathered(
            self.inner.aggregate(sample_set.subset(sorted(order[start::groups]))) for start in range(groups)
        )
        samples = tuple(
            _as_sample(answer, index, sample_set.question)
            for index, answer in enumerate(group_answers)
            if answer.answer is not None
        )
        spent = sum((answer.usage for answer in group_answers), Usage())
        notes = ["group_abstained"] if len(samples) < groups else []
        notes += (
            ["group_fallback_vote"]
            if any("fallback_vote" in answer.flags for answer in group_answers)
            else []
        )
        if not samples:
            fallen = vote_answer(sample_set, self.name, counted, (*notes, "fallback_vote"), self.seed)
            return replace(fallen, usage=spent)
        last = SampleSet(sample_set.question, samples)
        outer = self.outer or self.inner
        answer = await concluded(self.name, sample_set, counted, last, outer, spent, self.seed)
        return replace(answer, flags=(*answer.flags, *notes))


def _as_sample(answer: Answer, index: int, question: Question) -> Sample:
    """A group's answer as a sample that states it."""
    stated_answer = kind_of(question).read(answer.text, choices_of(question))
    if stated_answer is not None and stated_answer.text == answer.answer:
        return Sample(index, answer.text)
    if question.answer_kind == DEFAULT_KIND:
        stated = f"The final answer is \\boxed{{{answer.answer}}}."
    else:
        stated = f"{ANSWER_OPEN}{answer.answer}{ANSWER_CLOSE}"
    return Sample(index, f"{answer.text.rstrip()}\n\n{stated}".lstrip())
